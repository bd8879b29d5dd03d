"""Every fault of the proxy, seen from both of its sides: what the clients of the fault suite are exposed to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.certificates import make
from tests.servers.fault_proxy import FaultProxy, NewLinks
from tests.support.loops import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target:
    """A server that keeps its connections for the test to use."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self.accepted: asyncio.Queue[Streams] = asyncio.Queue()

    async def __aenter__(self) -> Target:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.put_nowait((reader, writer))


class Bench:
    """A client, the proxy and a server."""

    def __init__(self, proxy: FaultProxy, target: Target, tls: ssl.SSLContext | None) -> None:
        self.proxy, self.target = proxy, target
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []

    async def pair(self) -> tuple[Streams, Streams]:
        """The client's and the server's end of a new connection."""
        client = await self.client()
        server = await asyncio.wait_for(self.target.accepted.get(), 5)
        self._writers.append(server[1])
        return client, server

    async def client(self) -> Streams:
        client = await asyncio.open_connection("127.0.0.1", self.proxy.port, ssl=self._tls)
        self._writers.append(client[1])
        return client

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def bench(folder: Path | None = None) -> AsyncIterator[Bench]:
    """With TLS between client and server when there is a folder."""
    server_tls = client_tls = None
    if folder is not None:
        server_tls = make().server_context(folder)
        client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_tls.check_hostname, client_tls.verify_mode = False, ssl.CERT_NONE
    async with Target(server_tls) as target, FaultProxy("127.0.0.1", target.port) as proxy:
        made = Bench(proxy, target, client_tls)
        try:
            yield made
        finally:
            await made.close()


async def exact(streams: Streams, size: int) -> bytes:
    return await asyncio.wait_for(streams[0].readexactly(size), 5)


async def nothing_comes(streams: Streams) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(streams[0].read(1), 0.1)


async def is_reset(streams: Streams) -> None:
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(streams[0].read(), 5)


@pytest.mark.each_loop
@pytest.mark.parametrize("tls", [False, True])
async def test_without_faults_the_proxy_changes_nothing(tls: bool, tmp_path: Path) -> None:
    async with bench(tmp_path if tls else None) as made:
        client, server = await made.pair()
        up, down = bytes(range(256)) * 4_000, bytes(reversed(range(256))) * 4_000
        client[1].write(up)
        server[1].write(down)
        assert await exact(server, len(up)) == up
        assert await exact(client, len(down)) == down
        assert made.proxy.links[0].downstream_bytes >= len(down)
        if not tls:
            client[1].write_eof()
            assert await asyncio.wait_for(server[0].read(), 5) == b""
            server[1].write(b"last word")
            assert await exact(client, 9) == b"last word"
        server[1].close()
        assert await asyncio.wait_for(client[0].read(), 5) == b""
        client[1].close()
        await until(lambda: not made.proxy.links)


@pytest.mark.each_loop
async def test_reset_resets_both_sides() -> None:
    async with bench() as made:
        client, server = await made.pair()
        made.proxy.reset()
        await is_reset(client)
        await is_reset(server)
        await until(lambda: not made.proxy.links)


@pytest.mark.each_loop
async def test_reset_of_one_side_resets_the_other() -> None:
    async with bench() as made:
        client, server = await made.pair()
        with contextlib.suppress(OSError):
            # An end with unread data is a reset.
            client[1].write(b"up")
            assert await exact(server, 2) == b"up"
            server[1].write(b"unread")
            await until(lambda: made.proxy.links[0].downstream_bytes)
            client[1].transport.abort()
        made.proxy.reset()
        await is_reset(server)


@pytest.mark.each_loop
async def test_finish_ends_both_sides() -> None:
    async with bench() as made:
        client, server = await made.pair()
        made.proxy.finish()
        assert await asyncio.wait_for(client[0].read(), 5) == b""
        assert await asyncio.wait_for(server[0].read(), 5) == b""
        await until(lambda: not made.proxy.links)


@pytest.mark.each_loop
async def test_a_half_open_link_passes_nothing_in_either_direction() -> None:
    async with bench() as made:
        client, server = await made.pair()
        made.proxy.half_open()
        server[1].write(b"down")
        client[1].write(b"up")
        await nothing_comes(client)
        await nothing_comes(server)
        # A new link works, and faults of open links do not affect the closed one.
        other, other_server = await made.pair()
        other_server[1].write(b"other")
        assert await exact(other, 5) == b"other"
        made.proxy.reset()
        await is_reset(other)
        await nothing_comes(client)
        # Neither end notices that the other one has closed.
        client[1].transport.abort()
        await nothing_comes(server)
        await made.proxy.heal()
        await nothing_comes(server)
        assert [link.is_half_open for link in made.proxy.links] == [True]
        made.proxy.reset_half_open()
        await is_reset(server)
        await until(lambda: not made.proxy.links)


