"""WsClient on real sockets: reading, sending, back-pressure, and every way a connection ends."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable

import pytest

import cpapi_fast
from cpapi_fast.batch import Batch, Frame
from cpapi_fast.connection import WsClient
from cpapi_fast.errors import (
    CallbackError,
    CertificateError,
    ConnectError,
    HandshakeError,
    HeaderRefusedError,
    RequestTimeoutError,
    SubscriptionError,
    TransportError,
    UsageError,
)
from cpapi_fast.gateway import Client
from cpapi_fast.kinds import FrameKind
from cpapi_fast.options import WsOptions
from cpapi_fast.simulator import Certificate
from cpapi_fast.tls import Tls
from cpapi_fast.topics import MarketDataFields
from tests.frames import smd, ws_close, ws_fragments, ws_frame, ws_frames, ws_ping
from tests.raw_server import CLOSE_OPCODE, PONG_OPCODE, TEXT_OPCODE, Peer, RawServer
from tests.support import LOOPS, run

SESSION = "0123456789abcdef0123456789abcdef"

pytestmark = pytest.mark.parametrize("loop", LOOPS)


async def idle(peer: Peer) -> None:
    """Keep the connection, answering nothing."""
    while (await peer.read_frame())[0] != -1:
        pass


async def answer_close(peer: Peer) -> None:
    """Keep the connection until the client closes, then answer as RFC 6455 wants."""
    while True:
        opcode, payload = await peer.read_frame()
        if opcode == CLOSE_OPCODE:
            await peer.send(ws_frame(payload, CLOSE_OPCODE))
            return
        if opcode == -1:
            return


def assert_balanced(ws: WsClient) -> None:
    stats = ws.stats
    assert stats.frames_received == stats.delivered + stats.dropped + stats.pending


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`; the time limit of the test is the limit."""
    while not condition():  # noqa: ASYNC110  any condition, not one event
        await asyncio.sleep(0.001)


async def leave_with(ws: WsClient, begin: Callable[[], None]) -> None:
    """Enter the connection's block, do something, give it a moment, and leave the block."""
    async with ws:
        begin()
        await asyncio.sleep(0.1)


def test_frames_are_read_in_order_until_the_close_frame(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), b"{}", b"", smd(2)]))
        await peer.send(ws_frame(smd(3), TEXT_OPCODE) + ws_close(1001, "going"))
        assert await peer.read_frame() == (CLOSE_OPCODE, b"\x03\xe9")

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            frames = [frame async for frame in ws]
            assert [frame.conid for frame in frames] == [1, None, None, 2, 3]
            assert [frame.kind for frame in frames[1:3]] == [FrameKind.HEARTBEAT] * 2
            assert all(frame.received_ns > 0 for frame in frames)
            assert (ws.close_code, ws.close_reason) == (1001, "going")
            assert await ws.next_message() is None
            assert await ws.next_message() is None
            with pytest.raises(TransportError):
                await ws.send_text("tic")
            await ws.wait_closed()
            assert_balanced(ws)
            assert ws.stats.frames_received == 5

    run(main(), loop=loop)


def test_a_close_frame_without_code_is_1005_and_answered_without_code(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_close(None))
        assert await peer.read_frame() == (CLOSE_OPCODE, b"")

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            assert await ws.next_message() is None
            assert (ws.close_code, ws.close_reason) == (1005, "")

    run(main(), loop=loop)


@pytest.mark.parametrize("reset", [False, True])
def test_an_end_without_a_close_frame_is_a_retryable_error_after_the_last_frame(loop: str, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)))
        await peer.read_frame()
        peer.close(reset=reset)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            assert (await ws.next_message()).conid == 1
            await ws.send_text("tic")
            with pytest.raises(TransportError) as caught:
                await ws.next_message()
            assert caught.value.is_retryable
            assert ws.close_code is None
            with pytest.raises(TransportError):
                await ws.wait_closed()
            with pytest.raises(TransportError):
                await ws.send_text("tic")

    run(main(), loop=loop)


