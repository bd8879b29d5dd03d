"""Frame sinks on real sockets: every frame lent once, in order, and counted, however the sink and the peer behave."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import cpapi_fast
from cpapi_fast.batch import Batch, Frame, classify
from cpapi_fast.connection import WsClient
from cpapi_fast.errors import CallbackError, TransportError, UsageError
from cpapi_fast.kinds import FrameKind
from cpapi_fast.options import WsOptions
from cpapi_fast.sink import FrameSink
from tests.frames import corpus, smd, ws_close, ws_fragments, ws_frame, ws_frames, ws_ping
from tests.raw_server import CLOSE_OPCODE, PONG_OPCODE, TEXT_OPCODE, Peer, RawServer
from tests.support import LOOPS, TIMEOUT_S, run

pytestmark = pytest.mark.parametrize("loop", LOOPS)

#: What the listener puts into one batch at most, and some more.
BATCH_BYTES = 256 * 1024

ESCAPED = b'{"conid":8314,"t\\u006fpic":"smd+8314"}'


async def idle(peer: Peer) -> None:
    """Keep the connection, answering nothing."""
    while (await peer.read_frame())[0] != -1:
        pass


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`; the time limit of the test is the limit."""
    while not condition():  # noqa: ASYNC110  any condition, not one event
        await asyncio.sleep(0.001)


def assert_balanced(ws: WsClient) -> None:
    stats = ws.stats
    assert stats.frames_received == stats.delivered + stats.dropped + stats.pending


def on_request(*wires: bytes) -> Callable[[Peer], Any]:
    """A script that sends each of `wires` in one write when the client has sent a frame, and then keeps quiet."""

    async def script(peer: Peer) -> None:
        for wire in wires:
            while (await peer.read_frame())[0] not in (TEXT_OPCODE, -1):
                pass
            await peer.send(wire)
        await idle(peer)

    return script


async def arrive(ws: WsClient, count: int) -> None:
    """Ask the peer for its next write, and wait until `count` frames have come in all."""
    await ws.send_text("go")
    await until(lambda: ws.stats.frames_received >= count)


def described(payload: bytes) -> tuple[int, int, Any, bytes]:
    """What a sink has to be told of `payload`, from what a decoded frame says; the topic as its text."""
    frame = classify(payload)
    return int(frame.kind), -1 if frame.conid is None else frame.conid, frame.topic, payload


def told(event: tuple[int, int, Any, bytes, int]) -> tuple[int, int, Any, bytes]:
    """What a sink was told, in the form of `described`."""
    kind, conid, topic, payload, _received_ns = event
    if isinstance(topic, tuple):
        start, length = topic
        assert 0 <= start <= start + length <= len(payload)
        text = payload[start : start + length].decode(errors="replace")
    elif topic == -1:
        text = classify(payload).topic
        assert text is not None
    else:
        assert topic == 0
        text = None
    return kind, conid, text, payload


def test_every_frame_of_every_kind_is_lent_with_its_route(loop: str, sinks: ModuleType) -> None:
    payloads = [*corpus(), ESCAPED, smd(7), b"", b"{}"]

    async def main() -> None:
        async with RawServer(on_request(ws_frames(payloads) + ws_close())) as server:
            async with await WsClient.open(server.url) as ws:
                sink = sinks.Recorder(lambda: assert_balanced(ws), lambda: assert_balanced(ws))
                ws.use_sink(sink)
                await ws.send_text("go")
                await ws.wait_closed()
            assert [told(event) for event in sink.frames] == [described(payload) for payload in payloads]
            assert {event[0] for event in sink.frames} == set(FrameKind)
            stats = ws.stats
            assert (stats.delivered, stats.dropped, stats.pending) == (len(payloads), 0, 0)
            assert stats.bytes_received == sum(map(len, payloads))
            assert stats.malformed == sum(event[0] == FrameKind.MALFORMED for event in sink.frames) > 0

    run(main(), loop=loop)


