"""The state machine stays consistent for any inputs in any order, and streams again afterwards."""

from __future__ import annotations

import math
from collections import deque

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cpapi_fast.errors import LimitError
from cpapi_fast.events import Cause, FeedState, Gap, Standstill, StandstillReason, StateChange
from cpapi_fast.feed.machine import (
    Action,
    Activity,
    Call,
    CallKind,
    CloseSocket,
    Emit,
    Failure,
    Moment,
    OpenSocket,
    Send,
    SessionFacts,
    SubscriptionSpec,
    Unwatch,
    Watch,
)
from cpapi_fast.feed.machine.session.retry_policy import MAX_REQUESTS
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.hours import TradingHours
from tests.meta.test_feed_document import EDGES
from tests.unit.feed.machine_harness import ObservedMachine

EPOCH_NS = 1_767_571_200 * 1_000_000_000
FLAGS = st.sampled_from([None, True, False])
HOURS = TradingHours.weekdays("09:30", "16:00", "America/New_York")
SPECS = [
    SubscriptionSpec("smd+1", "smd+1+{}", "umd+1+{}", is_market_data=True),
    SubscriptionSpec("smd+2", "smd+2+{}", "umd+2+{}", is_market_data=True, hours=HOURS),
    SubscriptionSpec("smd+3@NYSE", "smd+3@NYSE+{}", "umd+3@NYSE+{}", is_market_data=True, usual_interval_s=1.0),
    SubscriptionSpec("smd+4", "smd+4+{}", "umd+4+{}", is_market_data=True, usual_interval_s=3_600.0),
    SubscriptionSpec("sor", "sor+{}", "uor+{}"),
    SubscriptionSpec("spl", "spl+{}", "upl+{}", needs_brokerage=False),
    SubscriptionSpec(
        "ssd+DU1234567", "ssd+DU1234567+{}", "usd+DU1234567+{}", needs_brokerage=False, usual_interval_s=10.0
    ),
]
TOPICS = st.sampled_from([*(spec.topic for spec in SPECS), "smd+99", "error"])
ANY_OPTIONS = [
    FeedOptions(market_data_lines=3),
    FeedOptions(competing="reclaim", ready_fallback="reconnect", nightly=None),
    FeedOptions(
        renew_after_s=(10.0, 20.0),
        stale_after_max_s=20.0,
        keepalive_interval_s=5.0,
        send_bytes_per_s=50.0,
        send_burst_bytes=50,
    ),
]
ENDS = [Cause.CONNECTION_LOST, Cause.CLOSED_BY_GATEWAY, Cause.PROTOCOL_VIOLATION, Cause.INTERNAL_ERROR]
#: With a gateway that works, the machine streams again within this time.
BACK_S = 1_800.0