def test_a_message_cut_short_by_the_end_is_not_delivered(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + ws_frame(smd(2))[:-1])

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            assert (await ws.next_message()).conid == 1
            with pytest.raises(TransportError):
                await ws.next_message()

    run(main(), loop=loop)


@pytest.mark.parametrize("size", [1, 7, 50, 150])
def test_fragments_are_joined_with_control_frames_between_them(loop: str, size: int) -> None:
    payload = smd(265598)
    sizes = [size] * (len(payload) // size + 1)

    async def script(peer: Peer) -> None:
        for piece in ws_fragments(payload, sizes):
            await peer.send(piece + ws_ping(b"between"))
        await peer.send(b"".join(ws_fragments(payload, sizes, TEXT_OPCODE)) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            frames = [frame async for frame in ws]
            assert [frame.raw for frame in frames] == [payload, payload]
            assert ws.stats.frames_received == 2
            assert ws.stats.fragments > 2

    run(main(), loop=loop)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (ws_frame(b"x", 0), 1002),  # a continuation of nothing
        (ws_frame(b"{", fin=False) + ws_frame(b"{}"), 1002),  # a new message inside a fragmented one
        (ws_frame(b"{}", rsv=4), 1002),
        (ws_frame(b"{}", rsv=2), 1002),
        (ws_frame(b"{}", rsv=1), 1002),
        (ws_frame(b"x", 3), 1002),  # an opcode that does not exist
        (ws_frame(b"x" * 126, 9), 1002),  # a control frame too long
        (ws_frame(b"x", 9, fin=False), 1002),  # a fragmented control frame
        (b"\x82\x81\0\0\0\0x", 1002),  # a masked frame from a server
        (ws_frame(b"x" * 1001), 1009),
        (ws_frame(b"x" * 600, fin=False) + ws_frame(b"x" * 600, 0), 1009),
        (ws_frame(b"x" * 20_000, fin=False), 1009),
    ],
)
def test_a_violation_closes_with_its_code_and_keeps_the_frames_before_it(loop: str, wire: bytes, code: int) -> None:
    seen: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + wire + ws_frame(smd(2)))
        seen.append(await peer.read_frame())

    async def main() -> None:
        options = WsOptions(max_message_bytes=1000, max_frame_bytes=10_000)
        async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
            assert (await ws.next_message()).conid == 1
            with pytest.raises(TransportError) as caught:
                await ws.next_message()
            assert caught.value.is_retryable
            assert ws.close_code is None
            await until(lambda: bool(seen))
            assert seen[0][0] == CLOSE_OPCODE
            assert int.from_bytes(seen[0][1][:2], "big") == code
            assert ws.stats.frames_received == 1
            assert_balanced(ws)

    run(main(), loop=loop)


def test_frames_after_the_close_frame_are_counted_and_never_delivered(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_close() + ws_frames([smd(1), smd(2)]))
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            assert await ws.next_message() is None
            assert ws.stats.frames_after_end == 2
            assert ws.stats.frames_received == 0

    run(main(), loop=loop)


def test_any_bytes_are_classified_counted_and_delivered(loop: str) -> None:
    messages = [b"\x99\xff", b"ech+hb", b"{", b"null", b'{"topic":"smd+1","x":', b"\0" * 10, b"{" * 2000]

    async def script(peer: Peer) -> None:
        await peer.send(ws_frames(messages) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            frames = [frame async for frame in ws]
            assert [frame.raw for frame in frames] == messages
            assert ws.stats.malformed == sum(frame.kind is FrameKind.MALFORMED for frame in frames) >= 4

    run(main(), loop=loop)


def test_ping_is_answered_with_its_payload(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_ping(b"are you there") + ws_frame(b"later", PONG_OPCODE))
        assert await peer.read_frame() == (PONG_OPCODE, b"are you there")
        await peer.send(ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            assert await ws.next_message() is None
            assert (ws.stats.pings, ws.stats.pongs) == (1, 1)

    run(main(), loop=loop)


def test_close_is_a_handshake_and_what_was_received_can_still_be_read(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), smd(2)]))
        opcode, payload = await peer.read_frame()
        assert (opcode, payload) == (CLOSE_OPCODE, b"\x03\xe8bye")
        await peer.send(ws_frame(smd(3)) + ws_frame(payload, CLOSE_OPCODE))

    async def main() -> None:
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url)
            assert (await ws.next_message()).conid == 1
            await ws.close(reason="bye")
            await ws.close()
            assert ws.close_code == 1000
            assert not ws.is_open
            assert (await ws.next_message()).conid == 2
            assert await ws.next_message() is None
            assert ws.stats.dropped == 1
            assert_balanced(ws)

    run(main(), loop=loop)


