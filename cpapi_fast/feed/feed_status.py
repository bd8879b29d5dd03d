"""FeedStatus: what a feed tells about itself on request: its state, counters, subscriptions and last values"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from cpapi_fast.errors import UsageError
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.protocol.instruments import market_data_topic

from .last_values import LastValues
from .machine import Activity, Machine, SubscriptionState
from .state import KeptState
from .status import (
    FeedMeasures,
    FeedStats,
    GapTotal,
    LastValue,
    SubscriptionStatus,
    feed_stats,
    last_value,
    subscription_status,
)

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.frames.batch import Batch
    from cpapi_fast.ws.stats import WsStats

    from .tracked_topics import TrackedTopics


class Inspector(Protocol):
    """What looks at the frames before the consumers have them.

    Attributes:
        on_delivered: called with each batch after the consumers have it; None for nobody.
    """

    on_delivered: Callable[[Batch], None] | None


class Arrivals(Protocol):
    """What counts late frames."""

    def counts(self) -> Mapping[str, int]:
        """The counts, as `FeedStats` names them."""


class FeedSource(Protocol):
    """What frames and states come from: the driver of a feed, or of a replay."""

    @property
    def machine(self) -> Machine:
        """The state of the feed and of its subscriptions."""

    @property
    def topics(self) -> TrackedTopics:
        """The topics of the subscriptions, with their counts and last values."""

    @property
    def state(self) -> KeptState:
        """What is kept of orders, executions and accounts."""

    @property
    def inspector(self) -> Inspector:
        """What looks at the frames."""

    @property
    def arrivals(self) -> Arrivals:
        """What counts late frames."""

    @property
    def calls_failed(self) -> int:
        """How many calls over REST failed."""

    @property
    def frames_untracked(self) -> int:
        """How many market data frames had no subscription."""

    def activity(self, topic: str) -> Activity:
        """The received frames of a topic."""

    def stats(self) -> WsStats:
        """The sum of the counters of all connections."""


class FeedStatus:
    """The part of a `Feed` that changes nothing. Its properties may be read in any thread.

    Args:
        driver: has the counters and the state machine.
        clock: the clock of the feed.
    """

    def __init__(self, driver: FeedSource, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._state_changes = 0
        self._gaps = 0
        self._gap_totals: Final[dict[Cause, GapTotal]] = {}
        self._last_change: StateChange | None = None

    @property
    def state(self) -> FeedState:
        """The current state."""
        return self._driver.machine.state

    @property
    def last_change(self) -> StateChange | None:
        """The latest change of the feed's own state; None before the first."""
        return self._last_change

    @property
    def next_try_s(self) -> float | None:
        """The time until the next attempt to reach the gateway, in seconds of the clock; None if none is scheduled."""
        due_s = self._driver.machine.next_try_s
        return None if due_s is None else max(due_s - self._clock.monotonic_s(), 0.0)

    @property
    def subscriptions(self) -> tuple[SubscriptionStatus, ...]:
        """The status of every subscription, in the order of the subscribes."""
        return tuple(status for topic in self._driver.machine.subscriptions if (status := self.status_of(topic)))

    def status_of(self, topic: str) -> SubscriptionStatus | None:
        """The status of one subscription, by its topic; None when there is none."""
        state = self._driver.machine.subscriptions.get(topic)
        if state is None:
            return None
        return subscription_status(state, self._driver.activity(topic), self._clock.monotonic_s())

    @property
    def stats(self) -> FeedStats:
        """The current counters."""
        return feed_stats(
            self._driver.machine,
            self._clock.monotonic_s(),
            connection=self._driver.stats(),
            state_changes=self._state_changes,
            gaps=self._gaps,
            calls_failed=self._driver.calls_failed,
            frames_untracked=self._driver.frames_untracked,
            fields_left_out=self._driver.topics.fields_left_out,
            rows_left_out=self._driver.state.rows_left_out,
            rows_evicted=self._driver.state.rows_evicted,
            arrivals=self._driver.arrivals.counts(),
            gap_totals=dict(self._gap_totals),
        )

    def last_value(self, conid: int | str, *, exchange: str | None = None) -> LastValue | None:
        """The merged quote of a market data subscription, with the age of each field; None before its first frame.

        It persists across reconnects: check the ages and `is_current`. Subscriptions that share a conid (an exchange, a
        combination) have one each; a text names them as the frames do: `265598@NYSE`, `28812380;;;8314/1,8894/-1`.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
            UsageError: there is no such subscription, or `FeedOptions(last_values=False)`.
        """
        topic, last_values, state = self._market_data(conid, exchange)
        values, is_current = last_values.get(self._driver.topics.find(topic)), state.state is FeedState.STREAMING
        return last_value(topic, values, self._clock.monotonic_s(), is_current=is_current)

    def _count_gap(self, gap: Gap) -> None:
        self._gaps += 1
        count, length_ns = self._gap_totals.get(gap.cause, GapTotal(0, 0))
        added_ns = 0 if gap.first_good_ns is None else max(gap.first_good_ns - gap.last_good_ns, 0)
        self._gap_totals[gap.cause] = GapTotal(count + 1, length_ns + added_ns)

    def _measures(self) -> FeedMeasures:
        # For `metrics`: one pass over the subscriptions, because there may be thousands.
        now_s, topics = self._clock.monotonic_s(), self._driver.topics
        subscriptions = tuple(self._driver.machine.subscriptions.values())
        open_ns = [one.open_gap.last_good_ns for one in subscriptions if one.open_gap is not None]
        ages = topics.ages_s((one.topic for one in subscriptions if one.spec.is_market_data), now_s)
        last_s = topics.tracker.last_s
        return FeedMeasures(
            states=Counter(one.state for one in subscriptions),
            in_gap=len(open_ns),
            open_gap_ns=min(open_ns, default=None),
            frame_age_s=now_s - last_s if topics.tracker.frames else None,
            tick_ages_s=ages,
        )

    def _market_data(self, conid: int | str, exchange: str | None) -> tuple[str, LastValues, SubscriptionState]:
        topic = market_data_topic(conid, exchange)
        last_values = self._check_last_values()
        state = self._driver.machine.subscriptions.get(topic)
        if state is None:
            raise UsageError(f"{topic} is not subscribed to; call subscribe_market_data({topic[4:]!r}) first")
        return topic, last_values, state

    def _check_last_values(self) -> LastValues:
        last_values = self._driver.topics.last_values
        if last_values is None:
            raise UsageError("last values are not kept. Set FeedOptions(last_values=True).")
        return last_values
