"""picows with a Cython listener that only counts: the cost of the socket for any client built on picows."""

from __future__ import annotations

import asyncio

import picows

from benchmarks.build_native import native
from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ("picows",)


async def connect(address: Address, task: Task) -> Drain:
    closed = asyncio.get_running_loop().create_future()
    listener = native().CountingListener(closed)
    transport, _ = await picows.ws_connect(lambda: listener, address.url, ssl_context=address.ssl_context)

    async def drain() -> int:
        transport.send(picows.WSMsgType.TEXT, b"go")
        await closed
        return int(listener.frames)

    return drain
