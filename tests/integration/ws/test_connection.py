"""WsClient on real sockets: reading, sending, and flow control."""

from __future__ import annotations

import asyncio
import time

import pytest

from cpapi_fast.errors import (
    SubscriptionError,
    UsageError,
)
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.topics import MarketDataFields
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.servers.raw import CLOSE_OPCODE, PONG_OPCODE, TEXT_OPCODE, Peer, RawServer, answer_close, idle
from tests.support.frames import smd, ws_close, ws_fragments, ws_frame, ws_frames, ws_ping
from tests.support.loops import assert_balanced, until

pytestmark = pytest.mark.each_loop


@pytest.mark.parametrize("size", [1, 7, 50, 150])
async def test_fragments_are_joined_with_control_frames_between_them(size: int) -> None:
    payload = smd(265598)
    sizes = [size] * (len(payload) // size + 1)

    async def script(peer: Peer) -> None:
        for piece in ws_fragments(payload, sizes):
            await peer.send(piece + ws_ping(b"between"))
        await peer.send(b"".join(ws_fragments(payload, sizes, TEXT_OPCODE)) + ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        frames = [frame async for frame in ws]
        assert [frame.raw for frame in frames] == [payload, payload]
        assert ws.stats.frames_received == 2
        assert ws.stats.fragments > 2


async def test_any_bytes_are_classified_counted_and_delivered() -> None:
    messages = [b"\x99\xff", b"ech+hb", b"{", b"null", b'{"topic":"smd+1","x":', b"\0" * 10, b"{" * 2000]

    async def script(peer: Peer) -> None:
        await peer.send(ws_frames(messages) + ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        frames = [frame async for frame in ws]
        assert [frame.raw for frame in frames] == messages
        assert ws.stats.malformed == sum(frame.kind is FrameKind.MALFORMED for frame in frames) >= 4


async def test_ping_is_answered_with_its_payload() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_ping(b"are you there") + ws_frame(b"later", PONG_OPCODE))
        assert await peer.read_frame() == (PONG_OPCODE, b"are you there")
        await peer.send(ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert await ws.next_message() is None
        assert (ws.stats.pings, ws.stats.pongs) == (1, 1)


async def test_one_task_sends_while_another_receives() -> None:
    count = 2000

    async def script(peer: Peer) -> None:
        received = 0
        while received < count:
            opcode, payload = await peer.read_frame()
            assert (opcode, payload) == (TEXT_OPCODE, b"tic")
            received += 1
            await peer.send(ws_frame(smd(received)))
        await peer.send(ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:

        async def send() -> None:
            for _ in range(count):
                await ws.send_text("tic")

        sender = asyncio.ensure_future(send())
        conids = [frame.conid async for frame in ws]
        await sender
        assert conids == list(range(1, count + 1))


async def test_sending_waits_while_the_peer_does_not_read() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.sleep(0.3)
        peer.writer.transport.resume_reading()
        while await peer.reader.read(1 << 20):
            pass

    options = WsOptions(close_timeout_s=0.1)
    async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
        text = "x" * 1_000_000
        slowest_s = 0.0
        for _ in range(20):
            started_s = asyncio.get_running_loop().time()
            await ws.send_text(text)
            slowest_s = max(slowest_s, asyncio.get_running_loop().time() - started_s)
        assert slowest_s > 0.1


async def test_the_socket_is_not_read_without_a_reader_and_nothing_is_lost() -> None:
    count, payload = 20_000, smd(7, size=1000)
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        for _ in range(count // 100):
            await peer.send(ws_frames([payload] * 100))
            sent += 100
        await peer.send(ws_close())
        await idle(peer)

    options = WsOptions(max_pending_bytes=200_000)
    async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
        await until(lambda: ws.stats.pending * len(payload) >= 0.9 * options.max_pending_bytes)
        await asyncio.sleep(0.1)
        held_at = ws.stats.pending
        assert sent < count
        assert held_at * len(payload) < 2_000_000
        await asyncio.sleep(0.2)
        assert ws.stats.pending == held_at
        received = 0
        async for batch in ws.batches():
            received += len(batch)
            assert_balanced(ws)
        assert received == count
        assert ws.stats.dropped == 0


async def test_pending_empty_frames_stop_reading_too() -> None:
    async def script(peer: Peer) -> None:
        for _ in range(200):
            await peer.send(ws_frame(b"") * 10_000)
        await idle(peer)

    # The peer continues to send and sends no CLOSE: with the default limit, closing would wait 5 s.
    options = WsOptions(max_pending_bytes=100_000, close_timeout_s=0.2)
    async with RawServer(script) as server:
        ws = await WsClient.open(server.url, options=options)
        await asyncio.sleep(0.3)
        assert ws.stats.pending < 1_000_000
        await ws.close()


async def test_frame_by_frame_and_batch_by_batch_can_be_mixed() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(10)]) + ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        conids = [(await ws.next_message()).conid for _ in range(4)]
        assert_balanced(ws)
        async for batch in ws.batches():
            conids.extend(batch.conids.tolist())
        assert conids == list(range(10))
        assert_balanced(ws)


async def test_the_raw_stream_gives_every_frame() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([b"ech+hb", b"", smd(1)]) + ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert [raw async for raw in ws.raw_stream()] == [b"ech+hb", b"", smd(1)]


async def test_cancelling_a_wait_loses_no_frame() -> None:
    async def script(peer: Peer) -> None:
        for number in range(50):
            await peer.send(ws_frame(smd(number)))
            await asyncio.sleep(0.002)
        await peer.send(ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        conids: list[int | None] = []
        while True:
            try:
                frame = await asyncio.wait_for(ws.next_message(), 0.001)
            except TimeoutError:
                continue
            if frame is None:
                break
            conids.append(frame.conid)
        assert conids == list(range(50))


async def test_a_second_reader_is_refused_and_the_first_continues() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frame(smd(1)))
        await answer_close(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        first = asyncio.ensure_future(ws.next_message())
        await asyncio.sleep(0)
        with pytest.raises(UsageError):
            await ws.next_message()
        with pytest.raises(UsageError):
            ws.on_frame(print)
        await ws.send_text("tic")
        assert (await first).conid == 1


async def test_busy_poll_keeps_the_loop_awake_until_the_connection_ends() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1)]))
        await peer.read_frame()
        await peer.send(ws_close())
        await idle(peer)

    async def cpu_s() -> float:
        before_s = time.thread_time()
        await asyncio.sleep(0.25)
        return time.thread_time() - before_s

    options = WsOptions(busy_poll=True)
    async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
        assert (frame := await ws.next_message()) is not None
        assert frame.conid == 1
        awake_s = await cpu_s()
        await ws.send_text("end")
        assert await ws.next_message() is None
        await ws.wait_closed()
        assert awake_s > 5 * await cpu_s()


