"""The catalogue of metrics: the name, type, labels and text of each. The documentation shows the same table"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: The types of Prometheus.
MetricType = Literal["counter", "gauge", "histogram"]

#: The start of every name.
PREFIX: Final = "cpapi_fast_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: the name without the prefix `cpapi_fast_`.
        type: `counter`, `gauge` or `histogram`. A counter never decreases while the process lives.
        labels: the names of its labels. The number of values of each is bounded.
        text: what it measures: the HELP text.
        of: where it exists: `feed` for each source, `collector` only for a `Collector`, `option` only if asked for.
    """

    name: str
    type: MetricType
    labels: tuple[str, ...]
    text: str
    of: Literal["feed", "collector", "option"] = "feed"

    @property
    def full_name(self) -> str:
        """The name with its prefix, as Prometheus stores it."""
        return PREFIX + self.name


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", labels, text)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, text)


_ALL: Final = (
    _gauge("build_info", "Always 1. The label has the version of cpapi_fast.", "version"),
    # The feed.
    _gauge("feed_state", "1 for the current state of the feed, 0 for all others.", "state"),
    _counter("feed_state_changes_total", "Reported changes of state, including those of subscriptions."),
    _gauge("feed_next_try_seconds", "Time until the next attempt to reach the gateway; absent if none is scheduled."),
    _counter("connections_total", "Opened WebSocket connections."),
    _counter("reconnects_total", "Opened WebSocket connections after the first."),
    _counter("received_frames_total", "Frames received on all connections."),
    _counter("received_bytes_total", "Payload bytes of the received frames."),
    _counter("delivered_frames_total", "Received frames that were passed to the feed."),
    _counter("dropped_frames_total", "Received frames that were dropped at the end of a connection."),
    _gauge("pending_frames", "Received frames that wait to be passed to the feed."),
    _counter("malformed_frames_total", "Received frames that are not JSON."),
    _counter("frames_after_end_total", "Frames after the end of a connection. They do not count as received."),
    _counter("frames_by_kind_total", "Frames delivered to consumers, by kind, since metrics are on.", "kind"),
    _counter("frame_bytes_by_kind_total", "Payload bytes of these frames, by kind, since metrics are on.", "kind"),
    _counter("untracked_frames_total", "Market data frames of no subscription, or of a cancelled one."),
    _counter("late_frames_total", "Market data frames that arrived more than a second later than usual."),
    _gauge("lateness_max_seconds", "The largest lateness of a market data frame so far."),
    _counter("standstills_total", "Reported periods in which nothing was received."),
    Metric(
        "delivery_latency_seconds",
        "histogram",
        (),
        "Time from the receipt of a frame until all consumers have it, and callbacks have returned.",
    ),
    # Its subscriptions.
    _gauge("subscriptions", "Subscriptions, by state.", "state"),
    _gauge("subscriptions_in_gap", "Subscriptions whose data is missing now."),
    _gauge("open_gap_seconds", "Time since the last frame before the oldest gap that is still open; 0 without one."),
    _counter("gaps_total", "Reported gaps, by cause.", "cause"),
    _counter("gap_seconds_total", "Lengths of the reported gaps of all subscriptions together, by cause.", "cause"),
    _counter("renewals_total", "Subscribes that were repeated before the lifetime of their subscription ended."),
    _counter("probes_total", "Subscribes that were repeated to check a quiet subscription."),
    _counter("resubscribes_total", "Subscribes that were repeated because a subscription was stale."),
    _gauge("send_queue_texts", "Subscribes and unsubscribes that wait to be sent now."),
    _gauge("send_queue_age_seconds", "How long the oldest of them has waited; 0 without one."),
    _gauge("last_frame_age_seconds", "Time since the last frame of any kind; absent before the first."),
    _gauge("subscriptions_without_tick", "Market data subscriptions without a frame so far."),
    _gauge("tick_age_max_seconds", "The longest time since the last frame of a market data subscription; 0 if none."),
    Metric(
        "tick_age_seconds",
        "gauge",
        ("conid",),
        "Time since the last frame of a market data subscription, of the first max_conids subscriptions.",
        of="option",
    ),
    Metric(
        "tick_age_other_max_seconds",
        "gauge",
        (),
        "The longest time since the last frame of the market data subscriptions beyond max_conids.",
        of="option",
    ),
    Metric(
        "tick_age_other_subscriptions",
        "gauge",
        (),
        "Market data subscriptions with a frame beyond max_conids.",
        of="option",
    ),
    # Its consumers.
    _counter("consumer_received_frames_total", "Frames passed to a consumer.", "consumer"),
    _counter("consumer_delivered_frames_total", "Frames that the reader or callback of a consumer got.", "consumer"),
    _counter("consumer_conflated_frames_total", "Frames merged into an earlier one for a consumer.", "consumer"),
    _counter(
        "consumer_dropped_frames_total", "Frames dropped by the overflow policy or the end of a consumer.", "consumer"
    ),
    _gauge("consumer_pending_frames", "Frames that wait for a consumer, or that it is working on.", "consumer"),
    _gauge("consumer_pending_bytes", "Bytes of these frames, with 64 more for each.", "consumer"),
    _gauge("consumer_pending_limit_bytes", "The bound on these bytes; absent for a callback.", "consumer"),
    _counter("consumer_received_events_total", "Events passed to a consumer.", "consumer"),
    _counter("consumer_dropped_events_total", "Events dropped because a consumer had too many.", "consumer"),
    _counter("consumer_overflow_gaps_total", "Gaps caused by the overflow policy of a consumer.", "consumer"),
    _counter("consumer_callback_errors_total", "Exceptions raised by the callback of a consumer.", "consumer"),
    # REST and the event loop.
    _counter("rest_requests_total", "REST requests, by the status of the response, or no_response.", "status"),
    _counter("rest_calls_failed_total", "REST calls of the feed that failed."),
    Metric("event_loop_lag_seconds", "histogram", (), "How much later than due the event loop ran a timer of 0.25 s."),
    # The outputs of a run.
    *(
        Metric(name, kind, labels, text, of="collector")  # type: ignore[arg-type]
        for name, kind, labels, text in (
            ("output_received_total", "counter", ("output", "unit"), "Items passed to an output."),
            ("output_written_total", "counter", ("output", "unit"), "Items that an output has written."),
            (
                "output_dropped_total",
                "counter",
                ("output", "unit", "reason"),
                "Items that an output will never write, by reason.",
            ),
            (
                "output_lost_total",
                "counter",
                ("output", "unit", "reason"),
                "Written items that were lost with their file later, by reason.",
            ),
            ("output_pending", "gauge", ("output", "unit"), "Items in memory or in an unfinished file of an output."),
            (
                "output_queue_received_frames_total",
                "counter",
                ("output",),
                "Frames passed to the queue of an output.",
            ),
            (
                "output_queue_delivered_frames_total",
                "counter",
                ("output",),
                "Frames that an output got and kept.",
            ),
            (
                "output_queue_dropped_frames_total",
                "counter",
                ("output", "reason"),
                "Frames dropped from the queue of an output, by reason.",
            ),
            (
                "output_queue_dropped_events_total",
                "counter",
                ("output", "reason"),
                "Events dropped from the queue of an output, by reason.",
            ),
            (
                "output_queue_pending_frames",
                "gauge",
                ("output",),
                "Frames that wait in the queue of an output, or that it is working on.",
            ),
            ("output_queue_pending_bytes", "gauge", ("output",), "Bytes of these frames, with 64 more for each."),
            ("output_queue_pending_limit_bytes", "gauge", ("output",), "The bound on these bytes."),
            ("output_failures_total", "counter", ("output",), "Calls of an output that failed."),
            (
                "output_retries_total",
                "counter",
                ("output",),
                "Times that an output was called again after a failure.",
            ),
            (
                "output_write_latency_seconds",
                "histogram",
                ("output",),
                "Time from the receipt of a frame until an output has written it to a file that can be read.",
            ),
        )
    ),
    # The metrics themselves.
    _gauge("scrape_samples_seconds", "How long it took to read the samples before this one."),
)

#: All metrics by their names without the prefix, in the order of `/metrics`.
METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}
