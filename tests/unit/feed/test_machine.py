"""From no connection to data: each input leads to a state, a cause and actions."""

from __future__ import annotations

import pytest

from cpapi_fast.errors import LimitError
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.feed.machine import CallKind, CloseSocket, Failure, OpenSocket, Send, SessionFacts
from cpapi_fast.feed.machine.advice import ADVICE
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.hours import DailyWindow
from tests.unit.feed.machine_harness import SMD, SOR, SPL, Bench

DOWN, READY, STREAMING = FeedState.DISCONNECTED, FeedState.READY, FeedState.STREAMING


def test_every_step_from_start_to_streaming():
    bench = Bench(SMD)
    assert bench.start() == [(FeedState.CONNECTING, Cause.STARTED)]
    assert bench.waits_for() is CallKind.TICKLE
    assert bench.facts(1, True) == []
    # Pre-flight: orders and quotes need /iserver/accounts once in every brokerage session.
    assert bench.waits_for() is CallKind.ACCOUNTS
    assert bench.accounts() == []
    assert bench.did(OpenSocket) == [OpenSocket()]
    assert bench.opened() == [(FeedState.OPEN, Cause.SOCKET_OPENED)]
    # Nothing is subscribed before the gateway is ready and the brokerage session is open.
    assert bench.sent() == []
    assert bench.ready() == [(READY, Cause.READY)]
    assert bench.sent() == []
    assert bench.status(True) == [(FeedState.AUTHENTICATED, Cause.LOGGED_IN)]
    assert bench.sent() == ["smd+1+{}"]
    assert bench.frame() == [(STREAMING, Cause.DATA)]
    assert bench.machine.state is STREAMING


def test_the_status_may_arrive_before_ready():
    bench = Bench(SMD).to("open")
    assert bench.status(True) == []
    assert bench.ready() == [(READY, Cause.READY), (FeedState.AUTHENTICATED, Cause.LOGGED_IN)]
    assert bench.sent() == ["smd+1+{}"]


def test_without_a_status_the_session_ticket_decides():
    bench = Bench(SMD).to("open")
    bench.ready()
    assert bench.passes(1.9) == []
    assert bench.passes(0.2) == [(FeedState.AUTHENTICATED, Cause.LOGGED_IN)]


def test_a_closed_brokerage_session_is_opened():
    bench = Bench(SMD).to("started")
    bench.facts(1, False)
    assert bench.waits_for() is CallKind.INIT
    bench.facts(None, True)
    assert bench.waits_for() is CallKind.ACCOUNTS


def test_a_session_that_does_not_open_requires_a_login():
    bench = Bench(SMD).to("started")
    for _ in range(20):
        if bench.machine.state is FeedState.LOGIN_REQUIRED:
            break
        bench.facts(None if bench.waits_for() is CallKind.INIT else 1, False)
        bench.passes(2.1)
    assert bench.states()[-1] == (FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN)
    assert 2 <= bench.calls.count(CallKind.INIT) <= 4


def test_topics_of_the_outer_session_do_not_wait_for_the_brokerage_session():
    bench = Bench(SMD, SPL, SOR).to("open")
    bench.status(False)
    bench.ready()
    assert bench.sent() == ["spl+{}"]
    assert bench.waits_for() is CallKind.TICKLE
    bench.facts(1, False)
    bench.facts(None, True)
    bench.accounts()
    bench.passes(1.0)
    assert bench.sent() == ["smd+1+{}", "sor+{}"]


@pytest.mark.parametrize(
    ("failure", "state", "cause", "soonest_s", "latest_s"),
    [
        (Failure.UNREACHABLE, DOWN, Cause.UNREACHABLE, 0.0, 1.0),
        (Failure.GATEWAY_ERROR, DOWN, Cause.GATEWAY_ERROR, 0.0, 1.0),
        (Failure.REFUSED, DOWN, Cause.REFUSED, 60.0, 60.0),
        (Failure.FORBIDDEN, DOWN, Cause.FORBIDDEN, 60.0, 60.0),
        (Failure.NOT_A_GATEWAY, DOWN, Cause.NOT_A_GATEWAY, 60.0, 60.0),
        (Failure.BROKERAGE_CLOSED, DOWN, Cause.BROKERAGE_CLOSED, 0.0, 1.0),
        (Failure.UPGRADE_REFUSED, DOWN, Cause.UPGRADE_REFUSED, 0.0, 1.0),
        (Failure.RATE_LIMITED, DOWN, Cause.RATE_LIMITED, 900.0, 900.0),
        (Failure.COMPETING, FeedState.COMPETING, Cause.COMPETING, 30.0, 30.0),
    ],
)
def test_a_failed_call_is_reported_and_retried(
    failure: Failure, state: FeedState, cause: Cause, soonest_s: float, latest_s: float
):
    bench = Bench(SMD).to("started")
    assert bench.fails(failure) == [(state, cause)]
    waits_s = bench.machine.due_s - bench.s
    assert soonest_s <= waits_s <= latest_s
    assert bench.machine.next_try_s == bench.machine.due_s
    bench.passes(waits_s + 0.01)
    assert bench.waits_for() is CallKind.TICKLE


