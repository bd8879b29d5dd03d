"""Sends the data frames of a capture to one socket, in their order and at their recorded pace, byte for byte"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.replay.capture_file import CaptureFile
from cpapi_fast.replay.recording import Piece, Recording, find_runs

from . import system_frames
from .frame_writer import FrameWriter, topic_of

#: The first bytes of a capture: the marker of an Arrow stream.
_MARKER: Final = b"\xff\xff\xff\xff"
#: Frames of these topics, and these replies, belong to the session. The simulated gateway sends its own.
_SESSION_TOPICS: Final = frozenset({"system", "sts", "act", "tic"})
_SESSION_REPLIES: Final = frozenset({b"ech+hb", system_frames.WAITING})
#: How often to check whether a client has read, in real seconds.
_POLL_S: Final = 0.001


def is_capture(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder, or a file that begins as a capture does. False if it cannot be read."""
    try:
        if Path(path).is_dir():
            return True
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            return file.read(len(_MARKER)) == _MARKER
    except (OSError, ValueError):  # ValueError: a NUL character in the path.
        return False


def check(path: str | os.PathLike[str]) -> None:
    """Check that a capture, or each capture in a folder, can be read up to its last whole message.

    Raises:
        ConfigError: there is no capture, or one is damaged. The message has the path and the reason.
        MissingDependencyError: pyarrow is not installed.
    """
    runs = find_runs(Path(path))
    several = sum(len(run.captures) for run in runs) > 1
    for run in runs:
        for capture in run.captures:
            # A power loss can leave an empty file beside others.
            if not several or capture.stat().st_size:
                with CaptureFile(capture):
                    pass


async def serve(path: str | os.PathLike[str], writer: FrameWriter, clock: Clock, rate: float | None) -> bool:
    """Send the data frames of a capture: at the recorded pace in time of the clock, or at `rate` frames per second.

    Returns:
        Whether the operating system accepted all frames before the connection ended.

    Raises:
        ConfigError: a capture is damaged.
    """
    pieces = iter(Recording(find_runs(Path(path))))
    first_ns: int | None = None
    start_s = due_s = clock.monotonic_s()
    while (piece := await asyncio.to_thread(_next, pieces)) is not None:
        reads = piece.reads
        while reads is not None and (batch := reads.take(len(reads))) is not None:
            first_ns = reads.received_ns if first_ns is None else first_ns
            frames = [frame.raw for frame in batch if is_data(frame.raw)]
            if not frames:
                continue
            if rate is None:
                due_s = start_s + (reads.received_ns - first_ns) * 1e-9
            await _until(lambda: writer.is_closed or not writer.is_congested)
            if (left_s := due_s - clock.monotonic_s()) > 0:
                await clock.sleep(left_s)
            if writer.is_closed:
                return False
            # Nothing may be dropped here. The wait above bounds the buffer to the congestion limit plus one read.
            writer.send(frames, may_drop=False)
            if rate is not None:
                due_s += len(frames) / rate
        await asyncio.sleep(0)
    await _until(lambda: writer.is_closed or not writer.waiting_bytes)
    return not writer.is_closed


def is_data(frame: bytes) -> bool:
    """Whether a frame does not belong to the session."""
    return frame not in _SESSION_REPLIES and topic_of(frame) not in _SESSION_TOPICS


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next(pieces, None)


async def _until(condition: Callable[[], bool]) -> None:
    # A transport reports an empty buffer only to its protocol, which is aiohttp's.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)
