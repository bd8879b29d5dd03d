"""picows with a Cython listener that only counts: what the socket costs whoever stands on picows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import picows

from benchmarks.build_native import native
from benchmarks.corpus import Received


async def connect(url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    closed = asyncio.get_running_loop().create_future()
    listener_type = native().CountingListener
    transport, listener = await picows.ws_connect(lambda: listener_type(closed), url)

    async def drain() -> Received:
        transport.send(picows.WSMsgType.TEXT, b"go")
        await closed
        return Received(listener.frames, 0)

    return drain
