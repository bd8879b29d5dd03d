"""Wrong responses to every REST call and to the WebSocket handshake."""

from __future__ import annotations

import pytest

from cpapi_fast import Cause, FeedState

from .catalog import ANSWERS, CALLS, answer_with
from .rig import NATURAL, Rig

pytestmark = pytest.mark.time_limit(120.0)


@pytest.mark.parametrize("call", CALLS)
async def test_the_feed_recovers_from_wrong_responses(call: str) -> None:
    async with Rig(feed={"reconnect_max_s": 10.0}) as rig:
        for name in ANSWERS:
            await rig.streams()
            requests_before = sum(request.path.endswith(call) for request in rig.gateway.requests)
            answer_with(rig, call, name, times=1)
            if call.endswith("/init"):
                # This call is made only if the brokerage session has to be opened.
                rig.gateway.faults.end_brokerage_session()
            rig.gateway.faults.drop_sockets()
            await rig.streams()
            # The wrong response was sent, and the feed repeated the request, unless the status says all that it needs.
            is_enough = call == "/iserver/accounts" and name == "not-json"
            least = requests_before + (1 if is_enough else 2)
            assert sum(request.path.endswith(call) for request in rig.gateway.requests) >= least, name


@pytest.mark.parametrize("call", ["/tickle", "/ws"])
async def test_no_request_is_sent_during_the_penalty_after_a_429(call: str) -> None:
    async with Rig(speed=90.0) as rig:
        await rig.streams()
        rig.gateway.faults.fail_rest(call, status=429, times=1)
        rig.gateway.faults.drop_sockets()
        await rig.wait_for(lambda: rig.events.causes()[Cause.RATE_LIMITED], "the penalty is reported", poll_s=0.001)
        requests_before = len(rig.gateway.requests)
        refused = next(request for request in reversed(rig.gateway.requests) if request.status == 429)
        await rig.streams(timeout_s=40.0)
        # By the times of the requests: none for a quarter of an hour, however busy the machine is.
        assert rig.gateway.requests[requests_before].time_ns - refused.time_ns >= 899 * 10**9


async def test_a_working_socket_is_closed_when_the_session_changed_and_its_last_frames_count() -> None:
    # Enough data that some is in transit at any moment.
    async with Rig(conids=(NATURAL,), gateway={"rate": 150.0}) as rig:
        await rig.streams()
        answer_with(rig, "/tickle", "401", times=3)
        await rig.state(FeedState.LOGIN_REQUIRED)
        await rig.streams()


@pytest.mark.parametrize("answer", ["html", "redirect", "json", "unauthorized"])
async def test_a_login_page_requires_a_login_and_the_feed_continues_after_it(answer: str) -> None:
    async with Rig(gateway={"logged_out_response": answer}) as rig:
        await rig.streams()
        rig.gateway.faults.log_out()
        await rig.state(FeedState.LOGIN_REQUIRED)
        requests_before = len(rig.gateway.requests)
        await rig.wait(70.0)
        # Reported once, not at every check; and the checks are few.
        assert rig.logins_required == 1
        assert 1 <= len(rig.gateway.requests) - requests_before <= 10
        rig.gateway.faults.log_in()
        await rig.streams()
