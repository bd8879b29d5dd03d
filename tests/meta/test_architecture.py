"""docs/architecture.md, the docstrings of the folders and `help(cpapi_fast)` show the same map.

`python -m tests.meta.test_architecture` updates the purposes of the table from the docstrings.
"""

from __future__ import annotations

import re

import cpapi_fast
from tests.meta.layers import DOCUMENT, PACKAGE, purpose, sources, table

#: About so many modules lie in one folder at most; the simulator is a program of its own.
MOST_MODULES = 16
#: About so many lines a module has at most.
MOST_LINES = 400


def purposes() -> dict[str, str]:
    return {name: purpose(paths[-1]) for name, paths in sources().items()}


def test_the_table_shows_the_docstrings():
    written = purposes()
    assert table() == {name: written[name] for name in table()}


def test_every_folder_is_in_the_docstring_of_the_package():
    folders = {name: text for name, text in purposes().items() if (PACKAGE / name).is_dir() and "." not in name}
    listed = dict(re.findall(r"^    (\w+) +(.+)$", cpapi_fast.__doc__ or "", re.MULTILINE))
    assert listed == folders


def test_no_folder_and_no_module_is_too_large():
    for folder in {path.parent for paths in sources().values() for path in paths}:
        modules = {path.stem for path in folder.iterdir() if path.suffix in (".py", ".pyx", ".pxd")} - {"__init__"}
        assert len(modules) <= MOST_MODULES or folder.name == "simulator", folder
    lines = {
        str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8").count("\n")
        for paths in sources().values()
        for path in paths
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_the_picture_uses_names_of_files():
    picture = DOCUMENT.read_text(encoding="utf-8").split("```")[1]
    files = {path.name for paths in sources().values() for path in paths}
    assert set(re.findall(r"\b\w+\.pyx?\b", picture)) <= files


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, what in purposes().items():
        text = re.sub(rf"^\| `{re.escape(name)}` \| .* \|$", f"| `{name}` | {what} |", text, flags=re.MULTILINE)
    DOCUMENT.write_text(text, encoding="utf-8")
