"""Subscriptions are renewed, probed when quiet, resubscribed when stopped, and every loss is a gap."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from cpapi_fast.events import Cause, FeedState, Gap
from cpapi_fast.feed.machine import CallKind
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.hours import TradingHours
from tests.unit.feed.machine_harness import EPOCH_NS, SMD, SOR, SPL, Bench

STALE, STREAMING = FeedState.STALE, FeedState.STREAMING


def answer(bench: Bench, topic: str = "smd+1", stream_id: str = "q1") -> None:
    """Deliver a snapshot, which the gateway sends twice."""
    bench.passes(0.04)
    for _ in range(2):
        bench.frame(topic, is_snapshot=True, stream_id=stream_id)


def test_a_subscription_is_renewed_within_seven_minutes_without_a_gap():
    bench = Bench(SMD).to("streaming")
    for _ in range(10):
        bench.ticks(600.0, 1.0)
    renewals = [text for text in bench.texts if text.startswith("smd")][1:]
    assert 6000 // 420 <= len(renewals) <= 6000 // 360 + 1
    assert bench.machine.requests.renewals == len(renewals)
    assert bench.gaps() == []
    assert bench.states("smd+1") == []
    assert not [text for text in bench.texts if text.startswith("umd")]


def test_renewals_are_jittered():
    moments = set()
    for seed in range(10):
        bench = Bench(SMD, seed=seed).to("streaming")
        subscription = bench.machine.subscriptions["smd+1"]
        age_s = subscription.request.renew_s - subscription.request.sent_s
        assert 360.0 <= age_s <= 420.0
        moments.add(round(age_s, 3))
    assert len(moments) == 10


def test_a_snapshot_does_not_count_as_a_tick():
    bench = Bench(SMD).to("streaming")
    bench.runs(2_000.0)
    assert bench.machine.requests.renewals >= 2
    subscription = bench.machine.subscriptions["smd+1"]
    assert subscription.request.snapshots == bench.activity["smd+1"].frames
    # Only long pauses were learned, as harmless.
    assert subscription.staleness.interval.usual_s is None or subscription.staleness.interval.usual_s > 40.0


@pytest.mark.parametrize("every_s", [0.5, 1.0, 3.0, 10.0])
def test_a_stopped_stream_is_reported_stale_within_five_intervals(every_s: float):
    bench = Bench(SMD, Bench.spec(2)).to("streaming")
    bench.frame("smd+2")
    for _ in range(200):
        bench.ticks(every_s, every_s)
        bench.frame("smd+2", stream_id="q2")
    last_ns, stopped_s = bench.ns, bench.s
    limit_s = min(60.0, max(5.0 * every_s, 2.5))
    while not bench.states("smd+1"):
        bench.passes(0.1)
        bench.frame("smd+2", stream_id="q2")
        bench.last_frame_s = bench.s
        assert bench.s - stopped_s < 1.05 * limit_s + 0.4
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]
    # A probe, and then a resubscribe.
    assert bench.sent()[-2:] == ["umd+1+{}", "smd+1+{}"]
    answer(bench, stream_id="q5")
    assert bench.states("smd+1")[1:] == [(STREAMING, Cause.DATA)]
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, Cause.SUBSCRIPTION_SILENT)]


def test_a_quiet_stream_that_answers_a_probe_is_not_stale():
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 1.0)
    bench.sent()
    bench.passes(4.0)
    assert bench.sent() == ["smd+1+{}"]
    answer(bench)
    bench.passes(4.0)
    bench.frame(stream_id="q1")
    assert bench.states("smd+1") == []
    assert bench.gaps() == []


def test_a_reply_with_a_new_stream_id_shows_that_the_old_stream_had_stopped():
    bench = Bench(SMD).to("streaming")
    # A renewal of a working stream shows that this gateway keeps its id.
    bench.ticks(540.0, 1.0)
    last_ns = bench.ns
    bench.sent()
    bench.passes(4.0)
    assert bench.sent() == ["smd+1+{}"]
    answer(bench, stream_id="q2")
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT), (STREAMING, Cause.DATA)]
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, Cause.SUBSCRIPTION_SILENT)]


def test_a_gateway_that_changes_the_ids_of_working_streams_is_recognized():
    bench = Bench(SMD).to("streaming")
    for number in range(2, 8):
        bench.passes(3_000.0 if number > 3 else 700.0)
        answer(bench, stream_id=f"q{number}")
        if number == 2:
            # A second reply right after the first: that stream certainly works.
            answer(bench, stream_id="q2b")
    assert bench.states("smd+1") == []
    # Before the gateway was recognized, one gap may have been reported.
    assert len(bench.gaps()) <= 1


def test_an_instrument_with_one_tick_an_hour_is_not_stale_for_a_day():
    bench = Bench(SMD).to("streaming")
    texts = []
    for _ in range(24):
        texts += bench.runs(3_600.0)
        bench.frame(stream_id="q1")
    assert bench.states("smd+1") == []
    assert bench.gaps() == []
    assert len(texts) <= 24 * 3_600 / 360 + 10


def test_outside_its_trading_hours_a_subscription_is_not_probed():
    noon = dt.datetime.fromtimestamp(EPOCH_NS // 10**9, dt.UTC)
    assert noon.hour == 12
    hours = TradingHours.weekdays("09:00", "12:10", "UTC")
    bench = Bench(Bench.spec(1, hours=hours)).to("streaming")
    bench.ticks(400.0, 1.0)
    bench.sent()
    # Ticks until after closing time, then a long pause.
    bench.ticks(110.0, 1.0)
    bench.runs(4_000.0)
    assert bench.machine.requests.probes == 0
    assert bench.states("smd+1") == []


def test_a_lost_subscribe_is_reported_and_sent_again():
    bench = Bench(SMD, SPL).to("authenticated")
    sent_ns = bench.ns
    bench.frame("spl")
    bench.beats(10.1)
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]
    assert bench.sent()[-2:] == ["umd+1+{}", "smd+1+{}"]
    answer(bench)
    assert bench.gaps() == [Gap("smd+1", sent_ns, bench.ns, Cause.SUBSCRIPTION_SILENT)]


def test_a_stream_that_stays_stopped_is_resubscribed_less_and_less_often():
    bench = Bench(SMD, SPL, options=FeedOptions(keepalive_interval_s=10_000.0)).to("authenticated")
    bench.frame("spl")
    bench.sent()
    moments = []
    for _ in range(300):
        bench.frame("spl")
        bench.beats(1.0)
        if "umd+1+{}" in bench.sent():
            moments.append(bench.s)
        if bench.machine.state is FeedState.DISCONNECTED:
            break
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(later >= earlier - 1.0 for earlier, later in itertools.pairwise(pauses))
    assert all(pause <= 61.0 for pause in pauses)


def test_a_refused_order_subscribe_is_repeated_after_the_accounts_request():
    bench = Bench(SMD, SOR).to("streaming")
    bench.do(bench.machine.on_refused("sor", bench.now()))
    assert bench.states("sor") == [(STALE, Cause.SUBSCRIPTION_REFUSED)]
    assert bench.waits_for() is CallKind.ACCOUNTS
    bench.accounts()
    bench.ticks(5.0, 0.5)
    bench.passes(0.3)
    assert "sor+{}" in bench.sent()
    # Reported once, however often it is refused; repeated later each time.
    bench.do(bench.machine.on_refused("sor", bench.now()))
    bench.accounts()
    bench.ticks(9.0, 0.5)
    assert "sor+{}" not in bench.sent()
    bench.ticks(1.5, 0.5)
    assert "sor+{}" in bench.sent()
    bench.frame("sor")
    assert [gap.cause for gap in bench.gaps() if gap.subscription == "sor"] == [Cause.SUBSCRIPTION_REFUSED]


def test_a_refusal_of_an_unknown_topic_is_ignored():
    bench = Bench(SMD).to("streaming")
    assert bench.do(bench.machine.on_refused("sor", bench.now())) == []
    assert bench.waits_for() is None


def test_a_frame_in_transit_moves_the_start_of_the_gap():
    bench = Bench(SMD).to("streaming")
    bench.ended(Cause.CONNECTION_LOST)
    bench.passes(0.01)
    bench.frame()
    late_ns = bench.ns
    bench.passes(1.0)
    bench.facts(1, True)
    bench.accounts()
    bench.opened()
    bench.ready()
    bench.status(True)
    answer(bench)
    assert bench.gaps() == [Gap("smd+1", late_ns, bench.ns, Cause.CONNECTION_LOST)]


def test_a_late_frame_of_a_new_stream_ends_the_gap_before_it():
    bench = Bench(SMD).to("streaming")
    first_ns = bench.ns
    bench.passes(1.0)
    bench.status(False)
    bench.passes(1.0)
    bench.facts(1, True)
    bench.accounts()
    assert bench.sent() == ["smd+1+{}"]
    bench.status(False)
    # The subscribe was answered before the session ended again.
    bench.passes(0.04)
    bench.frame(is_snapshot=True, stream_id="q2")
    late_ns = bench.ns
    assert bench.gaps() == [Gap("smd+1", first_ns, late_ns, Cause.SESSION_ENDED)]
    bench.passes(5.0)
    bench.facts(1, True)
    bench.accounts()
    bench.passes(0.1)
    answer(bench, stream_id="q3")
    assert bench.gaps()[1:] == [Gap("smd+1", late_ns, bench.ns, Cause.SESSION_ENDED)]


@pytest.mark.parametrize("has_replied", [True, False])
def test_an_unanswered_probe_of_a_gateway_that_replies_makes_a_gap(has_replied: bool):
    bench = Bench(SMD, SPL).to("streaming")
    bench.frame("spl")
    if has_replied:
        # A renewal in the middle of ticks shows that the gateway replies with the same stream.
        while bench.machine.requests.renewals == 0:
            bench.ticks(1.0, 1.0)
        answer(bench)
        # The usual interval is no longer known after a long quiet time with replies.
        bench.runs(4_000.0)
    last_ns = bench.activity["smd+1"].last_ns
    while "umd+1+{}" not in bench.sent():
        bench.frame("spl")
        bench.beats(1.0)
        bench.responds()
    answer(bench, stream_id="q7")
    assert bench.gaps() == ([Gap("smd+1", last_ns, bench.ns, Cause.SUBSCRIPTION_SILENT)] if has_replied else [])


@pytest.mark.parametrize("how", ["stop", "unsubscribe"])
def test_a_gap_that_cannot_end_is_reported_without_an_end(how: str):
    bench = Bench(SMD).to("streaming")
    last_ns = bench.ns
    bench.ended(Cause.CONNECTION_LOST)
    bench.passes(0.5)
    if how == "stop":
        bench.do(bench.machine.stop(bench.now()))
    else:
        bench.do(bench.machine.unsubscribe("smd+1", bench.now()))
    assert bench.gaps() == [Gap("smd+1", last_ns, None, Cause.CONNECTION_LOST)]


def test_two_lost_connections_make_one_gap():
    bench = Bench(SMD).to("streaming")
    last_ns = bench.ns
    bench.ended(Cause.CONNECTION_LOST)
    bench.passes(1.0)
    bench.facts(1, True)
    bench.accounts()
    bench.opened()
    bench.ready()
    bench.status(True)
    bench.ended(Cause.CLOSED_BY_GATEWAY)
    bench.passes(2.0)
    bench.facts(1, True)
    bench.accounts()
    bench.opened()
    bench.ready()
    bench.status(True)
    answer(bench)
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, Cause.CONNECTION_LOST)]


def test_a_second_subscribe_changes_only_the_parameters():
    bench = Bench(SMD).to("streaming")
    bench.passes(1.0)
    other = Bench.spec(1, usual_interval_s=7.0)
    bench.do(bench.machine.subscribe(other, bench.now()))
    assert bench.sent() == ["smd+1+{}"]
    assert bench.machine.subscriptions["smd+1"].staleness.interval.usual_s == 7.0
    assert bench.states("smd+1") == []


def test_a_given_usual_interval_sets_the_staleness_limit():
    spec = Bench.spec(1, usual_interval_s=4.0)
    bench = Bench(spec, SPL).to("streaming")
    bench.frame("spl")
    bench.beats(19.0)
    assert bench.states("smd+1") == []
    bench.beats(1.2)
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]


def test_without_a_usual_interval_two_subscribes_are_sent_before_the_subscription_is_stale():
    bench = Bench(SMD, SPL).to("streaming")
    bench.frame("spl")
    bench.sent()
    bench.beats(45.5)
    assert bench.sent() == ["smd+1+{}"]
    bench.beats(10.0)
    assert bench.sent() == ["umd+1+{}", "smd+1+{}"]
    assert bench.states("smd+1") == []
    bench.beats(10.2)
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]


def test_a_failed_check_is_repeated():
    class Faulty(TradingHours):
        is_failing = False

        def is_open(self, time_ns: int) -> bool:
            if self.is_failing:
                raise ArithmeticError
            return True

    hours = Faulty(((0, "00:00", "24:00"),), "UTC")
    bench = Bench(Bench.spec(1, hours=hours)).to("streaming")
    bench.ticks(30.0, 1.0)
    Faulty.is_failing = True
    with pytest.raises(ArithmeticError):
        bench.passes(30.0)
    Faulty.is_failing = False
    # Renewals and probes continue, and the stopped stream is detected.
    bench.beats(600.0)
    assert bench.machine.requests.renewals + bench.machine.requests.probes > 0
    assert (STALE, Cause.SUBSCRIPTION_SILENT) in bench.states("smd+1")
