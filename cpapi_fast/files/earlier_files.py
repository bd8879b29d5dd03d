"""Finishes the captures and events files of killed runs: cuts what is incomplete at their ends"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.capture import END_OF_STREAM
from cpapi_fast.outputs.file_lock import try_lock
from cpapi_fast.outputs.interface import publish

from .capture_walk import CaptureWalk, End
from .run_files import RunFile

#: How much of the end of an events file is read to find its last line.
_BLOCK_BYTES: Final = 65_536


class StoppedError(Exception):
    """The recovery was told to stop. What it was at is unchanged, or is finished by the next call."""


class InUseError(Exception):
    """Another run writes the file, or it is not known whether one does."""


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO]:
    """Open a file that no run writes any more, and keep others from working on it meanwhile.

    Raises:
        InUseError: a run writes it. The text is empty; it says why if that is not known.
        OSError: it cannot be opened.
    """
    with path.open("r+b", buffering=0) as file:
        has_lock = try_lock(file.fileno())
        if has_lock is None:
            raise InUseError("this file system has no locks, so that another run may still write it")
        if not has_lock or not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise InUseError
        yield file


def is_in_use(path: Path) -> bool:
    """Whether a run writes a file at this moment. Where there are no locks, False. It needs no right to write."""
    try:
        with path.open("rb") as file:
            return try_lock(file.fileno()) is False
    except OSError:
        return False


def finish_capture(found: RunFile, file: BinaryIO, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Finish the capture of a killed run. Returns what was done as text; empty for nothing.

    An incomplete message at its end is cut, and a `.part` file with frames gets its name. One without frames is
    removed, because the name is given before the first frame is written. A kill at any moment leaves a capture that the
    next call finishes.

    Args:
        found: the capture.
        file: the same file, `locked`.
        is_stopped: whether to stop; it is asked for each message.

    Raises:
        ConfigError: it is damaged before its end, so that `cpapi-fast verify --repair` has to be called.
        OSError: it cannot be changed.
        StoppedError: `is_stopped` returned True. Nothing is changed.
    """
    if found.is_part and not _has_frames(found.path):
        found.path.unlink()
        return f"removed an unfinished capture without frames: {found.path}"
    walk = CaptureWalk(found.path, columns=(), needs_checksums=False)
    damaged = 0
    for message in walk:
        damaged += bool(message.damage)
        if is_stopped():
            raise StoppedError
    if walk.end is End.DAMAGED:
        raise ConfigError(f"it is damaged at byte {walk.whole_bytes:,}; `cpapi-fast verify --repair` makes it readable")
    cut_bytes = 0
    if walk.end is not End.FINISHED:
        cut_bytes = walk.size - walk.whole_bytes
        file.truncate(walk.whole_bytes)
        file.seek(walk.whole_bytes)
        file.write(END_OF_STREAM)
        os.fsync(file.fileno())
    if found.is_part:
        publish(found.path, found.final_path)
    cut = f"; {cut_bytes:,} bytes of an incomplete message at its end were cut" if cut_bytes else ""
    bad = f"; {damaged:,} damaged messages stay in it, see `cpapi-fast verify`" if damaged else ""
    return f"finished the capture of a run that was killed: {found.final_path}{cut}{bad}"


def _has_frames(path: Path) -> bool:
    try:
        return any(True for _ in CaptureWalk(path))
    except ConfigError:
        return False


def is_finished_capture(path: Path) -> bool:
    """Whether a capture ends as a finished one does. It reads eight bytes."""
    try:
        with path.open("rb") as file:
            file.seek(-len(END_OF_STREAM), os.SEEK_END)
            return file.read() == END_OF_STREAM
    except OSError:
        return False


def has_whole_lines(path: Path) -> bool:
    """Whether an events file ends with a whole line. It reads one byte."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"
    except OSError:
        return True


def finish_events(found: RunFile, file: BinaryIO) -> str:
    """Cut an events file after its last whole line. Returns what was done as text.

    A `.part` file has no event yet, and is removed. The arguments and errors are those of `finish_capture`.
    """
    if found.is_part:
        found.path.unlink()
        return f"removed an unfinished events file without events: {found.path}"
    size = os.fstat(file.fileno()).st_size
    whole_bytes = _end_of_lines(file, size)
    file.truncate(whole_bytes)
    os.fsync(file.fileno())
    return (
        f"finished the events of a run that was killed: {found.path}; {size - whole_bytes:,} bytes of an incomplete "
        "line at its end were cut"
    )


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Where the last whole line of a file ends."""
    end = size
    while end:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
