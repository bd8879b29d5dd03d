"""Programs of the command line: exit codes, errors in one line, and a last resort for internal errors.

The modules: `last_resort` turns an internal error into one line and a report in a file; `runner` runs a
program with it.
"""

from __future__ import annotations

from .runner import EXIT_FAILURE, EXIT_USAGE, OneLineParser, run_program, this_process

__all__ = ["EXIT_FAILURE", "EXIT_USAGE", "OneLineParser", "run_program", "this_process"]
