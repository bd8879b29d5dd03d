"""Reads longer than a batch, passed to callbacks and sinks: nothing is lost, and all have one receive time."""

from __future__ import annotations

from types import ModuleType

import pytest

from cpapi_fast.errors import CallbackError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.servers.raw import PONG_OPCODE, TEXT_OPCODE, Peer, RawServer, idle
from tests.support.frames import smd, ws_close, ws_fragments, ws_frame, ws_frames, ws_ping
from tests.support.loops import assert_balanced

pytestmark = pytest.mark.each_loop

#: What the listener puts into one batch at most, and some more.
BATCH_BYTES = 256 * 1024


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
async def test_a_big_read_is_several_batches_with_one_receive_time(sinks: ModuleType, first: bytes) -> None:
    payloads = [first, *MANY, smd(3, size=BATCH_BYTES + 1), smd(4), smd(5, size=BATCH_BYTES), smd(6)]

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


@pytest.mark.parametrize("has_waited", [False, True])
async def test_a_sink_gets_a_big_read_frame_by_frame(sinks: ModuleType, has_waited: bool) -> None:
    payloads = [smd(1), *MANY, smd(2, size=BATCH_BYTES + 1), smd(3)]

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
        # Pending frames come batch by batch, and a sink gets the end of each.
        assert (sink.events.count("end") == 1) is not has_waited
        assert ws.stats.reads == reads + 1
        assert (ws.stats.delivered, ws.stats.dropped, ws.stats.pending) == (len(payloads) + 1, 0, 0)


@pytest.mark.parametrize("by_sink", [False, True])
async def test_a_callback_of_the_first_batch_leaves_the_rest_to_a_sink(sinks: ModuleType, by_sink: bool) -> None:
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


async def test_a_raising_callback_of_batches_drops_the_rest_of_a_big_read(sinks: ModuleType) -> None:
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


@pytest.mark.parametrize("is_sink", [False, True])
async def test_a_message_longer_than_a_batch_and_the_rest_of_its_read(sinks: ModuleType, is_sink: bool) -> None:
    big = smd(1, size=BATCH_BYTES + 1000)
    pieces = ws_fragments(big, [BATCH_BYTES])

    async def script(peer: Peer) -> None:
        assert await peer.read_frame() == (TEXT_OPCODE, b"go")
        await peer.send(pieces[0] + ws_ping(b"read up to here"))
        assert await peer.read_frame() == (PONG_OPCODE, b"read up to here")
        # One small write, that completes the message and brings two more; most often in one read, too.
        await peer.send(pieces[1] + ws_frames([smd(2), smd(3)]) + ws_close())
        await idle(peer)

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


async def test_a_long_stream_arrives_completely(sinks: ModuleType) -> None:
    rounds = 8

    async def script(peer: Peer) -> None:
        wire = ws_frames(MANY)
        await peer.read_frame()
        for _ in range(rounds):
            await peer.send(wire)
        await peer.send(ws_close())
        await idle(peer)

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