def test_a_short_login_page_requires_no_login():
    bench = Bench(SMD).to("started")
    assert bench.fails(Failure.NOT_LOGGED_IN) == []
    bench.passes(5.1)
    bench.facts(1, True)
    assert FeedState.LOGIN_REQUIRED not in [state for state, _ in bench.states()]


def test_a_required_login_is_reported_once_and_then_polled():
    bench = Bench(SMD).to("started")
    bench.fails(Failure.NOT_LOGGED_IN)
    bench.passes(5.1)
    assert bench.fails(Failure.NOT_LOGGED_IN) == [(FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN)]
    for _ in range(10):
        assert bench.passes(29.0) == []
        assert bench.waits_for() is None
        bench.passes(1.1)
        assert bench.waits_for() is CallKind.TICKLE
        # The form of the login page does not matter.
        assert bench.fails(Failure.NOT_LOGGED_IN) == []
    bench.passes(30.1)
    assert bench.facts(2, True) == [(FeedState.CONNECTING, Cause.LOGGED_IN)]


def test_a_response_without_a_session_requires_a_login():
    bench = Bench(SMD).to("started")
    assert bench.facts(None, None) == []
    bench.passes(5.1)
    assert bench.facts(None, None) == [(FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN)]


@pytest.mark.parametrize(
    ("cause", "closes"),
    [(Cause.CONNECTION_LOST, False), (Cause.CLOSED_BY_GATEWAY, False), (Cause.PROTOCOL_VIOLATION, False)],
)
def test_a_lost_socket_is_opened_again(cause: Cause, closes: bool):
    bench = Bench(SMD).to("streaming")
    last_ns = bench.ns
    assert bench.ended(cause) == [(DOWN, cause)]
    assert bool(bench.did(CloseSocket)) is closes
    assert bench.passes(1.1) == []
    # Reported only when an attempt reaches the socket; a gateway that answers only tickles must not fill the stream.
    assert bench.facts(1, True) == []
    assert bench.fails(Failure.GATEWAY_ERROR) == [(DOWN, Cause.GATEWAY_ERROR)]
    bench.passes(60.0)
    assert bench.facts(1, True) == []
    assert bench.fails(Failure.GATEWAY_ERROR) == []
    bench.passes(60.0)
    assert bench.facts(1, True) == []
    assert bench.accounts() == [(FeedState.CONNECTING, Cause.RETRY)]
    bench.opened()
    bench.ready()
    bench.status(True)
    assert bench.sent() == ["smd+1+{}"]
    bench.passes(0.5)
    assert bench.frame() == [(STREAMING, Cause.DATA)]
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, cause)]


def test_a_socket_without_frames_is_closed_after_thirty_seconds():
    bench = Bench(SPL).to("streaming")
    for _ in range(5):
        bench.passes(10.0)
        bench.last_frame_s = bench.s
    assert bench.passes(29.9) == []
    assert bench.passes(0.2) == [(DOWN, Cause.SOCKET_SILENT)]
    assert bench.did(CloseSocket) == [CloseSocket()]


def test_after_a_blocked_loop_waiting_frames_are_read_before_the_socket_is_closed():
    bench = Bench(SPL).to("streaming")
    bench.s += 45.0
    assert bench.tick() == []
    bench.last_frame_s = bench.s
    assert bench.passes(29.0) == []
    bench.s += 45.0
    bench.tick()
    assert bench.passes(1.1)[0] == (DOWN, Cause.SOCKET_SILENT)


def test_a_held_socket_is_not_closed_for_missing_frames():
    bench = Bench(SMD).to("streaming")
    bench.paused(True)
    assert bench.passes(300.0) == []
    bench.paused(False)
    assert bench.passes(29.0) == []
    assert bench.passes(1.5) == [(DOWN, Cause.SOCKET_SILENT)]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_changed_session_closes_the_open_socket(is_first: bool):
    bench = Bench(SMD).to("streaming")
    bench.beats(60.1)
    assert bench.waits_for() is CallKind.TICKLE
    assert bench.facts(2, is_first) == [(DOWN, Cause.SESSION_CHANGED)]
    assert bench.did(CloseSocket) == [CloseSocket()]
    # Immediately, since the gateway works.
    bench.passes(0.01)
    assert bench.waits_for() is CallKind.TICKLE


