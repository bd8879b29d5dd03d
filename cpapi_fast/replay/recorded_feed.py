"""The state of a replayed feed: its recorded states, and its clock, which shows the recorded time"""

from __future__ import annotations

from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine import Machine, SubscriptionSpec, SubscriptionState
from cpapi_fast.feed.machine.subscriptions.interval_estimator import IntervalEstimator
from cpapi_fast.feed.options import FeedOptions

#: The states of a feed in which its subscriptions are sent. In READY, those are that need no brokerage session.
_SUBSCRIBED: Final = frozenset({FeedState.AUTHENTICATED, FeedState.STREAMING, FeedState.STALE})


class RecordedClock(Clock):
    """A clock whose time is that of the last frame or event that was replayed. Its timers run at the speed of a replay.

    Args:
        speed: how many recorded seconds pass in one real second.
    """

    __slots__ = ("_base_ns", "_now_ns")

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(speed)
        self._base_ns = 0
        self._now_ns = 0

    def set_ns(self, time_ns: int) -> None:
        """Set the time. It does not go back, although the recorded system clock may have been set back."""
        if self._base_ns == 0:
            self._base_ns = self._now_ns = time_ns
        elif time_ns > self._now_ns:
            self._now_ns = time_ns

    def monotonic_s(self) -> float:
        """Return the recorded seconds since the first frame or event."""
        return (self._now_ns - self._base_ns) * 1e-9

    def elapsed_s(self) -> float:
        """Return the same as `monotonic_s`."""
        return self.monotonic_s()

    def steady_ns(self) -> int:
        """Return the same as `time_ns`."""
        return self._now_ns

    def time_ns(self) -> int:
        """Return the recorded time in ns since the Unix epoch; 0 before the first frame or event."""
        return self._now_ns


class RecordedMachine(Machine):
    """A machine that decides nothing: the states of the feed and of its subscriptions are those of recorded events.

    Args:
        options: the options of the feed.
    """

    def __init__(self, options: FeedOptions) -> None:
        super().__init__(options)
        self._recorded = FeedState.DISCONNECTED
        self._connections_seen = 0
        #: The last recorded states of topics on the current connection, whether they are subscribed to or not.
        self._topics: Final[dict[str, FeedState]] = {}

    @property
    def state(self) -> FeedState:
        """The recorded state of the feed."""
        return self._recorded

    @property
    def connections(self) -> int:
        """How many sockets were opened in the recording."""
        return self._connections_seen

    def begin_run(self) -> None:
        """A new run starts without a connection."""
        self._recorded = FeedState.DISCONNECTED
        self._drop_topics(keeps_outer=False)

    def stream(self) -> None:
        """Take the feed as streaming, in a recording without states."""
        self._recorded = FeedState.STREAMING

    def on_change(self, change: StateChange) -> None:
        """Take over a recorded change."""
        topic = change.subscription
        if topic is not None:
            self._topics[topic] = change.state
            if topic in self.subscriptions:
                self.subscriptions[topic].state = change.state
            return
        self._recorded = change.state
        self._connections_seen += change.cause is Cause.SOCKET_OPENED
        if change.state not in _SUBSCRIBED:
            self._drop_topics(keeps_outer=change.state is FeedState.READY)

    def _drop_topics(self, *, keeps_outer: bool) -> None:
        self._topics.clear()
        for subscription in self.subscriptions.values():
            if subscription.spec.needs_brokerage or not keeps_outer:
                subscription.state = FeedState.DISCONNECTED

    def add(self, spec: SubscriptionSpec) -> SubscriptionState:
        """Add a subscription, or replace the parameters of one, and return it."""
        known = self.subscriptions.get(spec.topic)
        if known is not None:
            known.spec = spec
            return known
        options = self.options
        interval = IntervalEstimator(
            options.stale_factor, options.stale_after_min_s, options.stale_after_max_s, spec.usual_interval_s
        )
        subscription = SubscriptionState(spec, interval)
        subscription.state = self._topics.get(spec.topic, FeedState.DISCONNECTED)
        self.subscriptions[spec.topic] = subscription
        return subscription

    def remove(self, topic: str) -> None:
        """Remove a subscription. Idempotent."""
        self.subscriptions.pop(topic, None)
