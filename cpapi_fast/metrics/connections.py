"""The limits of one HTTP connection: its age and the bytes it sends, so that no client holds resources for long"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

#: How many connections may be open at a time.
MOST_CONNECTIONS: Final = 32
#: How old a connection may be, in real seconds. A scraper needs a fraction of a second and connects again.
MOST_AGE_S: Final = 10.0
#: How many bytes a client may send on one connection. A request of Prometheus has about 400.
MOST_BYTES: Final = 65536


class Connections:
    """The open connections of one server, and those that were refused.

    Args:
        new_protocol: creates the HTTP protocol of a connection.
        most_age_s: how old a connection may be.

    Attributes:
        refused: how many connections were ended by a limit.
    """

    def __init__(self, new_protocol: Callable[[], asyncio.Protocol], *, most_age_s: float = MOST_AGE_S) -> None:
        self.refused = 0
        self.open: Final[set[LimitedProtocol]] = set()
        self.most_age_s: Final = most_age_s
        self._new_protocol: Final = new_protocol

    def __call__(self) -> LimitedProtocol:
        """Return the protocol of a new connection."""
        return LimitedProtocol(self, self._new_protocol)

    def end(self) -> None:
        """End all connections at once."""
        for protocol in tuple(self.open):
            protocol.abort()


class LimitedProtocol(asyncio.Protocol):
    """Passes the bytes of a connection on to an HTTP protocol, within the limits.

    Args:
        connections: the connections of the server.
        new_protocol: creates the HTTP protocol, if the connection is accepted.
    """

    def __init__(self, connections: Connections, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._connections: Final = connections
        self._new_protocol: Final = new_protocol
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received_bytes = 0

    def abort(self) -> None:
        """End the connection without waiting for the client."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or end it if there are too many."""
        # A TCP server has no other ones; those of uvloop have another base class.
        self._transport = cast(asyncio.Transport, transport)
        connections = self._connections
        if len(connections.open) >= MOST_CONNECTIONS:
            self._refuse()
            return
        connections.open.add(self)
        self._timer = asyncio.get_running_loop().call_later(connections.most_age_s, self._refuse)
        self._inner = self._new_protocol()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, up to the limit."""
        self._received_bytes += len(data)
        if self._received_bytes > MOST_BYTES:
            self._refuse()
        elif self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of what the client sends on."""
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client reads too slowly."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client reads again."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._connections.open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        inner, self._inner, self._transport = self._inner, None, None
        if inner is not None:
            inner.connection_lost(exc)

    def _refuse(self) -> None:
        self._connections.refused += 1
        self.abort()
