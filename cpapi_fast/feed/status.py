"""Values that a feed returns on request: counters, the status of subscriptions, and last values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.redaction import redact_accounts, repr_without_accounts
from cpapi_fast.ws.stats import WsStats

from .machine import Activity, Machine, SubscriptionState


class LastField(NamedTuple):
    """The latest value of one field.

    Attributes:
        value: the value as received: usually a text, sometimes a number.
        received_ns: the receive time of the frame that contained it, in ns since the Unix epoch.
        age_s: the time since then, in seconds of the feed's clock; not affected when the system time is set.
    """

    value: Any
    received_ns: int
    age_s: float


class LastValue(Mapping[str, LastField]):
    """The merged quote of one subscription: the latest value of every field, by field code, each with its age.

    Attributes:
        topic: the subscription's topic.
        is_current: whether the subscription streams now; False while it is stale or the feed is not connected.
    """

    def __init__(self, topic: str, fields: dict[str, LastField], *, is_current: bool) -> None:
        self.topic: Final = topic
        self.is_current: Final = is_current
        self._fields = fields

    def __getitem__(self, code: str) -> LastField:
        return self._fields[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        values = {code: field.value for code, field in self._fields.items()}
        return f"LastValue({redact_accounts(self.topic)!r}, {values!r}{'' if self.is_current else ', not current'})"


def last_value(
    topic: str, values: Mapping[str, tuple[Any, int, float]] | None, now_s: float, *, is_current: bool
) -> LastValue | None:
    """The last values of a topic with their ages, from what `LastValues` keeps; None before the first frame."""
    if not values:
        return None
    fields = {
        code: LastField(value, received_ns, now_s - updated_s)
        for code, (value, received_ns, updated_s) in values.items()
    }
    return LastValue(topic, fields, is_current=is_current)


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """The current status of one subscription.

    Attributes:
        topic: the subscription's topic, which identifies it.
        state: DISCONNECTED (not sent on this connection yet), OPEN (sent, no frame received), STREAMING, or STALE.
        frames: how many of its frames were received, including replies to subscribes.
        ticks: the same without replies to subscribes.
        last_ns: the receive time of the last frame, in ns since the Unix epoch; 0 before the first.
        age_s: the time since then, in seconds of the feed's clock; None before the first frame.
        usual_interval_s: the usual time between its ticks, in seconds; None until it is learned.
        renewals: how often it was renewed.
        is_in_gap: whether data is missing now.
    """

    topic: str
    state: FeedState
    frames: int
    ticks: int
    last_ns: int
    age_s: float | None
    usual_interval_s: float | None
    renewals: int
    is_in_gap: bool


def subscription_status(subscription: SubscriptionState, activity: Activity, now_s: float) -> SubscriptionStatus:
    """The status of a subscription, from the machine's state and the frames that were counted."""
    return SubscriptionStatus(
        topic=subscription.topic,
        state=subscription.state,
        frames=activity.frames,
        ticks=activity.frames - subscription.request.snapshots,
        last_ns=activity.last_ns,
        age_s=now_s - activity.last_s if activity.frames else None,
        usual_interval_s=subscription.staleness.interval.usual_s,
        renewals=subscription.request.renewals,
        is_in_gap=subscription.open_gap is not None,
    )


class GapTotal(NamedTuple):
    """The gaps with one cause.

    Attributes:
        gaps: how many `Gap` events were reported.
        length_ns: their lengths together, in ns. Gaps of several subscriptions at one time count each. A gap that
            nothing ended, because the feed or the subscription ended before, has no length.
    """

    gaps: int
    length_ns: int


class FeedMeasures(NamedTuple):
    """What metrics show of the subscriptions of a feed.

    Attributes:
        states: how many subscriptions are in each state.
        in_gap: how many are in a gap now.
        open_gap_ns: the receive time of the last frame before the oldest of these gaps, in ns since the Unix epoch;
            None without one.
        frame_age_s: the time since the last frame of any kind, in seconds of the feed's clock; None before the first.
        tick_ages_s: the time since the last frame of each market data subscription, by its topic; None before its
            first.
    """

    states: Mapping[FeedState, int]
    in_gap: int
    open_gap_ns: int | None
    frame_age_s: float | None
    tick_ages_s: Mapping[str, float | None]


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class FeedStats:
    """The counters of one feed.

    Attributes:
        connection: the counters of all its connections together.
        connections: how many connections there were.
        state_changes: how many `StateChange` events were reported, including those of subscriptions.
        gaps: how many `Gap` events were reported.
        renewals: how many subscribes were repeated before the lifetime of their subscription ended.
        probes: how many subscribes were repeated to check whether a quiet subscription still streams.
        resubscribes: how many stale subscriptions were resubscribed.
        calls_failed: how many REST calls failed.
        frames_untracked: how many market data frames belonged to no subscription, or to a cancelled one.
        fields_left_out: how many fields of frames the last values left out, because their keys were not asked for, are
            not in the catalogue, and exceed the room for such keys (256).
        rows_left_out: how many updates of orders, executions and account rows were left out: without an id, too large,
            or without room (`FeedOptions.max_orders` and so on).
        rows_evicted: how many orders, executions and account rows were removed to make room for others.
        texts_queued: how many subscribes and unsubscribes wait to be sent now.
        queue_age_s: how long the oldest of them has waited, in seconds of the feed's clock; 0 without one.
        standstills: how many `Standstill` events were reported.
        late_frames: how many market data frames were received more than a second later after their `_updated` than
            usual for their subscription.
        max_lateness_ns: the largest lateness of one of them, in ns: what it took longer than usual.
        gap_totals: the number and length of the gaps of each cause that occurred.
    """

    connection: WsStats
    connections: int
    state_changes: int
    gaps: int
    renewals: int
    probes: int
    resubscribes: int
    calls_failed: int
    frames_untracked: int
    fields_left_out: int = 0
    rows_left_out: int = 0
    rows_evicted: int = 0
    texts_queued: int = 0
    queue_age_s: float = 0.0
    standstills: int = 0
    late_frames: int = 0
    max_lateness_ns: int = 0
    gap_totals: Mapping[Cause, GapTotal] = field(default_factory=dict)


def feed_stats(
    machine: Machine,
    now_s: float,
    *,
    connection: WsStats,
    state_changes: int,
    gaps: int,
    calls_failed: int,
    frames_untracked: int,
    fields_left_out: int,
    rows_left_out: int,
    rows_evicted: int,
    arrivals: Mapping[str, int],
    gap_totals: Mapping[Cause, GapTotal],
) -> FeedStats:
    """The counters of a feed: those of its machine, and those that others count."""
    requests, queue = machine.requests, machine.send_queue
    oldest_s = queue.oldest_s
    return FeedStats(
        connection=connection,
        connections=machine.connections,
        state_changes=state_changes,
        gaps=gaps,
        renewals=requests.renewals,
        probes=requests.probes,
        resubscribes=requests.resubscribes,
        calls_failed=calls_failed,
        frames_untracked=frames_untracked,
        fields_left_out=fields_left_out,
        rows_left_out=rows_left_out,
        rows_evicted=rows_evicted,
        texts_queued=len(queue),
        queue_age_s=0.0 if oldest_s is None else now_s - oldest_s,
        gap_totals=gap_totals,
        **arrivals,
    )
