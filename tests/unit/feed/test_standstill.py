"""Standstills and late frames in the state machine: where gaps begin, what is certain, and what is not stale."""

from __future__ import annotations

import pytest

from cpapi_fast.events import Cause, Certainty, FeedState, Gap, Standstill, StandstillReason

from .machine_harness import SMD, SPL, Bench

STALE, STREAMING = FeedState.STALE, FeedState.STREAMING


def reconnects(bench: Bench, *, is_newer: bool | None = None) -> None:
    """A lost connection is replaced, and the snapshot of the new stream arrives."""
    bench.ended(Cause.CONNECTION_LOST)
    bench.passes(1.0)
    bench.facts(1, True)
    bench.accounts()
    bench.opened()
    bench.ready()
    bench.status(True)
    bench.passes(0.04)
    bench.frame(is_snapshot=True, stream_id="q9", is_newer=is_newer)
    bench.frame(is_snapshot=True, stream_id="q9", is_newer=False)


@pytest.mark.parametrize("reason", list(StandstillReason))
def test_a_standstill_is_an_event_with_its_start_and_length(reason: StandstillReason):
    bench = Bench(SMD).to("streaming")
    start_ns = bench.ns
    bench.stands_still(20.0, reason)
    assert bench.events[-1] == Standstill(start_ns, 20 * 10**9, reason)


def test_a_machine_that_is_not_started_reports_no_standstill():
    bench = Bench(SMD)
    bench.stands_still(20.0, StandstillReason.PROCESS)
    assert bench.events == []


def test_a_gap_begins_where_the_data_ended_and_not_where_it_was_read():
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 0.5)
    stopped_ns = bench.ns
    # The process stands still for 25 s. A frame that was sent after 4 s waited in the socket for 21 s.
    bench.stands_still(25.0, StandstillReason.PROCESS)
    bench.frame(stream_id="q1", late_s=21.0, is_newer=True)
    reconnects(bench, is_newer=True)
    (gap,) = bench.gaps()
    assert gap.last_good_ns == stopped_ns + 4 * 10**9
    assert gap.first_good_ns == bench.ns
    assert gap.cause is Cause.CONNECTION_LOST


@pytest.mark.parametrize(("late_s", "certainty"), [(21.0, Certainty.CERTAIN), (0.0, Certainty.POSSIBLE)])
def test_a_gap_after_a_standstill_is_certain_if_its_last_frame_was_late(late_s: float, certainty: Certainty):
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 2.0)
    # The last data before the socket ended is of 4 s after the standstill began, or of its end.
    bench.stands_still(25.0, StandstillReason.PROCESS)
    bench.frame(stream_id="q1", late_s=late_s, is_newer=True)
    reconnects(bench, is_newer=True)
    (gap,) = bench.gaps()
    assert gap.certainty is certainty


def test_a_new_stream_after_a_standstill_leaves_a_certain_gap_if_the_last_frame_of_the_old_one_was_late():
    bench = Bench(SMD).to("streaming")
    # This gateway continues a stream whose subscribe is repeated, as the renewals have shown.
    while bench.machine.requests.renewals < 3:
        bench.passes(2.0)
        bench.responds()
        for text in bench.sent():
            if text.startswith("smd"):
                bench.frame(is_snapshot=True, stream_id="q1", count=2)
        bench.frame(stream_id="q1", is_newer=True)
    # Its lifetime ends during a standstill. The renewal is sent at the end, and starts another stream.
    bench.stands_still(700.0, StandstillReason.PROCESS)
    bench.frame(stream_id="q1", late_s=400.0, is_newer=True)
    stopped_ns = bench.ns - 400 * 10**9
    bench.passes(0.1)
    assert bench.sent() == ["smd+1+{}"]
    bench.frame(is_snapshot=True, stream_id="q2", is_newer=True)
    (gap,) = bench.gaps()
    assert (gap.last_good_ns, gap.certainty) == (stopped_ns, Certainty.CERTAIN)


def test_a_late_frame_in_transit_moves_the_start_of_the_gap_to_the_time_of_its_data():
    bench = Bench(SMD).to("streaming")
    stopped_ns = bench.ns
    bench.ended(Cause.CONNECTION_LOST)
    bench.passes(0.01)
    bench.s += 30.0
    bench.frame(late_s=29.0)
    bench.do(bench.machine.stop(bench.now()))
    (gap,) = bench.gaps()
    assert gap.last_good_ns == pytest.approx(stopped_ns + 1.01e9, abs=10)


