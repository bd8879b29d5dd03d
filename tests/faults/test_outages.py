"""Faults that need a setting, an order, or numbers of their own."""

from __future__ import annotations

import asyncio
import time

import pytest

from cpapi_fast import Cause, FeedState
from tests.support import run

from .catalog import leaves
from .lateness import Lateness
from .rig import BRISK, NATURAL, QUIET, STEADY, Rig

#: How many things one after the other may each be as late as the loop is.
BUSY = 4


def test_nightly_reset_with_ten_minutes_of_503_is_slept_through() -> None:
    async def main() -> None:
        async with Rig(speed=60.0) as rig:
            await rig.streams()
            asked = len(rig.gateway.requests)
            await rig.gateway.faults.run_nightly_reset(outage_s=600.0)
            # Ten minutes of tries a minute apart and less: no hammering.
            assert len(rig.gateway.requests) - asked < 60
            assert Cause.GATEWAY_ERROR in rig.heard.causes()
            await rig.streams()

    run(main(), timeout_s=120.0)


def test_nightly_reset_may_want_a_login() -> None:
    async def main() -> None:
        async with Rig() as rig:
            await rig.streams()
            await rig.gateway.faults.run_nightly_reset(outage_s=60.0, is_logged_in=False)
            await rig.state(FeedState.LOGIN_REQUIRED)
            assert rig.logins_required == 1
            rig.gateway.faults.log_in()
            await rig.streams()

    run(main(), timeout_s=120.0)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4999])
def test_every_close_code_is_got_over(code: int) -> None:
    async def main() -> None:
        async with Rig(conids=(BRISK,)) as rig:
            await rig.streams()
            rig.gateway.faults.close_sockets(code, "bye")
            await rig.streams()
            assert rig.heard.causes()[Cause.CLOSED_BY_GATEWAY]

    run(main(), timeout_s=120.0)


def test_burst_of_100000_frames_comes_whole() -> None:
    async def main() -> None:
        async with Rig() as rig:
            await rig.streams()
            before = rig.frames
            assert await rig.gateway.faults.send_burst(100_000) == 100_000
            await rig.wait_for(lambda: rig.frames >= before + 100_000, "the burst arrives")
            await rig.streams()
            assert rig.heard.gaps == []

    run(main(), timeout_s=120.0)


def test_loop_blocked_for_five_seconds_is_no_reason_to_reconnect() -> None:
    async def main() -> None:
        # At the speed of life: five seconds are five seconds, and the gateway's heartbeats go on waiting in the socket.
        async with Rig(speed=1.0, conids=(BRISK, STEADY)) as rig:
            await rig.streams()
            rig.heard.clear()
            time.sleep(5.0)  # noqa: ASYNC251  that is the fault
            await rig.streams()
            assert rig.heard.gaps == []
            assert rig.heard.states() == []

    run(main(), timeout_s=120.0)


def test_competing_login_is_observed_until_it_leaves() -> None:
    async def main() -> None:
        async with Rig() as rig:
            await rig.streams()
            rig.gateway.faults.start_competing()
            await rig.state(FeedState.COMPETING)
            await rig.lives(120.0)
            # Looked on: the other login keeps the session.
            assert rig.feed.state is FeedState.COMPETING
            rig.gateway.faults.stop_competing()
            await rig.streams()

    run(main(), timeout_s=120.0)


def test_competing_login_is_thrown_out_if_wished() -> None:
    async def main() -> None:
        async with Rig(feed={"competing": "reclaim"}) as rig:
            await rig.streams()
            for _ in range(2):
                rig.gateway.faults.start_competing()
                await rig.wait_for(lambda: rig.heard.causes()[Cause.COMPETING], "the competition is told")
                await rig.streams()
                rig.heard.clear()

    run(main(), timeout_s=120.0)


@pytest.mark.parametrize("ready_delay_s", [5.0, 15.0])
def test_nothing_is_subscribed_before_the_gateway_listens(ready_delay_s: float) -> None:
    async def main() -> None:
        async with Rig(gateway={"ready_delay_s": ready_delay_s}) as rig:
            await rig.streams()
            ignored = rig.gateway.connections[-1].ignored
            # After ten seconds without a word it says so, and tries: lost subscribes are sent again.
            assert (ignored > 0) == (ready_delay_s > 10.0)
            assert (Cause.READY_TIMEOUT in rig.heard.causes()) == (ready_delay_s > 10.0)

    run(main(), timeout_s=120.0)


@pytest.mark.parametrize("answered", [True, False])
def test_renewals_hold_streams_that_live_ten_minutes_and_make_no_hole(answered: bool) -> None:
    async def main() -> None:
        # Instruments that leave a busy machine the time that it needs, at this speed.
        ticks = {QUIET: 3_600.0, STEADY: 120.0, NATURAL: 30.0}
        gateway = {"stream_lifetime_s": 600.0, "replies_to_renewals": answered, "tick_intervals": ticks}
        async with Rig(speed=100.0, gateway=gateway, conids=tuple(ticks)) as rig:
            await rig.streams()
            connections = rig.feed.stats.connections
            # Longer than a stream lives.
            await rig.lives(750.0)
            await rig.streams()
            if rig.feed.stats.connections == connections:
                # On a machine so busy that the connection was lost there are holes, and they are in their gaps.
                assert rig.heard.gaps == []
            asked = [text.text for text in rig.gateway.connections[-1].received]
            if answered:
                assert not [text for text in asked if text.startswith("umd")]

    run(main(), timeout_s=120.0)


