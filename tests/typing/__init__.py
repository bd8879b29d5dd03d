"""Never run: mypy and pyright judge these files, so that a stub cannot promise another type than users get."""