def test_a_peer_that_never_answers_close_is_cut_off_in_time(loop: str) -> None:
    async def main() -> None:
        async with RawServer(idle) as server:
            ws = await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.1))
            started_s = asyncio.get_running_loop().time()
            await ws.close()
            assert asyncio.get_running_loop().time() - started_s < 2
            with pytest.raises(TransportError):
                await ws.next_message()

    run(main(), loop=loop)


@pytest.mark.parametrize("code", [999, 1005, 1006, 2000, 5000])
def test_a_code_that_may_not_be_sent_is_refused(loop: str, code: int) -> None:
    async def main() -> None:
        async with RawServer(answer_close) as server, await WsClient.open(server.url) as ws:
            with pytest.raises(UsageError):
                await ws.close(code)
            with pytest.raises(UsageError):
                await ws.close(1000, "x" * 124)

    run(main(), loop=loop)


def test_one_task_sends_while_another_receives(loop: str) -> None:
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

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:

            async def send() -> None:
                for _ in range(count):
                    await ws.send_text("tic")

            sender = asyncio.ensure_future(send())
            conids = [frame.conid async for frame in ws]
            await sender
            assert conids == list(range(1, count + 1))

    run(main(), loop=loop)


def test_sending_waits_while_the_peer_does_not_read(loop: str) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.sleep(0.3)
        peer.writer.transport.resume_reading()
        while await peer.reader.read(1 << 20):
            pass

    async def main() -> None:
        options = WsOptions(close_timeout_s=0.1)
        async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
            text = "x" * 1_000_000
            slowest_s = 0.0
            for _ in range(20):
                started_s = asyncio.get_running_loop().time()
                await ws.send_text(text)
                slowest_s = max(slowest_s, asyncio.get_running_loop().time() - started_s)
            assert slowest_s > 0.1

    run(main(), loop=loop)


def test_the_socket_is_held_back_while_nobody_reads_and_nothing_is_lost(loop: str) -> None:
    count, payload = 20_000, smd(7, size=1000)
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        for _ in range(count // 100):
            await peer.send(ws_frames([payload] * 100))
            sent += 100
        await peer.send(ws_close())
        await idle(peer)

    async def main() -> None:
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

    run(main(), loop=loop)


def test_a_flood_of_empty_frames_is_held_back_too(loop: str) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(200):
            await peer.send(ws_frame(b"") * 10_000)
        await idle(peer)

    async def main() -> None:
        # Its peer goes on sending and answers no CLOSE: without a limit of its own, closing would wait 5 s.
        options = WsOptions(max_pending_bytes=100_000, close_timeout_s=0.2)
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url, options=options)
            await asyncio.sleep(0.3)
            assert ws.stats.pending < 1_000_000
            await ws.close()

    run(main(), loop=loop)


def test_frame_by_frame_and_batch_by_batch_can_be_mixed(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(10)]) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            conids = [(await ws.next_message()).conid for _ in range(4)]
            assert_balanced(ws)
            async for batch in ws.batches():
                conids.extend(batch.conids.tolist())
            assert conids == list(range(10))
            assert_balanced(ws)

    run(main(), loop=loop)


