"""The simulated gateway over real sockets, asked by aiohttp's own client: each stated quirk is one test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from cpapi_fast.simulator import Gateway, GatewayOptions
from tests.support import LOOPS, run

L1 = '{"fields":["31","84","86","85","88","87","83"]}'


def options(**changes: Any) -> GatewayOptions:
    """A plain gateway with compressed time, unless told otherwise."""
    return GatewayOptions(**({"tls": False, "speed": 50.0, "seed": 7, "idle_timeout_s": None} | changes))


@asynccontextmanager
async def http(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a cookie jar of its own."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


class Socket:
    """A client's socket: frames come as bytes."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def send(self, text: str) -> None:
        await self.ws.send_str(text)

    async def frame(self) -> bytes:
        message = await self.ws.receive(timeout=5)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        return message.data

    async def json(self) -> Any:
        return json.loads(await self.frame())

    async def until(self, condition: Callable[[Any], object]) -> Any:
        """The first frame that fulfils a condition; the ones before it are thrown away."""
        while True:
            frame = await self.json()
            if condition(frame):
                return frame

    async def topic(self, topic: str) -> Any:
        return await self.until(lambda frame: frame.get("topic") == topic)

    async def texts_until_echo(self) -> list[bytes]:
        """What came before the echo of `ech+hb`, heartbeats left out: everything the gateway had to say so far."""
        await self.send("ech+hb")
        found = []
        while (frame := await self.frame()) != b"ech+hb":
            if b'"hb":' not in frame:
                found.append(frame)
        return found


@asynccontextmanager
async def connected(gateway: Gateway, *, is_ready: bool = True) -> AsyncIterator[Socket]:
    """A socket opened with the session in its cookie; its opening burst is read unless told otherwise."""
    cookie = "api=" + json.dumps({"session": gateway.session_id}, separators=(",", ":"))
    async with http(gateway) as session, session.ws_connect(gateway.ws_url, headers={"Cookie": cookie}) as ws:
        socket = Socket(ws)
        if is_ready:
            for _ in range(3):
                await socket.frame()
        yield socket


@pytest.mark.parametrize("loop", LOOPS)
def test_first_snapshot_comes_twice_in_two_key_orders(loop: str) -> None:
    async def main() -> None:
        async with Gateway(options(dead_conids=frozenset())) as gateway, connected(gateway) as socket:
            await socket.send(f"smd+265598+{L1}")
            first, second = await socket.frame(), await socket.frame()
            assert list(json.loads(first))[2] == "topic"
            assert next(iter(json.loads(second))) == "server_id"
            assert list(json.loads(second))[-1] == "topic"
            assert json.loads(first) == json.loads(second)

    run(main(), loop=loop)
