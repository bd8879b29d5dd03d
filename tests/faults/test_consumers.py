"""Consumers that stall, raise, halt or block, while frames arrive and connections are lost."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import cpapi_fast as cf

from .rig import BRISK, NATURAL, STEADY, Rig, adds_up

pytestmark = pytest.mark.time_limit(120.0)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "conflate"])
async def test_a_consumer_that_never_reads_affects_no_other(policy: cf.Policy) -> None:
    async with Rig() as rig:
        stalled = rig.watch(rig.feed.consumer(policy=policy, max_pending_frames=50, name="stalled"))
        await rig.streams()
        await rig.gateway.faults.send_burst(2_000)
        await rig.wait_for(lambda: stalled.stats.received > 2_000, "the burst arrives")
        rig.proxy.reset()
        await rig.streams()
        assert adds_up(stalled.stats)
        assert stalled.stats.pending <= 50
        given_up = stalled.stats.dropped + stalled.stats.conflated
        assert given_up > 1_500
    items = [item async for item in stalled]
    gaps = [item for item in items if isinstance(item, cf.Gap) and item.cause is cf.Cause.CONSUMER_OVERFLOW]
    # Every dropped frame is counted in a gap at its place.
    assert sum(gap.frames_dropped or 0 for gap in gaps) == stalled.stats.dropped
    assert all(gap.subscription is None for gap in gaps)
    assert any(isinstance(item, cf.StateChange) for item in items)
    assert stalled.stats.pending == 0
    assert adds_up(stalled.stats)


async def test_conflated_quotes_are_the_latest() -> None:
    async with Rig(conids=(BRISK, STEADY, NATURAL)) as rig:
        stalled = rig.watch(rig.feed.consumer(policy="conflate", max_pending_frames=1_000, name="stalled"))
        await rig.streams()
        await rig.gateway.faults.send_burst(5_000)
        await rig.wait_for(lambda: stalled.stats.received > 5_000, "the burst arrives")
        assert stalled.stats.conflated > 3_000
        last: dict[str, object] = {}
    async for item in stalled:
        if isinstance(item, cf.Frame) and item.kind is cf.FrameKind.MARKET_DATA:
            assert item.topic is not None
            last.setdefault(item.topic, {})
            last[item.topic] = {**last[item.topic], **item.payload}  # type: ignore[dict-item]
    for conid in rig.conids:
        merged = last[f"smd+{conid}"]
        assert merged["84"]  # type: ignore[index]
        assert merged["86"]  # type: ignore[index]


async def test_a_halted_consumer_raises_and_the_others_continue() -> None:
    async with Rig() as rig:
        halting = rig.watch(rig.feed.consumer(policy="halt", max_pending_frames=100, name="halting"))
        await rig.streams()
        await rig.gateway.faults.send_burst(1_000)
        await rig.streams()
        with pytest.raises(cf.ConsumerOverflowError):
            async for _ in halting:
                pass
        assert adds_up(halting.stats)
        rig.proxy.reset()
        await rig.streams()


async def test_a_callback_that_raises_is_reported_and_affects_no_other() -> None:
    reported: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    own = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    async with Rig() as rig:

        def on_item(item: object) -> None:
            raise RuntimeError("a fault of the user's own")

        raising = rig.watch(rig.feed.on_item(on_item, name="raising"))
        await rig.streams()
        rig.proxy.reset()
        await rig.streams()
        assert raising.stats.received > 10
        assert adds_up(raising.stats)
        raising.close()
    loop.set_exception_handler(own)
    assert reported
    assert all(isinstance(context["exception"], cf.CallbackError) for context in reported), reported[0]


async def test_a_blocking_consumer_holds_the_socket_without_a_socket_timeout() -> None:
    async with Rig(feed={"overload": "block"}) as rig:
        blocking = rig.watch(rig.feed.consumer(policy="block", max_pending_frames=500, name="blocking"))
        read = 0

        async def read_on() -> None:
            nonlocal read
            async for item in blocking:
                read += isinstance(item, cf.Frame)

        reading = asyncio.ensure_future(read_on())
        await rig.streams()
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        rig.events.clear()
        connections = rig.feed.stats.connections
        burst = asyncio.ensure_future(rig.gateway.faults.send_burst(20_000))
        # Twice the socket timeout, and longer than any staleness limit.
        await rig.wait(120.0)
        held = rig.frames
        await rig.wait(10.0)
        assert rig.frames == held, "the socket was read on"
        assert rig.events.states() == []
        assert rig.feed.stats.connections == connections
        reading = asyncio.ensure_future(read_on())
        assert await burst == 20_000
        await rig.streams()
        assert rig.events.gaps == []
        assert blocking.stats.dropped == 0
        assert adds_up(blocking.stats)
        blocking.close()
        await reading