def test_the_raw_stream_gives_every_frame(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([b"ech+hb", b"", smd(1)]) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            assert [raw async for raw in ws.raw_stream()] == [b"ech+hb", b"", smd(1)]

    run(main(), loop=loop)


def test_cancelling_a_wait_loses_no_frame(loop: str) -> None:
    async def script(peer: Peer) -> None:
        for number in range(50):
            await peer.send(ws_frame(smd(number)))
            await asyncio.sleep(0.002)
        await peer.send(ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            conids: list[int | None] = []
            while True:
                try:
                    frame = await asyncio.wait_for(ws.next_message(), 0.001)
                except asyncio.TimeoutError:
                    continue
                if frame is None:
                    break
                conids.append(frame.conid)
            assert conids == list(range(50))

    run(main(), loop=loop)


def test_a_second_reader_is_refused_and_the_first_goes_on(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frame(smd(1)))
        await answer_close(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            first = asyncio.ensure_future(ws.next_message())
            await asyncio.sleep(0)
            with pytest.raises(UsageError):
                await ws.next_message()
            with pytest.raises(UsageError):
                ws.on_frame(print)
            await ws.send_text("tic")
            assert (await first).conid == 1

    run(main(), loop=loop)


def test_push_gets_what_waited_and_what_comes(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), smd(2)]))
        await peer.read_frame()
        await peer.send(ws_frames([smd(3), smd(4)]) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            await until(lambda: ws.stats.pending == 2)
            frames: list[Frame] = []
            batches: list[Batch] = []

            def on_frame(frame: Frame) -> None:
                frames.append(frame)
                assert_balanced(ws)

            ws.on_frame(on_frame)
            assert [frame.conid for frame in frames] == [1, 2]
            with pytest.raises(UsageError):
                ws.on_batch(batches.append)
            with pytest.raises(UsageError):
                await ws.next_message()
            ws.on_frame(None)
            ws.on_batch(batches.append)
            await ws.send_text("more")
            await ws.wait_closed()
            assert [batch.conids.tolist() for batch in batches] == [[3, 4]]
            assert ws.stats.delivered == 4

    run(main(), loop=loop)


def test_busy_poll_keeps_the_loop_awake_until_the_connection_ends(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1)]))
        await peer.read_frame()
        await peer.send(ws_close())
        await idle(peer)

    async def cpu_s() -> float:
        before_s = time.thread_time()
        await asyncio.sleep(0.25)
        return time.thread_time() - before_s

    async def main() -> None:
        options = WsOptions(busy_poll=True)
        async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
            assert (frame := await ws.next_message()) is not None
            assert frame.conid == 1
            awake_s = await cpu_s()
            await ws.send_text("end")
            assert await ws.next_message() is None
            await ws.wait_closed()
            assert awake_s > 5 * await cpu_s()

    run(main(), loop=loop)


def test_a_frame_callback_that_removes_itself_leaves_the_rest_to_the_next_reader(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(6)]) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            seen: list[int | None] = []

            def once(frame: Frame) -> None:
                seen.append(frame.conid)
                ws.on_frame(None)

            ws.on_frame(once)
            await until(lambda: bool(seen))
            assert_balanced(ws)
            assert seen + [frame.conid async for frame in ws] == list(range(6))

    run(main(), loop=loop)


def test_a_raising_callback_closes_the_connection_and_its_error_cannot_be_missed(loop: str) -> None:
    closed_with: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(5)]))
        closed_with.append(await peer.read_frame())

    def fail_at_two(frame: Frame) -> None:
        if frame.conid == 2:
            raise ZeroDivisionError("mine")

    async def main() -> None:
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url)
            with pytest.raises(CallbackError) as caught:
                await leave_with(ws, lambda: ws.on_frame(fail_at_two))
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert not caught.value.is_retryable
            assert closed_with == [(CLOSE_OPCODE, b"\x03\xf3")]
            assert (ws.stats.delivered, ws.stats.dropped, ws.stats.callback_errors) == (3, 2, 1)
            assert_balanced(ws)
            with pytest.raises(CallbackError):
                await ws.wait_closed()
            # Seen once is enough: leaving the block does not raise again.
            ws2 = await WsClient.open(server.url)
            async with ws2:
                ws2.on_batch(lambda batch: 1 / 0)
                with pytest.raises(CallbackError):
                    await ws2.wait_closed()

    run(main(), loop=loop)


