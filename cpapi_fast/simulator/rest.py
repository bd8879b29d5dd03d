"""The gateway's REST calls, as far as a market-data client needs them, and the door that all of them go through."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from . import frames, history
from .connection import Connection
from .pacing import Pacer
from .session import Session
from .wire import dumps
from .world import Failure, ReceivedRequest, World

BASE_PATH: Final = "/v1/api"
LOGIN_PATH: Final = "/sso/Login"
SOCKET_PATH: Final = f"{BASE_PATH}/ws"

#: What the gateway takes in one message before it closes the socket.
_MOST_MESSAGE_BYTES: Final = 262_144
_SESSION_LIFE_S: Final = 86_400.0
_LOGIN_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>Login</title></head>"
    '<body><form method="post" action="/sso/Authenticator"><input name="user"></form></body></html>\n'
)
_MAINTENANCE_PAGE: Final = "<html><body><h1>Service Unavailable</h1></body></html>\n"


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=dumps(value), status=status, content_type="application/json")


def _page(status: int = 200) -> web.Response:
    return web.Response(text=_LOGIN_PAGE, status=status, content_type="text/html")


def auth_status(session: Session) -> dict[str, Any]:
    """`authStatus`; logged out it is the five members that were recorded."""
    if not session.is_logged_in:
        return {"authenticated": False, "established": False, "competing": False, "connected": False, "MAC": None}
    return {
        "authenticated": session.is_authenticated,
        "established": session.is_authenticated,
        "competing": session.is_competing,
        "connected": True,
        "message": "",
        "MAC": "00:00:5E:00:53:01",
        "serverInfo": {"serverName": frames.SERVER_NAME, "serverVersion": frames.SERVER_VERSION},
        "hardware_info": "00000000|00:00:5E:00:53:01",
    }


def has_repeated_cookie(cookie_header: str) -> bool:
    """Whether two cookies have one name, which the gateway takes for a session mismatch."""
    names = [part.partition("=")[0].strip() for part in cookie_header.split(";") if part.strip()]
    return any(count > 1 for count in Counter(names).values())


class Rest:
    """Routes and their door."""

    def __init__(self, world: World, scheme: str) -> None:
        self._world = world
        self._scheme = scheme
        self._pacer = Pacer()
        self._handlers: Final[dict[tuple[str, str], Callable[[ReceivedRequest], web.Response]]] = {
            ("POST", "/tickle"): self._tickle,
            # The documentation's pacing table lists it as GET.
            ("GET", "/tickle"): self._tickle,
            ("POST", "/iserver/auth/status"): self._auth_status,
            ("GET", "/iserver/auth/status"): self._auth_status,
            ("POST", "/iserver/auth/ssodh/init"): self._init,
            ("POST", "/iserver/reauthenticate"): self._reauthenticate,
            ("GET", "/iserver/accounts"): self._accounts,
            ("GET", "/iserver/marketdata/history"): self._history,
            ("GET", "/sso/validate"): self._validate,
            ("POST", "/logout"): self._logout,
            ("GET", LOGIN_PATH): lambda _received: _page(),
        }

    def application(self) -> web.Application:
        """The aiohttp application that serves REST and WebSocket on one port."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._door)
        return application

    async def _door(self, request: web.Request) -> web.StreamResponse:
        world = self._world
        received = ReceivedRequest(
            time_ns=world.clock.time_ns(),
            method=request.method,
            path=request.path,
            headers=tuple((name, value) for name, value in request.headers.items()),
            body=await request.read(),
            query=dict(request.query),
        )
        world.requests.append(received)
        await world.answering.wait()
        response = await self._refuse(request)
        if response is None:
            world.last_request_s = world.clock.monotonic_s()
            if (request.method, request.path) == ("GET", SOCKET_PATH):
                return await self._socket(request, received)
            response = self._answer(received)
        received.status = response.status
        return response

    def _answer(self, received: ReceivedRequest) -> web.Response:
        handler = self._handlers.get((received.method, received.path.removeprefix(BASE_PATH)))
        if handler is None:
            return _json({"error": "Not Found", "statusCode": 404}, 404)
        return handler(received)

    async def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        world, options = self._world, self._world.options
        path = request.path.removeprefix(BASE_PATH)
        if world.maintenance_status is not None:
            return web.Response(status=world.maintenance_status, text=_MAINTENANCE_PAGE, content_type="text/html")
        failure = self._next_failure(path)
        if failure is not None:
            with world.closable():
                await world.clock.sleep(failure.delay_s)
            return web.Response(status=failure.status, body=failure.body, headers=failure.headers)
        if options.enforce_pacing and not self._pacer.allows(path, world.clock.monotonic_s()):
            return _json({"error": "Too Many Requests", "statusCode": 429}, 429)
        if request.method == "POST" and "Content-Length" not in request.headers:
            return web.Response(status=411, text="<HTML><H1>Length Required</H1></HTML>", content_type="text/html")
        cookies = "; ".join(request.headers.getall("Cookie", []))
        if has_repeated_cookie(cookies):
            return _json({"error": "session mismatch", "statusCode": 401}, 401)
        if path in ("/ws", LOGIN_PATH):
            # The socket says in its own way that nobody is logged in.
            return None
        own_origin = f"{self._scheme}://{request.host}"
        if options.require_origin and request.headers.get("Origin") != own_origin:
            return web.Response(status=401, text="Access Denied", content_type="text/plain")
        if not world.session.is_logged_in:
            return self._answer_logged_out(path)
        return None

    def _next_failure(self, path: str) -> Failure | None:
        for failure in self._world.failures:
            if failure.path == path:
                if failure.times is not None:
                    failure.times -= 1
                    if failure.times <= 0:
                        self._world.failures.remove(failure)
                return failure
        return None

    def _answer_logged_out(self, path: str) -> web.Response:
        answer = self._world.options.logged_out_answer
        if answer == "redirect":
            return web.Response(status=302, headers={"Location": f"{LOGIN_PATH}?forwardTo=22&RL=1"})
        if answer == "html":
            return _page()
        if answer == "json":
            if path == "/iserver/auth/status":
                return _json(auth_status(self._world.session))
            return _json({"error": "not authenticated", "statusCode": 401})
        return web.Response(status=401, text="Access Denied", content_type="text/plain")

    def _tickle(self, _received: ReceivedRequest) -> web.Response:
        session = self._world.session
        status = auth_status(session)
        response = _json(
            {
                "session": session.id,
                "ssoExpires": round(_SESSION_LIFE_S * 1000),
                "collission": session.is_competing,
                "userId": 100000001,
                "hmds": {"error": "no bridge"},
                "iserver": {"authStatus": status},
            }
        )
        response.set_cookie("x-sess-uuid", "0.5e005301.0.1", path=BASE_PATH, secure=True, httponly=True)
        return response

    def _auth_status(self, _received: ReceivedRequest) -> web.Response:
        return _json({**auth_status(self._world.session), "fail": ""})

    def _init(self, received: ReceivedRequest) -> web.Response:
        try:
            given = json.loads(received.body) if received.body else {}
        except ValueError:
            given = {}
        if not isinstance(given, dict) or given.get("publish") is not True:
            return _json({"error": "Internal Server Error", "statusCode": 500}, 500)
        self._world.session.open_brokerage(compete=given.get("compete") is True)
        return _json(auth_status(self._world.session))

    def _reauthenticate(self, _received: ReceivedRequest) -> web.Response:
        self._world.session.open_brokerage(compete=False)
        return _json({"message": "triggered"})

    def _accounts(self, _received: ReceivedRequest) -> web.Response:
        if not self._world.session.is_authenticated:
            return _json({"error": "Bad Request: no bridge", "statusCode": 400}, 400)
        self._world.session.has_read_accounts = True
        return _json(frames.accounts(self._world.options.accounts))

    def _history(self, received: ReceivedRequest) -> web.Response:
        world, query = self._world, received.query
        if not world.session.is_authenticated:
            return _json({"error": "Bad Request: no bridge", "statusCode": 400}, 400)
        conid = query.get("conid", "")
        if not conid.isdecimal():
            return _json({"error": "Bad Request: conid is missing or no number", "statusCode": 400}, 400)
        instrument = world.market.with_history(conid, query.get("exchange"))
        if instrument is None:
            return _json({"error": "Chart data unavailable", "statusCode": 500}, 500)
        # Forward only from a time that is given, as documented.
        is_forward = query.get("direction") == "1" and "startTime" in query
        end_ms = history.time_ms(query.get("startTime"), world.clock.time_ns() // 1_000_000)
        found = instrument.history(world.session.next_history_id(), query, end_ms=end_ms, is_forward=is_forward)
        return _json(history.rest_answer(found, query.get("period")))

    def _validate(self, _received: ReceivedRequest) -> web.Response:
        now_ms = self._world.clock.time_ns() // 1_000_000
        return _json(
            {
                "USER_ID": 100000001,
                "USER_NAME": self._world.options.user,
                "RESULT": True,
                "AUTH_TIME": now_ms,
                "SF_ENABLED": False,
                "IS_FREE_TRIAL": False,
                "CREDENTIAL": self._world.options.user,
                "IP": "127.0.0.1",
                "EXPIRES": round(_SESSION_LIFE_S * 1000),
                "QUALIFIED_FOR_MOBILE_AUTH": None,
                "LANDING_APP": "UNIVERSAL",
                "IS_MASTER": False,
                "lastAccessed": now_ms,
                "LOGIN_TYPE": 2,
                "PAPER_USER_NAME": "",
            }
        )

    def _logout(self, _received: ReceivedRequest) -> web.Response:
        self._world.session.log_out()
        return _json({"status": True})

    async def _socket(self, request: web.Request, received: ReceivedRequest) -> web.StreamResponse:
        # Control frames are answered and recorded by the connection, not by aiohttp; no extension is negotiated.
        socket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=False, max_msg_size=_MOST_MESSAGE_BYTES
        )
        try:
            await socket.prepare(request)
        except web.HTTPException as error:
            received.status = error.status
            return _json({"error": error.reason, "statusCode": error.status}, error.status)
        received.status = socket.status
        transport = request.transport
        if transport is None:
            return socket
        connection = Connection(self._world, received, transport)
        self._world.add(connection)
        try:
            await connection.serve(socket)
        finally:
            self._world.remove(connection)
        return socket