@pytest.mark.parametrize("length_s", [2.0, 5.0, 20.0, 200.0])
@pytest.mark.parametrize("reads_first", [True, False])
def test_a_standstill_of_the_process_causes_neither_stale_nor_a_gap(length_s: float, reads_first: bool):
    bench = Bench(SMD, SPL).to("streaming")
    bench.ticks(100.0, 0.5)
    bench.stands_still(length_s, StandstillReason.PROCESS)
    if not reads_first:
        bench.tick()
    bench.frame(stream_id="q1", late_s=length_s, count=5, is_newer=True)
    bench.ticks(60.0, 0.5)
    assert bench.states("smd+1") == []
    assert bench.gaps() == []


@pytest.mark.parametrize("length_s", [3.0, 5.0, 20.0, 28.0])
def test_a_silent_socket_makes_no_subscription_stale(length_s: float):
    specs = [Bench.spec(conid) for conid in range(1, 6)]
    bench = Bench(*specs).to("streaming")
    for conid in range(2, 6):
        bench.frame(f"smd+{conid}", is_snapshot=True, stream_id="q1", count=2)
    for _ in range(200):
        for spec in specs:
            bench.frame(spec.topic, stream_id="q1", is_newer=True)
        bench.passes(0.5)
        bench.responds()
    bench.passes(length_s)
    bench.responds()
    bench.do(bench.machine.on_standstill(int(length_s * 1e9), StandstillReason.NETWORK, bench.now()))
    usual_s = [one.staleness.interval.usual_s for one in bench.machine.subscriptions.values()]
    for spec in specs:
        bench.frame(spec.topic, stream_id="q1", count=int(2 * length_s), late_s=length_s, is_newer=True)
    bench.ticks(30.0, 0.5)
    assert [bench.states(spec.topic) for spec in specs[:1]] == [[]]
    assert bench.gaps() == []
    assert bench.machine.state is STREAMING
    # The silence was not learned as a pause of the instrument.
    assert usual_s == pytest.approx([0.5] * 5, rel=0.2)


def test_a_socket_that_stays_silent_times_out():
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 0.5)
    bench.passes(31.0)
    assert bench.states()[-1] == (FeedState.DISCONNECTED, Cause.SOCKET_SILENT)
    assert bench.states("smd+1") == []


def test_a_subscription_is_stale_as_soon_as_another_frame_shows_that_the_socket_works():
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 0.5)
    bench.passes(6.0)
    assert bench.states("smd+1") == []
    bench.last_frame_s = bench.s
    bench.passes(0.5)
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]


def test_a_reply_to_tic_shows_that_the_socket_works_before_the_next_heartbeat():
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 0.5)
    before = bench.texts.count("tic")
    bench.passes(6.0)
    assert bench.texts.count("tic") == before + 1
    assert bench.states("smd+1") == []
    bench.last_frame_s = bench.s
    bench.passes(0.5)
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]


def test_a_silent_socket_without_a_reply_costs_few_tic():
    bench = Bench(SMD).to("streaming")
    bench.ticks(100.0, 0.5)
    before = bench.texts.count("tic")
    for _ in range(56):
        bench.passes(0.5)
    assert before < bench.texts.count("tic") <= before + 8
    assert bench.states("smd+1") == []


def test_after_a_suspend_subscriptions_are_renewed_and_the_session_is_checked():
    bench = Bench(SMD).to("streaming")
    bench.ticks(10.0, 0.5)
    calls = len(bench.calls)
    bench.stands_still(3_600.0, StandstillReason.SUSPEND, suspended_s=3_599.0)
    bench.passes(0.5)
    assert bench.sent() == ["smd+1+{}"]
    assert len(bench.calls) == calls + 1


@pytest.mark.parametrize(
    ("ticks_s", "is_newer", "certainty"),
    [
        (100.0, True, Certainty.CERTAIN),
        # The first data after the gap is that before it, or nothing shows whether it is.
        (100.0, False, Certainty.POSSIBLE),
        (100.0, None, Certainty.POSSIBLE),
        # The usual interval is not known.
        (0.0, True, Certainty.POSSIBLE),
    ],
)
def test_a_gap_says_whether_frames_are_missing(ticks_s: float, is_newer: bool | None, certainty: Certainty):
    bench = Bench(SMD).to("streaming")
    bench.ticks(ticks_s, 0.5)
    last_ns = bench.ns
    reconnects(bench, is_newer=is_newer)
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, Cause.CONNECTION_LOST, certainty=certainty)]


def test_a_gap_shorter_than_two_usual_intervals_is_only_possible():
    bench = Bench(SMD).to("streaming")
    bench.ticks(300.0, 3.0)
    reconnects(bench, is_newer=True)
    assert [gap.certainty for gap in bench.gaps()] == [Certainty.POSSIBLE]
