"""Finds out what listens on a port where no gateway has answered: asks it in http and TLS, without cookies."""

from __future__ import annotations

import asyncio
import enum
import re
from contextlib import suppress
from dataclasses import replace
from typing import Final

from cpapi_fast.errors import ConnectError, RequestTimeoutError
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.port_rules import PortAnswer, judge_port
from cpapi_fast.protocol.response_rules import Verdict
from cpapi_fast.protocol.response_table import ROWS, Place, advice_for

from .peer_certificate import handshake
from .tls import trusting_anything
from .urls import BaseUrl

#: How much of an answer is read: the head of an http response and the start of its page.
_READ_BYTES: Final = 8192

#: How long a server may take for an answer or for a greeting, in real seconds. A server of another protocol may never
#: answer.
_PATIENCE_S: Final = 2.0
_GREETING_S: Final = 1.0


#: The first message of a client of the API of TWS, and the answer: its version and the time.
_TWS_HELLO: Final = b"API\0\0\0\0\x09v100..176"
_TWS_ANSWER: Final = re.compile(rb"\0\0\0[\x0a-\x40]\d{2,3}\0\d{8} ")


class Sign(enum.Enum):
    """How a request has failed, as far as it tells who listens on the port."""

    #: The connection could not be opened, or the TLS handshake failed or was not answered.
    NOT_OPENED = "not_opened"
    #: The connection was closed after the request, without a response.
    CLOSED = "closed"
    #: No response within the time limit.
    SILENT = "silent"
    #: The response is not http.
    GARBLED = "garbled"


async def identify(url: BaseUrl, sign: Sign, *, timeout_s: float, asks_tws: bool = False) -> Verdict | None:
    """Return what listens on the port of a gateway that has not answered yet; None if that stays unknown.

    Args:
        url: the gateway.
        sign: how a request has failed.
        timeout_s: the time limit of the failed connection, in real seconds.
        asks_tws: whether to ask a server that sends nothing for the API of TWS. It may ask its user about the
            connection, so only a person should cause that.
    """
    limit_s = min(timeout_s, _PATIENCE_S)
    is_https = url.scheme == "https"
    if is_https and sign is Sign.GARBLED:
        return Verdict(Meaning.NOT_A_GATEWAY, "speaks TLS, but not http, so it is no Client Portal gateway")
    if is_https and sign is not Sign.NOT_OPENED:
        # Its TLS handshake succeeded.
        answer: PortAnswer | None = PortAnswer(b"", sign is Sign.CLOSED, speaks_tls=True)
    elif is_https or sign is Sign.GARBLED:
        answer = await _ask_plain(url, limit_s, is_asking=True)
    elif sign is Sign.NOT_OPENED:
        answer = None
    else:
        # It got an http request already. It may have sent a greeting before, which the HTTP client does not show.
        greeting, speaks_tls = await asyncio.gather(
            _ask_plain(url, min(limit_s, _GREETING_S), is_asking=False), _speaks_tls(url, limit_s)
        )
        answer = PortAnswer(b"" if greeting is None else greeting.data, sign is Sign.CLOSED, speaks_tls)
    if answer is not None and asks_tws and not answer.data and not answer.speaks_tls:
        answer = replace(answer, speaks_tws=await _speaks_tws(url, limit_s))
    return None if answer is None else judge_port(answer, is_https=is_https, port=url.port)


async def identified(
    error: ConnectError | RequestTimeoutError, url: BaseUrl, sign: Sign, *, timeout_s: float, asks_tws: bool
) -> ConnectError | RequestTimeoutError:
    """Return the error that names what listens on the port; `error` if that stays unknown."""
    verdict = await identify(url, sign, timeout_s=timeout_s, asks_tws=asks_tws)
    if verdict is None:
        return error
    advice = advice_for(verdict.meaning, Place(url.origin, url.path, is_known=False))
    problem = str(error).removesuffix(error.advice).rstrip(" .")
    return type(error)(
        f"{problem}: {url.address} {verdict.found}. {advice}",
        meaning=verdict.meaning,
        advice=advice,
        is_retryable=ROWS[verdict.meaning].is_retryable,
    )


async def _ask_plain(url: BaseUrl, limit_s: float, *, is_asking: bool) -> PortAnswer | None:
    """Connect without TLS, send an http request without cookies if `is_asking`, and return what the server does.

    Returns:
        None without a connection.
    """
    data = b""
    has_closed = False
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(url.host, url.port)
    except (OSError, TimeoutError):
        return None
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                if is_asking:
                    writer.write(f"GET / HTTP/1.1\r\nHost: {url.authority}\r\nConnection: close\r\n\r\n".encode())
                while len(data) < _READ_BYTES:
                    chunk = await reader.read(_READ_BYTES)
                    if not chunk:
                        has_closed = not data
                        break
                    data += chunk
                    if not data.startswith(b"HTTP/"):
                        # A greeting: the server waits for a command that will not come.
                        break
    except OSError:
        has_closed = not data
    finally:
        writer.transport.abort()
    return PortAnswer(data, has_closed, speaks_tls=False)


async def _speaks_tws(url: BaseUrl, limit_s: float) -> bool:
    """Whether the server answers the first message of the API of TWS, after which no session has begun."""
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            try:
                writer.write(_TWS_HELLO)
                return _TWS_ANSWER.match(await reader.read(64)) is not None
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return False


async def _speaks_tls(url: BaseUrl, limit_s: float) -> bool:
    try:
        await handshake(url.host, url.port, trusting_anything(), timeout_s=limit_s)
    except (OSError, TimeoutError):
        return False
    return True