class MachineInAnyOrder(RuleBasedStateMachine):
    """A machine, and the state that its driver would have."""

    def __init__(self) -> None:
        super().__init__()
        self.s = 1_000.0
        self.step_ns = 0
        self.is_clock_set = False
        self.frames: dict[str, Activity] = {}
        self.last_frame_s = 0.0
        self.calls: list[Call] = []
        self.watched: set[str] = set()
        self.subscribed: set[str] = set()
        self.sockets = 0
        self.opening = 0
        self.is_started = False
        self.state = FeedState.DISCONNECTED
        self.stale: set[str] = set()
        self.requests_s: deque[float] = deque()
        self.machine = self._new(ANY_OPTIONS[0])

    def _new(self, options: FeedOptions) -> ObservedMachine:
        return ObservedMachine(options, lambda: (self.frames, self.last_frame_s), 1)

    def now(self) -> Moment:
        ns = EPOCH_NS + int(self.s * 1e9)
        return Moment(self.s, ns + self.step_ns, ns)

    def do(self, actions: list[Action]) -> None:
        """Do what a driver does, and check that each action is possible."""
        for action in actions:
            if isinstance(action, (OpenSocket, Call)):
                self._note_request()
            if isinstance(action, OpenSocket):
                assert self.sockets == 0, "two sockets"
                assert self.opening == 0, "a socket is opened already"
                self.opening += 1
            elif isinstance(action, CloseSocket):
                self.sockets = self.opening = 0
            elif isinstance(action, Send):
                assert self.sockets == 1, f"sent {action.text} without a socket"
            elif isinstance(action, Call):
                assert all(action.number > call.number for call in self.calls)
                self.calls = [*self.calls[-5:], action]
            elif isinstance(action, Watch):
                assert action.topic in self.subscribed
                self.watched.add(action.topic)
            elif isinstance(action, Unwatch):
                self.watched.discard(action.topic)
            elif isinstance(action, Emit):
                self._note_event(action.event)
        assert isinstance(self.machine.due_s, float)

    def _note_request(self) -> None:
        recent_s = self.requests_s
        recent_s.append(self.s)
        while recent_s[0] < self.s - 60.0:
            recent_s.popleft()
        assert len(recent_s) <= MAX_REQUESTS, "too many requests in a minute"

    def _note_event(self, event: object) -> None:
        if isinstance(event, Standstill):
            assert event.start_ns + event.length_ns == self.now().ns
        elif isinstance(event, Gap):
            assert event.subscription in self.subscribed
            if not self.is_clock_set and event.first_good_ns is not None:
                assert event.last_good_ns <= event.first_good_ns
        else:
            assert isinstance(event, StateChange)
            assert event.time_ns == self.now().ns
            assert event.advice
            if event.subscription is None:
                assert event.previous is self.state
                if event.state is not self.state and event.cause is not Cause.STOPPED:
                    assert (self.state.name, event.state.name) in EDGES, "an edge that states.md does not list"
                self.state = event.state
            else:
                assert event.subscription in self.subscribed
                assert (event.state is FeedState.STALE) != (event.subscription in self.stale)
                self.stale ^= {event.subscription}

    # --- the user ---------------------------------------------------------------------------------

    @precondition(lambda self: not self.is_started)
    @rule(options=st.sampled_from(ANY_OPTIONS))
    def start(self, options: FeedOptions) -> None:
        self.machine = self._new(options)
        for topic in self.subscribed:
            self.machine.subscribe(next(spec for spec in SPECS if spec.topic == topic), self.now())
        self.is_started = True
        self.do(self.machine.start(self.now()))

    @precondition(lambda self: self.is_started)
    @rule()
    def start_again(self) -> None:
        assert self.machine.start(self.now()) == []

    @rule(spec=st.sampled_from(SPECS))
    def subscribe(self, spec: SubscriptionSpec) -> None:
        is_new = spec.topic not in self.subscribed
        self.subscribed.add(spec.topic)
        try:
            self.do(self.machine.subscribe(spec, self.now()))
        except LimitError:
            assert is_new
            self.subscribed.discard(spec.topic)

    @rule(topic=TOPICS)
    def unsubscribe(self, topic: str) -> None:
        self.do(self.machine.unsubscribe(topic, self.now()))
        self.subscribed.discard(topic)
        self.stale.discard(topic)
        self.watched.discard(topic)
        self.frames.pop(topic, None)

    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        self.do(self.machine.on_paused(is_paused, self.now()))

    # --- REST -------------------------------------------------------------------------------------

    @rule(data=st.data(), generation=st.sampled_from([None, 1, 1, 1, 2]), flags=st.tuples(FLAGS, FLAGS, FLAGS))
    def facts(self, data: st.DataObject, generation: int | None, flags: tuple[bool | None, ...]) -> None:
        number = data.draw(st.sampled_from([-1, 10_000, *(call.number for call in self.calls)]))
        self.do(self.machine.on_facts(number, SessionFacts(generation, *flags), self.now()))

    @rule(data=st.data())
    def accounts(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([-1, *(call.number for call in self.calls)]))
        self.do(self.machine.on_accounts(number, self.now()))

    @rule(
        data=st.data(), failure=st.sampled_from(list(Failure)), retry_after_s=st.sampled_from([None, 0.0, 7.0, 900.0])
    )
    def call_fails(self, data: st.DataObject, failure: Failure, retry_after_s: float | None) -> None:
        number = data.draw(st.sampled_from([-1, *(call.number for call in self.calls)]))
        self.do(self.machine.on_call_failed(number, failure, self.now(), retry_after_s=retry_after_s))

    # --- the socket -------------------------------------------------------------------------------

    @precondition(lambda self: self.opening)
    @rule()
    def socket_opens(self) -> None:
        self.opening, self.sockets = 0, 1
        self.do(self.machine.on_socket_opened(self.now()))

    @precondition(lambda self: not self.opening and not self.sockets)
    @rule()
    def socket_opens_too_late(self) -> None:
        self.sockets = 1
        self.do(self.machine.on_socket_opened(self.now()))
        assert self.sockets == 0, "an unused socket stays open"

    @rule(failure=st.sampled_from(list(Failure)))
    def socket_fails(self, failure: Failure) -> None:
        self.opening = 0
        self.do(self.machine.on_socket_failed(failure, self.now()))

    @rule(cause=st.sampled_from(ENDS))
    def socket_ends(self, cause: Cause) -> None:
        self.sockets = 0
        self.do(self.machine.on_socket_ended(cause, self.now()))

    @rule()
    def ready(self) -> None:
        self.last_frame_s = self.s
        self.do(self.machine.on_ready(self.now()))

    @rule(flags=st.tuples(FLAGS, FLAGS, FLAGS))
    def status(self, flags: tuple[bool | None, bool | None, bool | None]) -> None:
        self.last_frame_s = self.s
        self.do(self.machine.on_status(*flags, self.now()))

    @rule(topic=TOPICS)
    def refused(self, topic: str) -> None:
        self.do(self.machine.on_refused(topic, self.now()))

    @rule(
        topic=TOPICS,
        count=st.sampled_from([1, 2, 2, 30]),
        is_snapshot=st.booleans(),
        stream_id=st.sampled_from([None, "q1", "q1", "q2"]),
        is_newer=FLAGS,
        late_s=st.sampled_from([0, 0, 0, 20]),
    )
    def frame(
        self,
        topic: str,
        count: int,
        is_snapshot: bool,
        stream_id: str | None,
        is_newer: bool | None = None,
        late_s: int = 0,
    ) -> None:
        """A frame of any topic; the machine gets it even if the topic is not armed."""
        now = self.now()
        for _ in range(count):
            self.last_frame_s = self.s
            if topic in self.subscribed:
                self.frames[topic] = Activity(self.frames.get(topic, (0,))[0] + 1, now.ns, now.s, late_s * 10**9)
            self.do(
                self.machine.on_subscription_frame(
                    topic,
                    now.ns,
                    now,
                    late_ns=late_s * 10**9,
                    is_snapshot=is_snapshot,
                    stream_id=stream_id,
                    is_newer=is_newer,
                )
            )

    @rule(
        length_s=st.sampled_from([1.5, 20.0, 4_000.0]),
        reason=st.sampled_from(list(StandstillReason)),
        suspended_s=st.sampled_from([0.0, 0.0, 90_000.0]),
    )
    def stands_still(self, length_s: float, reason: StandstillReason, suspended_s: float) -> None:
        self.s += length_s
        length_ns = int((length_s + suspended_s) * 1e9)
        self.do(self.machine.on_standstill(length_ns, reason, self.now(), suspended_s=suspended_s))

    # --- time -------------------------------------------------------------------------------------

    @rule(pass_s=st.sampled_from([0.001, 0.3, 2.0, 11.0, 61.0, 950.0]))
    def time_passes(self, pass_s: float) -> None:
        """Let time pass, with every tick at its time and some heartbeats."""
        self._pass(pass_s)

    def _pass(self, pass_s: float) -> None:
        until_s = self.s + pass_s
        steps = 0
        while self.machine.due_s <= until_s:
            self.s = max(self.s, self.machine.due_s)
            self._tick()
            steps += 1
            assert steps < 100 * pass_s + 1_000, "it turns in a circle"
        self.s = until_s

    @rule(late_s=st.sampled_from([0.5, 5.0, 40.0, 4_000.0, 90_000.0]))
    def a_late_tick(self, late_s: float) -> None:
        self.s += late_s
        self._tick()

    @rule()
    def a_tick_that_is_not_due(self) -> None:
        self._tick()

    @rule(hours=st.sampled_from([-1, 1]))
    def the_clock_is_set(self, hours: int) -> None:
        self.is_clock_set = True
        self.step_ns += hours * 3_600 * 1_000_000_000

    def _tick(self) -> None:
        self.do(self.machine.tick(self.now()))
        for _ in range(50):
            if self.machine.due_s > self.s:
                return
            self.do(self.machine.tick(self.now()))
        raise AssertionError("what is due stays due")

    @precondition(lambda self: self.is_started)
    @rule(steps=st.sampled_from([1, 3, 10, 30]))
    def all_goes_well(self, steps: int) -> None:
        for _ in range(steps):
            self._go_well()

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def it_waits_for_something(self) -> None:
        if self.is_started:
            is_called = self.machine._calls.step is not None
            assert is_called or self.opening or math.isfinite(self.machine.due_s), "it is stuck"
            assert self.machine.has_socket == bool(self.sockets)

    @invariant()
    def nothing_grows(self) -> None:
        manager = self.machine._manager
        assert len(manager._timers) <= 4 * len(manager.subscriptions) + 64 + 1
        assert len(manager.send_queue) <= 200
        assert set(manager.subscriptions) == self.subscribed

    @invariant()
    def states_are_reported(self) -> None:
        assert self.machine.state is self.state
        assert {topic for topic, one in self.machine.subscriptions.items() if one.is_stale_reported} == self.stale

    def teardown(self) -> None:
        """After any inputs the machine streams with a gateway that works, and it can be stopped."""
        if self.is_started:
            self.do(self.machine.on_paused(False, self.now()))
            if "smd+1" not in self.subscribed and len(self.subscribed) > 2:
                self.unsubscribe("smd+2")
                self.unsubscribe("smd+3@NYSE")
            self.subscribe(SPECS[0])
            self._come_back()
            self.do(self.machine.stop(self.now()))
            assert self.state is FeedState.DISCONNECTED
            assert self.sockets == self.opening == 0
            assert self.machine.due_s == math.inf or self.machine.subscriptions
            assert all(
                one.open_gap is None or one.open_gap.cause is Cause.STOPPED
                for one in self.machine.subscriptions.values()
            )

    def _come_back(self) -> None:
        until_s = self.s + BACK_S
        while self.s < until_s:
            if self.state is FeedState.STREAMING and "smd+1" not in self.stale:
                return
            self._go_well()
        raise AssertionError(f"still {self.state} after {BACK_S} s")

    def _go_well(self) -> None:
        """Answer as a gateway that works."""
        step, keepalive = self.machine._calls.step, self.machine._calls.keepalive
        if self.opening:
            self.socket_opens()
            self.ready()
            self.status((True, True, False))
        elif step is not None and step.kind is CallKind.ACCOUNTS:
            self.do(self.machine.on_accounts(step.number, self.now()))
        elif step is not None or keepalive is not None:
            call = step or keepalive
            assert call is not None
            self.do(self.machine.on_facts(call.number, SessionFacts(1, True, True, False), self.now()))
        else:
            if self.sockets:
                self.last_frame_s = self.s
                for topic, subscription in list(self.machine.subscriptions.items()):
                    if subscription.request.is_sent:
                        self.frame(topic, 1, False, "q1")
            self._pass(1.0)


MachineInAnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestMachineInAnyOrder = MachineInAnyOrder.TestCase