def test_a_topic_with_escapes_has_no_place_and_a_heartbeat_no_bytes(loop: str, sinks: ModuleType) -> None:
    payloads = [ESCAPED, b"", b'{"result":1}', b'{"x":1,"topic":"smd+8314","a":{"']

    async def main() -> None:
        async with RawServer(on_request(ws_frames(payloads))) as server, await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()
            ws.use_sink(sink)
            await arrive(ws, len(payloads))
            assert [event[:4] for event in sink.frames] == [
                (FrameKind.MARKET_DATA, 8314, -1, ESCAPED),
                (FrameKind.HEARTBEAT, -1, 0, b""),
                (FrameKind.OTHER, -1, 0, payloads[2]),
                (*described(payloads[3])[:2], sink.frames[3][2], payloads[3]),
            ]

    run(main(), loop=loop)


def test_a_message_of_empty_fragments_is_a_heartbeat_with_a_place(loop: str, sinks: ModuleType) -> None:
    async def main() -> None:
        async with RawServer(on_request(b"\x02\x00\x00\x00\x80\x00" + ws_close())) as server:
            async with await WsClient.open(server.url) as ws:
                sink = sinks.Recorder()
                ws.use_sink(sink)
                await ws.send_text("go")
                await ws.wait_closed()
            assert [event[:4] for event in sink.frames] == [(FrameKind.HEARTBEAT, -1, 0, b"")]
            assert (ws.stats.fragments, ws.stats.callback_errors) == (3, 0)

    run(main(), loop=loop)


def test_a_read_has_one_time_and_one_end(loop: str, sinks: ModuleType) -> None:
    async def main() -> None:
        wires = [ws_frames([smd(1), smd(2), smd(3)]), ws_ping(), ws_frame(smd(4)) + ws_ping()]
        async with RawServer(on_request(*wires)) as server, await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()
            ws.use_sink(sink)
            await arrive(ws, 3)
            await ws.send_text("the ping")
            await until(lambda: ws.stats.pings == 1)
            await arrive(ws, 4)
            await until(lambda: ws.stats.pings == 2)
            assert ["end" if event == "end" else event[1] for event in sink.events] == [1, 2, 3, "end", 4, "end"]
            times_ns = [event[4] for event in sink.frames]
            assert times_ns[0] == times_ns[1] == times_ns[2] <= times_ns[3]
            assert times_ns[0] > 1_700_000_000 * 10**9
            assert ws.stats.reads == 2

    run(main(), loop=loop)


