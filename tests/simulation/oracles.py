"""What must hold, whatever happens: held against every event, frame, call and text of a run."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from cpapi_fast.events import Cause, FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.feed.machine import Call, CallKind
from cpapi_fast.feed.machine.advice import ADVICE

from .world import Held, World, WorldLine

#: Causes that a hole may have.
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
#: So many calls over REST in any minute are the most, whatever happens.
CALLS_A_MINUTE = 20


def is_active(line: WorldLine) -> bool:
    """Whether it ticks so often that its silence tells something."""
    return line.instrument is not None and line.instrument.period_s <= 5.0


@dataclass
class Violation:
    """Something that must not be."""

    at_s: float
    what: str


@dataclass
class Oracles(Held):
    """Keeps what happened and what must not have.

    Attributes:
        is_exact: the gateway's answers tell a new stream from an old one (`Habits`): no gap is told to be on the safe
            side, and no death of an instrument that seldom ticks is overlooked.
    """

    is_exact: bool = True
    violations: list[Violation] = field(default_factory=list)
    events: list[tuple[float, FeedEvent]] = field(default_factory=list)
    keep_events: bool = True
    states: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    stales: int = 0
    false_stales: int = 0
    false_gaps: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    most_calls_a_minute: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    last_state: FeedState = FeedState.DISCONNECTED
    #: When the machine last told what of the feed and of each subscription.
    said_s: dict[tuple[str | None, FeedState], float] = field(default_factory=dict)
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
        elif isinstance(event, StateChange):
            if event.time_ns != world.now().ns:
                self.fail(world, f"the time of {event} is not now")
            if not event.advice or event.advice != ADVICE[event.cause]:
                self.fail(world, f"no advice in {event}")
            self.said_s[event.subscription, event.state] = world.now_s
            self.states[f"{event.state.value} {event.cause.value}"] += 1
            if event.subscription is None:
                if event.previous is not self.last_state:
                    self.fail(world, f"{event} does not follow {self.last_state}")
                self.last_state = event.state
            else:
                self._on_line_state(world, event, event.subscription)

    def _on_line_state(self, world: World, event: StateChange, topic: str) -> None:
        if (event.state is FeedState.STALE) == (topic in self._stale):
            self.fail(world, f"told twice: {event}")
        if event.state is not FeedState.STALE:
            self._stale.discard(topic)
            return
        self._stale.add(topic)
        self.stales += 1
        line = world.lines[topic]
        world.settle(line)
        if event.cause is Cause.SUBSCRIPTION_SILENT and line.is_alive and not line.was_dead:
            self.false_stales += 1
            if line.instrument is not None and line.instrument.is_regular:
                self.fail(world, f"false STALE of {topic}")

    def _on_gap(self, world: World, gap: Gap) -> None:
        self.gaps[gap.cause.value] += 1
        line = world.lines.get(gap.subscription or "")
        if line is None:
            self.fail(world, f"a gap of what is not subscribed to: {gap}")
            return
        if gap.cause not in GAP_CAUSES:
            self.fail(world, f"{gap.cause} is no cause of a gap")
        if line.is_gap_told:
            self.fail(world, f"two gaps at one place: {gap}")
        line.is_gap_told = True
        before = line.delivered_ns
        if before:
            if gap.last_good_ns != before:
                self.fail(
                    world, f"{gap.subscription}: gap begins {(gap.last_good_ns - before) / 1e9} s off: {gap.cause}"
                )
        elif not line.subscribed_ns <= gap.last_good_ns <= max(line.first_sent_ns, line.subscribed_ns):
            self.fail(world, f"{gap.subscription}: the first gap begins not when it was sent")
        if gap.first_good_ns is not None and gap.first_good_ns != line.last_ns:
            self.fail(world, f"{gap.subscription}: the gap does not end with the frame after it")
        if not line.was_dead and not line.is_lost:
            self.false_gaps += 1
            if self.is_exact and gap.first_good_ns is not None:
                self.fail(world, f"a gap of {gap.subscription} without a hole: {gap.cause}")

    def on_delivered(self, world: World, line: WorldLine) -> None:
        if line.is_lost and not line.is_gap_told and (self.is_exact or is_active(line)):
            self.fail(world, f"a hole of {line.spec.topic} without a gap")
        line.is_lost = line.was_dead = line.is_gap_told = False
        line.delivered_ns = line.last_ns

    def on_call(self, world: World, call: Call) -> None:
        self.calls[call.kind.name] += 1
        recent = self._recent
        recent.append(world.now_s)
        while recent[0] < world.now_s - 60.0:
            recent.popleft()
        self.most_calls_a_minute = max(self.most_calls_a_minute, len(recent))
        if len(recent) > CALLS_A_MINUTE:
            self.fail(world, f"{len(recent)} calls in a minute")
            recent.clear()
        if world.is_boxed:
            self.fail(world, f"{call.kind.name} in the penalty box")
        if call.kind is CallKind.INIT and call.compete and world.machine.options.competing != "reclaim":
            self.fail(world, "took a session that was to be observed")

    def on_send(self, world: World, text: str) -> None:
        self.texts[text.partition("+")[0]] += 1
        if not world.has_socket:
            self.fail(world, f"sent {text!r} without a socket")

    def on_expired(self, world: World, line: WorldLine) -> None:
        self.fail(world, f"{line.spec.topic} expired")

    def within(self, world: World, what: str, state: FeedState, since_s: float, topic: str | None = None) -> None:
        """Fail unless a state was told since a moment."""
        if self.said_s.get((topic, state), -1.0) < since_s:
            self.fail(world, f"{what}: {topic or 'the feed'} was not told {state.value}")
