"""Sockets: creates the sockets of a REST client, and ends those that are still open when it is closed"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    import aiohttp

#: The idle time before the kernel sends TCP keepalive probes, and the interval between them, in seconds.
TCP_KEEPALIVE_S: Final = 30

#: The longest time to wait for the end of a socket that was shut down, in real seconds, and the time between checks.
_END_S: Final = 1.0
_CHECK_S: Final = 0.001


class Sockets:
    """The sockets of one client. The transports of the event loop own and close them."""

    def __init__(self) -> None:
        self._sockets: Final[WeakSet[socket.socket]] = WeakSet()

    def new(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Create a socket with TCP keepalive, so that the kernel detects an unreachable peer."""
        family, kind, protocol, _, _ = address
        sock = socket.socket(family, kind, protocol)
        self._sockets.add(sock)
        # If the system rejects an option, its default keepalive interval applies.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # On macOS, TCP_KEEPIDLE is called TCP_KEEPALIVE.
            for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), TCP_KEEPALIVE_S)
        return sock

    async def end(self) -> None:
        """Shut down what is still open, and wait until the event loop has closed it, for at most a second.

        A connection that was cancelled during its TLS handshake waits for the server to end TLS too. The loop may be
        closed before that, and would report an unclosed transport.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _END_S
        for sock in self._open():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        while self._open() and loop.time() < deadline_s:  # noqa: ASYNC110 - a loop does not tell when it closes a socket
            await asyncio.sleep(_CHECK_S)

    def _open(self) -> list[socket.socket]:
        return [sock for sock in self._sockets if sock.fileno() >= 0]
