"""cpapi_fast, `async for batch in ws.batches()`."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.own_work import take_batch
from benchmarks.work import Task
from cpapi_fast.ws.connection import WsClient

PACKAGES = ("cpapi-fast", "picows")


async def connect(address: Address, task: Task) -> Drain:
    ws = await WsClient.open(address.url, ssl_context=address.ssl_context)
    take = take_batch(task)

    async def drain() -> int:
        await ws.send_text("go")
        frames = 0
        async for batch in ws.batches():
            frames += len(batch)
            take(batch)
        return frames

    return drain