@pytest.mark.parametrize("size", [1, 60, 150])
def test_fragments_are_lent_as_one_message(loop: str, sinks: ModuleType, size: int) -> None:
    payload = smd(265598)
    pieces = ws_fragments(payload, [size] * (len(payload) // size))

    async def script(peer: Peer) -> None:
        await peer.read_frame()
        for piece in pieces:
            await peer.send(piece + ws_ping())
        await peer.send(b"".join(pieces) + ws_frame(smd(2)) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()
            ws.use_sink(sink)
            await ws.send_text("go")
            await ws.wait_closed()
            assert [told(event) for event in sink.frames] == [described(text) for text in (payload, payload, smd(2))]
            assert ws.stats.fragments == 2 * len(pieces)
            assert ws.stats.frames_received == ws.stats.delivered == 3

    run(main(), loop=loop)


def test_what_waited_comes_first_and_nothing_twice(loop: str, sinks: ModuleType) -> None:
    first, second, third = [smd(n) for n in range(5)], [smd(5)], [smd(n) for n in range(6, 9)]

    async def main() -> None:
        wires = [ws_frames(first), ws_frames(second), ws_frames(third)]
        async with RawServer(on_request(*wires)) as server, await WsClient.open(server.url) as ws:
            await arrive(ws, 5)
            await arrive(ws, 6)
            frame = await ws.next_message()
            assert frame is not None
            assert frame.conid == 0
            sink = sinks.Recorder(lambda: assert_balanced(ws), lambda: assert_balanced(ws))
            ws.use_sink(sink)
            marks = ["end" if event == "end" else event[1] for event in sink.events]
            assert marks == [1, 2, 3, 4, "end", 5, "end"]
            assert [event[4] for event in sink.frames[:4]] == [frame.received_ns] * 4
            await arrive(ws, 9)
            assert sink.conids == list(range(1, 9))
            assert (ws.stats.delivered, ws.stats.pending) == (9, 0)

    run(main(), loop=loop)


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_sink_that_removes_itself_leaves_the_rest_to_the_next(loop: str, sinks: ModuleType, has_waited: bool) -> None:
    payloads = [smd(n) for n in range(6)]

    async def main() -> None:
        wire = ws_frames(payloads) + ws_close()
        async with RawServer(on_request(wire)) as server, await WsClient.open(server.url) as ws:
            if has_waited:
                await arrive(ws, 6)
            sink = sinks.Recorder()

            def leave_at_two() -> None:
                if sink.conids[-1] == 2:
                    ws.use_sink(None)
                assert_balanced(ws)

            sink.on_each = leave_at_two
            ws.use_sink(sink)
            if not has_waited:
                await arrive(ws, 6)
            assert_balanced(ws)
            assert sink.conids == [0, 1, 2]
            assert "end" not in sink.events
            assert [frame.conid async for frame in ws] == [3, 4, 5]
            assert_balanced(ws)

    run(main(), loop=loop)


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_sink_may_put_another_in_its_place(loop: str, sinks: ModuleType, has_waited: bool) -> None:
    async def main() -> None:
        wires = [ws_frames([smd(n) for n in range(4)]), ws_frames([smd(4), smd(5)]), ws_frame(smd(6))]
        async with RawServer(on_request(*wires)) as server, await WsClient.open(server.url) as ws:
            first, second, third = sinks.Recorder(), sinks.Recorder(), []

            def change_at_one() -> None:
                if first.conids[-1] == 1:
                    ws.use_sink(None)
                    ws.use_sink(second)

            def change_at_four() -> None:
                if second.conids[-1] == 4:
                    ws.use_sink(None)
                    ws.on_frame(third.append)

            first.on_each, second.on_each = change_at_one, change_at_four
            if not has_waited:
                ws.use_sink(first)
            await arrive(ws, 4)
            await arrive(ws, 6)
            if has_waited:
                ws.use_sink(first)
            await arrive(ws, 7)
            assert first.conids == [0, 1]
            assert second.conids == [2, 3, 4]
            assert [frame.conid for frame in third] == [5, 6]
            assert (ws.stats.delivered, ws.stats.pending) == (7, 0)

    run(main(), loop=loop)


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_sink_that_raises_closes_the_connection(loop: str, sinks: ModuleType, has_waited: bool) -> None:
    closed_with: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frames([smd(n) for n in range(5)]))
        closed_with.append(await peer.read_frame())
        await peer.send(ws_frame(smd(5)) + ws_frame(closed_with[0][1], CLOSE_OPCODE))

    async def main() -> None:
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url)
            sink = sinks.Recorder()

            def fail_at_two() -> None:
                assert_balanced(ws)
                if sink.conids[-1] == 2:
                    raise ZeroDivisionError("mine")

            sink.on_each = fail_at_two
            if not has_waited:
                ws.use_sink(sink)
            await arrive(ws, 5)
            if has_waited:
                ws.use_sink(sink)
            with pytest.raises(CallbackError) as caught:
                await ws.wait_closed()
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert not caught.value.is_retryable
            assert closed_with == [(CLOSE_OPCODE, b"\x03\xf3")]
            assert sink.conids == [0, 1, 2]
            assert "end" not in sink.events
            stats = ws.stats
            assert (stats.delivered, stats.dropped, stats.pending, stats.callback_errors) == (3, 3, 0, 1)
            assert stats.frames_received == 6
            with pytest.raises(CallbackError):
                await ws.next_message()

    run(main(), loop=loop)


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_sink_that_raises_under_report_goes_on(loop: str, sinks: ModuleType, has_waited: bool) -> None:
    async def main() -> None:
        contexts: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: contexts.append(context))
        options = WsOptions(callback_errors="report")
        wire = ws_frames([smd(n) for n in range(3)])
        async with RawServer(on_request(wire)) as server, await WsClient.open(server.url, options=options) as ws:
            sink = sinks.Recorder()

            def fail() -> None:
                raise ValueError("end" if sink.events[-1] == "end" else sink.conids[-1])

            sink.on_each = sink.on_end = fail
            if not has_waited:
                ws.use_sink(sink)
            await arrive(ws, 3)
            if has_waited:
                ws.use_sink(sink)
            assert sink.conids == [0, 1, 2]
            assert [str(context["exception"]) for context in contexts] == ["0", "1", "2", "end"]
            assert ws.stats.callback_errors == 4
            assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (3, 0, 0)
            assert ws.is_open

    run(main(), loop=loop)


