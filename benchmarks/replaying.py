"""How fast a capture is replayed: to batches, to typed columns, and with quotes. Checks what arrives before it times.

Usage: python -m benchmarks.replaying [FRAMES [FRAMES_PER_READ]]

Prints frames per second of real time, and per second of processor time of the loop's thread: the reading thread works
beside it, so the former needs two free cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import cpapi_fast as cf

_CONIDS: Final = 100
_REPEATS: Final = 5


def _frame(number: int) -> bytes:
    conid = 265598 + number % _CONIDS
    return (
        b'{"server_id":"q%d","conidEx":"%d","conid":%d,"_updated":%d,"6119":"q%d","31":"%d.25","84":"%d.00",'
        b'"86":"%d.50","88":"300","topic":"smd+%d"}'
    ) % (conid, conid, conid, 1_767_364_200_000 + number, conid, number, number, number, conid)


def write(path: Path, frames: int, per_read: int) -> None:
    """Write a capture of numbered frames, with so many frames in each read."""
    builder = cf.BatchBuilder()
    with cf.CaptureWriter(path) as writer:
        for number in range(frames):
            builder.append(_frame(number))
            if number % per_read == per_read - 1 or number == frames - 1:
                batch = builder.finish(1_767_364_200_000_000_000 + 1000 * number)
                assert batch is not None
                writer.write(batch)


async def _batches(path: Path) -> int:
    count = 0
    async with cf.Replay(path, speed=None) as replay:
        async for item in replay.batches():
            assert isinstance(item, cf.Batch)
            count += len(item)
    return count


async def _on_batch(path: Path) -> int:
    count = 0

    def add(item: cf.Batch | cf.FeedEvent) -> None:
        nonlocal count
        count += len(item) if isinstance(item, cf.Batch) else 0

    async with cf.Replay(path, speed=None) as replay:
        replay.on_batch(add)
        await replay.wait_end()
    return count


async def _columns(path: Path) -> int:
    decoder, count = cf.TickDecoder(["31", "84", "86"]), 0
    async with cf.Replay(path, speed=None) as replay:
        async for item in replay.batches():
            assert isinstance(item, cf.Batch)
            count += len(decoder.decode(item))
    return count


async def _quotes(path: Path) -> int:
    async with cf.Replay(path, speed=None) as replay:
        for conid in range(265598, 265598 + _CONIDS):
            await replay.subscribe_market_data(conid)
        await replay.wait_end()
        return sum(status.frames for status in replay.subscriptions)


async def check(path: Path, frames: int) -> None:
    """Compare what is replayed with what was written.

    Raises:
        AssertionError: they differ.
    """
    decoder, number = cf.TickDecoder(["31"]), 0
    async with cf.Replay(path, speed=None) as replay:
        async for item in replay.batches():
            assert isinstance(item, cf.Batch)
            assert list(decoder.decode(item).values("31")) == [number + index + 0.25 for index in range(len(item))]
            assert item[0].raw == _frame(number)
            number += len(item)
    assert number == frames, (number, frames)


def main(frames: int = 2_000_000, per_read: int = 256) -> None:
    """Write a capture, check it, and print the rates."""
    cases: dict[str, Callable[[Path], Awaitable[int]]] = {
        "batches()": _batches,
        "on_batch": _on_batch,
        "typed columns": _columns,
        "last values": _quotes,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "capture.arrows")
        write(path, frames, per_read)
        cf.run(check(path, frames))
        print(f"{frames:,} frames, {per_read} per read, {path.stat().st_size / frames:.0f} bytes per frame in the file")
        for name, case in cases.items():
            real, processor = [], []
            for _ in range(_REPEATS):
                real_s, processor_s = time.perf_counter(), time.thread_time()
                count = cf.run(case(path))  # type: ignore[arg-type]
                real.append(count / (time.perf_counter() - real_s))
                processor.append(count / (time.thread_time() - processor_s))
                assert count == frames, (name, count)
            print(
                f"{name:14} {max(real) / 1e6:6.2f} M frames/s, {max(processor) / 1e6:6.2f} M per s of the loop's thread"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
