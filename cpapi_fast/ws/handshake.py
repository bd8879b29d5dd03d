"""Opens one WebSocket: checks the headers before it sends anything, and converts failures to typed errors."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import picows

from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    CpapiError,
    HandshakeError,
    HeaderRefusedError,
    RequestTimeoutError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_rules import ServerResponse, Step, judge
from cpapi_fast.protocol.response_table import ROWS, Place, advice_for

from .listener import FrameListener
from .picows_log import PicowsLog

#: The words of a cookie's value; the gateway's own is `{"session":"..."}`.
_COOKIE_WORD: Final = re.compile(r"(?!session\")[^\s=,{}\"':]+")

_STATUS_LINE: Final = re.compile(r"HTTP/1\.[01] ([1-9][0-9]{2})(?: |$)")

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


async def open_websocket(
    listener: FrameListener,
    url: str,
    *,
    headers: Sequence[tuple[str, str]],
    ssl_context: ssl.SSLContext | None,
    timeout_s: float,
    max_frame_bytes: int,
) -> None:
    """Connect `listener` to `url`. Only these headers and those of the upgrade are sent.

    Redirects are not followed, because that would send the cookie to another host.

    Args:
        listener: receives every frame, including those sent together with the response to the upgrade.
        url: `wss://...` or `ws://...`.
        headers: names and values.
        ssl_context: for `wss`; None for Python's default verification.
        timeout_s: the time limit for connecting, TLS and the upgrade together, in real seconds.
        max_frame_bytes: a longer frame closes the connection with 1009.

    Raises:
        HeaderRefusedError: a header is invalid; nothing was sent.
        ConfigError: the URL is not a valid URL of a WebSocket.
        CertificateError: the TLS context does not trust the peer's certificate.
        ConnectError: the connection was refused or reset, or the host name does not resolve.
        RequestTimeoutError: no WebSocket within `timeout_s`.
        HandshakeError: the peer refused the upgrade.
    """
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            # The value may be a secret, so the message shows only the name.
            raise HeaderRefusedError(f"the header {name!r} or its value is invalid; nothing was sent")
    if not url.startswith(("ws://", "wss://")):
        raise ConfigError("a WebSocket URL must start with ws:// or wss://")
    try:
        transport, connected = await asyncio.wait_for(
            picows.ws_connect(
                lambda: listener,
                url,
                ssl_context=ssl_context,
                websocket_handshake_timeout=timeout_s,
                logger_name=PicowsLog(listener.reply_before_refusal),
                # With auto pong, picows does not report a PING at the end of a read, which has the flag that ends a
                # batch.
                enable_auto_pong=False,
                enable_auto_ping=False,
                max_frame_size=max_frame_bytes,
                extra_headers=list(headers),
                max_redirects=0,
            ),
            timeout_s,
        )
    except BaseException as error:
        listener.abandon()
        typed = _typed_error(error, url, headers, timeout_s)
        if typed is None:
            raise
        # Not chained: the original may contain the peer's headers, including a cookie.
        raise typed from None
    if connected is None:
        advice = advice_for(Meaning.UPGRADE_UNANSWERED, _place(url))
        raise HandshakeError(
            f"the peer closed the connection during the upgrade. {advice}",
            meaning=Meaning.UPGRADE_UNANSWERED,
            advice=advice,
        )
    raw_socket = transport.underlying_transport.get_extra_info("socket")
    if raw_socket is not None:
        # If the peer has already closed the connection, this fails, and the reader gets the error.
        with contextlib.suppress(OSError):
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _typed_error(
    error: BaseException, url: str, headers: Sequence[tuple[str, str]], timeout_s: float
) -> CpapiError | None:
    if isinstance(error, picows.WSHandshakeError):
        return _refused(error, url, headers)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        advice = advice_for(Meaning.UPGRADE_UNANSWERED, _place(url))
        return RequestTimeoutError(
            f"no WebSocket within {timeout_s:g} s. {advice}", meaning=Meaning.UPGRADE_UNANSWERED, advice=advice
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return CertificateError(
            f"the certificate is not trusted: {why}. Trust it with a CA file, or pin its fingerprint.",
            verify_code=error.verify_code,
            verify_message=why,
        )
    if isinstance(error, (picows.WSInvalidURL, ValueError)):
        return ConfigError("the WebSocket URL has no host, an invalid port, or a fragment")
    if isinstance(error, OSError):
        advice = "Start the gateway, or check host, port and network."
        return ConnectError(f"cannot connect: {error.strerror or type(error).__name__}. {advice}", advice=advice)
    return None


def _head(raw: bytes) -> tuple[int | None, dict[str, str]]:
    """Return status and headers of a response; picows does not parse every status that servers send."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    match = _STATUS_LINE.match(first)
    if match is None:
        return None, {}
    pairs = (line.partition(":") for line in lines)
    return int(match[1]), {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _place(url: str) -> Place:
    """Where the gateway of a WebSocket is."""
    parts = urlsplit(url.replace("ws", "http", 1))
    return Place(f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("/ws"))


def _refused(error: picows.WSHandshakeError, url: str, sent: Sequence[tuple[str, str]]) -> HandshakeError:
    """Return the error for a response that is no upgrade, by the same table as responses over REST."""
    status, headers = _head(error.raw_header or b"")
    # A body may repeat the cookie that was sent or set.
    cookies = [value for name, value in sent if name.lower() == "cookie"] + [headers.get("set-cookie", "")]
    secrets = [word for cookie in cookies for word in _COOKIE_WORD.findall(cookie.partition("=")[2].partition(";")[0])]
    verdict = judge(ServerResponse(Step.UPGRADE, status, headers, error.raw_body or b"", secrets))
    if verdict is None:
        raise AssertionError("every response to an upgrade has a rule")
    advice = advice_for(verdict.meaning, _place(url))
    return HandshakeError(
        f"the WebSocket at {urlsplit(url).path or '/'} {verdict.found}. {advice}",
        status=status,
        meaning=verdict.meaning,
        advice=advice,
        is_retryable=ROWS[verdict.meaning].is_retryable,
    )
