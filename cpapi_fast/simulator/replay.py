"""Replays a list of frames: each line of a file is sent once, in order, as one frame, byte for byte."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError

from .frame_writer import FrameWriter

#: The longest first line. No frame is longer.
_MAX_FIRST_LINE_BYTES: Final = 64 * 1024 * 1024
#: Files that are given by mistake, by their first bytes.
_FORMATS: Final = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\x28\xb5\x2f\xfd", "a compressed file"),
    (b"PK\x03\x04", "a compressed file"),
)
#: Frames are sent in writes of about this size.
_CHUNK_BYTES: Final = 128 * 1024
_CHUNK_LINES: Final = 1_024
#: How often to check whether a client has read, in real seconds.
_POLL_S: Final = 0.001
#: How often frames are sent when a rate is set, in real seconds.
_RATE_INTERVAL_S: Final = 0.01


def check(path: str | os.PathLike[str]) -> None:
    """Check that a replay file can be read and contains frames.

    Its first line with content must be a JSON object with a topic, as the gateway sends them. All others may be
    anything, so that a test can send damaged frames.

    Raises:
        ConfigError: it cannot be read, or contains no frames. The message has the path and the reason.
    """
    name = os.fspath(path)
    try:
        mode = Path(path).stat().st_mode
        line = b"" if _is_special(mode) else _first_line(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the replay file {name}: {reason}") from error
    if _is_special(mode):
        # Each client gets the whole file, so it is read more than once.
        raise ConfigError(f"cannot read the replay file {name}: it is a device or a pipe; give a regular file")
    if not _is_frame(line):
        raise ConfigError(
            f"the replay file {name} is no list of frames: {_what_it_is(line)}; give a capture, or one frame per line, "
            'such as {"topic":"smd+265598","conid":265598,"31":"271.81"}'
        )


def _is_special(mode: int) -> bool:
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _first_line(path: str | os.PathLike[str]) -> bytes:
    """The first line that is not empty."""
    with Path(path).open("rb") as file:
        line = file.readline(_MAX_FIRST_LINE_BYTES)
        while line and not line.strip():
            line = file.readline(_MAX_FIRST_LINE_BYTES)
    return line


def _is_frame(line: bytes) -> bool:
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(frame, dict) and isinstance(frame.get("topic"), str)


def _what_it_is(line: bytes) -> str:
    for start, what in _FORMATS:
        if line.startswith(start):
            return f"it is {what}"
    if not line:
        return "it is empty"
    if b"\0" in line:
        return "it is a binary file"
    return "its first line is no JSON object with a topic"


def lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    r"""The lines of a file without their terminator.

    A line ends with ``\n`` or ``\r\n``; nothing else is removed. An empty line is an empty frame. A terminator at the
    end of the file ends the last line and starts no further one.
    """
    with Path(path).open("rb") as file:
        for line in file:
            if line.endswith(b"\r\n"):
                yield line[:-2]
            elif line.endswith(b"\n"):
                yield line[:-1]
            else:
                yield line


def _chunks(path: str | os.PathLike[str], most_lines: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines(path):
        chunk.append(line)
        size += len(line)
        if len(chunk) >= most_lines or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _until(condition: Callable[[], bool]) -> None:
    # A transport reports an empty buffer only to its protocol, which is aiohttp's.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


async def serve(path: str | os.PathLike[str], writer: FrameWriter, clock: Clock, rate: float | None) -> bool:
    """Send every line, as fast as the client reads or at `rate` frames per second of the clock.

    Returns:
        Whether the operating system accepted all lines before the connection ended.
    """
    most_lines = _CHUNK_LINES if rate is None else max(1, round(rate * clock.speed * _RATE_INTERVAL_S))
    due_s = clock.monotonic_s()
    for chunk in _chunks(path, most_lines):
        await _until(lambda: writer.is_closed or not writer.is_congested)
        if writer.is_closed:
            return False
        # Nothing may be dropped here. The wait above bounds the buffer to the congestion limit plus one chunk.
        writer.send(chunk, may_drop=False)
        if rate is None:
            await asyncio.sleep(0)
        else:
            due_s += len(chunk) / rate
            await clock.sleep(max(due_s - clock.monotonic_s(), 0.0))
    await _until(lambda: writer.is_closed or not writer.waiting_bytes)
    return not writer.is_closed
