"""Finds the files of runs below a folder, and tells them apart by their names"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.capture import CAPTURE_SUFFIX
from cpapi_fast.outputs.interface import PART_SUFFIX
from cpapi_fast.outputs.tables.account_schema import ACCOUNT_TABLES
from cpapi_fast.outputs.tables.schema import TableName
from cpapi_fast.redaction import shown

#: The tables of market data and of accounts.
TABLES: Final = (*get_args(TableName), *ACCOUNT_TABLES)

_KINDS: Final = "|".join(("capture", "events", *TABLES))
_NAME: Final = re.compile(
    rf"(?P<kind>{_KINDS})-\d{{8}}T\d{{6}}(?:\.\d{{6}})?Z(?:-(?P<run>[0-9a-f]{{6}}))?[^.]*"
    rf"\.(?P<suffix>arrows|jsonl|parquet)(?P<part>{re.escape(PART_SUFFIX)})?"
)

_ADVICE: Final = "give the folder of `collect --out`, or one of its files, such as capture-*.arrows"


@dataclass(frozen=True)
class FoundFile:
    """A file of a run.

    Attributes:
        path: where it is.
        name: its path below the folder of the report, with slashes.
        kind: `capture`, `events`, or the name of a table.
        run: the digits of the run in its name; empty without them.
        is_part: whether its name says that it is unfinished.
        size_bytes: its size when it was found.
    """

    path: Path
    name: str
    kind: str
    run: str
    is_part: bool
    size_bytes: int


def find_files(path: str | os.PathLike[str]) -> tuple[list[FoundFile], int]:
    """Return the files of runs in a folder and the folders in it, sorted by name, and the number of other files.

    Of a file, it returns the files of its run beside it. A capture of any name is accepted. Links to folders are not
    followed.

    Raises:
        ConfigError: the path does not exist or cannot be read, or there is no file of a run.
    """
    given = Path(path)
    try:
        is_folder = given.is_dir()
        given.stat()
        folder = given if is_folder else given.parent
        found, others = _below(folder)
    except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path.
        raise ConfigError(
            f"cannot read {shown(str(given))}: {getattr(exc, 'strerror', None) or exc}; {_ADVICE}"
        ) from exc
    if not is_folder:
        this = next((one for one in found if one.path.name == given.name and one.path.parent == folder), None)
        if this is None:
            raise ConfigError(f"{shown(str(given))} is no file of a run: its name tells no kind; {_ADVICE}")
        # A file without a run in its name is a run of its own.
        found = [one for one in found if one.run == this.run] if this.run else [this]
        others = 0
    if not found:
        raise ConfigError(
            f"{shown(str(given))} has no file of a run: it is {'empty' if not others else 'another folder'}; {_ADVICE}"
        )
    return found, others


def _below(folder: Path) -> tuple[list[FoundFile], int]:
    found: list[FoundFile] = []
    others = 0

    def refuse(error: OSError) -> None:
        if error.filename == str(folder):
            raise error

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            one = _found(Path(root) / name, folder)
            if one is not None:
                found.append(one)
            elif not name.startswith("."):
                others += 1
    return sorted(found, key=lambda one: (one.path.name, one.name)), others


def _found(path: Path, folder: Path) -> FoundFile | None:
    match = _NAME.fullmatch(path.name)
    if match is None and path.suffix != CAPTURE_SUFFIX:
        return None
    try:
        size_bytes = path.stat().st_size
    except OSError:
        # It was moved since the folder was read. What it had counts as missing by the counts of the others.
        return None
    name = path.relative_to(folder).as_posix()
    if match is None:
        return FoundFile(path, name, "capture", "", False, size_bytes)
    return FoundFile(path, name, match["kind"], match["run"] or "", match["part"] is not None, size_bytes)
