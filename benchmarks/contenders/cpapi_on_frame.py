"""cpapi_fast, `ws.on_frame(callback)`: one owned Frame and one Python call per frame."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.own_work import take_frame
from benchmarks.work import Task
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions

PACKAGES = ("cpapi-fast", "picows", "orjson")


async def connect(address: Address, task: Task, options: WsOptions | None = None) -> Drain:
    ws = await WsClient.open(address.url, ssl_context=address.ssl_context, options=options)
    take, counted = take_frame(task)
    ws.on_frame(take)

    async def drain() -> int:
        await ws.send_text("go")
        await ws.wait_closed()
        return counted()

    return drain