def test_a_raising_callback_under_report_goes_on_and_tells_the_loop(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(5)]) + ws_close())
        await idle(peer)

    async def main() -> None:
        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        seen: list[int | None] = []

        def callback(frame: Frame) -> None:
            seen.append(frame.conid)
            raise ValueError(frame.conid)

        options = WsOptions(callback_errors="report")
        async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
            ws.on_frame(callback)
            await ws.wait_closed()
            assert seen == list(range(5))
            assert [str(context["exception"]) for context in told] == ["0", "1", "2", "3", "4"]
            assert ws.stats.callback_errors == 5

    run(main(), loop=loop)


def test_ctrl_c_inside_a_callback_reaches_the_loop_and_costs_no_counted_frame(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(3)]))
        await idle(peer)

    holder: list[WsClient] = []

    def interrupt(frame: Frame) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            holder.append(ws)
            ws.on_frame(interrupt)
            await asyncio.sleep(5)

    # On the library's own runner: it cancels what is left, as the one of asyncio does.
    with pytest.raises(KeyboardInterrupt):
        cpapi_fast.run(main(), uvloop=loop == "uvloop")
    assert holder[0].stats.delivered == 1
    assert holder[0].stats.dropped == 2


def test_a_callback_that_fails_after_a_loss_that_was_seen_is_not_passed_over(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), smd(2), smd(3)]))

    def fail(frame: Frame) -> None:
        raise ZeroDivisionError("mine")

    async def main() -> None:
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url)
            with pytest.raises(TransportError):
                await ws.wait_closed()
            assert ws.stats.pending == 3
            with pytest.raises(CallbackError) as caught:
                async with ws:
                    ws.on_frame(fail)
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (1, 2, 0)

    run(main(), loop=loop)


def test_the_loss_of_a_pushed_connection_raises_when_the_block_is_left(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)))

    async def main() -> None:
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url)
            with pytest.raises(TransportError):
                await leave_with(ws, lambda: ws.on_batch(len))

    run(main(), loop=loop)


def test_what_is_sent_for_each_subscription(loop: str) -> None:
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            opcode, payload = await peer.read_frame()
            if opcode != TEXT_OPCODE:
                await peer.send(ws_frame(payload, CLOSE_OPCODE))
                return
            received.append(payload)

    async def main() -> None:
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
                await ws.subscribe_market_data("265598")  # type: ignore[arg-type]
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

    run(main(), loop=loop)
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


def test_sending_from_another_thread_is_refused(loop: str) -> None:
    async def main() -> None:
        async with RawServer(answer_close) as server, await WsClient.open(server.url) as ws:

            def send() -> None:
                with pytest.raises(UsageError):
                    asyncio.run(ws.send_text("tic"))

            await asyncio.get_running_loop().run_in_executor(None, send)

    run(main(), loop=loop)


def test_nobody_there_is_a_connect_error(loop: str) -> None:
    async def main() -> None:
        async with RawServer(idle) as server:
            url = server.url
        with pytest.raises(ConnectError) as caught:
            await WsClient.open(url)
        assert caught.value.is_retryable
        with pytest.raises(ConnectError):
            await WsClient.open("ws://no-such-host.invalid/ws")

    run(main(), loop=loop)


