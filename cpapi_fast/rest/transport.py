"""Requests to one gateway over aiohttp: which headers go out, what limits hold, and our error for each failure.

None of the errors has a cause or context: those of the HTTP library hold request headers, and with them the cookies.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Final
from urllib.parse import urlencode

import aiohttp
import orjson
import yarl

from cpapi_fast.clock import Clock
from cpapi_fast.errors import (
    CertificateError,
    ConnectError,
    CpapiError,
    DecodeError,
    PinMismatchError,
    RequestTimeoutError,
    UsageError,
)

from .cookies import CookieJar
from .pacing import RestPacer
from .responses import RestResponse
from .tls import Tls, connect_failure, tls_failure
from .urls import BaseUrl

#: A longer body of an answer is a DecodeError. The longest that is asked for here has a few kilobytes.
MAX_BODY_BYTES: Final = 1 << 20

#: After how much silence on a connection the kernel asks whether the peer is alive, and how often it asks, in seconds.
TCP_KEEPALIVE_S: Final = 30


class RestTransport:
    """The HTTP side of a `Client`: HTTP/1.1, cookies by name, no redirects, bounded in time and size.

    Args:
        url: the gateway.
        tls: its policy; used to tell a pinned certificate's failure from others.
        ssl_context: gives the context of that policy, or None for http.
        user_agent: sent with each request.
        connect_timeout_s: for name resolution, TCP and TLS, in seconds of the clock.
        total_timeout_s: for a whole request, in seconds of the clock.
        clock: the clock of the limits and of the cookies.
        pacer: gives each request its turn.
    """

    def __init__(
        self,
        url: BaseUrl,
        tls: Tls,
        *,
        ssl_context: Callable[[], Awaitable[ssl.SSLContext | None]],
        user_agent: str,
        connect_timeout_s: float,
        total_timeout_s: float,
        clock: Clock,
        pacer: RestPacer,
    ) -> None:
        self.cookies: Final = CookieJar(monotonic_s=clock.monotonic_s, time_s=lambda: clock.time_ns() / 1e9)
        #: The session id seen last, which no message may show.
        self.last_session: str | None = None
        self._url: Final = url
        self._tls: Final = tls
        self._ssl_context: Final = ssl_context
        self._user_agent: Final = user_agent
        self._connect_timeout_s: Final = connect_timeout_s
        self._total_timeout_s: Final = total_timeout_s
        self._clock: Final = clock
        self._pacer: Final = pacer
        self._http: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def request(
        self, method: str, path: str, body: dict[str, bool] | None = None, *, query: Mapping[str, str] | None = None
    ) -> RestResponse:
        """Send one request when its turn comes, and read its answer, whatever its status but 429.

        Args:
            method: the HTTP method.
            path: below the base URL; what errors and paces name.
            body: sent as JSON.
            query: sent behind a question mark, encoded here.

        Raises:
            RateLimitedError: the answer is 429, or one was lately, and then nothing was sent.
            PaceError: its turn would come too late; nothing was sent.
            TransportError: no answer; its subclasses tell why.
            DecodeError: the body is longer than MAX_BODY_BYTES.
            UsageError: closed before or meanwhile.
        """
        context = await self._ssl_context()
        while True:
            # Each try is a request of its own to the gateway.
            with await self._pacer.acquire(path, owner=self):
                # It may have been closed while this one waited.
                if self._is_closed:
                    raise UsageError("this client is closed; make a new one")
                attempt = _Attempt()
                try:
                    answer = await self._send(attempt, context, method, path, body, query)
                    if answer.status != 429:
                        return answer
                    error: CpapiError = self._pacer.penalize(path)
                except _BodyTooLongError:
                    error = DecodeError(
                        f"{path} answered with more than {MAX_BODY_BYTES} bytes; is this a Client Portal gateway, and "
                        "is the base URL right?",
                        path=path,
                    )
                except (TimeoutError, aiohttp.ClientError, OSError, RuntimeError) as reason:
                    # A connection that was kept from an earlier request may have been closed by the peer just now. Each
                    # request here can be repeated without harm, and each failure takes such a connection out of the
                    # pool.
                    if attempt.is_reused and not self._is_closed and _is_disconnect(reason):
                        continue
                    error = self._translate(f"{method} {self._url}{path}", reason)
            # Raised out here so that the original is not its context.
            raise error

    async def _send(
        self,
        attempt: _Attempt,
        context: ssl.SSLContext | None,
        method: str,
        path: str,
        body: dict[str, bool] | None,
        query: Mapping[str, str] | None,
    ) -> RestResponse:
        address = f"{self._url}{path}" if query is None else f"{self._url}{path}?{urlencode(query)}"
        if self._http is None:
            self._http = self._open()
        async with self._http.request(
            method,
            yarl.URL(address, encoded=True),
            data=None if body is None else orjson.dumps(body),
            headers=self._headers(method, has_body=body is not None),
            # Following one would carry the cookies to wherever it leads.
            allow_redirects=False,
            ssl=True if context is None else context,
            trace_request_ctx=attempt,
        ) as response:
            self.cookies.update(response.headers.getall("Set-Cookie", []))
            return RestResponse(
                path=path,
                status=response.status,
                location=response.headers.get("Location", ""),
                content_type=response.headers.get("Content-Type", ""),
                raw=await _read_bounded(response),
                origin=self._url.origin,
                secrets=self._secrets(),
                date=response.headers.get("Date", ""),
            )

    async def close(self) -> None:
        """Close the connections; requests under way end with a UsageError. Again, it does nothing."""
        self._is_closed = True
        self._pacer.dismiss(self)
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    def _open(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        real_s = self._clock.real_s
        connect_s = real_s(self._connect_timeout_s)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=_socket_with_keepalive),
            # The cookies are in a jar of our own. aiohttp's drops those of hosts that are IP addresses.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=real_s(self._total_timeout_s), connect=connect_s, sock_connect=connect_s
            ),
            trust_env=False,
            # aiohttp would call an empty body an octet stream.
            skip_auto_headers=["Content-Type"],
            trace_configs=[trace],
        )

    def _headers(self, method: str, *, has_body: bool) -> dict[str, str]:
        headers = {
            "User-Agent": self._user_agent,
            # Without its own origin in these two the gateway answers 401.
            "Origin": self._url.origin,
            "Referer": f"{self._url.origin}/",
            "Accept": "application/json",
            # The bodies are short, and so none can come that unfolds to gigabytes.
            "Accept-Encoding": "identity",
        }
        cookies = self.cookies.header()
        if cookies is not None:
            headers["Cookie"] = cookies
        if has_body:
            headers["Content-Type"] = "application/json"
        elif method == "POST":
            # Without it the answer is 411.
            headers["Content-Length"] = "0"
        return headers

    def _secrets(self) -> list[str]:
        return self.cookies.values() + ([] if self.last_session is None else [self.last_session])

    def _translate(self, what: str, reason: Exception) -> CpapiError:
        """Our error for one of the HTTP library. Only what is known to hold no header goes into its text."""
        host, port = self._url.host, self._url.port
        if self._is_closed:
            return UsageError(f"the client was closed during {what}")
        inner = _tls_error(reason)
        if inner is not None:
            failure = tls_failure(host, port, inner)
            if self._tls.mode == "pinned" and isinstance(failure, CertificateError):
                return PinMismatchError(
                    f"the certificate of {host}:{port} is no longer the pinned one, so nothing was sent; if the "
                    "gateway's certificate was replaced, compare its SHA-256 fingerprint and pin the new one"
                )
            return failure
        if isinstance(reason, aiohttp.ServerTimeoutError):
            return RequestTimeoutError(
                f"no connection with {host}:{port} within {self._connect_timeout_s:g} s; is the gateway running, and "
                "does a firewall let you through?"
            )
        if isinstance(reason, (asyncio.TimeoutError, TimeoutError)):
            return RequestTimeoutError(
                f"no answer to {what} within {self._total_timeout_s:g} s; the gateway is busy or hangs, try again later"
            )
        if isinstance(reason, aiohttp.ClientConnectorError):
            return connect_failure(host, port, reason.os_error)
        if isinstance(reason, aiohttp.ClientResponseError):
            return ConnectError(
                f"the answer to {what} is not HTTP; are scheme and port right (https where the gateway speaks TLS)?"
            )
        return ConnectError(
            f"the connection was lost during {what} ({type(reason).__name__}); try again, and if it stays so: does the "
            "gateway speak TLS on this port, and is your address on its list of allowed ones?"
        )


class _Attempt:
    """One try of a request, for aiohttp's tracing to write to."""

    __slots__ = ("is_reused",)

    def __init__(self) -> None:
        self.is_reused = False


async def _note_reuse(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _parameters: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx.is_reused = True


def _is_disconnect(reason: Exception) -> bool:
    return isinstance(
        reason, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
    ) and not isinstance(reason, aiohttp.ClientConnectorError)


class _BodyTooLongError(Exception):
    """The body went past MAX_BODY_BYTES; what is left of it was not read."""


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            response.close()
            raise _BodyTooLongError
    return bytes(body)


def _tls_error(reason: Exception) -> ssl.SSLError | None:
    """The error of the TLS layer behind one of the HTTP library, if that is what it is."""
    inner: object = reason
    if isinstance(reason, aiohttp.ClientConnectorCertificateError):
        inner = reason.certificate_error
    elif isinstance(reason, aiohttp.ClientConnectorError):
        inner = reason.os_error
    return inner if isinstance(inner, ssl.SSLError) else None


def _socket_with_keepalive(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket on which the kernel notices a peer that vanished without a word."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    # A system that refuses one of these keeps its own pace; the connection is as good without.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # macOS calls the first one TCP_KEEPALIVE.
        for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), TCP_KEEPALIVE_S)
    return sock