@pytest.mark.parametrize("has_waited", [False, True])
def test_an_error_at_the_end_of_a_read_closes_the_connection(loop: str, sinks: ModuleType, has_waited: bool) -> None:
    async def main() -> None:
        wires = [ws_frames([smd(0), smd(1)]), ws_frame(smd(2))]
        async with RawServer(on_request(*wires)) as server:
            ws = await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.1))
            sink = sinks.Recorder(None, lambda: 1 / 0)
            if not has_waited:
                ws.use_sink(sink)
            await arrive(ws, 2)
            if has_waited:
                ws.use_sink(sink)
            with pytest.raises(CallbackError) as caught:
                await ws.wait_closed()
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert sink.conids == [0, 1]
            assert_balanced(ws)
            assert ws.stats.delivered == 2

    run(main(), loop=loop)


def test_an_error_after_the_close_frame_is_not_lost(loop: str, sinks: ModuleType) -> None:
    async def main() -> None:
        async with RawServer(on_request(ws_frames([smd(0), smd(1)]) + ws_close())) as server:
            ws = await WsClient.open(server.url)
            await ws.send_text("go")
            await ws.wait_closed()
            ws.use_sink(sinks.Recorder(lambda: 1 / 0))
            assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (1, 1, 0)
            with pytest.raises(CallbackError):
                await ws.wait_closed()
            assert ws.close_code == 1000

    run(main(), loop=loop)


def test_a_sink_may_close_the_connection(loop: str, sinks: ModuleType) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frames([smd(n) for n in range(4)]))
        opcode, payload = await peer.read_frame()
        assert opcode == CLOSE_OPCODE
        await peer.send(ws_frame(smd(4)) + ws_frame(payload, CLOSE_OPCODE))

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()

            def close_at_one() -> None:
                if sink.conids[-1] == 1:
                    tasks.append(asyncio.ensure_future(ws.close(3000, "enough")))

            sink.on_each = close_at_one
            ws.use_sink(sink)
            await ws.send_text("go")
            await ws.wait_closed()
            await asyncio.gather(*tasks)
            # The read goes on to its end; what the peer sent after it is dropped.
            assert sink.conids == [0, 1, 2, 3]
            assert ws.close_code == 3000
            assert (ws.stats.delivered, ws.stats.dropped) == (4, 1)

    run(main(), loop=loop)


def test_a_sink_given_while_closing_gets_no_frame(loop: str, sinks: ModuleType) -> None:
    is_closing, is_given = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        _opcode, payload = await peer.read_frame()
        is_closing.set()
        await is_given.wait()
        await peer.send(ws_frame(smd(1)) + ws_frame(payload, CLOSE_OPCODE))

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            closing = asyncio.ensure_future(ws.close())
            await is_closing.wait()
            sink = sinks.Recorder()
            ws.use_sink(sink)
            is_given.set()
            await closing
            assert sink.events == []
            assert (ws.stats.delivered, ws.stats.dropped) == (0, 1)

    run(main(), loop=loop)


