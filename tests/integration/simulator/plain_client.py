"""A client made of aiohttp alone: the simulator is not tested with the code that it is there to test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from cpapi_fast.simulator import ServerConnection, SimulatedGateway, SimulatorOptions

#: Fields of a usual subscribe.
L1 = '{"fields":["31","84","86","85","88","87","83"]}'


#: Options of a gateway without TLS whose time runs fifty times as fast.
DEFAULTS: dict[str, Any] = {"tls": False, "speed": 50.0, "seed": 7, "idle_timeout_s": None}


def options(**changes: Any) -> SimulatorOptions:
    """The default options with these changes."""
    return SimulatorOptions(**(DEFAULTS | changes))


def session_cookie(gateway: SimulatedGateway) -> str:
    """The cookie as the documentation's sample writes it."""
    return "api=" + json.dumps({"session": gateway.session_id}, separators=(",", ":"))


class Socket:
    """A client's socket. Frames come as bytes; the gateway sends binary ones only, and this checks it."""

    def __init__(self, gateway: SimulatedGateway, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.gateway = gateway
        self.ws = ws

    @property
    def peer(self) -> ServerConnection:
        """The newest connection as the gateway sees it."""
        return self.gateway.connections[-1]

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

    async def several(self, topic: str, count: int) -> list[Any]:
        return [await self.topic(topic) for _ in range(count)]

    async def replies(self, *texts: str) -> list[bytes]:
        """Send texts and give what came until the gateway had read them all, heartbeats left out."""
        for text in (*texts, "ech+hb"):
            await self.send(text)
        found = []
        while (frame := await self.frame()) != b"ech+hb":
            if b'"hb":' not in frame:
                found.append(frame)
        return found

    async def until_quiet(self, for_s: float) -> None:
        """Throw away what comes until nothing does for so many real seconds."""
        with contextlib.suppress(asyncio.TimeoutError):
            while True:
                message = await self.ws.receive(timeout=for_s)
                assert message.type is aiohttp.WSMsgType.BINARY, message

    async def closed(self) -> aiohttp.WSMessage:
        """The message that ends the socket."""
        while True:
            message = await self.ws.receive(timeout=5)
            if message.type is not aiohttp.WSMsgType.BINARY:
                return message


@asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """REST without a cookie jar. Redirects are not followed by default."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@asynccontextmanager
async def connected(
    gateway: SimulatedGateway,
    *,
    cookie: str | None = None,
    has_cookie: bool = True,
    is_ready: bool = True,
    **kwargs: Any,
) -> AsyncIterator[Socket]:
    """A socket opened with the session in its cookie; by default its opening burst is read."""
    headers = {"Cookie": cookie or session_cookie(gateway)} if has_cookie else {}
    async with http() as session, session.ws_connect(gateway.ws_url, headers=headers, **kwargs) as ws:
        socket = Socket(gateway, ws)
        if is_ready:
            for _ in range(3):
                await socket.frame()
        yield socket
