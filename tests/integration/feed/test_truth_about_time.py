"""Standstills, lateness and frozen streams of a whole feed."""

from __future__ import annotations

import time

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway

from .test_feed import STREAMING, read_until


@pytest.mark.gateway(speed=1.0, tick_intervals={265598: 0.5})
async def test_a_blocked_loop_is_a_standstill_and_no_gap(client: cf.Client, clock: cf.Clock) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        await clock.sleep(2.0)
        # The simulator is in the same loop, so nothing waits in the socket.
        time.sleep(2.5)  # noqa: ASYNC251 - the loop has to be blocked
        items = await read_until(feed, lambda item: isinstance(item, cf.Standstill))
        standstill = items[-1]
        assert isinstance(standstill, cf.Standstill)
        assert standstill.reason is cf.StandstillReason.PROCESS
        assert standstill.length_ns >= 2.5e9
        await clock.sleep(3.0)
        assert feed.stats.standstills >= 1
        assert feed.stats.gaps == 0
        assert [change.state for change in items if isinstance(change, cf.StateChange)].count(cf.FeedState.STALE) == 0


@pytest.mark.gateway(speed=20.0, tick_intervals={265598: 0.5, 8314: 1.0})
async def test_a_frozen_stream_is_stale_and_revived(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock
) -> None:
    async with cf.Feed(client) as feed:
        for conid in (265598, 8314):
            await feed.subscribe_market_data(conid)
        await feed.wait_for(STREAMING, timeout_s=60)
        await clock.sleep(60.0)
        assert gateway.faults.freeze_stream("265598") == 1
        items = await read_until(feed, lambda item: isinstance(item, cf.Gap))
        states = [item.state for item in items if isinstance(item, cf.StateChange) and item.subscription is not None]
        assert states == [cf.FeedState.STALE]
        gap = items[-1]
        assert isinstance(gap, cf.Gap)
        assert (gap.subscription, gap.cause) == ("smd+265598", cf.Cause.SUBSCRIPTION_SILENT)
        assert gap.certainty is cf.Certainty.CERTAIN
