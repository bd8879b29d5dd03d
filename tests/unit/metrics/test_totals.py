"""Totals never decrease, and no name of a user makes more series than are allowed."""

from __future__ import annotations

from typing import Any

from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.feed.status import FeedMeasures
from cpapi_fast.metrics.catalogue import METRICS
from cpapi_fast.metrics.samples import Samples
from cpapi_fast.metrics.totals import MOST_CONSUMERS, OTHERS, ConsumerTotals, OutputTotals
from cpapi_fast.outputs.contract.queue_items import OutputQueueStats
from cpapi_fast.outputs.interface import OutputCounts
from tests.support.batches import numbered, put


def rig() -> tuple[Dispatcher, ConsumerTotals]:
    delivery, totals = Dispatcher(hold=lambda _: None, on_callback_error=lambda _: None), ConsumerTotals()
    delivery.on_added = totals.add
    return delivery, totals


def add(delivery: Dispatcher, name: str) -> Any:
    return delivery.add(name=name, policy="drop_oldest", max_pending_frames=4, max_pending_bytes=10**6)


def test_the_counters_of_a_closed_consumer_stay() -> None:
    delivery, totals = rig()
    for _ in range(3):
        consumer = add(delivery, "disk")
        put(delivery, numbered(1, 6))
        consumer.close()
    delivery.add_callback(name="disk", callback=lambda _: None)
    put(delivery, numbered(1, 6))
    read = totals.read()["disk"]
    assert (read["received"], read["delivered"], read["dropped"], read["pending"]) == (24, 6, 18, 0)


def test_consumers_with_one_name_share_their_totals() -> None:
    delivery, totals = rig()
    consumers = [add(delivery, "a"), add(delivery, "a")]
    put(delivery, numbered(1, 3))
    read = totals.read()["a"]
    assert (read["received"], read["pending"], read["limit_bytes"]) == (6, 6, 2 * 10**6)
    assert [consumer.max_pending_bytes for consumer in consumers] == [10**6, 10**6]


def test_the_names_are_bounded_and_no_frame_is_lost() -> None:
    delivery, totals = rig()
    count = 5 * MOST_CONSUMERS
    for number in range(count):
        consumer = add(delivery, f"user {number}")
        put(delivery, numbered(1, 2))
        consumer.close()
    read = totals.read()
    assert len(read) == MOST_CONSUMERS + 1
    assert read[OTHERS]["received"] == 2 * (count - MOST_CONSUMERS)
    assert sum(total["received"] for total in read.values()) == 2 * count
    assert len(totals._consumers) == 0


def test_the_name_of_a_consumer_shows_no_account_and_is_one_short_line() -> None:
    delivery, totals = rig()
    consumer = add(delivery, "DU1234567\n" + "x" * 500)
    (name,) = totals.read()
    assert "1234567" not in name
    assert "\n" not in name
    assert len(name) <= 64
    consumer.close()


def test_the_totals_of_an_output_add_up_and_never_decrease() -> None:
    counts, totals = OutputCounts(), OutputTotals()
    highest = 0

    def check() -> None:
        nonlocal highest
        total = totals.read("capture", "frames", counts)
        assert total.received == total.written + sum(total.dropped.values()) + total.pending
        assert sum(total.lost.values()) <= total.written
        assert total.written >= highest
        highest = total.written

    counts.received = counts.pending = 100
    check()
    counts.pending, counts.written = 20, 80
    check()
    counts.lose(30, "deleted")
    check()
    counts.take_away(10)
    check()
    counts.drop_pending("write error")
    check()
    assert highest == 80
    assert totals.read("capture", "frames", counts).lost == {"file deleted": 30}


def test_a_read_between_two_changes_of_the_writer_does_not_decrease_a_total() -> None:
    counts, totals = OutputCounts(received=10, written=10), OutputTotals()
    assert totals.read("capture", "frames", counts).written == 10
    # The writer's thread has subtracted and not added yet.
    counts.written -= 4
    assert totals.read("capture", "frames", counts).written == 10


def test_reasons_with_one_label_are_one_series_and_their_number_is_bounded() -> None:
    counts, start = OutputCounts(), "x" * 64
    counts.received = 205
    for number in range(100):
        counts.drop(1, f"{start}{number}")
        counts.drop(1, f"reason {number}")
    counts.drop(5, "of DU1234567")
    samples = Samples()
    samples.add_outputs([("capture", "frames", counts)], OutputTotals(), {})
    shown = {labels[2]: number for labels, number in samples.values["output_dropped_total"]}
    assert len(samples.values["output_dropped_total"]) == len(shown) <= 33
    assert shown[start] == 100
    assert sum(shown.values()) == 205
    assert not [label for label in shown if "DU1234567" in label]


def test_the_ages_of_single_subscriptions_are_those_of_the_first_ones() -> None:
    class Source:
        """A feed as far as the ages go: the second subscription has a frame before the first."""

        def __init__(self, ages: dict[str, float | None]) -> None:
            self.ages = ages

        def _measures(self) -> FeedMeasures:
            return FeedMeasures({}, 0, None, None, self.ages)

    for first_s in (None, 7.0):
        samples, source = Samples(), Source({"smd+1": first_s, "smd+2": 5.0, "smd+3": 3.0, "smd+4": None})
        samples.add_subscriptions(source, 2)  # type: ignore[arg-type]
        ages = dict(samples.values["tick_age_seconds"])
        assert ages == ({("2",): 5.0} if first_s is None else {("1",): 7.0, ("2",): 5.0})
        assert samples.values["tick_age_other_subscriptions"] == [((), 1)]
        assert samples.values["tick_age_other_max_seconds"] == [((), 3.0)]
        assert samples.values["subscriptions_without_tick"] == [((), 2 if first_s is None else 1)]


def test_the_queue_of_each_output_has_its_counters() -> None:
    queue = OutputQueueStats(
        received=10,
        delivered=4,
        dropped={"queue full": 3, "write error": 1},
        pending=2,
        pending_bytes=140,
        events_dropped={"queue full": 5},
        failures=7,
        retries=6,
    )
    samples = Samples()
    samples.add_output_queues([("own", queue, 1000)])
    found = {name: {tuple(labels): value for labels, value in values} for name, values in samples.values.items()}
    del found["build_info"]
    assert found == {
        "output_queue_received_frames_total": {("own",): 10},
        "output_queue_delivered_frames_total": {("own",): 4},
        "output_queue_dropped_frames_total": {("own", "queue full"): 3, ("own", "write error"): 1},
        "output_queue_dropped_events_total": {("own", "queue full"): 5},
        "output_queue_pending_frames": {("own",): 2},
        "output_queue_pending_bytes": {("own",): 140},
        "output_queue_pending_limit_bytes": {("own",): 1000},
        "output_failures_total": {("own",): 7},
        "output_retries_total": {("own",): 6},
    }
    starts = ("output_queue_", "output_failures", "output_retries")
    assert set(found) == {name for name in METRICS if name.startswith(starts)}
