"""Verifies one capture: every message whole, every checksum and offset right, receive times in order"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.protocol.kinds import FrameKind

from .capture_walk import CaptureWalk, End

#: How many damaged messages are named.
_MOST_MESSAGES: Final = 5


class CheckedCapture(NamedTuple):
    """The result of one capture.

    Attributes:
        frames: how many frames can be read.
        payload_bytes: how many bytes they have.
        problems: what is wrong.
        notes: what is not wrong, but cannot be proven, say.
        kinds: the kinds of the frames, as `pyarrow` arrays.
        end: what follows the last whole message; None if the file is no capture.
        file_number, first_frame: its place in its run; None if it does not say.
        has_damage: whether frames in it cannot be read.
    """

    frames: int
    payload_bytes: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    kinds: tuple[Any, ...] = ()
    end: End | None = None
    file_number: int | None = None
    first_frame: int | None = None
    has_damage: bool = False


def check_capture(path: Path) -> CheckedCapture:
    """Read a capture completely. It takes about as long as reading the file and decompressing it."""
    try:
        walk = CaptureWalk(path)
        return _check(walk)
    except ConfigError as exc:
        return CheckedCapture(0, 0, (str(exc),), has_damage=True)


def _check(walk: CaptureWalk) -> CheckedCapture:
    compute = import_arrow("pyarrow.compute")
    frames = payload_bytes = damaged = 0
    last_ns: int | None = None
    backwards = 0
    kinds: list[Any] = []
    problems: list[str] = []
    for message in walk:
        if message.damage:
            damaged += 1
            if damaged <= _MOST_MESSAGES:
                problems.append(f"the message at byte {message.start:,} is damaged: {message.damage}")
            continue
        batch = message.batch
        times, kind, raw = batch.column("received_ns"), batch.column("kind"), batch.column("raw")
        count = batch.num_rows
        # One number per message decides: the times are sorted if no one is smaller than the one before it.
        if count > 1:
            steps = compute.less(times.slice(1), times.slice(0, count - 1))
            backwards += compute.sum(steps).as_py() or 0
        first_ns = times[0].as_py()
        if last_ns is not None and first_ns < last_ns:
            backwards += 1
        last_ns = times[count - 1].as_py()
        if (compute.max(kind).as_py() or 0) >= len(FrameKind):
            problems.append(f"the message at byte {message.start:,} has an unknown kind of frame")
        frames += count
        payload_bytes += raw.total_values_length
        kinds.append(kind)
    if damaged > _MOST_MESSAGES:
        problems.append(f"{damaged - _MOST_MESSAGES:,} more messages are damaged")
    notes = []
    if backwards:
        text = f"receive times go back {backwards:,} times"
        if walk.has_checksums and not problems:
            notes.append(f"{text}: the system clock was set back while it was written")
        else:
            problems.append(text)
    if not walk.has_checksums:
        notes.append("it has no checksums, so damage that gives other bytes of frames is not found")
    if walk.end is End.DAMAGED:
        problems.append(f"{walk.size - walk.whole_bytes:,} bytes from byte {walk.whole_bytes:,} on are no message")
    elif walk.end is End.TORN:
        problems.append(
            f"the last message is incomplete: {walk.size - walk.whole_bytes:,} bytes from byte {walk.whole_bytes:,} on"
        )
    elif walk.end is End.OPEN:
        problems.append("it was not finished, because its writer was killed or another file took its place")
    return CheckedCapture(
        frames,
        payload_bytes,
        tuple(problems),
        tuple(notes),
        tuple(kinds),
        walk.end,
        walk.number("file_number"),
        walk.number("first_frame"),
        bool(damaged) or walk.end is End.DAMAGED,
    )
