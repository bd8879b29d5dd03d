"""Frame sinks on real sockets: they get every frame once, with its route, in order, and counted."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest

from cpapi_fast.errors import UsageError
from cpapi_fast.frames.frame import classify
from cpapi_fast.frames.sink import FrameSink
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.ws.connection import WsClient
from tests.servers.raw import Peer, RawServer, idle, on_request
from tests.support.frames import corpus, smd, ws_close, ws_fragments, ws_frame, ws_frames, ws_ping
from tests.support.loops import arrive, assert_balanced, until

pytestmark = pytest.mark.each_loop

ESCAPED = b'{"conid":8314,"t\\u006fpic":"smd+8314"}'


def described(payload: bytes) -> tuple[int, int, Any, bytes]:
    """The values that a sink must get for `payload`, from the decoded frame; the topic as text."""
    frame = classify(payload)
    return int(frame.kind), -1 if frame.conid is None else frame.conid, frame.topic, payload


def received(event: tuple[int, int, Any, bytes, int]) -> tuple[int, int, Any, bytes]:
    """The values that a sink received, in the form of `described`."""
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


async def test_a_sink_gets_every_frame_of_every_kind_with_its_route(sinks: ModuleType) -> None:
    payloads = [*corpus(), ESCAPED, smd(7), b"", b"{}"]

    async with RawServer(on_request(ws_frames(payloads) + ws_close())) as server:
        async with await WsClient.open(server.url) as ws:
            sink = sinks.Recorder(lambda: assert_balanced(ws), lambda: assert_balanced(ws))
            ws.use_sink(sink)
            await ws.send_text("go")
            await ws.wait_closed()
        assert [received(event) for event in sink.frames] == [described(payload) for payload in payloads]
        assert {event[0] for event in sink.frames} == set(FrameKind)
        stats = ws.stats
        assert (stats.delivered, stats.dropped, stats.pending) == (len(payloads), 0, 0)
        assert stats.bytes_received == sum(map(len, payloads))
        assert stats.malformed == sum(event[0] == FrameKind.MALFORMED for event in sink.frames) > 0


async def test_a_topic_with_escapes_has_no_pointer_and_a_heartbeat_no_bytes(sinks: ModuleType) -> None:
    payloads = [ESCAPED, b"", b'{"result":1}', b'{"x":1,"topic":"smd+8314","a":{"']

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


async def test_a_message_of_empty_fragments_is_a_heartbeat_with_a_pointer(sinks: ModuleType) -> None:
    async with RawServer(on_request(b"\x02\x00\x00\x00\x80\x00" + ws_close())) as server:
        async with await WsClient.open(server.url) as ws:
            sink = sinks.Recorder()
            ws.use_sink(sink)
            await ws.send_text("go")
            await ws.wait_closed()
        assert [event[:4] for event in sink.frames] == [(FrameKind.HEARTBEAT, -1, 0, b"")]
        assert (ws.stats.fragments, ws.stats.callback_errors) == (3, 0)


async def test_a_read_has_one_receive_time_and_one_end(sinks: ModuleType) -> None:
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


@pytest.mark.parametrize("size", [1, 60, 150])
async def test_a_sink_gets_fragments_as_one_message(sinks: ModuleType, size: int) -> None:
    payload = smd(265598)
    pieces = ws_fragments(payload, [size] * (len(payload) // size))

    async def script(peer: Peer) -> None:
        await peer.read_frame()
        for piece in pieces:
            await peer.send(piece + ws_ping())
        await peer.send(b"".join(pieces) + ws_frame(smd(2)) + ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        sink = sinks.Recorder()
        ws.use_sink(sink)
        await ws.send_text("go")
        await ws.wait_closed()
        assert [received(event) for event in sink.frames] == [described(text) for text in (payload, payload, smd(2))]
        assert ws.stats.fragments == 2 * len(pieces)
        assert ws.stats.frames_received == ws.stats.delivered == 3


async def test_pending_frames_come_first_and_none_twice(sinks: ModuleType) -> None:
    first, second, third = [smd(n) for n in range(5)], [smd(5)], [smd(n) for n in range(6, 9)]

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


@pytest.mark.parametrize("has_waited", [False, True])
async def test_a_sink_that_removes_itself_leaves_the_rest(sinks: ModuleType, has_waited: bool) -> None:
    payloads = [smd(n) for n in range(6)]

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


@pytest.mark.parametrize("has_waited", [False, True])
async def test_a_sink_may_replace_itself(sinks: ModuleType, has_waited: bool) -> None:
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


async def test_an_object_that_is_not_a_sink_is_refused(sinks: ModuleType) -> None:
    async with RawServer(on_request(ws_frame(smd(1)))) as server, await WsClient.open(server.url) as ws:
        for other in (print, object(), FrameSink, sinks.Recorder):
            with pytest.raises(UsageError, match="FrameSink"):
                ws.use_sink(other)
        # Nothing has changed by that.
        await ws.send_text("go")
        frame = await ws.next_message()
        assert frame is not None
        assert frame.conid == 1


async def test_one_reader_callback_or_sink_at_a_time(sinks: ModuleType) -> None:
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


async def test_a_python_class_may_subclass_a_compiled_sink(sinks: ModuleType) -> None:
    class Named(sinks.Counter):  # type: ignore[name-defined,misc]
        name = "mine"

    async with RawServer(on_request(ws_frames([smd(1), smd(2)]))) as server, await WsClient.open(server.url) as ws:
        sink = Named()
        ws.use_sink(sink)
        await arrive(ws, 2)
        assert (sink.name, sink.frames, sink.bytes) == ("mine", 2, 302)
