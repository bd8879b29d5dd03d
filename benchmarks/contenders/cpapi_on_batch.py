"""cpapi_fast, `ws.on_batch(callback)`: one call per socket read."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.own_work import take_batch
from benchmarks.work import Task
from cpapi_fast.frames.batch import Batch
from cpapi_fast.ws.connection import WsClient

PACKAGES = ("cpapi-fast", "picows")


async def connect(address: Address, task: Task) -> Drain:
    ws = await WsClient.open(address.url, ssl_context=address.ssl_context)
    take = take_batch(task)
    frames = 0

    def on_batch(batch: Batch) -> None:
        nonlocal frames
        frames += len(batch)
        take(batch)

    ws.on_batch(on_batch)

    async def drain() -> int:
        await ws.send_text("go")
        await ws.wait_closed()
        return frames

    return drain