def test_ctrl_c_inside_a_sink_reaches_the_loop(loop: str, sinks: ModuleType) -> None:
    holder: list[WsClient] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        wire = ws_frames([smd(n) for n in range(3)])
        async with RawServer(on_request(wire)) as server, await WsClient.open(server.url) as ws:
            holder.append(ws)
            ws.use_sink(sinks.Recorder(interrupt))
            await ws.send_text("go")
            await asyncio.sleep(TIMEOUT_S)

    with pytest.raises(KeyboardInterrupt):
        cpapi_fast.run(main(), uvloop=loop == "uvloop")
    assert (holder[0].stats.delivered, holder[0].stats.dropped) == (1, 2)


def test_what_is_no_sink_is_refused_at_once(loop: str, sinks: ModuleType) -> None:
    async def main() -> None:
        async with RawServer(on_request(ws_frame(smd(1)))) as server, await WsClient.open(server.url) as ws:
            for other in (print, object(), FrameSink, sinks.Recorder):
                with pytest.raises(UsageError, match="FrameSink"):
                    ws.use_sink(other)
            # Nothing has changed by that.
            await ws.send_text("go")
            frame = await ws.next_message()
            assert frame is not None
            assert frame.conid == 1

    run(main(), loop=loop)


def test_one_taker_at_a_time(loop: str, sinks: ModuleType) -> None:
    async def main() -> None:
        wires = [ws_frame(smd(1)), ws_frame(smd(2))]
        async with RawServer(on_request(*wires)) as server, await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()
            ws.use_sink(sink)
            for take, other in ((ws.use_sink, sink), (ws.on_frame, print), (ws.on_batch, print)):
                with pytest.raises(UsageError, match="already"):
                    take(other)
            with pytest.raises(UsageError):
                await ws.next_message()
            await arrive(ws, 1)
            assert sink.conids == [1]
            ws.use_sink(None)
            ws.use_sink(None)
            reader = asyncio.ensure_future(ws.next_message())
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="waiting"):
                ws.use_sink(sink)
            await ws.send_text("go")
            frame = await reader
            assert frame is not None
            assert frame.conid == 2
            assert sink.conids == [1]

    run(main(), loop=loop)


class PythonSink(FrameSink):
    """What cannot work: the method that is called in C is not this one."""

    def on_frame(self, frame: object) -> None:
        raise AssertionError("never called")


@pytest.mark.parametrize("kind", [FrameSink, PythonSink])
def test_a_sink_without_c_says_so_at_its_first_frame(loop: str, kind: type[FrameSink]) -> None:
    async def main() -> None:
        async with RawServer(on_request(ws_frames([smd(1), smd(2)]))) as server:
            ws = await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.1))
            ws.use_sink(kind())
            await ws.send_text("go")
            with pytest.raises(CallbackError) as caught:
                await ws.wait_closed()
            assert isinstance(caught.value.__cause__, UsageError)
            assert kind.__name__ in str(caught.value.__cause__)
            assert (ws.stats.delivered, ws.stats.dropped) == (1, 1)

    run(main(), loop=loop)


def test_a_python_class_may_stand_on_a_compiled_sink(loop: str, sinks: ModuleType) -> None:
    class Named(sinks.Counter):  # type: ignore[name-defined,misc]
        name = "mine"

    async def main() -> None:
        async with RawServer(on_request(ws_frames([smd(1), smd(2)]))) as server, await WsClient.open(server.url) as ws:
            sink = Named()
            ws.use_sink(sink)
            await arrive(ws, 2)
            assert (sink.name, sink.frames, sink.bytes) == ("mine", 2, 302)

    run(main(), loop=loop)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_sink_is_freed_after_the_connection(loop: str, sinks: ModuleType, is_lost: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frame(smd(1)) + (b"" if is_lost else ws_close()))

    async def main() -> weakref.ref[Any]:
        async with RawServer(script) as server:
            ws = await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.05))
            # A circle, as most sinks will make one.
            sink = sinks.Recorder(functools.partial(assert_balanced, ws))
            ws.use_sink(sink)
            await ws.send_text("go")
            try:
                await ws.wait_closed()
            except TransportError:
                assert is_lost
            assert sink.conids == [1]
            reference = weakref.ref(sink)
            del ws, sink
            # The timers that cut a connection whose peer reads nothing hold it until they are due.
            await asyncio.sleep(0.1)
        return reference

    reference = run(main(), loop=loop)
    gc.collect()
    assert reference() is None


