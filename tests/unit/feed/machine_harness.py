"""A machine on the bench: inputs by hand, and what it does about them."""

from __future__ import annotations

from cpapi_fast.events import Cause, FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.feed.machine import (
    Action,
    Activity,
    Arm,
    Call,
    CallKind,
    CloseSocket,
    Disarm,
    Emit,
    Failure,
    Machine,
    Moment,
    Send,
    SessionFacts,
    SubscriptionSpec,
)
from cpapi_fast.feed.options import FeedOptions

SMD = SubscriptionSpec("smd+1", "smd+1+{}", "umd+1+{}", is_market_data=True)
SOR = SubscriptionSpec("sor", "sor+{}", "uor+{}")
SPL = SubscriptionSpec("spl", "spl+{}", "upl+{}", needs_brokerage=False)

#: A Monday at noon in UTC, outside of every nightly window.
EPOCH_NS = 1_767_614_400 * 1_000_000_000

Told = list[tuple[FeedState, Cause]]


class Bench:
    """A machine, its time and its surroundings. Inputs return what was told of the feed itself."""

    def __init__(self, *specs: SubscriptionSpec, options: FeedOptions | None = None, seed: int = 1) -> None:
        self.s = 100.0
        self.heard_s = 0.0
        self.activity: dict[str, Activity] = {}
        self.events: list[FeedEvent] = []
        self.texts: list[str] = []
        self.calls: list[CallKind] = []
        self.pending: list[Call] = []
        self.armed: set[str] = set()
        self._actions: list[Action] = []
        self._sent = 0
        self._first = specs[0].topic
        self.machine = Machine(
            options or FeedOptions(),
            meter=lambda topic: self.activity.get(topic, Activity(0, 0, 0.0)),
            heard_s=lambda: self.heard_s,
            seed=seed,
        )
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

    def do(self, actions: list[Action]) -> Told:
        """Take note of actions."""
        told: Told = []
        for action in actions:
            if isinstance(action, Emit):
                self.events.append(action.event)
                if isinstance(action.event, StateChange) and action.event.subscription is None:
                    told.append((action.event.state, action.event.cause))
            elif isinstance(action, Send):
                self.texts.append(action.text)
            elif isinstance(action, Call):
                self.calls.append(action.kind)
                self.pending.append(action)
            elif isinstance(action, Arm):
                self.armed.add(action.topic)
            elif isinstance(action, Disarm):
                self.armed.discard(action.topic)
            elif isinstance(action, CloseSocket):
                self.pending.clear()
        self._actions += actions
        return told

    # --- what it did ------------------------------------------------------------------------------

    def did(self, kind: type[Action]) -> list[Action]:
        """The actions of a kind since this was last asked; the others are forgotten."""
        found = [action for action in self._actions if isinstance(action, kind)]
        self._actions.clear()
        return found

    def sent(self) -> list[str]:
        """The texts since this was last asked, but `tic`."""
        new, self._sent = self.texts[self._sent :], len(self.texts)
        return [text for text in new if text != "tic"]

    def asked(self) -> CallKind | None:
        """What it waits for over REST."""
        return self.pending[-1].kind if self.pending else None

    def states(self, topic: str | None = None) -> Told:
        """All that was told of the feed, or of a subscription."""
        changes = [event for event in self.events if isinstance(event, StateChange)]
        return [(event.state, event.cause) for event in changes if event.subscription == topic]

    def gaps(self) -> list[Gap]:
        """All gaps."""
        return [event for event in self.events if isinstance(event, Gap)]

    # --- inputs -----------------------------------------------------------------------------------

    def start(self) -> Told:
        return self.do(self.machine.start(self.now()))

    def facts(self, generation: int | None, authenticated: bool | None, competing: bool | None = False) -> Told:
        facts = SessionFacts(generation, authenticated, True, competing)
        return self.do(self.machine.on_facts(self.pending.pop().number, facts, self.now()))

    def accounts(self) -> Told:
        return self.do(self.machine.on_accounts(self.pending.pop().number, self.now()))

    def fails(self, failure: Failure) -> Told:
        return self.do(self.machine.on_call_failed(self.pending.pop().number, failure, self.now()))

    def opened(self) -> Told:
        self.heard_s = self.s
        return self.do(self.machine.on_socket_opened(self.now()))

    def ready(self) -> Told:
        return self.do(self.machine.on_ready(self.now()))

    def status(self, authenticated: bool | None) -> Told:
        return self.do(self.machine.on_status(authenticated, None, None, self.now()))

    def ended(self, cause: Cause) -> Told:
        return self.do(self.machine.on_socket_ended(cause, self.now()))

    def paused(self, is_paused: bool) -> Told:
        return self.do(self.machine.on_paused(is_paused, self.now()))

    def frame(
        self, topic: str = "smd+1", *, is_snapshot: bool = False, stream_id: str | None = None, count: int = 1
    ) -> Told:
        """Frames of a line, told where it is armed."""
        told: Told = []
        for _ in range(count):
            self.heard_s = self.s
            frames = self.activity.get(topic, Activity(0, 0, 0.0)).frames
            self.activity[topic] = Activity(frames + 1, self.ns, self.s)
            if topic in self.armed:
                told += self.do(
                    self.machine.on_subscription_frame(
                        topic, self.ns, self.now(), is_snapshot=is_snapshot, stream_id=stream_id
                    )
                )
        return told

    def tick(self) -> Told:
        return self.do(self.machine.tick(self.now()))

    def passes(self, duration_s: float) -> Told:
        """Time passes, with every tick that is due."""
        told: Told = []
        until_s = self.s + duration_s
        while self.machine.due_s <= until_s:
            self.s = max(self.s, self.machine.due_s)
            told += self.tick()
        self.s = until_s
        return told

    def beats(self, duration_s: float) -> Told:
        """Time passes, with a heartbeat each second."""
        told: Told = []
        until_s = self.s + duration_s
        while self.s < until_s:
            self.heard_s = self.s
            told += self.passes(min(1.0, until_s - self.s))
        return told

    def ticks(self, duration_s: float, every_s: float, topic: str = "smd+1", stream_id: str | None = "q1") -> None:
        """Time passes, with a frame of a line each so often."""
        until_s = self.s + duration_s
        while self.s + every_s <= until_s:
            self.passes(every_s)
            self.frame(topic, stream_id=stream_id)
            self.answered()

    def answered(self) -> None:
        """Whatever it has asked over REST is answered well."""
        while self.pending:
            if self.asked() is CallKind.ACCOUNTS:
                self.accounts()
            else:
                self.facts(1, True)

    def lives(self, duration_s: float, stream_id: str = "q1") -> list[str]:
        """Time passes at a gateway that answers everything. Returns the texts that were sent."""
        texts: list[str] = []
        until_s = self.s + duration_s
        while self.s < until_s:
            self.beats(min(1.0, until_s - self.s))
            self.answered()
            sent = self.sent()
            texts += sent
            for text in sent:
                if text.startswith("smd"):
                    for _ in range(2):
                        self.frame(text.rpartition("+")[0], is_snapshot=True, stream_id=stream_id)
        return texts

    def to(self, place: str) -> Bench:
        """Go there on the straight way."""
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
            while any(line.is_sent is False for line in self.machine.care.lines.values()):
                self.passes(0.05)
            for _ in range(2):
                self.frame(self._first, is_snapshot=True, stream_id="q1")
            self.did(CloseSocket)
            self.sent()
        return self
