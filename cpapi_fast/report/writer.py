"""Writes a report to a new file"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cpapi_fast.new_file import create_file
from cpapi_fast.outputs.interface import output_error, write_all

from .gather import gather
from .html.page import page
from .html.plots import draw
from .model import Report


def write_report(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> tuple[Report, int]:
    """Write the report of the files in `path` to the new file `out`. Only its owner can read it.

    Args:
        path: a folder with the files of one or several runs, or one file, which stands for its run.
        out: the file to create. It is there only if the whole page is in it.

    Returns:
        The data of the report, and the size of the page in bytes.

    Raises:
        ConfigError: `path` has no file of a run.
        OutputError: `out` exists, or cannot be written.
        MissingDependencyError: Bokeh or pyarrow is not installed.
    """
    report = gather(path)
    data = page(report, draw(report)).encode("utf-8", "backslashreplace")
    target = Path(out)
    try:
        file = create_file(target)
    except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path.
        raise output_error(exc, target) from exc
    try:
        with file:
            write_all(file, data)
    except BaseException as exc:
        with suppress(OSError):
            target.unlink()
        if isinstance(exc, OSError):
            raise output_error(exc, target) from exc
        raise
    return report, len(data)
