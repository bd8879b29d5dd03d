"""A TCP proxy between a client and the gateway simulator, whose faults are switched while it runs.

It sees bytes only, so TLS passes through it untouched. REST and WebSocket go through the same port.
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

#: What is read from one side at a time.
_CHUNK_BYTES = 64 * 1024
#: A slow link passes on what belongs to so much time at once.
_SLOW_STEP_S = 0.01


class NewLinks(enum.Enum):
    """What becomes of a client that connects now."""

    FORWARDED = "forwarded"
    #: Accepted by the operating system, and never a byte in either direction.
    SILENT = "silent"
    #: No such port.
    REFUSED = "refused"


class Link:
    """One client's connection and the one to the gateway that belongs to it.

    Attributes:
        number: counts the links of a proxy, from 1.
        is_dead: half-open: neither data nor FIN nor RST passes any more, either way, for ever.
        downstream_bytes: how many bytes the client was sent.
    """

    def __init__(self, proxy: FaultProxy, number: int, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self.number = number
        self._writers = [client]
        self._buried = asyncio.Event()
        self.is_dead = False
        self.downstream_bytes = 0

    def add(self, writer: asyncio.StreamWriter) -> None:
        """The gateway's side is connected."""
        self._writers.append(writer)

    def reset(self) -> None:
        """RST on both sides."""
        for writer in self._writers:
            reset(writer.transport)

    def finish(self) -> None:
        """FIN on both sides, after what was written."""
        for writer in self._writers:
            writer.close()

    def bury(self) -> None:
        """End a dead link."""
        self.is_dead = False
        self._buried.set()
        self.reset()

    async def burial(self) -> None:
        """What there is to do for a dead link."""
        await self._buried.wait()

    def inject(self, data: bytes) -> None:
        """Send bytes to the client that the gateway never sent."""
        if not self._writers[0].transport.is_closing():
            self._writers[0].write(data)

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_downstream: bool) -> None:
        """Pass bytes on until the end of the stream, as the proxy's faults want it."""
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
        if self.is_dead:
            await self.burial()
        if writer.transport.is_closing():
            raise ConnectionResetError


class FaultProxy:
    """Listens on `port` and forwards to the gateway's; all faults take effect at once, on links that stand too.

    Args:
        host: where the gateway listens.
        port: and on which port.

    Attributes:
        flowing: not set while the link is stalled.
        links: those that stand now, dead ones included, oldest first.
        made: how many links there have been.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._target = host, port
        self._server: asyncio.Server | None = None
        # Bound and never listening: while nobody listens the port is refused, and nobody else can get it.
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
        """Where clients connect to; the same after it was closed to them and opened again."""
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
        # uvloop closes what was aborted in its next round.
        await asyncio.sleep(0)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    # --- faults ---

    def reset(self) -> None:
        """End every link that is not half-open, RST on both sides."""
        for link in self._living():
            link.reset()

    def finish(self) -> None:
        """End every link that is not half-open, FIN on both sides."""
        for link in self._living():
            link.finish()

    def half_open(self) -> None:
        """Every link that stands goes silent for ever: no data, no FIN, no RST, whatever either side does."""
        for link in self.links:
            link.is_dead = True

    def bury(self) -> None:
        """Reset the half-open links, as two ends do that look after their keepalive."""
        for link in self.links:
            if link.is_dead:
                link.bury()

    def stall(self) -> None:
        """Stop forwarding, both ways, until `resume`; nothing is lost."""
        self.flowing.clear()

    def resume(self) -> None:
        """Go on forwarding."""
        self.flowing.set()

    def write_bytewise(self, *, on: bool = True) -> None:
        """Pass on one byte at a time, with a round of the loop between two."""
        self._is_bytewise = on

    def slow_down(self, bytes_per_s: float | None) -> None:
        """Pass on so many bytes per real second, each way; None is as fast as it goes."""
        self._bytes_per_s = bytes_per_s

    def cut_after(self, downstream_bytes: int | None, *, with_reset: bool = False) -> None:
        """End the link on which the so-manieth byte from now passes to a client, all links counted together."""
        self._cut_after = downstream_bytes
        self._cut_is_reset = with_reset

    def inject(self, data: bytes) -> None:
        """Send bytes to every client that the gateway never sent."""
        for link in self._living():
            link.inject(data)

    async def treat_new_links(self, how: NewLinks) -> None:
        """Decide what becomes of clients that connect from now on."""
        if how is NewLinks.REFUSED:
            self._stop_listening()
        elif self._server is None:
            await self._listen()
        self._new_links = how

    async def heal(self) -> None:
        """Switch everything off. Links that are half-open stay so."""
        self.resume()
        self.write_bytewise(on=False)
        self.slow_down(None)
        self.cut_after(None)
        await self.treat_new_links(NewLinks.FORWARDED)

    # --- what links ask ---

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The parts in which data is passed on now; asked for one by one, since that may change in the middle."""
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
        """What a link waits after so many bytes."""
        if self._bytes_per_s is not None:
            await asyncio.sleep(size / self._bytes_per_s)
        elif self._is_bytewise:
            await asyncio.sleep(0)

    def count(self, link: Link, size: int) -> None:
        """Bytes went downstream over a link; it ends when they were the ones to cut after."""
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

    def _living(self) -> list[Link]:
        return [link for link in self.links if not link.is_dead]

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
                link.is_dead = True
                await link.burial()
            else:
                await self._carry(link, reader, writer)
        except asyncio.CancelledError:
            # The proxy is closed; asyncio's server would take a cancelled task of its own for an error.
            pass
        except OSError:
            # One side was reset: so is the other, unless the link is dead and tells nobody.
            if link.is_dead:
                with contextlib.suppress(asyncio.CancelledError):
                    await link.burial()
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
