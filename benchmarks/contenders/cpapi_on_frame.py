"""cpapi_fast, `ws.on_frame(callback)`: one owned Frame and one Python call per frame."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.own_work import take_frame
from benchmarks.work import Task
from cpapi_fast.batch import Frame
from cpapi_fast.connection import WsClient

PACKAGES = ("cpapi-fast", "picows", "orjson")


async def connect(address: Address, task: Task) -> Drain:
    ws = await WsClient.open(address.url, ssl_context=address.ssl_context)
    take = take_frame(task)
    frames = 0

    def count(frame: Frame) -> None:
        nonlocal frames
        frames += 1

    def on_frame(frame: Frame) -> None:
        nonlocal frames
        frames += 1
        take(frame)

    ws.on_frame(count if task.job == "count" else on_frame)

    async def drain() -> int:
        await ws.send_text("go")
        await ws.wait_closed()
        return frames

    return drain
