"""A file's lines as frames, once each and in order, byte for byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError

from .outbox import Outbox

#: Frames go out in writes of about this size.
_CHUNK_BYTES: Final = 128 * 1024
_CHUNK_LINES: Final = 1_024
#: How often a client that does not read is looked at again, in real seconds.
_PATIENCE_S: Final = 0.001
#: How often frames are sent when a rate is given, in real seconds.
_PACE_S: Final = 0.01


def check(path: str | os.PathLike[str]) -> None:
    """Refuse a replay file that cannot be read, before anybody connects.

    Raises:
        ConfigError: with the path and the reason.
    """
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigError(f"cannot read the replay file {os.fspath(path)}: {error.strerror}") from error


def lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    r"""The lines of a file without their terminator.

    A line ends with ``\n`` or ``\r\n``; nothing else is taken off. An empty line is an empty frame. A terminator at the
    end of the file ends the last line, it does not start another one.
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
    # A transport tells nobody but its protocol, which is aiohttp's, when its buffer has run empty.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(_PATIENCE_S)


async def serve(path: str | os.PathLike[str], outbox: Outbox, clock: Clock, rate: float | None) -> bool:
    """Send every line; as fast as the client reads, or `rate` frames per second of the clock.

    Returns:
        Whether the operating system took all of it before the connection ended.
    """
    most_lines = _CHUNK_LINES if rate is None else max(1, round(rate * clock.speed * _PACE_S))
    due_s = clock.monotonic_s()
    for chunk in _chunks(path, most_lines):
        await _until(lambda: outbox.is_closed or not outbox.is_congested)
        if outbox.is_closed:
            return False
        # Nothing may be lost here: the wait above bounds what is in flight to the congestion mark plus one chunk.
        outbox.send(chunk, may_drop=False)
        if rate is None:
            await asyncio.sleep(0)
        else:
            due_s += len(chunk) / rate
            await clock.sleep(max(due_s - clock.monotonic_s(), 0.0))
    await _until(lambda: outbox.is_closed or not outbox.waiting_bytes)
    return not outbox.is_closed
