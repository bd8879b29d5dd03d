"""cpapi_fast, `async for frame in ws`."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.own_work import take_frame
from benchmarks.work import Task
from cpapi_fast.ws.connection import WsClient

PACKAGES = ("cpapi-fast", "picows", "orjson")


async def connect(address: Address, task: Task) -> Drain:
    ws = await WsClient.open(address.url, ssl_context=address.ssl_context)
    take, counted = take_frame(task)

    async def drain() -> int:
        await ws.send_text("go")
        async for frame in ws:
            take(frame)
        return counted()

    return drain
