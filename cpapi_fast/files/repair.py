"""repair: cuts a damaged capture or events file to what is whole, and keeps the original beside it"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from cpapi_fast.errors import ConfigError, CpapiError, OutputError
from cpapi_fast.new_file import create_file
from cpapi_fast.outputs.capture import END_OF_STREAM
from cpapi_fast.outputs.interface import PART_SUFFIX, output_error, sync, write_all

from .capture_walk import CaptureWalk, End
from .earlier_files import InUseError, locked
from .recorded_events import event_line

#: The end of the name of an original that was replaced by what of it is whole.
DAMAGED_SUFFIX: Final = ".damaged"


def repair(path: Path) -> str:
    """Replace a damaged capture or events file by what of it is whole. Returns what was done; empty for nothing.

    Damaged messages and lines are left out, and so is everything between them that is no message. The original
    is kept under the name with `.damaged` at its end. There is a file under the name at each moment, the original or
    the repaired one.

    Args:
        path: a capture or an events file that no run writes.

    Raises:
        ConfigError: nothing of it can be kept: the beginning of a capture is damaged, or it is no such file.
        OutputError: a file cannot be written, or the original cannot be kept.
    """
    copy = {".arrows": _copy_capture, ".jsonl": _copy_events}.get(path.suffix)
    if copy is None:
        raise ConfigError(
            f"{path} cannot be repaired: only captures and events files can; the frames of a table are in its capture"
        )
    try:
        with locked(path) as file:
            return _repair(path, file, copy)
    except InUseError as exc:
        raise ConfigError(f"{path} cannot be repaired: {exc if str(exc) else 'a run still writes it'}") from exc
    except CpapiError:
        raise
    except (OSError, ValueError) as exc:
        raise output_error(exc, path) from exc


def _repair(path: Path, file: BinaryIO, copy: Callable[[Path, BinaryIO, Callable[[bytes], None]], str]) -> str:
    kept = path.with_name(path.name + DAMAGED_SUFFIX)
    part = path.with_name(f".{path.name}.repair{PART_SUFFIX}")
    part.unlink(missing_ok=True)
    target = create_file(part, path.stat().st_mode & 0o777)
    try:
        with target:
            text = copy(path, file, lambda data: write_all(target, data))
            if not text:
                return ""
            sync(target)
        try:
            os.link(path, kept)
        except FileExistsError as exc:
            # A repair that was killed here has kept it already.
            if not path.samefile(kept):
                raise OutputError(
                    f"cannot keep the original of {path}, because {kept} exists; move that file away", path=str(kept)
                ) from exc
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return f"repaired {path}: {text}; the original is {kept}"


def _copy_capture(path: Path, file: BinaryIO, write: Callable[[bytes], None]) -> str:
    walk = CaptureWalk(path)
    write(walk.header)
    left_out = frames = 0
    for message in walk:
        if message.damage:
            left_out += 1
            continue
        frames += message.batch.num_rows
        file.seek(message.start)
        write(file.read(message.end - message.start))
    write(END_OF_STREAM)
    lost_bytes = walk.size - walk.whole_bytes if walk.end is not End.FINISHED else 0
    if not left_out and walk.end is End.FINISHED:
        return ""
    return (
        f"{frames:,} frames are whole; {left_out:,} damaged messages and {lost_bytes:,} bytes at its end are left out"
    )


def _copy_events(path: Path, _file: BinaryIO, write: Callable[[bytes], None]) -> str:
    left_out = kept = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                is_event = line.endswith(b"\n") and event_line(line) is not None
            except ValueError:
                is_event = False
            if is_event:
                write(line)
                kept += 1
            else:
                left_out += 1
    return f"{kept:,} lines are whole; {left_out:,} damaged lines are left out" if left_out else ""
