"""A gateway whose every response over REST a test chooses, for shapes that the simulator does not send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.servers.http import SESSION

BASE_PATH = "/v1/api"
STATUS: Mapping[str, Any] = {
    "authenticated": True,
    "established": True,
    "competing": False,
    "connected": True,
    "message": "",
    "MAC": "00:11:22:33:44:55",
    "serverInfo": {"serverName": "JifN1", "serverVersion": "Build 10.45.1a"},
    "hardware_info": "0|00:11",
    "fail": "",
    "prompts": [],
}
TICKLE: Mapping[str, Any] = {
    "session": SESSION,
    "ssoExpires": 500000,
    "collission": False,
    "userId": 1,
    "hmds": {"error": "no bridge"},
    "iserver": {"authStatus": STATUS},
}
ACCOUNTS: Mapping[str, Any] = {
    "accounts": ["DU1234567"],
    "acctProps": {"DU1234567": {"hasChildAccounts": False}},
    "aliases": {"DU1234567": "x"},
    "selectedAccount": "DU1234567",
}

#: JSON, or the status with the bytes of a body, or a function of the request's body that returns one of them.
Answer = Any


class SmallGateway:
    """One listening socket for REST and WebSocket, without TLS.

    Attributes:
        answers: what each path below the base path responds.
        headers: further headers of these responses, by path.
        requests: path and body of each request.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers: dict[str, Answer] = {
            "/tickle": TICKLE,
            "/iserver/auth/status": STATUS,
            "/iserver/auth/ssodh/init": STATUS,
            "/iserver/accounts": ACCOUNTS,
            **(answers or {}),
        }
        self.headers: dict[str, Mapping[str, str]] = {}
        self.requests: list[tuple[str, bytes]] = []
        self._port = 0
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{BASE_PATH}"

    def count(self, path: str) -> int:
        """How many requests of a path were received."""
        return sum(asked == path for asked, _ in self.requests)

    async def send(self, payload: Mapping[str, Any]) -> None:
        """Send a frame on every open socket."""
        for socket in list(self._sockets):
            await socket.send_bytes(json.dumps(payload).encode())

    async def __aenter__(self) -> SmallGateway:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._respond)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = request.path.removeprefix(BASE_PATH)
        self.requests.append((path, body))
        if path == "/ws" and path not in self.answers:
            return await self._serve_socket(request)
        answer = self.answers.get(path, (404, b'{"error":"Not Found","statusCode":404}'))
        if isinstance(answer, Callable):
            answer = answer(body)
        status, raw = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
        headers = {"content-type": "application/json", **self.headers.get(path, {})}
        return web.Response(status=status, body=raw, headers=headers)

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        await socket.send_bytes(b'{"topic":"system","success":"user1234"}')
        await socket.send_bytes(b'{"topic":"sts","args":{"authenticated":true,"connected":true,"competing":false}}')
        async for message in socket:
            text = message.data if isinstance(message.data, str) else message.data.decode()
            if text.startswith("smd+"):
                conid, now_ms = text.split("+")[1], time.time_ns() // 1_000_000
                for price in ("10.00", "10.01"):
                    await socket.send_bytes(
                        b'{"server_id":"q1","conidEx":"%b","conid":%b,"_updated":%d,"31":"%b","6509":"RpB","topic":"smd+%b"}'
                        % (conid.encode(), conid.encode(), now_ms, price.encode(), conid.encode())
                    )
                    await asyncio.sleep(0)
        self._sockets.discard(socket)
        return socket