async def test_the_text_of_each_subscription() -> None:
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            opcode, payload = await peer.read_frame()
            if opcode != TEXT_OPCODE:
                await peer.send(ws_frame(payload, CLOSE_OPCODE))
                return
            received.append(payload)

    async with RawServer(script) as server:
        ws = await WsClient.open(server.url)
        quotes = await ws.subscribe_market_data(265598, MarketDataFields.from_codes(["31", "84"]))
        venue = await ws.subscribe_market_data(265598, exchange="NYSE")
        orders = await ws.subscribe_orders()
        pnl = await ws.subscribe_pnl()
        await ws.unsubscribe_market_data(8314)
        for subscription in (quotes, venue, orders, pnl, quotes):
            await subscription.cancel()
        with pytest.raises(SubscriptionError):
            await ws.subscribe_market_data("AAPL")
        with pytest.raises(SubscriptionError):
            await ws.send_text("\ud800")
        with pytest.raises(SubscriptionError):
            await ws.send_text(b"tic")  # type: ignore[arg-type]
        await ws.close()
        await pnl.cancel()
        assert [s.name for s in (quotes, venue, orders, pnl)] == [
            "market_data:265598",
            "market_data:265598@NYSE",
            "orders",
            "pnl",
        ]
    assert received == [
        b'smd+265598+{"fields":["31","84"]}',
        b'smd+265598@NYSE+{"fields":["31","84","86","85","88","87"]}',
        b"sor+{}",
        b"spl+{}",
        b"umd+8314+{}",
        b"umd+265598+{}",
        b"umd+265598@NYSE+{}",
        b"uor+{}",
        b"upl+{}",
    ]


async def test_sending_from_another_thread_is_refused() -> None:
    async with RawServer(answer_close) as server, await WsClient.open(server.url) as ws:

        def send() -> None:
            with pytest.raises(UsageError):
                asyncio.run(ws.send_text("tic"))

        await asyncio.get_running_loop().run_in_executor(None, send)


async def test_the_repr_has_the_state_and_no_secret() -> None:
    async with RawServer(answer_close) as server:
        headers = [("Cookie", 'api={"session":"0123456789abcdef0123456789abcdef"}')]
        ws = await WsClient.open(server.url, headers=headers)
        assert "0123456789abcdef" not in repr(ws) + repr(ws.__dict__)
        assert repr(ws).startswith("<WsClient open")
        await ws.close()
        assert repr(ws).startswith("<WsClient closed")
