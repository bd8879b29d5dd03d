"""The interface that a connection needs from the REST client, as a Protocol."""

from __future__ import annotations

import ssl
from typing import Protocol

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CertificateError
from cpapi_fast.rest.session import SessionTicket


class GatewayClient(Protocol):
    """The part of `Client` that `WsClient.connect` uses."""

    @property
    def ws_url(self) -> str:
        """The URL of the WebSocket."""

    @property
    def user_agent(self) -> str:
        """The `User-Agent` header for REST and WebSocket."""

    @property
    def clock(self) -> Clock:
        """The clock of all timers."""

    async def tickle(self) -> SessionTicket:
        """Request a new session ticket from the gateway."""

    async def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context of the TLS policy; None for a connection without TLS."""

    async def certificate_refused(self, context: ssl.SSLContext | None, error: CertificateError) -> CertificateError:
        """Return the error to raise when a context of `ssl_context` has refused the gateway's certificate."""
