"""Faults that need special settings, an order, or their own checks."""

from __future__ import annotations

import asyncio
import time

import pytest

from cpapi_fast import Cause, FeedState

from .catalog import fault_is_detected
from .lateness import Lateness
from .rig import BRISK, NATURAL, QUIET, STEADY, Rig

pytestmark = pytest.mark.time_limit(120.0)

#: How many steps in succession may each be as late as the loop.
BUSY = 4


async def test_a_nightly_reset_with_ten_minutes_of_503_is_waited_out() -> None:
    async with Rig(speed=60.0) as rig:
        await rig.streams()
        requests_before = len(rig.gateway.requests)
        await rig.gateway.faults.run_nightly_reset(outage_s=600.0)
        # Ten minutes with at most about one attempt a minute.
        assert len(rig.gateway.requests) - requests_before < 60
        assert Cause.GATEWAY_ERROR in rig.events.causes()
        await rig.streams()


async def test_a_nightly_reset_may_require_a_login() -> None:
    async with Rig() as rig:
        await rig.streams()
        await rig.gateway.faults.run_nightly_reset(outage_s=60.0, is_logged_in=False)
        await rig.state(FeedState.LOGIN_REQUIRED)
        assert rig.logins_required == 1
        rig.gateway.faults.log_in()
        await rig.streams()


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4999])
async def test_the_feed_recovers_from_every_close_code(code: int) -> None:
    async with Rig(conids=(BRISK,)) as rig:
        await rig.streams()
        rig.gateway.faults.close_sockets(code, "bye")
        await rig.streams()
        assert rig.events.causes()[Cause.CLOSED_BY_GATEWAY]


async def test_a_burst_of_100000_frames_is_delivered_completely() -> None:
    async with Rig() as rig:
        await rig.streams()
        before = rig.frames
        assert await rig.gateway.faults.send_burst(100_000) == 100_000
        await rig.wait_for(lambda: rig.frames >= before + 100_000, "the burst arrives")
        await rig.streams()
        assert rig.events.gaps == []


async def test_a_loop_blocked_for_five_seconds_causes_no_reconnect() -> None:
    # At speed 1.0: the gateway's heartbeats wait in the socket during the five seconds.
    async with Rig(speed=1.0, conids=(BRISK, STEADY)) as rig:
        await rig.streams()
        rig.events.clear()
        time.sleep(5.0)  # noqa: ASYNC251  that is the fault
        await rig.streams()
        assert rig.events.gaps == []
        assert rig.events.states() == []


async def test_a_competing_login_is_observed_until_it_ends() -> None:
    async with Rig() as rig:
        await rig.streams()
        rig.gateway.faults.start_competing()
        await rig.state(FeedState.COMPETING)
        await rig.wait(120.0)
        # Observed only: the other login keeps the session.
        assert rig.feed.state is FeedState.COMPETING
        rig.gateway.faults.stop_competing()
        await rig.streams()


async def test_a_competing_login_is_reclaimed_if_the_option_is_set() -> None:
    async with Rig(feed={"competing": "reclaim"}) as rig:
        await rig.streams()
        for _ in range(2):
            rig.gateway.faults.start_competing()
            await rig.wait_for(lambda: rig.events.causes()[Cause.COMPETING], "the competing session is reported")
            await rig.streams()
            rig.events.clear()


@pytest.mark.parametrize("ready_delay_s", [5.0, 15.0])
async def test_nothing_is_subscribed_before_the_gateway_is_ready(ready_delay_s: float) -> None:
    async with Rig(gateway={"ready_delay_s": ready_delay_s}) as rig:
        await rig.streams()
        ignored = rig.gateway.connections[-1].ignored
        # After ten seconds without `system` the feed reports it and subscribes; lost subscribes are repeated.
        assert (ignored > 0) == (ready_delay_s > 10.0)
        assert (Cause.READY_TIMEOUT in rig.events.causes()) == (ready_delay_s > 10.0)


@pytest.mark.parametrize("answered", [True, False])
async def test_renewals_keep_streams_that_end_after_ten_minutes_without_a_gap(answered: bool) -> None:
    # Instruments that tick slowly enough for a busy machine at this speed.
    ticks = {QUIET: 3_600.0, STEADY: 120.0, NATURAL: 30.0}
    gateway = {"stream_lifetime_s": 600.0, "replies_to_renewals": answered, "tick_intervals": ticks}
    async with Rig(speed=100.0, gateway=gateway, conids=tuple(ticks)) as rig:
        await rig.streams()
        connections = rig.feed.stats.connections
        # Longer than the lifetime of a stream.
        await rig.wait(750.0)
        await rig.streams()
        if rig.feed.stats.connections == connections:
            # If a busy machine lost the connection, the lost frames are in gaps.
            assert rig.events.gaps == []
        received = [text.text for text in rig.gateway.connections[-1].received]
        if answered:
            # A quiet stream whose replies prove nothing is started anew.
            assert not [text for text in received if text.startswith("umd") and not text.startswith(f"umd+{QUIET}")]


