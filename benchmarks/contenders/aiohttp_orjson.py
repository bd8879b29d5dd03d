"""aiohttp's WebSocket client and `orjson.loads` of every message."""

from __future__ import annotations

import aiohttp
import orjson

from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ("aiohttp", "orjson")


async def connect(address: Address, task: Task) -> Drain:
    session = aiohttp.ClientSession()
    tls = True if address.ssl_context is None else address.ssl_context
    ws = await session.ws_connect(address.url, ssl=tls, compress=0, max_msg_size=0)
    take = task.take_decoded()

    async def drain() -> int:
        await ws.send_str("go")
        frames = 0
        async for message in ws:
            frames += 1
            try:
                decoded = orjson.loads(message.data)
            except ValueError:
                decoded = None
            take(decoded)
        await session.close()
        return frames

    return drain
