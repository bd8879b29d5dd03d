"""What a run passes to its recorder at a time: little, so that neither the event loop nor the disk looks slow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.recorder import Recorder
from cpapi_fast.outputs.run_events import RecordedEvent
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from tests.support.batches import FRAME_COST, numbered, put


class ListingRecorder(Recorder):
    """A recorder that remembers how many frames it got at a time."""

    def __init__(self) -> None:
        super().__init__(())
        self.frames: list[int] = []

    async def write(self, items: Sequence[Batch | RecordedEvent]) -> None:
        self.frames.append(sum(len(item) for item in items if isinstance(item, Batch)))
        await super().write(items)


async def received(folder: Path, batches: int, frames: int, max_queue_bytes: int) -> list[int]:
    """How many frames the recorder gets at a time, of batches that all wait in a queue with this bound."""
    delivery = Dispatcher(hold=lambda is_held: None, on_callback_error=lambda error: None)
    bounds = {"max_pending_frames": max_queue_bytes, "max_pending_bytes": max_queue_bytes}
    consumer = delivery.add(name="files", policy="block", **bounds)
    for number in range(batches):
        put(delivery, numbered(number, frames))
    delivery.end(None)
    recorder = ListingRecorder()
    async with Client("https://127.0.0.1:5000", tls=Tls.verify()) as client:
        options = CollectOptions(conids=(1,), out=folder, max_queue_bytes=max_queue_bytes)
        await Collector(client, options)._receive(consumer, recorder)
    await recorder.close()
    assert sum(recorder.frames) == batches * frames
    return recorder.frames


@pytest.mark.parametrize("max_queue_bytes", [1, 50_000, 2**20])
async def test_a_chunk_is_small_compared_with_the_bound(tmp_path: Path, max_queue_bytes: int) -> None:
    batches = max(3, max_queue_bytes // FRAME_COST)
    frames = await received(tmp_path, batches, 1, max_queue_bytes)
    assert max(frames) * FRAME_COST <= max_queue_bytes / 8 + FRAME_COST


async def test_a_chunk_of_small_batches_is_short(tmp_path: Path) -> None:
    assert max(await received(tmp_path, 10_000, 1, 32 * 2**20)) <= 4096


async def test_a_chunk_of_large_batches_has_megabytes(tmp_path: Path) -> None:
    assert max(await received(tmp_path, 30, 1000, 32 * 2**20)) * FRAME_COST >= 4 * 2**20
