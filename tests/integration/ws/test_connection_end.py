"""WsClient on real sockets: every way a connection ends."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.errors import (
    ProtocolViolationError,
    TransportError,
    UsageError,
)
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.servers.raw import CLOSE_OPCODE, TEXT_OPCODE, Peer, RawServer, answer_close, idle
from tests.support.frames import smd, ws_close, ws_frame, ws_frames
from tests.support.loops import assert_balanced, until

pytestmark = pytest.mark.each_loop


async def test_frames_are_read_in_order_until_the_close_frame() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), b"{}", b"", smd(2)]))
        await peer.send(ws_frame(smd(3), TEXT_OPCODE) + ws_close(1001, "going"))
        assert await peer.read_frame() == (CLOSE_OPCODE, b"\x03\xe9")

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


async def test_a_close_frame_without_code_is_1005_and_answered_without_code() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_close(None))
        assert await peer.read_frame() == (CLOSE_OPCODE, b"")

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert await ws.next_message() is None
        assert (ws.close_code, ws.close_reason) == (1005, "")


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
@pytest.mark.parametrize(
    "more",
    [ws_close(1000), ws_close(1002), ws_close(None), ws_frame(b"{}"), b"\x83\x00", b"\xff\xff", b"\x82\x81\0\0\0\0x"],
)
async def test_what_follows_a_close_frame_in_its_read_is_ignored(code: int, more: bytes) -> None:
    replies: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + ws_close(code, "bye") + more)
        replies.append(await peer.read_frame())

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert (await ws.next_message()).conid == 1
        assert await ws.next_message() is None
        assert (ws.close_code, ws.close_reason) == (code, "bye")
        await until(lambda: bool(replies))
        assert replies == [(CLOSE_OPCODE, code.to_bytes(2, "big"))]


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535])
@pytest.mark.parametrize("more", [b"", ws_close(1000)])
async def test_a_code_that_is_never_sent_is_a_violation_and_is_not_sent_back(code: int, more: bytes) -> None:
    replies: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + ws_frame(code.to_bytes(2, "big"), CLOSE_OPCODE) + more)
        replies.append(await peer.read_frame())

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert (await ws.next_message()).conid == 1
        with pytest.raises(ProtocolViolationError):
            await ws.next_message()
        assert ws.close_code is None
        await until(lambda: bool(replies))
        opcode, payload = replies[0]
        # A frame without a code is the reply if the code 0 is followed by more: picows reports it like no code.
        assert opcode == CLOSE_OPCODE
        assert payload[:2] == (1002).to_bytes(2, "big") or (code == 0 and more and payload == b"")


@pytest.mark.parametrize("reset", [False, True])
async def test_an_end_without_a_close_frame_is_a_retryable_error_after_the_last_frame(reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)))
        await peer.read_frame()
        peer.close(reset=reset)

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


async def test_a_message_cut_short_by_the_end_is_not_delivered() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + ws_frame(smd(2))[:-1])

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert (await ws.next_message()).conid == 1
        with pytest.raises(TransportError):
            await ws.next_message()


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
async def test_a_violation_closes_with_its_code_and_keeps_the_frames_before_it(wire: bytes, code: int) -> None:
    seen: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + wire + ws_frame(smd(2)))
        seen.append(await peer.read_frame())

    options = WsOptions(max_message_bytes=1000, max_frame_bytes=10_000)
    async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
        assert (await ws.next_message()).conid == 1
        with pytest.raises(TransportError) as caught:
            await ws.next_message()
        assert caught.value.is_retryable
        # The limit and the option that sets it.
        option = "max_frame_bytes" if len(wire) > 10_000 else "max_message_bytes"
        assert (f"The limit is {option} of WsOptions" in str(caught.value)) is (code == 1009)
        assert ws.close_code is None
        await until(lambda: bool(seen))
        assert seen[0][0] == CLOSE_OPCODE
        assert int.from_bytes(seen[0][1][:2], "big") == code
        assert ws.stats.frames_received == 1
        assert_balanced(ws)


async def test_frames_after_the_close_frame_are_counted_and_never_delivered() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_close() + ws_frames([smd(1), smd(2)]))
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        assert await ws.next_message() is None
        assert ws.stats.frames_after_end == 2
        assert ws.stats.frames_received == 0


async def test_close_is_a_handshake_and_what_was_received_can_still_be_read() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), smd(2)]))
        opcode, payload = await peer.read_frame()
        assert (opcode, payload) == (CLOSE_OPCODE, b"\x03\xe8bye")
        await peer.send(ws_frame(smd(3)) + ws_frame(payload, CLOSE_OPCODE))

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


async def test_a_peer_that_never_sends_close_is_disconnected_in_time() -> None:
    async with RawServer(idle) as server:
        ws = await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.1))
        started_s = asyncio.get_running_loop().time()
        await ws.close()
        # Without the option it were 5 s.
        assert asyncio.get_running_loop().time() - started_s < 4.5
        with pytest.raises(TransportError):
            await ws.next_message()


@pytest.mark.parametrize("code", [999, 1005, 1006, 2000, 5000])
async def test_an_invalid_close_code_is_refused(code: int) -> None:
    async with RawServer(answer_close) as server, await WsClient.open(server.url) as ws:
        with pytest.raises(UsageError):
            await ws.close(code)
        with pytest.raises(UsageError):
            await ws.close(1000, "x" * 124)


async def test_a_connection_that_ended_is_freed() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)) + ws_close())
        await idle(peer)

    async with RawServer(script) as server:
        async with await WsClient.open(server.url, options=WsOptions(close_timeout_s=0.05)) as ws:
            async for _ in ws:
                pass
        reference = weakref.ref(ws)
        del ws
        await asyncio.sleep(0.1)
    gc.collect()
    assert reference() is None


async def test_a_reset_behind_unread_data_is_detected_and_the_data_is_read() -> None:
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_frame()
        linger = struct.pack("ii", 1, 0)
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await peer.send(ws_frames([smd(1), smd(2)]))
        peer.close(reset=True)
        sent.set()

    async with RawServer(script) as server, await WsClient.open(server.url, clock=Clock(20.0)) as ws:
        await ws.send_text("go")
        ws.hold_reading(True)
        await sent.wait()
        await asyncio.sleep(0.05)
        ws.hold_reading(False)
        assert [getattr(await ws.next_message(), "conid", None) for _ in range(2)] == [1, 2]
        with pytest.raises(TransportError):
            await ws.next_message()
        assert_balanced(ws)