@pytest.mark.each_loop
async def test_new_links_may_be_silent_or_refused() -> None:
    async with bench() as made:
        await made.proxy.treat_new_links(NewLinks.SILENT)
        silent = await made.client()
        silent[1].write(b"hello")
        await nothing_comes(silent)
        assert made.target.accepted.empty()
        for _ in range(3):
            port = made.proxy.port
            await made.proxy.treat_new_links(NewLinks.REFUSED)
            with pytest.raises(ConnectionRefusedError):
                await made.client()
            await made.proxy.treat_new_links(NewLinks.FORWARDED)
            assert made.proxy.port == port
            client, server = await made.pair()
            server[1].write(b"back")
            assert await exact(client, 4) == b"back"
        made.proxy.reset_half_open()
        await is_reset(silent)


@pytest.mark.each_loop
async def test_gateway_that_is_gone_resets_the_client() -> None:
    async with bench() as made:
        await made.target.__aexit__()
        await asyncio.sleep(0.01)
        client = await made.client()
        await is_reset(client)


@pytest.mark.each_loop
async def test_stall_holds_everything_and_loses_nothing() -> None:
    async with bench() as made:
        client, server = await made.pair()
        made.proxy.stall()
        data = bytes(range(256)) * 2_000
        server[1].write(data)
        client[1].write(b"up")
        await nothing_comes(client)
        await nothing_comes(server)
        made.proxy.resume()
        assert await exact(client, len(data)) == data
        assert await exact(server, 2) == b"up"
        made.proxy.stall()
        server[1].write(b"on its way")
        await nothing_comes(client)
        made.proxy.reset()
        await is_reset(client)
        made.proxy.resume()
        await until(lambda: not made.proxy.links)


class Reads(asyncio.Protocol):
    """Records the bytes of each socket read, which a stream reader would join."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)


@pytest.mark.each_loop
async def test_bytes_may_come_one_by_one() -> None:
    async with bench() as made:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_connection(Reads, "127.0.0.1", made.proxy.port)
        _, writer = await asyncio.wait_for(made.target.accepted.get(), 5)
        made.proxy.write_bytewise()
        data = bytes(range(256)) * 2
        writer.write(data)
        await until(lambda: sum(map(len, client.reads)) == len(data))
        assert b"".join(client.reads) == data
        # Most of them: the kernel may join two bytes before they are read.
        assert sum(len(read) == 1 for read in client.reads) > len(data) // 2
        transport.abort()
        writer.transport.abort()


@pytest.mark.each_loop
async def test_slow_link_is_slow_and_whole() -> None:
    async with bench() as made:
        client, server = await made.pair()
        made.proxy.slow_down(20_000.0)
        data, start_s = bytes(10_000), time.monotonic()
        server[1].write(data)
        assert await exact(client, len(data)) == data
        assert time.monotonic() - start_s > 0.4
        made.proxy.slow_down(None)
        server[1].write(data)
        assert await exact(client, len(data)) == data


@pytest.mark.each_loop
@pytest.mark.parametrize("with_reset", [False, True])
async def test_link_is_cut_after_so_many_bytes(with_reset: bool) -> None:
    async with bench() as made:
        client, server = await made.pair()
        made.proxy.cut_after(1_000, with_reset=with_reset)
        server[1].write(b"x" * 5_000)
        if with_reset:
            await is_reset(client)
        else:
            assert await asyncio.wait_for(client[0].read(), 5) == b"x" * 1_000
        await until(lambda: not made.proxy.links)
        # Once only.
        client, server = await made.pair()
        server[1].write(b"y" * 5_000)
        assert await exact(client, 5_000) == b"y" * 5_000


@pytest.mark.each_loop
async def test_garbage_comes_between_what_the_gateway_sent() -> None:
    async with bench() as made:
        client, server = await made.pair()
        server[1].write(b"before")
        assert await exact(client, 6) == b"before"
        made.proxy.inject(b"\xff\xff\xff")
        assert await exact(client, 3) == b"\xff\xff\xff"
        server[1].write(b"after")
        assert await exact(client, 5) == b"after"
