"""picows with a Python listener and `orjson.loads` of every frame: the usual fast way, the one to measure against."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import picows

from benchmarks.corpus import Received, add_conid


class Listener(picows.WSListener):
    def __init__(self, closed: asyncio.Future[None]) -> None:
        self.closed = closed
        self.frames = 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            orjson.loads(frame.get_payload_as_memoryview())
            self.frames += 1
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.closed.set_result(None)


class CheckingListener(Listener):
    digest = 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            self.digest = add_conid(self.digest, orjson.loads(frame.get_payload_as_memoryview())["conid"])
        super().on_ws_frame(transport, frame)


async def connect(url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    listener_type = CheckingListener if check else Listener
    transport, listener = await picows.ws_connect(lambda: listener_type(closed), url)

    async def drain() -> Received:
        transport.send(picows.WSMsgType.TEXT, b"go")
        await closed
        return Received(listener.frames, getattr(listener, "digest", 0))

    return drain
