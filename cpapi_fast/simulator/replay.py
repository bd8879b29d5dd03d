"""Replays a file: each line is sent once, in order, as one frame, byte for byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError

from .frame_writer import FrameWriter

#: Frames are sent in writes of about this size.
_CHUNK_BYTES: Final = 128 * 1024
_CHUNK_LINES: Final = 1_024
#: How often to check whether a client has read, in real seconds.
_POLL_S: Final = 0.001
#: How often frames are sent when a rate is set, in real seconds.
_RATE_INTERVAL_S: Final = 0.01


def check(path: str | os.PathLike[str]) -> None:
    """Check that a replay file can be read.

    Raises:
        ConfigError: it cannot. The message has the path and the reason.
    """
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigError(f"cannot read the replay file {os.fspath(path)}: {error.strerror}") from error


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