def test_stream_that_expired_is_found_and_revived() -> None:
    async def main() -> None:
        # It lives shorter than is documented, so that renewals come too late.
        async with Rig(speed=40.0, gateway={"stream_lifetime_s": 120.0}, conids=(BRISK, QUIET)) as rig:
            await rig.streams()
            await rig.wait_for(
                lambda: any(gap.cause is Cause.SUBSCRIPTION_SILENT for gap in rig.heard.gaps), "the expiry is told"
            )
            await rig.streams()

    run(main(), timeout_s=120.0)


def test_dead_stream_among_living_ones_is_told_by_its_own_rhythm() -> None:
    async def main() -> None:
        async with Rig() as rig, Lateness() as lateness:
            await rig.streams()
            # Long enough to know its rhythm.
            await rig.lives(30.0)
            rig.heard.clear()
            start_s = rig.clock.monotonic_s()
            assert rig.gateway.faults.end_stream(str(STEADY)) == 1
            topic = f"smd+{STEADY}"
            await rig.wait_for(lambda: [g for g in rig.heard.gaps if g.subscription == topic], "its gap is told")
            took_s = rig.clock.monotonic_s() - start_s
            gap = next(gap for gap in rig.heard.gaps if gap.subscription == topic)
            assert gap.cause is Cause.SUBSCRIPTION_SILENT
            # Five times its interval, a question, and what a busy machine needs.
            assert took_s < 60.0 + BUSY * lateness.take_s() * rig.clock.speed
            await rig.streams()

    run(main(), timeout_s=120.0)


def test_dead_socket_is_noticed_by_its_heartbeats() -> None:
    async def main() -> None:
        # An instrument that ticks once an hour says nothing about the socket.
        async with Rig(conids=(QUIET,)) as rig, Lateness() as lateness:
            await rig.streams()
            start_s = rig.clock.monotonic_s()
            rig.proxy.half_open()
            await leaves(rig)
            # Thirty seconds, a real second, and what a busy machine needs.
            busy_s = 1.0 + BUSY * lateness.take_s()
            assert rig.clock.monotonic_s() - start_s < 30.0 + busy_s * rig.clock.speed
            assert rig.heard.causes()[Cause.SOCKET_SILENT]
            rig.proxy.bury()
            await rig.streams()

    run(main(), timeout_s=120.0)


def test_session_that_changed_is_noticed_by_the_keepalive() -> None:
    async def main() -> None:
        # The socket heartbeats on, and nothing but the session's id says that it is dead.
        async with Rig(conids=(QUIET,)) as rig:
            await rig.streams()
            rig.gateway.faults.change_session_id()
            await leaves(rig)
            assert rig.heard.causes()[Cause.SESSION_CHANGED]
            await rig.streams()

    run(main(), timeout_s=120.0)


def test_set_changes_from_several_tasks_while_the_connection_flaps() -> None:
    async def main() -> None:
        async with Rig(conids=(BRISK,)) as rig:
            await rig.streams()

            async def change(first: int) -> None:
                for turn in range(12):
                    conid = first + turn % 4
                    subscription = await rig.feed.subscribe_market_data(conid)
                    await rig.lives(1.0 + turn)
                    if turn % 3:
                        await subscription.cancel()
                        await subscription.cancel()

            async def flap() -> None:
                for _ in range(4):
                    await rig.lives(15.0)
                    rig.proxy.reset()

            await asyncio.gather(change(1_000), change(2_000), change(3_000), flap())
            await rig.streams()

            def is_same() -> bool:
                opened = rig.gateway.open_connections
                wanted = {status.topic for status in rig.feed.subscriptions}
                return len(opened) == 1 and set(opened[0].subscriptions) == wanted

            assert NATURAL not in rig.conids
            await rig.wait_for(is_same, "the gateway has what the feed has")

    run(main(), timeout_s=120.0)


def test_feeds_of_one_process_do_not_disturb_each_other() -> None:
    async def main() -> None:
        one, another = Rig(conids=(BRISK,), is_alone=False), Rig(conids=(STEADY,), gateway={"seed": 9}, is_alone=False)
        async with one as rig, another as other:
            await rig.streams()
            await other.streams()
            other.heard.clear()
            connections = other.feed.stats.connections
            for fault in (
                rig.proxy.reset,
                rig.gateway.faults.change_session_id,
                rig.gateway.faults.end_brokerage_session,
            ):
                fault()
                await leaves(rig)
                await rig.streams()
            await other.streams()
            if other.feed.stats.connections == connections:
                assert other.heard.states() == []
                assert other.heard.gaps == []

    run(main(), timeout_s=120.0)
