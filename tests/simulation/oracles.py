"""The rules that every run has to keep, checked with every event, frame, call and text."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from cpapi_fast.events import Cause, Certainty, FeedEvent, FeedState, Gap, Standstill, StateChange
from cpapi_fast.feed.machine import Call, CallKind
from cpapi_fast.feed.machine.advice import advice_on

from .subscription import SimulatedSubscription
from .world import RunObserver, World

#: Causes of gaps.
GAP_CAUSES = frozenset(
    {
        Cause.STOPPED,
        Cause.CONNECTION_LOST,
        Cause.CLOSED_BY_GATEWAY,
        Cause.SOCKET_SILENT,
        Cause.PROTOCOL_VIOLATION,
        Cause.SESSION_CHANGED,
        Cause.ALL_STALE,
        Cause.READY_TIMEOUT,
        Cause.NOT_LOGGED_IN,
        Cause.SESSION_ENDED,
        Cause.COMPETING,
        Cause.SUBSCRIPTION_SILENT,
        Cause.SUBSCRIPTION_REFUSED,
    }
)
#: The largest number of requests in a minute: calls over REST and upgrades.
REQUESTS_A_MINUTE = 20


def is_active(subscription: SimulatedSubscription) -> bool:
    """Whether it ticks so often that every lost tick has to be noticed."""
    return subscription.instrument is not None and subscription.instrument.period_s <= 5.0


def is_frequent(world: World, subscription: SimulatedSubscription) -> bool:
    """Whether it ticks so often that the feed expects each tick."""
    state = world.machine.subscriptions.get(subscription.spec.topic)
    return state is not None and state.staleness.interval.frequent_s > 0.0


@dataclass
class Violation:
    """A rule that was not kept."""

    at_s: float
    what: str


@dataclass
class Oracles(RunObserver):
    """Collects the events of a run, and the violations.

    Attributes:
        is_exact: whether the gateway's replies distinguish a new stream from an old one (`Habits`). Only then every
            reported gap is real, and the end of an infrequent instrument's stream is always noticed.
    """

    is_exact: bool = True
    violations: list[Violation] = field(default_factory=list)
    events: list[tuple[float, FeedEvent]] = field(default_factory=list)
    keep_events: bool = True
    states: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    certain_gaps: int = 0
    standstills: Counter[str] = field(default_factory=Counter)
    stales: int = 0
    false_stales: int = 0
    false_gaps: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    most_requests_a_minute: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    last_state: FeedState = FeedState.DISCONNECTED
    #: When each state of the feed and of each subscription was last reported.
    reported_s: dict[tuple[str | None, FeedState], float] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)
    _recent: deque[float] = field(default_factory=deque)

    def fail(self, world: World, what: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(world.now_s, what))

    def on_event(self, world: World, event: FeedEvent) -> None:
        if self.keep_events:
            self.events.append((world.now_s, event))
        if isinstance(event, Gap):
            self._on_gap(world, event)
        elif isinstance(event, Standstill):
            self.standstills[event.reason.value] += 1
            if event.start_ns + event.length_ns != world.now().ns:
                self.fail(world, f"{event} does not end now")
        elif isinstance(event, StateChange):
            if event.time_ns != world.now().ns:
                self.fail(world, f"the time of {event} is not now")
            is_reclaiming = world.machine.options.competing == "reclaim"
            if not event.advice or event.advice != advice_on(event.cause, is_reclaiming=is_reclaiming):
                self.fail(world, f"no advice in {event}")
            self.reported_s[event.subscription, event.state] = world.now_s
            self.states[f"{event.state.value} {event.cause.value}"] += 1
            if event.subscription is None:
                if event.previous is not self.last_state:
                    self.fail(world, f"{event} does not follow {self.last_state}")
                self.last_state = event.state
            else:
                self._on_subscription_state(world, event, event.subscription)

    def _on_subscription_state(self, world: World, event: StateChange, topic: str) -> None:
        if (event.state is FeedState.STALE) == (topic in self._stale):
            self.fail(world, f"reported twice: {event}")
        if event.state is not FeedState.STALE:
            self._stale.discard(topic)
            return
        self._stale.add(topic)
        self.stales += 1
        subscription = world.subscriptions[topic]
        world.socket.settle(subscription)
        if event.cause is Cause.SUBSCRIPTION_SILENT and subscription.is_streaming and not subscription.had_no_stream:
            self.false_stales += 1
            if subscription.instrument is not None and subscription.instrument.is_regular:
                self.fail(world, f"false STALE of {topic}")

    def _on_gap(self, world: World, gap: Gap) -> None:
        self.gaps[gap.cause.value] += 1
        subscription = world.subscriptions.get(gap.subscription or "")
        if subscription is None:
            self.fail(world, f"a gap without a subscription: {gap}")
            return
        if gap.cause not in GAP_CAUSES:
            self.fail(world, f"{gap.cause} is no cause of a gap")
        if subscription.is_gap_reported:
            self.fail(world, f"two gaps at one place: {gap}")
        subscription.is_gap_reported = True
        before = subscription.delivered_ns
        if before:
            # After snapshots only, the data is proven up to the last tick.
            allowed = {before, subscription.ticked_ns}
            if not is_frequent(world, subscription):
                # Without more ticks, a frozen stream looks like a quiet instrument.
                allowed.add(subscription.frozen_ns)
            if gap.last_good_ns not in allowed:
                self.fail(
                    world, f"{gap.subscription}: gap begins {(gap.last_good_ns - before) / 1e9} s off: {gap.cause}"
                )
        elif (
            not subscription.subscribed_ns
            <= gap.last_good_ns
            <= max(subscription.first_sent_ns, subscription.subscribed_ns)
        ):
            self.fail(world, f"{gap.subscription}: the first gap does not begin when the subscribe was sent")
        if gap.first_good_ns is not None and gap.first_good_ns != subscription.last_ns:
            self.fail(world, f"{gap.subscription}: the gap does not end with the frame after it")
        if gap.certainty is Certainty.CERTAIN:
            self.certain_gaps += 1
            if not subscription.has_lost_ticks:
                self.fail(world, f"a certain gap of {gap.subscription} although no tick was lost: {gap.cause}")
        if not subscription.had_no_stream and not subscription.has_lost_ticks:
            self.false_gaps += 1
            if self.is_exact and gap.first_good_ns is not None:
                self.fail(world, f"a gap of {gap.subscription} although no tick was lost: {gap.cause}")

    def on_delivered(self, world: World, subscription: SimulatedSubscription) -> None:
        is_missing = subscription.has_lost_ticks and not subscription.is_gap_reported
        if is_missing and (self.is_exact or is_active(subscription)):
            self.fail(world, f"lost ticks of {subscription.spec.topic} without a gap")
        subscription.has_lost_ticks = subscription.had_no_stream = subscription.is_gap_reported = False
        subscription.delivered_ns = subscription.last_ns - subscription.late_ns

    def on_call(self, world: World, call: Call) -> None:
        self.calls[call.kind.name] += 1
        self._count_request(world)
        if world.sessions.is_penalized:
            self.fail(world, f"{call.kind.name} during a penalty")
        if call.kind is CallKind.INIT and call.compete and world.machine.options.competing != "reclaim":
            self.fail(world, "reclaimed a session although it should only observe")

    def on_open(self, world: World) -> None:
        self._count_request(world)

    def _count_request(self, world: World) -> None:
        recent = self._recent
        recent.append(world.now_s)
        while recent[0] < world.now_s - 60.0:
            recent.popleft()
        self.most_requests_a_minute = max(self.most_requests_a_minute, len(recent))
        if len(recent) > REQUESTS_A_MINUTE:
            self.fail(world, f"{len(recent)} requests in a minute")
            recent.clear()

    def on_send(self, world: World, text: str) -> None:
        self.texts[text.partition("+")[0]] += 1
        if not world.socket.is_open:
            self.fail(world, f"sent {text!r} without a socket")

    def on_unsubscribed(self, world: World, topic: str) -> None:
        self._stale.discard(topic)

    def on_expired(self, world: World, subscription: SimulatedSubscription) -> None:
        self.fail(world, f"{subscription.spec.topic} expired")

    def within(self, world: World, what: str, state: FeedState, since_s: float, topic: str | None = None) -> None:
        """Fail unless a state was reported since a time."""
        if self.reported_s.get((topic, state), -1.0) < since_s:
            self.fail(world, f"{what}: {state.value} of {topic or 'the feed'} was not reported")
