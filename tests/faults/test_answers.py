"""Wrong answers to every REST call and to the upgrade."""

from __future__ import annotations

import pytest

from cpapi_fast import Cause, FeedState
from tests.support import run

from .catalog import ANSWERS, CALLS, answer_with
from .rig import NATURAL, Rig


@pytest.mark.parametrize("call", CALLS)
def test_wrong_answers_are_got_over(call: str) -> None:
    async def main() -> None:
        async with Rig(feed={"reconnect_max_s": 10.0}) as rig:
            for name in ANSWERS:
                await rig.streams()
                asked = sum(request.path.endswith(call) for request in rig.gateway.requests)
                answer_with(rig, call, name, times=1)
                if call.endswith("/init"):
                    # It is called only where the brokerage session has to be opened.
                    rig.gateway.faults.end_brokerage_session()
                rig.gateway.faults.drop_sockets()
                await rig.streams()
                # The wrong answer was given, and the right one was asked for.
                assert sum(request.path.endswith(call) for request in rig.gateway.requests) >= asked + 2, name

    run(main(), timeout_s=120.0)


@pytest.mark.parametrize("call", ["/tickle", "/ws"])
def test_penalty_after_429_is_sat_out_in_silence(call: str) -> None:
    async def main() -> None:
        async with Rig(speed=90.0) as rig:
            await rig.streams()
            rig.gateway.faults.fail_rest(call, status=429, times=1)
            rig.gateway.faults.drop_sockets()
            await rig.wait_for(lambda: rig.heard.causes()[Cause.RATE_LIMITED], "the penalty is told", looking_s=0.001)
            asked = len(rig.gateway.requests)
            refused = next(request for request in reversed(rig.gateway.requests) if request.status == 429)
            await rig.streams(timeout_s=40.0)
            # Each request tells when it came: nothing for a quarter of an hour, however busy the machine is.
            assert rig.gateway.requests[asked].time_ns - refused.time_ns >= 899 * 10**9

    run(main(), timeout_s=120.0)


def test_living_socket_is_left_when_the_keepalive_says_so_and_what_was_on_its_way_counts() -> None:
    async def main() -> None:
        # Enough data that some of it is on its way at any moment.
        async with Rig(conids=(NATURAL,), gateway={"rate": 150.0}) as rig:
            await rig.streams()
            answer_with(rig, "/tickle", "401", times=3)
            await rig.state(FeedState.LOGIN_REQUIRED)
            await rig.streams()

    run(main(), timeout_s=120.0)


@pytest.mark.parametrize("answer", ["html", "redirect", "json", "unauthorized"])
def test_login_page_calls_a_human_and_the_feed_goes_on_when_he_has_logged_in(answer: str) -> None:
    async def main() -> None:
        async with Rig(gateway={"logged_out_response": answer}) as rig:
            await rig.streams()
            rig.gateway.faults.log_out()
            await rig.state(FeedState.LOGIN_REQUIRED)
            asked = len(rig.gateway.requests)
            await rig.lives(70.0)
            # Told once, not with every look; and these are few.
            assert rig.logins_required == 1
            assert 1 <= len(rig.gateway.requests) - asked <= 10
            rig.gateway.faults.log_in()
            await rig.streams()

    run(main(), timeout_s=120.0)
