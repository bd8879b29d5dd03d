"""A TCP proxy between a client and the simulator, with faults that tests switch on and off.

It forwards bytes, so TLS passes unchanged. REST and WebSocket use the same port.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import socket
from collections.abc import Iterator
from types import TracebackType

from cpapi_fast.simulator.frame_writer import reset

#: The most bytes of one read.
_CHUNK_BYTES = 64 * 1024
#: A slow link forwards the bytes of this much time at once.
_SLOW_STEP_S = 0.01


class NewLinks(enum.Enum):
    """How the proxy treats new clients."""

    FORWARDED = "forwarded"
    #: Accepted by the operating system, but no byte passes in either direction.
    SILENT = "silent"
    #: The port refuses connections.
    REFUSED = "refused"


class Link:
    """The connection of one client, and its connection to the gateway.

    Attributes:
        number: counts the links of a proxy, from 1.
        is_half_open: neither data nor FIN nor RST passes in either direction any more.
        downstream_bytes: the number of bytes sent to the client.
    """

    def __init__(self, proxy: FaultProxy, number: int, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self.number = number
        self._writers = [client]
        self._is_reset = asyncio.Event()
        self.is_half_open = False
        self.downstream_bytes = 0

    def add(self, writer: asyncio.StreamWriter) -> None:
        """Add the connection to the gateway."""
        self._writers.append(writer)

    def reset(self) -> None:
        """Send RST to both sides."""
        for writer in self._writers:
            reset(writer.transport)

    def finish(self) -> None:
        """Send FIN to both sides, after pending data."""
        for writer in self._writers:
            writer.close()

    def reset_half_open(self) -> None:
        """Reset a half-open link."""
        self.is_half_open = False
        self._is_reset.set()
        self.reset()

    async def wait_for_reset(self) -> None:
        """Wait until a half-open link is reset."""
        await self._is_reset.wait()

    def inject(self, data: bytes) -> None:
        """Send bytes to the client that the gateway has not sent."""
        if not self._writers[0].transport.is_closing():
            self._writers[0].write(data)

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_downstream: bool) -> None:
        """Forward bytes until the end of the stream, subject to the faults of the proxy."""
        proxy = self._proxy
        while data := await reader.read(_CHUNK_BYTES):
            await self._permission(writer)
            for piece in proxy.pieces(data):
                writer.write(piece)
                if is_downstream:
                    self.downstream_bytes += len(piece)
                    proxy.count(self, len(piece))
                await writer.drain()
                await proxy.pause(len(piece))
                await self._permission(writer)
        await self._permission(writer)
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _permission(self, writer: asyncio.StreamWriter) -> None:
        await self._proxy.flowing.wait()
        if self.is_half_open:
            await self.wait_for_reset()
        if writer.transport.is_closing():
            raise ConnectionResetError


class FaultProxy:
    """Listens on `port` and forwards to the gateway. Faults affect open links immediately.

    Args:
        host: the host of the gateway.
        port: the port of the gateway.

    Attributes:
        flowing: not set while links are stalled.
        links: the open links, half-open ones included, oldest first.
        made: the number of links so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._target = host, port
        self._server: asyncio.Server | None = None
        # Bound and never listening: it reserves the port while connections are refused.
        self._place = socket.socket()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._new_links = NewLinks.FORWARDED
        self._is_bytewise = False
        self._bytes_per_s: float | None = None
        self._cut_after: int | None = None
        self._cut_is_reset = False
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.links: list[Link] = []
        self.made = 0

    @property
    def port(self) -> int:
        """The port for clients. It stays the same while connections are refused."""
        port: int = self._place.getsockname()[1]
        return port

    async def __aenter__(self) -> FaultProxy:
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_listening()
        self._place.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        # uvloop closes aborted transports in its next round.
        await asyncio.sleep(0)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    # --- faults ---

    def reset(self) -> None:
        """Reset every link that is not half-open."""
        for link in self._working_links():
            link.reset()

    def finish(self) -> None:
        """Send FIN to both sides of every link that is not half-open."""
        for link in self._working_links():
            link.finish()

    def half_open(self) -> None:
        """Stop all open links without a FIN or RST to either side."""
        for link in self.links:
            link.is_half_open = True

    def reset_half_open(self) -> None:
        """Reset the half-open links, as TCP keepalive would."""
        for link in self.links:
            if link.is_half_open:
                link.reset_half_open()

    def stall(self) -> None:
        """Stop forwarding in both directions until `resume`; nothing is lost."""
        self.flowing.clear()

    def resume(self) -> None:
        """Continue forwarding."""
        self.flowing.set()

    def write_bytewise(self, *, on: bool = True) -> None:
        """Forward one byte at a time, with a round of the loop in between."""
        self._is_bytewise = on

    def slow_down(self, bytes_per_s: float | None) -> None:
        """Forward `bytes_per_s` bytes per real second in each direction; None removes the limit."""
        self._bytes_per_s = bytes_per_s

    def cut_after(self, downstream_bytes: int | None, *, with_reset: bool = False) -> None:
        """End a link after this many bytes to clients, counted over all links."""
        self._cut_after = downstream_bytes
        self._cut_is_reset = with_reset

    def inject(self, data: bytes) -> None:
        """Send bytes to every client that the gateway has not sent."""
        for link in self._working_links():
            link.inject(data)

    async def treat_new_links(self, how: NewLinks) -> None:
        """Set how new clients are treated."""
        if how is NewLinks.REFUSED:
            self._stop_listening()
        elif self._server is None:
            await self._listen()
        self._new_links = how

    async def heal(self) -> None:
        """Switch all faults off. Half-open links stay half-open."""
        self.resume()
        self.write_bytewise(on=False)
        self.slow_down(None)
        self.cut_after(None)
        await self.treat_new_links(NewLinks.FORWARDED)

    # --- for links ---

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The parts in which data is forwarded. The faults may change between two parts."""
        at = 0
        while at < len(data):
            size = len(data)
            if self._bytes_per_s is not None:
                size = max(int(self._bytes_per_s * _SLOW_STEP_S), 1)
            if self._is_bytewise:
                size = 1
            if self._cut_after is not None:
                size = min(size, max(self._cut_after, 1))
            yield data[at : at + size]
            at += size

    async def pause(self, size: int) -> None:
        """Wait as long as a link must after `size` bytes."""
        if self._bytes_per_s is not None:
            await asyncio.sleep(size / self._bytes_per_s)
        elif self._is_bytewise:
            await asyncio.sleep(0)

    def count(self, link: Link, size: int) -> None:
        """Count bytes sent to a client, and end the link if `cut_after` is reached."""
        if self._cut_after is None:
            return
        self._cut_after -= size
        if self._cut_after <= 0:
            self._cut_after = None
            if self._cut_is_reset:
                link.reset()
            else:
                link.finish()

    # --- links ---

    def _working_links(self) -> list[Link]:
        return [link for link in self.links if not link.is_half_open]

    async def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._serve, sock=listener)

    def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.made += 1
        link = Link(self, next(self._numbers), writer)
        self.links.append(link)
        try:
            if self._new_links is NewLinks.SILENT:
                link.is_half_open = True
                await link.wait_for_reset()
            else:
                await self._carry(link, reader, writer)
        except asyncio.CancelledError:
            # The proxy is closed. asyncio's server would report a cancelled task as an error.
            pass
        except OSError:
            # One side was reset. The other is reset too, unless the link is half-open.
            if link.is_half_open:
                with contextlib.suppress(asyncio.CancelledError):
                    await link.wait_for_reset()
        finally:
            self.links.remove(link)
            link.reset()

    async def _carry(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection(self._host, self._target)
        link.add(upstream)
        down = asyncio.ensure_future(link.forward(upstream_reader, writer, is_downstream=True))
        up = asyncio.ensure_future(link.forward(reader, upstream, is_downstream=False))
        try:
            await asyncio.gather(down, up)
        finally:
            for way in (down, up):
                way.cancel()
            await asyncio.gather(down, up, return_exceptions=True)
