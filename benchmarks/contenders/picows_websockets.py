"""picows.websockets, the module of picows that has the interface of websockets, and `orjson.loads` of every message."""

from __future__ import annotations

import orjson
from picows import websockets

from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ("picows", "orjson")


async def connect(address: Address, task: Task) -> Drain:
    ws = await websockets.connect(
        address.url, ssl=address.ssl_context, compression=None, max_size=None, proxy=None, max_queue=None
    )
    take = task.take_decoded()

    async def drain() -> int:
        await ws.send("go")
        frames = 0
        async for message in ws:
            frames += 1
            try:
                decoded = orjson.loads(message)
            except ValueError:
                decoded = None
            take(decoded)
        return frames

    return drain
