"""Sends requests to one gateway with aiohttp: sets headers, enforces limits, and converts failures to typed errors.

The typed errors have no cause or context, because the errors of aiohttp contain request headers, including cookies.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Final
from urllib.parse import urlencode

import aiohttp
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
from cpapi_fast.loop import LoopOwner
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_table import Place, advice_for

from .cookies import CookieJar
from .identify import Sign, identified
from .pacing import RestPacer
from .responses import Contact, RestResponse
from .sockets import Sockets
from .stats import Outcomes
from .tls import Tls, connect_failure, tls_failure
from .urls import BaseUrl

#: The default limit of a body, in bytes. Most bodies have a few kilobytes; 5,000 accounts take 1.2 MB.
MAX_BODY_BYTES: Final = 16 << 20

#: How much is read of a body that nobody needs, in bytes: enough for a page or the text of an error.
_START_BYTES: Final = 1 << 16


class RestTransport:
    """The HTTP side of a `Client`: HTTP/1.1, cookies by name, no redirects, bounded in time and size.

    Args:
        url: the gateway.
        tls: the TLS policy; here it only selects the error for a certificate failure.
        ssl_context: returns the context of the policy, or None for http.
        on_refused: called when this context refuses the gateway's certificate; returns the error to raise.
        user_agent: the `User-Agent` header.
        connect_timeout_s: the time limit for name resolution, TCP and TLS, in seconds of the clock.
        total_timeout_s: the time limit for a whole request, in seconds of the clock.
        max_body_bytes: the longest body of a response.
        clock: the clock of the time limits and of the cookies.
        pacer: delays requests to stay below the gateway's rate limits.
        owner: the event loop of the client; by default that of the first request.
        asks_tws: whether to ask a server that does not answer for the API of TWS.
    """

    def __init__(
        self,
        url: BaseUrl,
        tls: Tls,
        *,
        ssl_context: Callable[[], Awaitable[ssl.SSLContext | None]],
        on_refused: Callable[[ssl.SSLContext | None, CertificateError], Awaitable[CertificateError]] | None = None,
        user_agent: str,
        connect_timeout_s: float,
        total_timeout_s: float,
        clock: Clock,
        pacer: RestPacer,
        max_body_bytes: int = MAX_BODY_BYTES,
        owner: LoopOwner | None = None,
        asks_tws: bool = False,
    ) -> None:
        self.cookies: Final = CookieJar(monotonic_s=clock.monotonic_s, time_s=lambda: clock.time_ns() / 1e9)
        #: Whether a gateway has answered at this address.
        self.contact: Final = Contact()
        #: The latest session id, which no error message may contain.
        self.last_session: str | None = None
        # The latest cookies that were refused, which no error message may contain either.
        self._refused_cookies: list[str] = []
        #: Attempts by the status of the response; see `ClientStats.by_status`.
        self.outcomes: Final = Outcomes()
        self._url: Final = url
        self._tls: Final = tls
        self._ssl_context: Final = ssl_context
        self._on_refused: Final = on_refused
        self._user_agent: Final = user_agent
        self._connect_timeout_s: Final = connect_timeout_s
        self._total_timeout_s: Final = total_timeout_s
        self._max_body_bytes: Final = max_body_bytes
        self._clock: Final = clock
        self._pacer: Final = pacer
        self._asks_tws: Final = asks_tws
        self._http: aiohttp.ClientSession | None = None
        self._sockets: Final = Sockets()
        self._is_closed = False
        self._owner: Final = LoopOwner("a client") if owner is None else owner

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        is_body_needed: bool = True,
        is_repeatable: bool = True,
    ) -> RestResponse:
        """Send one request as soon as the pacer permits, and return the response with any status except 429.

        Args:
            method: the HTTP method.
            path: the path below the base URL, without query.
            body: the body, JSON.
            query: the query parameters.
            is_body_needed: whether the whole body is read; otherwise only its start, and a longer one costs the
                connection.
            is_repeatable: whether the request may be sent again if the connection is lost, because the gateway may have
                received it.

        Raises:
            RateLimitedError: the status is 429; or the penalty of an earlier 429 has not ended, so that nothing was
                sent.
            PaceError: the request would wait too long; nothing was sent.
            TransportError: no response; the subclass states the reason.
            DecodeError: the body is longer than `max_body_bytes`.
            UsageError: the transport is closed, was closed during the request, or belongs to another event loop.
        """
        self._owner.check()
        context = await self._open_context()
        while True:
            # The gateway counts each attempt as one request.
            with await self._pacer.acquire(path, owner=self):
                # The transport may have been closed while this request waited.
                if self._is_closed:
                    raise UsageError("this client is closed. Create a new one.")
                attempt = _Attempt()
                sign: Sign | None = None
                began_s = time.monotonic()
                try:
                    response = await self._send(attempt, context, method, path, body, query, is_body_needed)
                    self.outcomes.add(method, path, str(response.status), time.monotonic() - began_s)
                    if response.status != 429:
                        return response
                    error: CpapiError = self._pacer.penalize(path)
                except _BodyTooLongError:
                    self.outcomes.add(method, path, None, time.monotonic() - began_s)
                    advice = advice_for(Meaning.TOO_LONG, self.place)
                    error = DecodeError(
                        f"{path} returned more than {self._max_body_bytes:,} bytes, the limit max_body_bytes. {advice}",
                        path=path,
                        meaning=Meaning.TOO_LONG,
                        advice=advice,
                    )
                except (TimeoutError, aiohttp.ClientError, OSError, RuntimeError) as reason:
                    self.outcomes.add(method, path, None, time.monotonic() - began_s, type(reason).__name__)
                    # The peer may have closed a pooled connection. Each such failure removes one from the pool, so the
                    # loop ends.
                    if attempt.is_reused and is_repeatable and not self._is_closed and _is_disconnect(reason):
                        continue
                    error, sign = self._translate(f"{method} {self._url}{path}", reason)
            # Outside the except block, so that the original error is not the context of this one.
            if isinstance(error, CertificateError) and self._on_refused is not None:
                error = await self._on_refused(context, error)
            raise error if sign is None else await self._identified(error, sign)

    async def _open_context(self) -> ssl.SSLContext | None:
        try:
            return await self._ssl_context()
        except (ConnectError, RequestTimeoutError) as reason:
            # A pinned certificate is fetched first.
            error = reason
        raise await self._identified(error, Sign.NOT_OPENED)

    async def _identified(self, error: CpapiError, sign: Sign) -> CpapiError:
        """Return the error that names the server, if no gateway has answered yet and it is another one."""
        # A certificate that the user has named identifies the gateway, even if it does not answer.
        is_named = sign is not Sign.NOT_OPENED and self._tls.mode in ("pinned", "ca_file")
        is_doubted = not self.contact.has_gateway and not is_named
        if not is_doubted or not isinstance(error, (ConnectError, RequestTimeoutError)):
            return error
        timeout_s = self._clock.real_limit_s(self._connect_timeout_s)
        return await identified(error, self._url, sign, timeout_s=timeout_s, asks_tws=self._asks_tws)

    async def _send(
        self,
        attempt: _Attempt,
        context: ssl.SSLContext | None,
        method: str,
        path: str,
        body: bytes | None,
        query: Mapping[str, str] | None,
        is_body_needed: bool,
    ) -> RestResponse:
        address = f"{self._url}{path}" if query is None else f"{self._url}{path}?{urlencode(query)}"
        if self._http is None:
            self._http = self._open()
        async with self._http.request(
            method,
            yarl.URL(address, encoded=True),
            data=body,
            headers=self._headers(method, has_body=body is not None),
            # A redirect would send the cookies to its target.
            allow_redirects=False,
            ssl=True if context is None else context,
            trace_request_ctx=attempt,
        ) as response:
            if response.status == 401:
                # The cookies of an ended session, or of a gateway that was restarted, may be the reason for it.
                self._refused_cookies = self.cookies.values() or self._refused_cookies
                self.cookies.clear()
            self.cookies.update(response.headers.getall("Set-Cookie", []))
            return RestResponse(
                path=path,
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                raw=await (self._read_whole(response) if is_body_needed else _read_start(response)),
                place=self.place,
                secrets=self._secrets(),
                contact=self.contact,
            )

    @property
    def place(self) -> Place:
        """The address, for the advice of an error."""
        return Place(self._url.origin, self._url.path, is_known=self.contact.has_gateway)

    async def _read_whole(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_body_bytes:
                response.close()
                raise _BodyTooLongError
        return bytes(body)

    async def close(self) -> None:
        """Close the connections. Requests in flight raise UsageError. Idempotent.

        Raises:
            UsageError: the transport belongs to another event loop.
        """
        if self._is_closed:
            return
        self._owner.check()
        self._is_closed = True
        self._pacer.refuse_waiting(self)
        http, self._http = self._http, None
        if http is not None:
            await http.close()
            await self._sockets.end()

    def _open(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        limit_s = self._clock.real_limit_s
        connect_s = limit_s(self._connect_timeout_s)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._sockets.new),
            # `self.cookies` is used instead, because aiohttp's jar drops cookies of hosts that are IP addresses.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=limit_s(self._total_timeout_s), connect=connect_s, sock_connect=connect_s
            ),
            trust_env=False,
            # aiohttp would add application/octet-stream to an empty body.
            skip_auto_headers=["Content-Type"],
            trace_configs=[trace],
        )

    def _headers(self, method: str, *, has_body: bool) -> dict[str, str]:
        headers = {
            "User-Agent": self._user_agent,
            # The gateway returns 401 unless these two headers contain its own origin.
            "Origin": self._url.origin,
            "Referer": f"{self._url.origin}/",
            "Accept": "application/json",
            # The bodies are short, and a compressed one could expand to gigabytes.
            "Accept-Encoding": "identity",
        }
        cookies = self.cookies.header()
        if cookies is not None:
            headers["Cookie"] = cookies
        if has_body:
            headers["Content-Type"] = "application/json"
        elif method in ("POST", "PUT"):
            # Without this header the gateway returns 411.
            headers["Content-Length"] = "0"
        return headers

    def _secrets(self) -> list[str]:
        known = [*self.cookies.values(), *self._refused_cookies]
        return known if self.last_session is None else [*known, self.last_session]

    def _translate(self, what: str, reason: Exception) -> tuple[CpapiError, Sign | None]:
        """Return the typed error for an error of aiohttp, and what it tells about the server.

        The message contains no header.
        """
        host, port = self._url.host, self._url.port
        if self._is_closed:
            return UsageError(f"the client was closed during {what}"), None
        inner = _tls_error(reason)
        if inner is not None:
            failure = tls_failure(host, port, inner, self._tls.mode)
            if self._tls.mode == "pinned" and isinstance(failure, CertificateError):
                failure = PinMismatchError(
                    f"the certificate of {host}:{port} is no longer the pinned one, so nothing was sent. Compare its "
                    "SHA-256 fingerprint and pin the new one if the gateway's certificate was replaced."
                )
            return failure, Sign.NOT_OPENED
        if isinstance(reason, aiohttp.ServerTimeoutError):
            problem = f"no connection to {host}:{port} within {self._connect_timeout_s:g} s"
            advice = "Check that the gateway runs and that no firewall blocks the connection."
            return RequestTimeoutError(f"{problem}. {advice}", advice=advice), Sign.NOT_OPENED
        if isinstance(reason, (asyncio.TimeoutError, TimeoutError)):
            problem = f"no response to {what} within {self._total_timeout_s:g} s"
            advice = "Try again later: the gateway may be overloaded."
            return RequestTimeoutError(f"{problem}. {advice}", advice=advice), Sign.SILENT
        if isinstance(reason, aiohttp.ClientConnectorError):
            return connect_failure(host, port, reason.os_error), Sign.NOT_OPENED
        if isinstance(reason, aiohttp.ClientResponseError):
            advice = "Check scheme and port: use https if the gateway speaks TLS."
            return ConnectError(f"the response to {what} is not HTTP. {advice}", advice=advice), Sign.GARBLED
        if isinstance(reason, aiohttp.ClientPayloadError):
            advice = advice_for(Meaning.SERVER_ERROR, self.place)
            problem = f"the response to {what} broke off"
            return ConnectError(f"{problem}. {advice}", meaning=Meaning.SERVER_ERROR, advice=advice), None
        advice = (
            "Try again. If it fails again, check that the gateway speaks TLS on this port and that your address is on "
            "its list of allowed addresses."
        )
        problem = f"the connection was lost during {what} ({type(reason).__name__})"
        return ConnectError(f"{problem}. {advice}", advice=advice), Sign.CLOSED


class _Attempt:
    """One attempt of a request; aiohttp's tracing sets its flag."""

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
    """The body is longer than the limit, and the rest was not read."""


async def _read_start(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _START_BYTES:
            # To read the rest could take long; a new connection takes milliseconds.
            response.close()
            break
    return bytes(body)


def _tls_error(reason: Exception) -> ssl.SSLError | None:
    """Return the TLS error inside an error of aiohttp; None without one."""
    inner: object = reason
    if isinstance(reason, aiohttp.ClientConnectorCertificateError):
        inner = reason.certificate_error
    elif isinstance(reason, aiohttp.ClientConnectorError):
        inner = reason.os_error
    return inner if isinstance(inner, ssl.SSLError) else None
