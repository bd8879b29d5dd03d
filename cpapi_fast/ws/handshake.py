"""Opening one WebSocket: headers checked before anything is sent, and every way it can fail as one typed error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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

#: picows writes the upgrade request, cookie included, to its logger at level 9 and below: this one stays silent.
_SILENT_LOGGER: Final = logging.Logger("cpapi_fast.picows", logging.CRITICAL + 1)

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
    """Connect `listener` to `url`, sending exactly these headers besides those of the upgrade.

    No redirect is followed: it would carry the cookie to another host.

    Args:
        listener: told of every frame from now on, also of those that came with the answer to the upgrade.
        url: `wss://...` or `ws://...`.
        headers: names and values.
        ssl_context: for `wss`; None for Python's default verification.
        timeout_s: real seconds for connecting, TLS and the upgrade together.
        max_frame_bytes: a longer frame closes the connection with 1009.

    Raises:
        HeaderRefusedError: a header cannot be sent; nothing was.
        ConfigError: the URL is none of a WebSocket.
        CertificateError: the TLS policy refuses the peer's certificate.
        ConnectError: nobody there.
        RequestTimeoutError: no WebSocket in time.
        HandshakeError: the answer is no WebSocket.
    """
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            # The value may be a secret: only the name is shown.
            raise HeaderRefusedError(f"the header {name!r} or its value cannot be sent as a header; nothing was sent")
    if not url.startswith(("ws://", "wss://")):
        raise ConfigError("a WebSocket URL starts with ws:// or wss://")
    try:
        transport, connected = await asyncio.wait_for(
            picows.ws_connect(
                lambda: listener,
                url,
                ssl_context=ssl_context,
                websocket_handshake_timeout=timeout_s,
                logger_name=_SILENT_LOGGER,
                # picows would swallow a PING that ends a read, and with it the flag that ends a batch.
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
        # Not chained: the original may hold the peer's headers, and with them a cookie.
        raise typed from None
    if connected is None:
        raise HandshakeError("the peer closed the connection during the upgrade; try again")
    raw_socket = transport.underlying_transport.get_extra_info("socket")
    if raw_socket is not None:
        # The peer may have gone already; then it is the reader who is told.
        with contextlib.suppress(OSError):
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _typed_error(error: BaseException, timeout_s: float) -> CpapiError | None:
    if isinstance(error, picows.WSHandshakeError):
        status = None if error.response is None else int(error.response.status)
        return HandshakeError(_describe_refusal(status), status=status)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return RequestTimeoutError(f"no WebSocket within {timeout_s:g} s; check that the gateway runs and is reachable")
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(
            f"the certificate was refused: {error.verify_message}. Trust it with a CA file or pin its fingerprint"
        )
    if isinstance(error, (picows.WSInvalidURL, ValueError)):
        return ConfigError("the WebSocket URL has no host, a port that is no number, or a fragment")
    if isinstance(error, OSError):
        return ConnectError(
            f"cannot connect: {error.strerror or type(error).__name__}. Check host, port and the gateway"
        )
    return None


def _describe_refusal(status: int | None) -> str:
    if status is None:
        return "the peer answered the upgrade with something that is no WebSocket; check host, port and path"
    if status in (401, 403):
        return f"the peer refused the upgrade with status {status}; log in to the gateway, then connect again"
    if 300 <= status < 400:
        return f"the peer answered the upgrade with a redirect ({status}), which is not followed; log in to the gateway"
    if status == 404:
        return "the peer has no WebSocket there (status 404); does the base URL end in /v1/api?"
    return f"the peer answered the upgrade with status {status}; try again"
