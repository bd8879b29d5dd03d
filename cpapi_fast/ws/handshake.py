"""Opens one WebSocket: checks the headers before it sends anything, and converts failures to typed errors."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Final

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

from .listener import FrameListener
from .picows_log import PicowsLog

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
        typed = _typed_error(error, timeout_s)
        if typed is None:
            raise
        # Not chained: the original may contain the peer's headers, including a cookie.
        raise typed from None
    if connected is None:
        raise HandshakeError("the peer closed the connection during the upgrade. Try again.")
    raw_socket = transport.underlying_transport.get_extra_info("socket")
    if raw_socket is not None:
        # If the peer has already closed the connection, this fails, and the reader gets the error.
        with contextlib.suppress(OSError):
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _typed_error(error: BaseException, timeout_s: float) -> CpapiError | None:
    if isinstance(error, picows.WSHandshakeError):
        status = None if error.response is None else int(error.response.status)
        return HandshakeError(_describe_refusal(status), status=status)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return RequestTimeoutError(
            f"no WebSocket within {timeout_s:g} s. Check that the gateway runs and is reachable."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(
            f"the certificate is not trusted: {error.verify_message}. Trust it with a CA file, or pin its fingerprint."
        )
    if isinstance(error, (picows.WSInvalidURL, ValueError)):
        return ConfigError("the WebSocket URL has no host, an invalid port, or a fragment")
    if isinstance(error, OSError):
        return ConnectError(
            f"cannot connect: {error.strerror or type(error).__name__}. Check host, port and that the gateway runs."
        )
    return None


def _describe_refusal(status: int | None) -> str:
    if status is None:
        return "the response to the upgrade is not one of a WebSocket server. Check host, port and path."
    if status in (401, 403):
        return (
            f"the gateway refused the upgrade with status {status}. Log in to the gateway in a browser, then connect "
            "again."
        )
    if 300 <= status < 400:
        return f"the gateway redirected the upgrade (status {status}). Log in to the gateway in a browser."
    if status == 404:
        return "there is no WebSocket at this path (status 404). Check that the base URL ends in /v1/api."
    return f"the gateway refused the upgrade with status {status}. Try again."
