"""Frame sinks on real sockets: their errors, the end of the connection, and their deallocation."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from types import ModuleType

import pytest

import cpapi_fast
from cpapi_fast.errors import CallbackError, TransportError, UsageError
from cpapi_fast.frames.sink import FrameSink
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.servers.raw import CLOSE_OPCODE, Peer, RawServer, on_request
from tests.support.frames import smd, ws_close, ws_frame, ws_frames
from tests.support.loops import LOOPS, TIMEOUT_S, arrive, assert_balanced

pytestmark = pytest.mark.each_loop


@pytest.mark.parametrize("has_waited", [False, True])
async def test_a_sink_that_raises_closes_the_connection(sinks: ModuleType, has_waited: bool) -> None:
    closed_with: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frames([smd(n) for n in range(5)]))
        closed_with.append(await peer.read_frame())
        await peer.send(ws_frame(smd(5)) + ws_frame(closed_with[0][1], CLOSE_OPCODE))

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


@pytest.mark.parametrize("has_waited", [False, True])
async def test_a_sink_that_raises_under_report_continues(sinks: ModuleType, has_waited: bool) -> None:
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


@pytest.mark.parametrize("has_waited", [False, True])
async def test_an_error_at_the_end_of_a_read_closes_the_connection(sinks: ModuleType, has_waited: bool) -> None:
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


async def test_an_error_after_the_close_frame_is_not_lost(sinks: ModuleType) -> None:
    async with RawServer(on_request(ws_frames([smd(0), smd(1)]) + ws_close())) as server:
        ws = await WsClient.open(server.url)
        await ws.send_text("go")
        await ws.wait_closed()
        ws.use_sink(sinks.Recorder(lambda: 1 / 0))
        assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (1, 1, 0)
        with pytest.raises(CallbackError):
            await ws.wait_closed()
        assert ws.close_code == 1000


async def test_a_sink_may_close_the_connection(sinks: ModuleType) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frames([smd(n) for n in range(4)]))
        opcode, payload = await peer.read_frame()
        assert opcode == CLOSE_OPCODE
        await peer.send(ws_frame(smd(4)) + ws_frame(payload, CLOSE_OPCODE))

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
        # The read continues to its end; later frames of the peer are dropped.
        assert sink.conids == [0, 1, 2, 3]
        assert ws.close_code == 3000
        assert (ws.stats.delivered, ws.stats.dropped) == (4, 1)


async def test_a_sink_set_while_closing_gets_no_frame(sinks: ModuleType) -> None:
    is_closing, is_given = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        _opcode, payload = await peer.read_frame()
        is_closing.set()
        await is_given.wait()
        await peer.send(ws_frame(smd(1)) + ws_frame(payload, CLOSE_OPCODE))

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        closing = asyncio.ensure_future(ws.close())
        await is_closing.wait()
        sink = sinks.Recorder()
        ws.use_sink(sink)
        is_given.set()
        await closing
        assert sink.events == []
        assert (ws.stats.delivered, ws.stats.dropped) == (0, 1)


@pytest.mark.parametrize("loop", LOOPS)
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


class PythonSink(FrameSink):
    """What cannot work: the method that is called in C is not this one."""

    def on_frame(self, frame: object) -> None:
        raise AssertionError("never called")


@pytest.mark.parametrize("kind", [FrameSink, PythonSink])
async def test_a_sink_without_on_frame_raises_at_its_first_frame(kind: type[FrameSink]) -> None:
    async with RawServer(on_request(ws_frames([smd(1), smd(2)]))) as server:
        ws = await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.1))
        ws.use_sink(kind())
        await ws.send_text("go")
        with pytest.raises(CallbackError) as caught:
            await ws.wait_closed()
        assert isinstance(caught.value.__cause__, UsageError)
        assert kind.__name__ in str(caught.value.__cause__)
        assert (ws.stats.delivered, ws.stats.dropped) == (1, 1)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_sink_is_freed_after_the_connection(sinks: ModuleType, is_lost: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frame(smd(1)) + (b"" if is_lost else ws_close()))

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
    gc.collect()
    assert reference() is None
