"""websockets and `orjson.loads` of every message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import websockets

from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ("websockets", "orjson")


async def connect(
    address: Address, task: Task, open_ws: Callable[..., Any] = websockets.connect, **options: Any
) -> Drain:
    ws = await open_ws(address.url, ssl=address.ssl_context, compression=None, max_size=None, proxy=None, **options)
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
