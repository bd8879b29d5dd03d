"""The REST calls that a market data client needs, and the checks that every request passes first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from . import history, system_frames
from .connection_registry import ConnectionRegistry
from .contract_routes import ContractRoutes
from .rate_limits import RateLimiter
from .session import GatewaySession
from .state import GatewayState, ReceivedRequest, RestFailure
from .wire import dumps

BASE_PATH: Final = "/v1/api"
LOGIN_PATH: Final = "/sso/Login"
SOCKET_PATH: Final = f"{BASE_PATH}/ws"

#: The gateway closes the socket after a longer message.
_MAX_MESSAGE_BYTES: Final = 262_144
_SESSION_LIFETIME_S: Final = 86_400.0
_LOGIN_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>Login</title></head>"
    '<body><form method="post" action="/sso/Authenticator"><input name="user"></form></body></html>\n'
)
_MAINTENANCE_PAGE: Final = "<html><body><h1>Service Unavailable</h1></body></html>\n"


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=dumps(value), status=status, content_type="application/json")


def _page(status: int = 200) -> web.Response:
    return web.Response(text=_LOGIN_PAGE, status=status, content_type="text/html")


def auth_status(session: GatewaySession) -> dict[str, Any]:
    """`authStatus`. Logged out, it has the five members that were recorded."""
    if not session.is_logged_in:
        return {"authenticated": False, "established": False, "competing": False, "connected": False, "MAC": None}
    return {
        "authenticated": session.is_authenticated,
        "established": session.is_authenticated,
        "competing": session.is_competing,
        "connected": True,
        "message": "",
        "MAC": "00:00:5E:00:53:01",
        "serverInfo": {"serverName": system_frames.SERVER_NAME, "serverVersion": system_frames.SERVER_VERSION},
        "hardware_info": "00000000|00:00:5E:00:53:01",
    }


def has_repeated_cookie(cookie_header: str) -> bool:
    """Whether two cookies have the same name, which the gateway treats as a session mismatch."""
    names = [part.partition("=")[0].strip() for part in cookie_header.split(";") if part.strip()]
    return any(count > 1 for count in Counter(names).values())


class RestRoutes:
    """Routes each request to its handler, after the checks that apply to all of them."""

    def __init__(self, state: GatewayState, connections: ConnectionRegistry, scheme: str) -> None:
        self._state = state
        self._connections = connections
        self._scheme = scheme
        self._rate_limiter = RateLimiter()
        self._contracts = ContractRoutes(state)
        self._handlers: Final[dict[tuple[str, str], Callable[[ReceivedRequest], web.Response]]] = {
            ("POST", "/tickle"): self._tickle,
            # The documentation's pacing table lists it as GET.
            ("GET", "/tickle"): self._tickle,
            ("POST", "/iserver/auth/status"): self._auth_status,
            ("GET", "/iserver/auth/status"): self._auth_status,
            ("POST", "/iserver/auth/ssodh/init"): self._init,
            ("POST", "/iserver/reauthenticate"): self._reauthenticate,
            ("GET", "/iserver/accounts"): self._accounts,
            ("GET", "/iserver/account/orders"): self._orders,
            ("GET", "/iserver/marketdata/history"): self._history,
            ("GET", "/sso/validate"): self._validate,
            ("POST", "/logout"): self._logout,
            ("GET", LOGIN_PATH): lambda _received: _page(),
        }

    def application(self) -> web.Application:
        """The aiohttp application that serves REST and WebSocket on one port."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._dispatch)
        return application

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        state = self._state
        received = ReceivedRequest(
            time_ns=state.clock.time_ns(),
            method=request.method,
            path=request.path,
            headers=tuple((name, value) for name, value in request.headers.items()),
            body=await request.read(),
            query=dict(request.query),
        )
        state.requests.append(received)
        await state.responding.wait()
        response = await self._refuse(request)
        if response is None:
            state.last_request_s = state.clock.monotonic_s()
            if (request.method, request.path) == ("GET", SOCKET_PATH):
                return await self._serve_socket(request, received)
            response = self._respond(received)
        received.status = response.status
        return response

    def _respond(self, received: ReceivedRequest) -> web.Response:
        path = received.path.removeprefix(BASE_PATH)
        handler = self._handlers.get((received.method, path))
        if handler is None and (reply := self._contracts.reply(received, path)) is not None:
            return _json(*reply)
        if handler is None:
            return _json({"error": "Not Found", "statusCode": 404}, 404)
        return handler(received)

    async def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        state, options = self._state, self._state.options
        path = request.path.removeprefix(BASE_PATH)
        if state.maintenance_status is not None:
            return web.Response(status=state.maintenance_status, text=_MAINTENANCE_PAGE, content_type="text/html")
        failure = self._next_failure(path)
        if failure is not None:
            with state.closable():
                await state.clock.sleep(failure.delay_s)
            return web.Response(status=failure.status, body=failure.body, headers=failure.headers)
        if options.enforce_pacing and not self._rate_limiter.allows(path, state.clock.monotonic_s()):
            return _json({"error": "Too Many Requests", "statusCode": 429}, 429)
        if request.method == "POST" and "Content-Length" not in request.headers:
            return web.Response(status=411, text="<HTML><H1>Length Required</H1></HTML>", content_type="text/html")
        cookies = "; ".join(request.headers.getall("Cookie", []))
        if has_repeated_cookie(cookies):
            return _json({"error": "session mismatch", "statusCode": 401}, 401)
        if path in ("/ws", LOGIN_PATH):
            # The WebSocket reports a missing login itself.
            return None
        own_origin = f"{self._scheme}://{request.host}"
        if options.require_origin and request.headers.get("Origin") != own_origin:
            return web.Response(status=401, text="Access Denied", content_type="text/plain")
        if not state.session.is_logged_in:
            return self._respond_logged_out(path)
        return None

    def _next_failure(self, path: str) -> RestFailure | None:
        for failure in self._state.failures:
            if failure.path == path:
                if failure.times is not None:
                    failure.times -= 1
                    if failure.times <= 0:
                        self._state.failures.remove(failure)
                return failure
        return None

    def _respond_logged_out(self, path: str) -> web.Response:
        kind = self._state.options.logged_out_response
        if kind == "redirect":
            return web.Response(status=302, headers={"Location": f"{LOGIN_PATH}?forwardTo=22&RL=1"})
        if kind == "html":
            return _page()
        if kind == "json":
            if path == "/iserver/auth/status":
                return _json(auth_status(self._state.session))
            return _json({"error": "not authenticated", "statusCode": 401})
        return web.Response(status=401, text="Access Denied", content_type="text/plain")

    def _tickle(self, _received: ReceivedRequest) -> web.Response:
        session = self._state.session
        if session.changes_at_tickle:
            session.change_id()
        status = auth_status(session)
        response = _json(
            {
                "session": session.id,
                "ssoExpires": round(_SESSION_LIFETIME_S * 1000),
                "collission": session.is_competing,
                "userId": 100000001,
                "hmds": {"error": "no bridge"},
                "iserver": {"authStatus": status},
            }
        )
        response.set_cookie("x-sess-uuid", "0.5e005301.0.1", path=BASE_PATH, secure=True, httponly=True)
        return response

    def _auth_status(self, _received: ReceivedRequest) -> web.Response:
        return _json({**auth_status(self._state.session), "fail": ""})

    def _init(self, received: ReceivedRequest) -> web.Response:
        try:
            given = json.loads(received.body) if received.body else {}
        except ValueError:
            given = {}
        if not isinstance(given, dict) or given.get("publish") is not True:
            return _json({"error": "Internal Server Error", "statusCode": 500}, 500)
        self._state.session.open_brokerage(compete=given.get("compete") is True)
        return _json(auth_status(self._state.session))

    def _reauthenticate(self, _received: ReceivedRequest) -> web.Response:
        self._state.session.open_brokerage(compete=False)
        return _json({"message": "triggered"})

    def _accounts(self, _received: ReceivedRequest) -> web.Response:
        if not self._state.session.is_authenticated:
            return _json({"error": "Bad Request: no bridge", "statusCode": 400}, 400)
        self._state.session.has_read_accounts = True
        return _json(system_frames.accounts(self._state.options.accounts))

    def _orders(self, _received: ReceivedRequest) -> web.Response:
        session = self._state.session
        if not session.is_authenticated:
            return _json({"error": "Bad Request: no bridge", "statusCode": 400}, 400)
        if not session.has_read_accounts:
            # Documented: the accounts are required before. The words are those of another endpoint.
            return _json({"error": "Please query /accounts first", "statusCode": 400}, 400)
        return _json({"orders": self._state.orders.all_orders(), "snapshot": True})

    def _history(self, received: ReceivedRequest) -> web.Response:
        state, query = self._state, received.query
        if not state.session.is_authenticated:
            return _json({"error": "Bad Request: no bridge", "statusCode": 400}, 400)
        conid = query.get("conid", "")
        if not conid.isdecimal():
            return _json({"error": "Bad Request: conid is missing or not a number", "statusCode": 400}, 400)
        instrument = state.market.with_history(conid, query.get("exchange"))
        if instrument is None:
            return _json({"error": "Chart data unavailable", "statusCode": 500}, 500)
        # Documented: forward only when a start time is given.
        is_forward = query.get("direction") == "1" and "startTime" in query
        end_ms = history.time_ms(query.get("startTime"), state.clock.time_ns() // 1_000_000)
        found = instrument.history(state.session.next_history_id(), query, end_ms=end_ms, is_forward=is_forward)
        return _json(history.rest_response(found, query.get("period")))

    def _validate(self, _received: ReceivedRequest) -> web.Response:
        now_ms = self._state.clock.time_ns() // 1_000_000
        return _json(
            {
                "USER_ID": 100000001,
                "USER_NAME": self._state.options.user,
                "RESULT": True,
                "AUTH_TIME": now_ms,
                "SF_ENABLED": False,
                "IS_FREE_TRIAL": False,
                "CREDENTIAL": self._state.options.user,
                "IP": "127.0.0.1",
                "EXPIRES": round(_SESSION_LIFETIME_S * 1000),
                "QUALIFIED_FOR_MOBILE_AUTH": None,
                "LANDING_APP": "UNIVERSAL",
                "IS_MASTER": False,
                "lastAccessed": now_ms,
                "LOGIN_TYPE": 2,
                "PAPER_USER_NAME": "",
            }
        )

    def _logout(self, _received: ReceivedRequest) -> web.Response:
        self._state.session.log_out()
        return _json({"status": True})

    async def _serve_socket(self, request: web.Request, received: ReceivedRequest) -> web.StreamResponse:
        # The connection handles control frames, not aiohttp; no extension is negotiated.
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=_MAX_MESSAGE_BYTES)
        try:
            await socket.prepare(request)
        except web.HTTPException as error:
            received.status = error.status
            return _json({"error": error.reason, "statusCode": error.status}, error.status)
        received.status = socket.status
        transport = request.transport
        if transport is not None:
            await self._connections.serve(socket, received, transport)
        return socket