def test_both_keepalives_are_sent_every_minute_despite_failures():
    bench = Bench(SPL).to("streaming")
    for failure in (Failure.GATEWAY_ERROR, Failure.UNREACHABLE, Failure.REFUSED, Failure.COMPETING):
        bench.beats(60.1)
        assert bench.waits_for() is CallKind.TICKLE
        bench.fails(failure)
        # Sooner than usual, since the session is now unknown.
        bench.beats(10.1)
        assert bench.waits_for() is CallKind.TICKLE
        bench.facts(1, True)
    assert bench.texts.count("tic") == 4
    assert bench.machine.state is STREAMING


def test_a_required_login_closes_the_open_socket():
    bench = Bench(SMD).to("streaming")
    bench.beats(60.1)
    assert bench.fails(Failure.NOT_LOGGED_IN) == []
    bench.beats(5.1)
    assert bench.fails(Failure.NOT_LOGGED_IN) == [(FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN)]
    assert bench.did(CloseSocket) == [CloseSocket()]


def test_the_brokerage_session_ends_and_is_opened_again():
    bench = Bench(SMD, SPL).to("streaming")
    bench.frame("spl")
    assert bench.status(False) == [(READY, Cause.SESSION_ENDED)]
    assert bench.waits_for() is CallKind.TICKLE
    bench.facts(1, False)
    assert bench.waits_for() is CallKind.INIT
    bench.facts(None, True)
    bench.accounts()
    bench.passes(0.2)
    assert bench.sent() == ["smd+1+{}"]
    assert bench.frame()[-1] == (STREAMING, Cause.DATA)
    # The topic that needs only the outer session continued.
    assert [gap.subscription for gap in bench.gaps()] == ["smd+1"]
    assert bench.gaps()[0].cause is Cause.SESSION_ENDED


def test_fragments_of_a_status_are_merged():
    bench = Bench(SMD).to("streaming")
    bench.do(bench.machine.on_status(None, None, False, bench.now()))
    bench.do(bench.machine.on_status(None, True, None, bench.now()))
    assert bench.machine.session == SessionFacts(1, True, True, False)
    assert bench.machine.state is STREAMING


@pytest.mark.parametrize("competing", ["observe", "reclaim"])
def test_a_competing_login_is_observed_or_reclaimed(competing: str):
    bench = Bench(SMD, options=FeedOptions(competing=competing)).to("streaming")
    assert bench.do(bench.machine.on_status(None, None, True, bench.now())) == [(STREAMING, Cause.COMPETING)]
    bench.status(False)
    assert bench.waits_for() is CallKind.TICKLE
    assert bench.facts(1, False, competing=True)[-1] == (FeedState.COMPETING, Cause.COMPETING)
    if competing == "observe":
        for _ in range(4):
            bench.beats(30.1)
            bench.facts(1, False, competing=True)
        assert CallKind.INIT not in bench.calls
        bench.beats(30.1)
        assert bench.facts(1, True, competing=False)[0] == (READY, Cause.LOGGED_IN)
    else:
        assert bench.pending[-1].compete
        # Lost again immediately: it is not reclaimed again and again.
        bench.facts(None, False, competing=True)
        assert bench.waits_for() is None
        bench.beats(30.1)
        bench.facts(1, False, competing=True)
        assert bench.calls.count(CallKind.INIT) == 1


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [("subscribe", (READY, Cause.READY_TIMEOUT)), ("reconnect", (DOWN, Cause.READY_TIMEOUT))],
)
def test_a_gateway_that_never_sends_ready(fallback: str, expected: tuple[FeedState, Cause]):
    bench = Bench(SMD, options=FeedOptions(ready_fallback=fallback)).to("open")
    assert bench.passes(9.9) == []
    assert bench.passes(0.2)[0] == expected


def test_a_late_ready_repeats_the_subscribes():
    bench = Bench(SMD).to("open")
    bench.status(True)
    bench.passes(10.1)
    assert bench.sent() == ["smd+1+{}"]
    bench.passes(1.0)
    bench.ready()
    assert bench.sent() == ["umd+1+{}", "smd+1+{}"]


def test_no_request_is_sent_during_the_penalty():
    bench = Bench(SMD).to("streaming")
    bench.beats(60.1)
    assert bench.fails(Failure.RATE_LIMITED) == [(STREAMING, Cause.RATE_LIMITED)]
    bench.beats(10.0)
    assert bench.ended(Cause.CONNECTION_LOST) == [(DOWN, Cause.CONNECTION_LOST)]
    assert bench.passes(880.0) == [(DOWN, Cause.RATE_LIMITED)]
    assert bench.waits_for() is None
    bench.passes(11.0)
    assert bench.waits_for() is CallKind.TICKLE


