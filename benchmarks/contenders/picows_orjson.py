"""picows with a Python listener and `orjson.loads` of every frame."""

from __future__ import annotations

import asyncio

import orjson
import picows

from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ("picows", "orjson")


class Listener(picows.WSListener):
    def __init__(self, closed: asyncio.Future[None], task: Task) -> None:
        self.closed = closed
        self.take = task.take_decoded()
        self.frames = 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            self.frames += 1
            try:
                decoded = orjson.loads(frame.get_payload_as_memoryview())
            except ValueError:
                decoded = None
            self.take(decoded)
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.closed.set_result(None)


async def connect(address: Address, task: Task) -> Drain:
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    listener = Listener(closed, task)
    transport, _ = await picows.ws_connect(lambda: listener, address.url, ssl_context=address.ssl_context)

    async def drain() -> int:
        transport.send(picows.WSMsgType.TEXT, b"go")
        await closed
        return listener.frames

    return drain
