"""RunFile: the files of runs in a folder, by the kind, time and run in their names"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from cpapi_fast.outputs.file_names import TIME_IN_NAME
from cpapi_fast.outputs.interface import PART_SUFFIX

_NAME: Final = re.compile(
    rf"(?P<kind>[a-z_]+)-(?P<time>{TIME_IN_NAME.pattern})-(?P<run>[0-9a-f]{{6}})(?P<suffix>\.[a-z]+)(?P<part>\.part)?"
)

#: The suffix of each kind of file that is no table.
_SUFFIXES: Final = {"capture": ".arrows", "events": ".jsonl"}


class RunFile(NamedTuple):
    """A file of a run.

    Attributes:
        path: its path.
        kind: `capture`, `events`, or the name of a table.
        time: the time in its name, as text. It sorts in the order in which the files were begun.
        run: the six digits of its run.
        is_part: whether its name says that it is not finished.
    """

    path: Path
    kind: str
    time: str
    run: str
    is_part: bool

    @property
    def final_path(self) -> Path:
        """The path without the suffix of an unfinished file."""
        return self.path.with_name(self.path.name.removesuffix(PART_SUFFIX))


def run_file(path: Path) -> RunFile | None:
    """The file of a run at a path; None if its name is not one of a run."""
    match = _NAME.fullmatch(path.name)
    if match is None or match["suffix"] != _SUFFIXES.get(match["kind"], ".parquet"):
        return None
    return RunFile(path, match["kind"], match["time"], match["run"], match["part"] is not None)


def run_files(folder: Path) -> list[RunFile]:
    """The files of all runs in a folder, in the order in which they were begun.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        found = [run_file(folder / entry.name) for entry in entries if entry.is_file()]
    return sorted((one for one in found if one is not None), key=lambda one: (one.time, one.kind, one.run))


def captures_of(files: Iterable[RunFile], run: str) -> list[RunFile]:
    """The captures of one run, oldest first."""
    return [one for one in files if one.kind == "capture" and one.run == run]
