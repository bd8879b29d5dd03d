"""Frozen streams: a gateway that answers probes with the old snapshot, and instruments that are only quiet."""

from __future__ import annotations

import pytest

from cpapi_fast.events import Cause, Certainty, FeedState, Gap

from .machine_harness import SMD, Bench

STALE, STREAMING = FeedState.STALE, FeedState.STREAMING


class Gateway:
    """Replies to each subscribe with a snapshot.

    Args:
        bench: the machine.
        stream_id: of the first stream.
        is_frozen: send the old snapshot; `hard`: of the old stream, also after an unsubscribe.
        is_dated: snapshots have the time of the last tick, not that of the reply.
    """

    def __init__(self, bench: Bench, *, is_frozen: bool, is_hard: bool = False, is_dated: bool = True) -> None:
        self.bench = bench
        self.is_frozen, self.is_hard, self.is_dated = is_frozen, is_hard, is_dated
        self.number = 1
        self.texts: list[str] = []

    def runs(self, duration_s: float) -> None:
        """Time passes with heartbeats."""
        bench = self.bench
        until_s = bench.s + duration_s
        while bench.s < until_s:
            bench.passes(0.1)
            bench.last_frame_s = bench.s
            bench.responds()
            for text in bench.sent():
                self.texts.append(text)
                if text.startswith("umd") and not self.is_hard:
                    self.number, was_frozen, self.is_frozen = self.number + 1, self.is_frozen, False
                    self._misses_ticks = was_frozen
                elif text.startswith("smd"):
                    is_newer = getattr(self, "_misses_ticks", False) or not self.is_dated
                    self._misses_ticks = False
                    bench.frame(is_snapshot=True, stream_id=f"q{self.number}", is_newer=is_newer)
                    bench.frame(is_snapshot=True, stream_id=f"q{self.number}", is_newer=False)


def streaming(every_s: float = 0.5) -> Bench:
    """A subscription that has ticked for a while, but was not renewed yet."""
    bench = Bench(SMD).to("streaming")
    for _ in range(int(300.0 / every_s)):
        bench.passes(every_s)
        bench.frame(stream_id="q1", is_newer=True)
        bench.responds()
    bench.sent()
    return bench


@pytest.mark.parametrize("every_s", [0.5, 2.0, 8.0])
def test_a_frozen_stream_is_revived_and_its_gap_begins_at_the_last_tick(every_s: float):
    bench = streaming(every_s)
    last_ns, frozen_s = bench.ns, bench.s
    gateway = Gateway(bench, is_frozen=True)
    while not bench.gaps():
        gateway.runs(0.1)
        assert bench.s - frozen_s < 25.0 * every_s + 5.0
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT), (STREAMING, Cause.DATA)]
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, Cause.SUBSCRIPTION_SILENT, certainty=Certainty.CERTAIN)]
    # The frozen time is not learned as a pause of the instrument.
    assert bench.machine.subscriptions["smd+1"].staleness.interval.usual_s == pytest.approx(every_s, rel=0.2)


def test_a_gateway_that_never_ticks_again_keeps_the_subscription_stale():
    bench = streaming()
    last_ns = bench.ns
    gateway = Gateway(bench, is_frozen=True, is_hard=True)
    gateway.runs(12.0)
    assert bench.states("smd+1") == [(STALE, Cause.SUBSCRIPTION_SILENT)]
    assert bench.gaps() == []
    # Nothing else is subscribed to, so the socket is replaced if this lasts.
    assert bench.machine.state is STALE
    # A tick ends it.
    bench.frame(stream_id="q1", is_newer=True)
    assert bench.states("smd+1")[1:] == [(STREAMING, Cause.DATA)]
    (gap,) = bench.gaps()
    assert (gap.last_good_ns, gap.first_good_ns) == (last_ns, bench.ns)


@pytest.mark.parametrize("is_dated", [True, False], ids=["dated", "now"])
@pytest.mark.parametrize("every_s", [0.5, 2.0, 8.0])
def test_a_quiet_instrument_is_neither_stale_nor_in_a_gap(every_s: float, is_dated: bool):
    bench = streaming(every_s)
    gateway = Gateway(bench, is_frozen=False, is_dated=is_dated)
    gateway.runs(4_000.0)
    assert bench.states("smd+1") == []
    assert bench.gaps() == []
    assert bench.machine.state is STREAMING
    # It is revived less and less often.
    assert 1 <= gateway.texts.count("umd+1+{}") <= 6


def test_where_snapshots_have_the_time_of_the_reply_ticks_after_a_revival_show_a_possible_gap():
    bench = streaming()
    last_ns = bench.ns
    gateway = Gateway(bench, is_frozen=False, is_dated=False)
    while "umd+1+{}" not in gateway.texts:
        gateway.runs(0.1)
    assert bench.gaps() == []
    # The revival helped: it ticks again at once.
    bench.passes(0.3)
    bench.frame(stream_id="q2", is_newer=True)
    assert bench.gaps() == [Gap("smd+1", last_ns, bench.ns, Cause.SUBSCRIPTION_SILENT)]


def test_a_connection_that_is_lost_while_a_stream_is_frozen_has_a_gap_from_the_last_tick():
    bench = streaming()
    last_ns = bench.ns
    Gateway(bench, is_frozen=True).runs(2.5)
    assert bench.activity["smd+1"].last_ns > last_ns
    bench.ended(Cause.CONNECTION_LOST)
    bench.do(bench.machine.stop(bench.now()))
    assert bench.gaps() == [Gap("smd+1", last_ns, None, Cause.CONNECTION_LOST)]