def test_attempts_are_rare_during_the_nightly_reset():
    window = DailyWindow("00:00", "23:59", "UTC")
    for seed in range(20):
        bench = Bench(SMD, options=FeedOptions(nightly=window), seed=seed).to("started")
        bench.fails(Failure.GATEWAY_ERROR)
        bench.passes(1.1)
        bench.fails(Failure.GATEWAY_ERROR)
        assert 30.0 <= bench.machine.due_s - bench.s <= 60.0


def test_stopped_data_on_a_working_socket_is_detected():
    bench = Bench(SMD).to("authenticated")
    bench.beats(10.1)
    assert bench.machine.state is FeedState.STALE
    assert (FeedState.STALE, Cause.ALL_STALE) in bench.states()
    # The session may have changed, so it is requested immediately; later the socket is closed.
    assert bench.waits_for() is CallKind.TICKLE
    bench.facts(1, True)
    bench.beats(10.1)
    assert bench.machine.state is DOWN
    assert bench.states()[-1] == (DOWN, Cause.ALL_STALE)


def test_one_stopped_instrument_beside_working_pnl_is_not_stopped_data():
    bench = Bench(SMD, SPL).to("authenticated")
    for _ in range(30):
        bench.beats(5.0)
        bench.frame("spl")
        bench.responds()
    assert bench.states("smd+1") == [(FeedState.STALE, Cause.SUBSCRIPTION_SILENT)]
    assert (FeedState.STALE, Cause.ALL_STALE) not in bench.states()
    # When P&L stops as well, the data counts as stopped.
    bench.beats(90.0)
    assert bench.states()[-1] == (FeedState.STALE, Cause.ALL_STALE)


def test_stop_in_every_state():
    for place in ("started", "open", "ready", "authenticated", "streaming"):
        bench = Bench(SMD).to(place)
        had_socket = bench.machine.has_socket
        bench.do(bench.machine.stop(bench.now()))
        assert bool(bench.did(CloseSocket)) is had_socket, place
        assert bench.states()[-1] == (DOWN, Cause.STOPPED)
        # Late responses change nothing.
        for call in bench.pending:
            assert bench.machine.on_call_failed(call.number, Failure.UNREACHABLE, bench.now()) == []
        assert bench.machine.on_socket_opened(bench.now()) == [CloseSocket()]


def test_a_late_response_to_an_earlier_call_is_ignored():
    bench = Bench(SMD).to("streaming")
    bench.beats(60.1)
    old = bench.pending[-1]
    bench.ended(Cause.CONNECTION_LOST)
    assert bench.machine.on_facts(old.number, SessionFacts(5, False, False, True), bench.now()) == []


def test_every_event_has_time_cause_and_advice():
    bench = Bench(SMD).to("streaming")
    bench.ended(Cause.CONNECTION_LOST)
    changes = [event for event in bench.events if isinstance(event, StateChange)]
    assert len(changes) >= 6
    assert all(event.time_ns > 0 and event.advice == ADVICE[event.cause] for event in changes)
    assert [event.previous for event in changes[1:]] == [event.state for event in changes[:-1]]


def test_every_cause_has_advice():
    assert set(ADVICE) == set(Cause)


def test_the_text_of_an_error_is_in_its_event():
    bench = Bench(SMD).to("started")
    call = bench.pending.pop()
    bench.do(bench.machine.on_call_failed(call.number, Failure.UNREACHABLE, bench.now(), detail="no route"))
    assert bench.events[-1].detail == "no route"


def test_market_data_lines_are_limited():
    bench = Bench(SMD, options=FeedOptions(market_data_lines=1))
    with pytest.raises(LimitError) as caught:
        bench.machine.subscribe(Bench.spec(2), bench.now())
    assert (caught.value.most, caught.value.in_use) == (1, 1)
    # Orders take no market data line, and a freed line can be used again.
    bench.machine.subscribe(SOR, bench.now())
    bench.machine.unsubscribe("smd+1", bench.now())
    bench.machine.subscribe(Bench.spec(2), bench.now())


def test_subscribing_and_unsubscribing_while_streaming():
    bench = Bench(SMD).to("streaming")
    bench.passes(1.0)
    assert [a for a in bench.machine.subscribe(Bench.spec(2), bench.now()) if isinstance(a, Send)] == [Send("smd+2+{}")]
    bench.passes(1.0)
    assert Send("umd+2+{}") in bench.machine.unsubscribe("smd+2", bench.now())
    assert bench.machine.unsubscribe("smd+2", bench.now()) == []
