"""A machine with inputs by hand, and a record of its actions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cpapi_fast.events import Cause, FeedEvent, FeedState, Gap, StandstillReason, StateChange
from cpapi_fast.feed.decisions.record_format import INPUTS
from cpapi_fast.feed.machine import (
    Action,
    Activity,
    Call,
    CallKind,
    CloseSocket,
    Emit,
    Failure,
    Machine,
    Moment,
    Send,
    SessionFacts,
    SubscriptionSpec,
    Unwatch,
    Watch,
)
from cpapi_fast.feed.options import FeedOptions

SMD = SubscriptionSpec("smd+1", "smd+1+{}", "umd+1+{}", is_market_data=True)
SOR = SubscriptionSpec("sor", "sor+{}", "uor+{}")
SPL = SubscriptionSpec("spl", "spl+{}", "upl+{}", needs_brokerage=False)

#: A Monday at noon in UTC, outside of every nightly window.
EPOCH_NS = 1_767_614_400 * 1_000_000_000

Changes = list[tuple[FeedState, Cause]]


class ObservedMachine:
    """A machine that observes as little as its documentation requires before each input.

    A second machine observes everything. Both have to have the same actions.

    Args:
        options: the policies.
        read: the received frames of all topics, and when the last frame of any kind was received.
        seed: of the jitter.
    """

    def __init__(
        self, options: FeedOptions, read: Callable[[], tuple[Mapping[str, Activity], float]], seed: int
    ) -> None:
        self._machine = Machine(options, seed=seed)
        self._informed = Machine(options, seed=seed)
        self._read = read

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._put, name) if name in INPUTS else getattr(self._machine, name)

    def _put(self, name: str, *args: Any, **kwargs: Any) -> list[Action]:
        activity, last_frame_s = self._read()
        topics = set(activity)
        if name in ("on_subscription_frame", "on_refused"):
            topics = {args[0]}
        elif name in ("tick", "subscribe", "unsubscribe"):
            topics = set(self._machine.topics_due(args[-1].s, last_frame_s))
            topics |= {getattr(arg, "topic", arg) for arg in args[:-1]}
        self._machine.observe({topic: activity[topic] for topic in topics & activity.keys()}, last_frame_s)
        self._informed.observe(activity, last_frame_s)
        try:
            actions = getattr(self._machine, name)(*args, **kwargs)
        except Exception as error:
            with pytest.raises(type(error)):
                getattr(self._informed, name)(*args, **kwargs)
            raise
        assert actions == getattr(self._informed, name)(*args, **kwargs), "the observed topics did not suffice"
        assert self._machine.due_s == self._informed.due_s
        return actions


class Bench:
    """A machine, its time and its surroundings. Inputs return the changes of the feed's own state."""

    def __init__(self, *specs: SubscriptionSpec, options: FeedOptions | None = None, seed: int = 1) -> None:
        self.s = 100.0
        self.last_frame_s = 0.0
        self.activity: dict[str, Activity] = {}
        self.events: list[FeedEvent] = []
        self.texts: list[str] = []
        self.calls: list[CallKind] = []
        self.pending: list[Call] = []
        self.watched: set[str] = set()
        self._actions: list[Action] = []
        self._sent = 0
        self._first = specs[0].topic
        self.machine = ObservedMachine(options or FeedOptions(), lambda: (self.activity, self.last_frame_s), seed)
        for spec in specs:
            self.machine.subscribe(spec, self.now())

    @staticmethod
    def spec(conid: int, **choices: object) -> SubscriptionSpec:
        """A market data subscription."""
        return SubscriptionSpec(
            f"smd+{conid}", f"smd+{conid}+{{}}", f"umd+{conid}+{{}}", is_market_data=True, **choices
        )

    @property
    def ns(self) -> int:
        """Now, in ns since the Unix epoch."""
        return EPOCH_NS + int(self.s * 1e9)

    def now(self) -> Moment:
        """Now."""
        return Moment(self.s, self.ns, self.ns)

    def do(self, actions: list[Action]) -> Changes:
        """Carry out actions."""
        changes: Changes = []
        for action in actions:
            if isinstance(action, Emit):
                self.events.append(action.event)
                if isinstance(action.event, StateChange) and action.event.subscription is None:
                    changes.append((action.event.state, action.event.cause))
            elif isinstance(action, Send):
                self.texts.append(action.text)
            elif isinstance(action, Call):
                self.calls.append(action.kind)
                self.pending.append(action)
            elif isinstance(action, Watch):
                self.watched.add(action.topic)
            elif isinstance(action, Unwatch):
                self.watched.discard(action.topic)
            elif isinstance(action, CloseSocket):
                self.pending.clear()
        self._actions += actions
        return changes

    # --- actions --------------------------------------------------------------------------------

    def did(self, kind: type[Action]) -> list[Action]:
        """The actions of a kind since the last call; the others are forgotten."""
        found = [action for action in self._actions if isinstance(action, kind)]
        self._actions.clear()
        return found

    def sent(self) -> list[str]:
        """The texts since the last call, without `tic`."""
        new, self._sent = self.texts[self._sent :], len(self.texts)
        return [text for text in new if text != "tic"]

    def waits_for(self) -> CallKind | None:
        """The call that waits for a response."""
        return self.pending[-1].kind if self.pending else None

    def states(self, topic: str | None = None) -> Changes:
        """All changes of state of the feed, or of a subscription."""
        changes = [event for event in self.events if isinstance(event, StateChange)]
        return [(event.state, event.cause) for event in changes if event.subscription == topic]

    def gaps(self) -> list[Gap]:
        """All gaps."""
        return [event for event in self.events if isinstance(event, Gap)]

    # --- inputs -----------------------------------------------------------------------------------

    def start(self) -> Changes:
        return self.do(self.machine.start(self.now()))

    def facts(self, generation: int | None, authenticated: bool | None, competing: bool | None = False) -> Changes:
        facts = SessionFacts(generation, authenticated, True, competing)
        return self.do(self.machine.on_facts(self.pending.pop().number, facts, self.now()))

    def accounts(self) -> Changes:
        return self.do(self.machine.on_accounts(self.pending.pop().number, self.now()))

    def fails(self, failure: Failure) -> Changes:
        return self.do(self.machine.on_call_failed(self.pending.pop().number, failure, self.now()))

    def opened(self) -> Changes:
        self.last_frame_s = self.s
        return self.do(self.machine.on_socket_opened(self.now()))

    def ready(self) -> Changes:
        return self.do(self.machine.on_ready(self.now()))

    def status(self, authenticated: bool | None) -> Changes:
        return self.do(self.machine.on_status(authenticated, None, None, self.now()))

    def ended(self, cause: Cause) -> Changes:
        return self.do(self.machine.on_socket_ended(cause, self.now()))

    def stands_still(self, length_s: float, reason: StandstillReason, suspended_s: float = 0.0) -> Changes:
        """Time passes without a tick, and is reported as a standstill."""
        self.s += length_s - suspended_s
        length_ns = int(length_s * 1e9)
        return self.do(self.machine.on_standstill(length_ns, reason, self.now(), suspended_s=suspended_s))

    def paused(self, is_paused: bool) -> Changes:
        return self.do(self.machine.on_paused(is_paused, self.now()))

    def frame(
        self,
        topic: str = "smd+1",
        *,
        is_snapshot: bool = False,
        stream_id: str | None = None,
        count: int = 1,
        late_s: float = 0.0,
        is_newer: bool | None = None,
    ) -> Changes:
        """Frames of a subscription are received; they are inputs if it is watched."""
        changes: Changes = []
        for _ in range(count):
            self.last_frame_s = self.s
            frames = self.activity.get(topic, Activity(0, 0, 0.0)).frames
            late_ns = int(late_s * 1e9)
            self.activity[topic] = Activity(frames + 1, self.ns, self.s, late_ns)
            if topic in self.watched:
                changes += self.do(
                    self.machine.on_subscription_frame(
                        topic,
                        self.ns,
                        self.now(),
                        late_ns=late_ns,
                        is_snapshot=is_snapshot,
                        stream_id=stream_id,
                        is_newer=is_newer,
                    )
                )
        return changes

    def tick(self) -> Changes:
        return self.do(self.machine.tick(self.now()))

    def passes(self, duration_s: float) -> Changes:
        """Time passes, with every tick that is due."""
        changes: Changes = []
        until_s = self.s + duration_s
        while self.machine.due_s <= until_s:
            self.s = max(self.s, self.machine.due_s)
            changes += self.tick()
        self.s = until_s
        return changes

    def beats(self, duration_s: float) -> Changes:
        """Time passes, with a heartbeat each second."""
        changes: Changes = []
        until_s = self.s + duration_s
        while self.s < until_s:
            self.last_frame_s = self.s
            changes += self.passes(min(1.0, until_s - self.s))
        return changes

    def ticks(self, duration_s: float, every_s: float, topic: str = "smd+1", stream_id: str | None = "q1") -> None:
        """Time passes, with a frame of a subscription every so often."""
        until_s = self.s + duration_s
        while self.s + every_s <= until_s:
            self.passes(every_s)
            self.frame(topic, stream_id=stream_id)
            self.responds()

    def responds(self) -> None:
        """Every call has a good response."""
        while self.pending:
            if self.waits_for() is CallKind.ACCOUNTS:
                self.accounts()
            else:
                self.facts(1, True)

    def runs(self, duration_s: float, stream_id: str = "q1") -> list[str]:
        """Time passes at a gateway that replies to everything. Returns the texts that were sent."""
        texts: list[str] = []
        until_s = self.s + duration_s
        while self.s < until_s:
            self.beats(min(1.0, until_s - self.s))
            self.responds()
            sent = self.sent()
            texts += sent
            for text in sent:
                if text.startswith("smd"):
                    for _ in range(2):
                        self.frame(text.rpartition("+")[0], is_snapshot=True, stream_id=stream_id)
        return texts

    def to(self, place: str) -> Bench:
        """Bring the feed to a state without detours."""
        self.start()
        if place != "started":
            self.facts(1, True)
            self.accounts()
            self.opened()
            self.did(CloseSocket)
        if place in ("ready", "authenticated", "streaming"):
            self.ready()
        if place in ("authenticated", "streaming"):
            self.status(True)
        if place == "streaming":
            while any(one.request.is_sent is False for one in self.machine.subscriptions.values()):
                self.passes(0.05)
            for _ in range(2):
                self.frame(self._first, is_snapshot=True, stream_id="q1")
            self.did(CloseSocket)
            self.sent()
        return self