async def test_an_expired_stream_is_detected_and_resubscribed() -> None:
    # Its lifetime is shorter than documented, so renewals come too late.
    async with Rig(speed=40.0, gateway={"stream_lifetime_s": 120.0}, conids=(BRISK, QUIET)) as rig:
        await rig.streams()
        await rig.wait_for(
            lambda: any(gap.cause is Cause.SUBSCRIPTION_SILENT for gap in rig.events.gaps),
            "the end of the stream is reported",
        )
        await rig.streams()


async def test_one_stopped_stream_is_detected_by_its_own_interval() -> None:
    async with Rig() as rig, Lateness() as lateness:
        await rig.streams()
        # Long enough to learn its interval.
        await rig.wait(30.0)
        rig.events.clear()
        start_s = rig.clock.monotonic_s()
        assert rig.gateway.faults.end_stream(str(STEADY)) == 1
        topic = f"smd+{STEADY}"
        await rig.wait_for(lambda: [g for g in rig.events.gaps if g.subscription == topic], "its gap is reported")
        took_s = rig.clock.monotonic_s() - start_s
        gap = next(gap for gap in rig.events.gaps if gap.subscription == topic)
        assert gap.cause is Cause.SUBSCRIPTION_SILENT
        # Five times its interval, a probe, and the time that a busy machine needs.
        assert took_s < 60.0 + BUSY * lateness.take_s() * rig.clock.speed
        await rig.streams()


async def test_a_stalled_socket_is_detected_by_missing_heartbeats() -> None:
    # An instrument that ticks once an hour does not show whether the socket works.
    async with Rig(conids=(QUIET,)) as rig, Lateness() as lateness:
        await rig.streams()
        start_s = rig.clock.monotonic_s()
        rig.proxy.half_open()
        await fault_is_detected(rig)
        # Thirty seconds, a real second, and the time that a busy machine needs.
        busy_s = 1.0 + BUSY * lateness.take_s()
        assert rig.clock.monotonic_s() - start_s < 30.0 + busy_s * rig.clock.speed
        assert rig.events.causes()[Cause.SOCKET_SILENT]
        rig.proxy.reset_half_open()
        await rig.streams()


async def test_a_changed_session_is_detected_by_the_keepalive() -> None:
    # Heartbeats continue on the socket; only the changed session id shows that it gets no data.
    async with Rig(conids=(QUIET,)) as rig:
        await rig.streams()
        rig.gateway.faults.change_session_id()
        await fault_is_detected(rig)
        assert rig.events.causes()[Cause.SESSION_CHANGED]
        await rig.streams()


async def test_subscriptions_change_from_several_tasks_while_connections_are_lost() -> None:
    async with Rig(conids=(BRISK,)) as rig:
        await rig.streams()

        async def change(first: int) -> None:
            for turn in range(12):
                conid = first + turn % 4
                subscription = await rig.feed.subscribe_market_data(conid)
                await rig.wait(1.0 + turn)
                if turn % 3:
                    await subscription.cancel()
                    await subscription.cancel()

        async def flap() -> None:
            for _ in range(4):
                await rig.wait(15.0)
                rig.proxy.reset()

        await asyncio.gather(change(1_000), change(2_000), change(3_000), flap())
        await rig.streams()

        def is_same() -> bool:
            opened = rig.gateway.open_connections
            wanted = {status.topic for status in rig.feed.subscriptions}
            return len(opened) == 1 and set(opened[0].subscriptions) == wanted

        assert NATURAL not in rig.conids
        await rig.wait_for(is_same, "the gateway has what the feed has")


async def test_feeds_of_one_process_do_not_affect_each_other() -> None:
    one, another = Rig(conids=(BRISK,), is_alone=False), Rig(conids=(STEADY,), gateway={"seed": 9}, is_alone=False)
    async with one as rig, another as other:
        await rig.streams()
        await other.streams()
        other.events.clear()
        connections = other.feed.stats.connections
        for fault in (rig.proxy.reset, rig.gateway.faults.change_session_id, rig.gateway.faults.end_brokerage_session):
            fault()
            await fault_is_detected(rig)
            await rig.streams()
        await other.streams()
        if other.feed.stats.connections == connections:
            assert other.events.states() == []
            assert other.events.gaps == []