@pytest.mark.parametrize(
    "headers",
    [
        [("Cookie", "api=secret\r\nX-Evil: 1")],
        [("Cookie", "secret\0")],
        [("Cookie", "secret\xff")],
        [("Bad name", "x")],
        [("", "x")],
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_unsent_and_unshown(loop: str, headers: list[tuple[str, str]]) -> None:
    async def main() -> None:
        async with RawServer(idle) as server:
            with pytest.raises(HeaderRefusedError) as caught:
                await WsClient.open(server.url, headers=headers)
            assert "secret" not in str(caught.value)
            assert not server.peers

    run(main(), loop=loop)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "wss://", "ws://127.0.0.1:port/", "ws://127.0.0.1/#x", "127.0.0.1"]
)
def test_a_url_of_no_websocket_is_refused(loop: str, url: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="WebSocket URL"):
            await WsClient.open(url)

    run(main(), loop=loop)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: x-sess-uuid=secret\r\nContent-Length: 6\r\n\r\nsecret", 401),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/sso/Login?secret\r\n\r\n", 302),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", 200),
        (b"SSH-2.0-OpenSSH secret\r\n\r\n", None),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", None),
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_handshake_error(loop: str, answer: bytes, status: int | None) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)
        await idle(peer)

    async def main() -> None:
        async with RawServer(script, upgrade=False) as server:
            with pytest.raises(HandshakeError) as caught:
                await WsClient.open(server.url)
            assert caught.value.is_retryable
            assert caught.value.status in (status, 101 if status is None else status)
            assert "secret" not in repr(caught.value) + str(caught.value.__cause__)

    run(main(), loop=loop)


def test_no_answer_in_time_is_a_timeout_and_leaves_no_socket(loop: str) -> None:
    ended: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.read_request()
        ended.append((await peer.read_frame())[0])

    async def main() -> None:
        async with RawServer(script, upgrade=False) as server:
            with pytest.raises(RequestTimeoutError):
                await WsClient.open(server.url, options=WsOptions(open_timeout_s=0.2))
            await until(lambda: ended == [-1])

    run(main(), loop=loop)


def test_cancelling_the_opening_leaves_no_socket(loop: str) -> None:
    ended: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await asyncio.sleep(0.1)
        await peer.send(peer.upgrade_answer() + ws_frame(smd(1)))
        while (frame := await peer.read_frame())[0] != -1:
            pass
        ended.append(frame[0])

    async def main() -> None:
        async with RawServer(script, upgrade=False) as server:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(WsClient.open(server.url), 0.05)
            await until(lambda: ended == [-1])

    run(main(), loop=loop)


def test_a_connection_that_ended_is_freed(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + ws_close())
        await idle(peer)

    async def main() -> weakref.ref[WsClient]:
        async with RawServer(script) as server:
            async with await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.05)) as ws:
                async for _ in ws:
                    pass
            reference = weakref.ref(ws)
            del ws
            await asyncio.sleep(0.1)
        return reference

    reference = run(main(), loop=loop)
    gc.collect()
    assert reference() is None


def test_the_repr_tells_state_and_no_secret(loop: str) -> None:
    async def main() -> None:
        async with RawServer(answer_close) as server:
            headers = [("Cookie", 'api={"session":"0123456789abcdef0123456789abcdef"}')]
            ws = await WsClient.open(server.url, headers=headers)
            assert "0123456789abcdef" not in repr(ws) + repr(ws.__dict__)
            assert repr(ws).startswith("<WsClient open")
            await ws.close()
            assert repr(ws).startswith("<WsClient closed")

    run(main(), loop=loop)


def test_a_swapped_certificate_gets_no_cookie(loop: str) -> None:
    known, other = Certificate.make(), Certificate.make()
    cookie = ("Cookie", f'api={{"session":"{SESSION}"}}')

    async def main() -> None:
        async with RawServer(idle, tls=known.server_context()) as server:
            port = int(server.url.split(":")[2].split("/")[0])
            context = await Tls.pinned(known.fingerprint).context("127.0.0.1", port, timeout_s=5)
        async with RawServer(idle, tls=other.server_context()) as impostor:
            with pytest.raises(CertificateError) as caught:
                await WsClient.open(impostor.url, headers=[cookie], ssl_context=context)
            assert not caught.value.is_retryable
            assert all(not peer.request for peer in impostor.peers)
            url = impostor.url.replace("wss", "https").removesuffix("/ws")
            async with Client(url, tls=Tls.pinned(known.fingerprint)) as client:
                with pytest.raises(CertificateError):
                    await WsClient.connect(client)
            assert all(SESSION.encode() not in peer.request for peer in impostor.peers)

    run(main(), loop=loop)
