"""Samples: the values of all metrics at one moment, read from the counters of a feed and its run"""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

from cpapi_fast._version import __version__
from cpapi_fast.events import FeedState

from .totals import OTHERS, ConsumerTotals, OutputTotals, label_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cpapi_fast.feed import Feed
    from cpapi_fast.outputs.contract.queue_items import OutputQueueStats
    from cpapi_fast.outputs.interface import OutputCounts

    from .histogram import LatencyHistogram
    from .meters import FrameMeter

#: The cumulative counts by bound in seconds, the number of items, and the sum in seconds.
Snapshot = tuple[list[tuple[float, int]], int, float]

#: How many reasons of an output are shown on their own; the others share one series.
_MOST_REASONS: Final = 32

#: The topics whose targets are conids, and no accounts.
_MARKET_DATA: Final = "smd+"


class Samples:
    """The samples of one moment, by the name of the metric without its prefix.

    Attributes:
        values: the values of counters and gauges, each with those of its labels.
        histograms: the histograms, each with the values of its labels.
    """

    def __init__(self) -> None:
        self.values: Final[dict[str, list[tuple[tuple[str, ...], float]]]] = {}
        self.histograms: Final[dict[str, list[tuple[tuple[str, ...], Snapshot]]]] = {}
        self.add("build_info", 1, __version__)

    def add(self, name: str, value: float, *labels: str) -> None:
        """Add a sample."""
        self.values.setdefault(name, []).append((labels, value))

    def add_histogram(self, name: str, histogram: LatencyHistogram, *labels: str) -> None:
        """Add a histogram."""
        # Not the histogram itself: another thread or a later batch adds to it while the text is written.
        self.histograms.setdefault(name, []).append((labels, histogram.snapshot()))

    def add_state(self, state: FeedState) -> None:
        """Add the state of the feed: one sample for each state."""
        for one in FeedState:
            self.add("feed_state", one is state, one.value)

    def add_feed(self, feed: Feed, meter: FrameMeter) -> None:
        """Add the counters of a feed."""
        stats, connection = feed.stats, feed.stats.connection
        next_try_s = feed.next_try_s
        if next_try_s is not None:
            self.add("feed_next_try_seconds", next_try_s)
        for name, value in (
            ("feed_state_changes_total", stats.state_changes),
            ("connections_total", stats.connections),
            ("reconnects_total", max(stats.connections - 1, 0)),
            ("received_frames_total", connection.frames_received),
            ("received_bytes_total", connection.bytes_received),
            ("delivered_frames_total", connection.delivered),
            ("dropped_frames_total", connection.dropped),
            ("pending_frames", connection.pending),
            ("malformed_frames_total", connection.malformed),
            ("frames_after_end_total", connection.frames_after_end),
            ("untracked_frames_total", stats.frames_untracked),
            ("late_frames_total", stats.late_frames),
            ("lateness_max_seconds", stats.max_lateness_ns / 1e9),
            ("standstills_total", stats.standstills),
            ("renewals_total", stats.renewals),
            ("probes_total", stats.probes),
            ("resubscribes_total", stats.resubscribes),
            ("send_queue_texts", stats.texts_queued),
            ("send_queue_age_seconds", stats.queue_age_s),
            ("rest_calls_failed_total", stats.calls_failed),
        ):
            self.add(name, value)
        for kind, (frames, nbytes) in meter.kinds().items():
            self.add("frames_by_kind_total", frames, kind)
            self.add("frame_bytes_by_kind_total", nbytes, kind)
        self.add_histogram("delivery_latency_seconds", meter.latency)
        for cause, total in stats.gap_totals.items():
            self.add("gaps_total", total.gaps, cause.value)
            self.add("gap_seconds_total", total.length_ns / 1e9, cause.value)

    def add_subscriptions(self, feed: Feed, max_conids: int) -> None:
        """Add the states and ages of the subscriptions, with the ages of the first `max_conids` alone."""
        measures = feed._measures()
        for state in FeedState:
            self.add("subscriptions", measures.states.get(state, 0), state.value)
        self.add("subscriptions_in_gap", measures.in_gap)
        open_ns = measures.open_gap_ns
        self.add("open_gap_seconds", 0 if open_ns is None else max(time.time_ns() - open_ns, 0) / 1e9)
        if measures.frame_age_s is not None:
            self.add("last_frame_age_seconds", measures.frame_age_s)
        ages = list(measures.tick_ages_s.values())
        known = [age_s for age_s in ages if age_s is not None]
        self.add("subscriptions_without_tick", len(ages) - len(known))
        self.add("tick_age_max_seconds", max(known, default=0.0))
        if max_conids:
            # Not the first with a frame: otherwise a late first frame would end the series of another.
            for topic, age_s in islice(measures.tick_ages_s.items(), max_conids):
                if age_s is not None:
                    self.add("tick_age_seconds", age_s, label_of(topic.removeprefix(_MARKET_DATA)))
            others = [age_s for age_s in ages[max_conids:] if age_s is not None]
            self.add("tick_age_other_subscriptions", len(others))
            self.add("tick_age_other_max_seconds", max(others, default=0.0))

    def add_consumers(self, totals: ConsumerTotals) -> None:
        """Add the counters of all consumers."""
        for name, total in totals.read().items():
            for metric, key in (
                ("consumer_received_frames_total", "received"),
                ("consumer_delivered_frames_total", "delivered"),
                ("consumer_conflated_frames_total", "conflated"),
                ("consumer_dropped_frames_total", "dropped"),
                ("consumer_pending_frames", "pending"),
                ("consumer_pending_bytes", "pending_bytes"),
                ("consumer_received_events_total", "events_received"),
                ("consumer_dropped_events_total", "events_dropped"),
                ("consumer_overflow_gaps_total", "overflow_gaps"),
                ("consumer_callback_errors_total", "callback_errors"),
            ):
                self.add(metric, total[key], name)
            if total["limit_bytes"]:
                self.add("consumer_pending_limit_bytes", total["limit_bytes"], name)

    def add_requests(self, by_status: Mapping[str, int]) -> None:
        """Add the REST requests by status."""
        for status, count in by_status.items():
            self.add("rest_requests_total", count, status)

    def add_outputs(
        self,
        outputs: Iterable[tuple[str, str, OutputCounts]],
        totals: OutputTotals,
        latencies: Mapping[str, LatencyHistogram],
    ) -> None:
        """Add the counters of the outputs of a run.

        Args:
            outputs: name, unit and counts of each. Of outputs with the same label, only the first is shown.
            totals: their totals at the last call.
            latencies: the write latencies of those that are measured, by name.
        """
        shown: set[str] = set()
        for name, unit, counts in outputs:
            label = label_of(name)
            if label in shown:
                continue
            shown.add(label)
            total = totals.read(name, label_of(unit), counts)
            self.add("output_received_total", total.received, label, total.unit)
            self.add("output_written_total", total.written, label, total.unit)
            for metric, reasons in (("output_dropped_total", total.dropped), ("output_lost_total", total.lost)):
                for reason, count in _by_label(reasons).items():
                    self.add(metric, count, label, total.unit, reason)
            self.add("output_pending", total.pending, label, total.unit)
            if name in latencies:
                self.add_histogram("output_write_latency_seconds", latencies[name], label)

    def add_output_queues(self, queues: Iterable[tuple[str, OutputQueueStats, int]]) -> None:
        """Add the counters of the queues of the outputs: name, counters and bound in bytes of each."""
        shown: set[str] = set()
        for name, queue, limit_bytes in queues:
            label = label_of(name)
            if label in shown:
                continue
            shown.add(label)
            for metric, value in (
                ("output_queue_received_frames_total", queue.received),
                ("output_queue_delivered_frames_total", queue.delivered),
                ("output_queue_pending_frames", queue.pending),
                ("output_queue_pending_bytes", queue.pending_bytes),
                ("output_queue_pending_limit_bytes", limit_bytes),
                ("output_failures_total", queue.failures),
                ("output_retries_total", queue.retries),
            ):
                self.add(metric, value, label)
            for reason, count in _by_label(queue.dropped).items():
                self.add("output_queue_dropped_frames_total", count, label, reason)
            for reason, count in _by_label(queue.events_dropped).items():
                self.add("output_queue_dropped_events_total", count, label, reason)


def _by_label(reasons: Mapping[str, int]) -> Counter[str]:
    """The counts of reasons by their label. Two reasons may have one label, and a series may occur only once."""
    found: Counter[str] = Counter()
    for reason, count in reasons.items():
        label = label_of(reason)
        found[label if label in found or len(found) < _MOST_REASONS else OTHERS] += count
    return found