# Reads of more than a batch holds


def feed(ws: WsClient, wire: bytes) -> int:
    """Hand bytes to the connection as its loop does after a socket read; how many reads it took."""
    transport = ws._listener.transport
    assert transport is not None
    protocol = transport.underlying_transport.get_protocol()
    rest, reads = memoryview(wire), 0
    while rest:
        room = protocol.get_buffer(-1)
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest, reads = rest[count:], reads + 1
    return reads


#: Some 1.1 MB.
MANY = [smd(n, size=1000) for n in range(1100)]


def make_room(ws: WsClient) -> None:
    """One message of 4 MiB: the client's read buffer grows and has room for all of MANY in one read from then on."""
    assert feed(ws, ws_frame(b"x" * (4 << 20))) > 1
    assert_balanced(ws)


async def opened_wide(server: RawServer) -> WsClient:
    """A connection on which all of MANY is one read, with one frame received already."""
    ws = await WsClient.open(server.url, options=WsOptions(max_pending_bytes=1 << 30, close_timeout_s=0.1))
    make_room(ws)
    frame = await ws.next_message()
    assert frame is not None
    assert len(frame) == 4 << 20
    return ws


@pytest.mark.parametrize("first", [smd(1, size=1000), smd(1, size=BATCH_BYTES + 1)])
def test_a_big_read_is_several_batches_of_one_time(loop: str, sinks: ModuleType, first: bytes) -> None:
    payloads = [first, *MANY, smd(3, size=BATCH_BYTES + 1), smd(4), smd(5, size=BATCH_BYTES), smd(6)]

    async def main() -> None:
        async with RawServer(idle) as server, await opened_wide(server) as ws:
            reads = ws.stats.reads
            batches: list[Batch] = []

            def keep(batch: Batch) -> None:
                batches.append(batch)
                assert_balanced(ws)

            ws.on_batch(keep)
            assert feed(ws, ws_frames(payloads)) == 1
            assert [frame.raw for batch in batches for frame in batch] == payloads
            assert len({time_ns for batch in batches for time_ns in batch.received_ns}) == 1
            assert all(len(batch.payloads) <= BATCH_BYTES or len(batch) == 1 for batch in batches)
            assert len(batches) >= 7
            assert ws.stats.reads == reads + 1
            assert ws.stats.callback_errors == 0
            assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (len(payloads) + 1, 0, 0)

    run(main(), loop=loop)


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_big_read_is_lent_frame_by_frame(loop: str, sinks: ModuleType, has_waited: bool) -> None:
    payloads = [smd(1), *MANY, smd(2, size=BATCH_BYTES + 1), smd(3)]

    async def main() -> None:
        async with RawServer(idle) as server, await opened_wide(server) as ws:
            sink = sinks.Recorder(lambda: assert_balanced(ws), lambda: assert_balanced(ws))
            reads = ws.stats.reads
            if not has_waited:
                ws.use_sink(sink)
            assert feed(ws, ws_frames(payloads)) == 1
            if has_waited:
                assert ws.stats.pending == len(payloads)
                ws.use_sink(sink)
            assert [event[3] for event in sink.frames] == payloads
            assert len({event[4] for event in sink.frames}) == 1
            assert sink.events[-1] == "end"
            # What waited comes batch by batch, and a sink is told of the end of each.
            assert (sink.events.count("end") == 1) is not has_waited
            assert ws.stats.reads == reads + 1
            assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (len(payloads) + 1, 0, 0)

    run(main(), loop=loop)


