"""The WebSocket connections of one simulated gateway: those that are open, and the last ones that were."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from aiohttp import web

from .server_connection import ServerConnection
from .state import GatewayState, ReceivedRequest

#: How many connections a long-running gateway keeps.
_MAX_CONNECTIONS: Final = 100


class ConnectionRegistry:
    """Creates a connection for each upgraded socket and keeps track of it.

    Attributes:
        recent: the last connections, oldest first, open or closed.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self.recent: deque[ServerConnection] = deque(maxlen=_MAX_CONNECTIONS)
        self._open: dict[int, ServerConnection] = {}
        self._count = 0

    @property
    def open(self) -> list[ServerConnection]:
        """The connections that are open now."""
        return list(self._open.values())

    @property
    def current(self) -> list[ServerConnection]:
        """The open connections that are ready and authenticated with the current session."""
        return [connection for connection in self._open.values() if connection.is_ready and connection.is_current]

    def lines_in_use(self) -> int:
        """How many market data lines all connections use."""
        return sum(len(connection.socket_subscriptions.streams) for connection in self._open.values())

    async def serve(
        self, socket: web.WebSocketResponse, request: ReceivedRequest, transport: asyncio.Transport
    ) -> None:
        """Serve one upgraded socket until it ends."""
        self._count += 1
        connection = ServerConnection(self._state, request, transport, self._count, self.lines_in_use)
        self.recent.append(connection)
        self._open[connection.number] = connection
        try:
            await connection.serve(socket)
        finally:
            self._open.pop(connection.number, None)
