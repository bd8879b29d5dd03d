"""WsClient on real sockets: callbacks, the frames they get, and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import cpapi_fast
from cpapi_fast.errors import (
    CallbackError,
    TransportError,
    UsageError,
)
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.servers.raw import CLOSE_OPCODE, Peer, RawServer, idle
from tests.support.frames import smd, ws_close, ws_frame, ws_frames
from tests.support.loops import LOOPS, assert_balanced, until

pytestmark = pytest.mark.each_loop


async def leave_with(ws: WsClient, begin: Callable[[], None]) -> None:
    """Enter the connection's block, do something, give it a moment, and leave the block."""
    async with ws:
        begin()
        await asyncio.sleep(0.1)


async def test_a_callback_gets_pending_and_later_frames() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), smd(2)]))
        await peer.read_frame()
        await peer.send(ws_frames([smd(3), smd(4)]) + ws_close())
        await idle(peer)

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


async def test_a_frame_callback_that_removes_itself_leaves_the_rest_to_the_next_reader() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(6)]) + ws_close())
        await idle(peer)

    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        seen: list[int | None] = []

        def once(frame: Frame) -> None:
            seen.append(frame.conid)
            ws.on_frame(None)

        ws.on_frame(once)
        await until(lambda: bool(seen))
        assert_balanced(ws)
        assert seen + [frame.conid async for frame in ws] == list(range(6))


async def test_a_raising_callback_closes_the_connection_and_its_error_is_raised() -> None:
    closed_with: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(5)]))
        closed_with.append(await peer.read_frame())

    def fail_at_two(frame: Frame) -> None:
        if frame.conid == 2:
            raise ZeroDivisionError("mine")

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


async def test_a_raising_callback_under_report_continues_and_is_reported_to_the_loop() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(n) for n in range(5)]) + ws_close())
        await idle(peer)

    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    seen: list[int | None] = []

    def callback(frame: Frame) -> None:
        seen.append(frame.conid)
        raise ValueError(frame.conid)

    options = WsOptions(callback_errors="report")
    async with RawServer(script) as server, await WsClient.open(server.url, options=options) as ws:
        ws.on_frame(callback)
        await ws.wait_closed()
        assert seen == list(range(5))
        assert [str(context["exception"]) for context in reported] == ["0", "1", "2", "3", "4"]
        assert ws.stats.callback_errors == 5


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_inside_a_callback_reaches_the_loop_and_every_frame_is_counted(loop: str) -> None:
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


async def test_a_callback_that_fails_after_a_reported_loss_is_still_raised() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frames([smd(1), smd(2), smd(3)]))

    def fail(frame: Frame) -> None:
        raise ZeroDivisionError("mine")

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


async def test_the_loss_of_a_pushed_connection_raises_when_the_block_is_left() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws_frame(smd(1)))

    async with RawServer(script) as server:
        ws = await WsClient.open(server.url)
        with pytest.raises(TransportError):
            await leave_with(ws, lambda: ws.on_batch(len))