@pytest.mark.parametrize("by_sink", [False, True])
def test_who_takes_the_first_batch_may_leave_the_rest_to_a_sink(loop: str, sinks: ModuleType, by_sink: bool) -> None:
    async def main() -> None:
        async with RawServer(idle) as server, await opened_wide(server) as ws:
            taken: list[int | None] = []
            sink = sinks.Recorder(lambda: assert_balanced(ws))

            def on_batch(batch: Batch) -> None:
                taken.extend(batch.conids)
                ws.on_batch(None)
                if by_sink:
                    ws.use_sink(sink)

            ws.on_batch(on_batch)
            assert feed(ws, ws_frames(MANY)) == 1
            assert 0 < len(taken) < len(MANY)
            if not by_sink:
                ws.use_sink(sink)
            assert taken + sink.conids == list(range(len(MANY)))
            assert (ws.stats.delivered, ws.stats.pending) == (len(MANY) + 1, 0)

    run(main(), loop=loop)


def test_a_raising_callback_of_batches_drops_the_rest_of_a_big_read(loop: str, sinks: ModuleType) -> None:
    async def main() -> None:
        async with RawServer(idle) as server:
            ws = await opened_wide(server)
            sizes: list[int] = []

            def fail(batch: Batch) -> None:
                sizes.append(len(batch))
                assert_balanced(ws)
                raise ZeroDivisionError("mine")

            ws.on_batch(fail)
            assert feed(ws, ws_frames(MANY)) == 1
            with pytest.raises(CallbackError) as caught:
                await ws.wait_closed()
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert len(sizes) == 1
            assert (ws.stats.delivered, ws.stats.dropped) == (1 + sizes[0], len(MANY) - sizes[0])

    run(main(), loop=loop)


@pytest.mark.parametrize("is_sink", [False, True])
def test_a_message_of_more_than_a_batch_and_what_follows_in_its_read(
    loop: str, sinks: ModuleType, is_sink: bool
) -> None:
    big = smd(1, size=BATCH_BYTES + 1000)
    pieces = ws_fragments(big, [BATCH_BYTES])

    async def script(peer: Peer) -> None:
        assert await peer.read_frame() == (TEXT_OPCODE, b"go")
        await peer.send(pieces[0] + ws_ping(b"read up to here"))
        assert await peer.read_frame() == (PONG_OPCODE, b"read up to here")
        # One small write, that completes the message and brings two more; most often in one read, too.
        await peer.send(pieces[1] + ws_frames([smd(2), smd(3)]) + ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            frames: list[Frame] = []
            if is_sink:
                sink = sinks.Recorder()
                ws.use_sink(sink)
                await ws.send_text("go")
                await ws.wait_closed()
                assert [event[3] for event in sink.frames] == [big, smd(2), smd(3)]
                received_ns = [event[4] for event in sink.frames]
                assert sink.events.count("end") == ws.stats.reads
            else:
                await ws.send_text("go")
                async for batch in ws.batches():
                    frames.extend(batch)
                    assert_balanced(ws)
                assert [frame.raw for frame in frames] == [big, smd(2), smd(3)]
                received_ns = [frame.received_ns for frame in frames]
            assert len(set(received_ns)) == ws.stats.reads
            assert received_ns == sorted(received_ns)
            assert ws.stats.delivered == 3

    run(main(), loop=loop)


def test_a_long_stream_arrives_whole(loop: str, sinks: ModuleType) -> None:
    rounds = 8

    async def script(peer: Peer) -> None:
        wire = ws_frames(MANY)
        await peer.read_frame()
        for _ in range(rounds):
            await peer.send(wire)
        await peer.send(ws_close())
        await idle(peer)

    async def main() -> None:
        async with RawServer(script) as server, await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()
            ws.use_sink(sink)
            await ws.send_text("go")
            await ws.wait_closed()
            assert sink.conids == list(range(len(MANY))) * rounds
            assert sink.events.count("end") == ws.stats.reads
            times_ns = [event[4] for event in sink.frames]
            assert times_ns == sorted(times_ns)
            assert ws.stats.delivered == len(MANY) * rounds

    run(main(), loop=loop)
