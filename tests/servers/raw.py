"""A WebSocket server that sends scripted bytes and records what it receives."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType

from tests.support.frames import ws_close, ws_frame

CLOSE_OPCODE, PING_OPCODE, PONG_OPCODE, TEXT_OPCODE = 8, 9, 10, 1


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.request = b""

    async def read_request(self) -> bytes:
        """Return the head of the HTTP request; empty when the client closed the connection without one."""
        try:
            self.request = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.request = error.partial
        return self.request

    def upgrade_answer(self) -> bytes:
        """Return the 101 response for the request's key."""
        key = next(
            line.split(b":", 1)[1].strip()
            for line in self.request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    async def send(self, data: bytes) -> None:
        """Send these bytes in one write."""
        self.writer.write(data)
        await self.writer.drain()

    async def read_frame(self) -> tuple[int, bytes]:
        """Return the next frame of the client as (opcode, unmasked payload); (-1, b"") at the end of the stream."""
        try:
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            assert second & 0x80, "a client must mask"
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            mask = await self.reader.readexactly(4)
            payload = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return -1, b""
        return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    def close(self, *, reset: bool = False) -> None:
        """End the connection with FIN, or with RST."""
        if reset:
            self.writer.transport.abort()
        else:
            self.writer.close()


class RawServer:
    """Runs `script(peer)` for each connection, after the upgrade unless `upgrade` is False.

    Args:
        script: what to do; when it returns, the connection is closed.
        tls: serve TLS with this context.
        upgrade: whether to accept the upgrade before the script runs.
        with_answer: bytes to send in the same write as the response to the upgrade.
    """

    def __init__(
        self,
        script: Callable[[Peer], Awaitable[None]],
        *,
        tls: ssl.SSLContext | None = None,
        upgrade: bool = True,
        with_answer: bytes = b"",
    ) -> None:
        self.peers: list[Peer] = []
        self._script, self._tls, self._upgrade, self._with_answer = script, tls, upgrade, with_answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self._port}/v1/api/ws"

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=1 << 22)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0.01)
        if error is None and self._failures:
            raise self._failures[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._upgrade:
                if not await peer.read_request():
                    return
                await peer.send(peer.upgrade_answer() + self._with_answer)
            await self._script(peer)
        except (asyncio.CancelledError, ConnectionError):
            pass
        except BaseException as failure:
            self._failures.append(failure)
        finally:
            writer.close()


# Scripts


async def idle(peer: Peer) -> None:
    """Keep the connection and send nothing: for a peer that has sent CLOSE, or one that never sends it.

    A client that closes such a connection waits until `close_timeout_s` is over.
    """
    while (await peer.read_frame())[0] != -1:
        pass


async def answer_close(peer: Peer) -> None:
    """Keep the connection until the client sends CLOSE, then send CLOSE as RFC 6455 requires."""
    while True:
        opcode, payload = await peer.read_frame()
        if opcode == CLOSE_OPCODE:
            await peer.send(ws_frame(payload, CLOSE_OPCODE))
            return
        if opcode == -1:
            return


def on_request(*wires: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Return a script that sends each of `wires` in one write after a frame of the client, and then nothing."""

    async def script(peer: Peer) -> None:
        for wire in wires:
            while (await peer.read_frame())[0] not in (TEXT_OPCODE, -1):
                pass
            await peer.send(wire)
        await (idle if wires[-1].endswith(ws_close()) else answer_close)(peer)

    return script
