"""The machine in virtual time: its inputs and actions, the user, and the steps of the simulation."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from random import Random
from typing import Any

from cpapi_fast.events import FeedEvent
from cpapi_fast.feed.decisions.decision_recorder import DecisionRecorder
from cpapi_fast.feed.machine import (
    Action,
    Activity,
    Call,
    CloseSocket,
    Emit,
    Machine,
    Moment,
    OpenSocket,
    Send,
    SubscriptionSpec,
    Unwatch,
    Watch,
)
from cpapi_fast.feed.options import FeedOptions

from .gateway import Habits, SimulatedSessions
from .market import EPOCH_NS, NEVER, Instrument
from .socket import SimulatedSocket
from .subscription import SimulatedSubscription


class RunObserver:
    """What a simulation reports; `oracles.Oracles` checks it."""

    def on_event(self, world: World, event: FeedEvent) -> None:
        """The machine has emitted an event."""

    def on_delivered(self, world: World, subscription: SimulatedSubscription) -> None:
        """Frames of a subscription were delivered."""

    def on_call(self, world: World, call: Call) -> None:
        """The machine makes a call over REST."""

    def on_open(self, world: World) -> None:
        """The machine opens a socket."""

    def on_send(self, world: World, text: str) -> None:
        """The machine sends a text."""

    def on_unsubscribed(self, world: World, topic: str) -> None:
        """The user has unsubscribed."""

    def on_expired(self, world: World, subscription: SimulatedSubscription) -> None:
        """The gateway has ended a stream because it was not renewed."""


class World:
    """A machine, and everything around it.

    Args:
        options: of the feed.
        seed: of everything random.
        habits: of the gateway.
        observer: informed of what happens.
        recorder: records every input.
        start_s: the virtual time at the start.
    """

    def __init__(
        self,
        options: FeedOptions,
        *,
        seed: int = 1,
        habits: Habits | None = None,
        observer: RunObserver | None = None,
        recorder: DecisionRecorder | None = None,
        start_s: float = 0.0,
    ) -> None:
        self.now_s = start_s
        self.random = Random(seed)
        self.observer = observer or RunObserver()
        self.recorder = recorder
        self.subscriptions: dict[str, SimulatedSubscription] = {}
        self.machine = Machine(options, seed=seed)
        self.inputs = 0
        #: How far the wall clock was set.
        self.step_ns = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0
        self._steps_at_once = 0
        self._now = Moment(-1.0, 0, 0)
        self.sessions = SimulatedSessions(self, habits or Habits())
        self.socket = SimulatedSocket(self)

    # --- time -------------------------------------------------------------------------------------

    def now(self) -> Moment:
        """The time, as the machine needs it."""
        now = self._now
        if now.s != self.now_s or now.ns - now.day_ns != self.step_ns:
            ns = EPOCH_NS + int(self.now_s * 1e9)
            now = self._now = Moment(self.now_s, ns + self.step_ns, ns)
        return now

    def ns(self, at_s: float) -> int:
        """A time on the machine's clock."""
        return EPOCH_NS + int(at_s * 1e9) + self.step_ns

    def after(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Call a function later."""
        self.at(self.now_s + delay_s, function, *arguments)

    def at(self, at_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Call a function at a time."""
        self._count += 1
        heapq.heappush(self._queue, (at_s, self._count, function, arguments))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        queue, machine = self._queue, self.machine
        while True:
            due_s = machine.due_s
            next_s = queue[0][0] if queue else NEVER
            at_s = min(due_s, next_s)
            if at_s > until_s:
                self.now_s = max(self.now_s, until_s)
                return
            if at_s > self.now_s:
                self.now_s, self._steps_at_once = at_s, 0
            else:
                self._steps_at_once += 1
                assert self._steps_at_once < 5000, f"time does not advance at {self.now_s}: {machine.state}"
            if next_s <= due_s:
                _, _, function, arguments = heapq.heappop(queue)
                function(*arguments)
            else:
                self.tick()

    # --- the user ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the feed."""
        self.put(self.machine.start, self.now())

    def stop(self) -> None:
        """Stop the feed."""
        self.put(self.machine.stop, self.now())

    def subscribe(self, spec: SubscriptionSpec, instrument: Instrument | None = None) -> None:
        """Subscribe to an instrument."""
        subscription = self.subscriptions.get(spec.topic)
        if subscription is None:
            subscription = self.subscriptions[spec.topic] = SimulatedSubscription(spec, instrument, self.now_s)
            subscription.subscribed_ns = self.now().ns
        topics = [*self._topics_due(), spec.topic]
        self.put(self.machine.subscribe, spec, self.now(), topics=topics)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""
        topics = [*self._topics_due(), topic]
        self.put(self.machine.unsubscribe, topic, self.now(), topics=topics)
        subscription = self.subscriptions.pop(topic)
        subscription.is_streaming = subscription.is_watched = False
        self.observer.on_unsubscribed(self, topic)

    # --- the machine ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let the machine do what is due."""
        topics = self._topics_due()
        self.put(self.machine.tick, self.now(), topics=topics)

    def _topics_due(self) -> Collection[str]:
        return self.machine.topics_due(self.now_s, self.socket.heartbeats_until_now())

    def put(
        self,
        method: Callable[..., list[Action]],
        *arguments: Any,
        topics: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        """Give the machine an input, with the activity of some topics or of all, and carry out its actions."""
        self.inputs += 1
        socket, activity = self.socket, {}
        if topics is None:
            topics = self.machine.subscriptions
        for topic in topics:
            subscription = self.subscriptions.get(topic)
            if subscription is not None:
                if not subscription.is_watched and subscription.cursor_s < self.now_s:
                    socket.settle(subscription)
                activity[topic] = Activity(
                    subscription.frames, subscription.last_ns, subscription.last_s, subscription.late_ns
                )
        last_frame_s = socket.last_frame_s
        self.machine.observe(activity, last_frame_s)
        actions = method(*arguments, **options)
        if self.recorder is not None:
            self.recorder.record(method, arguments, options, activity, last_frame_s, actions)
        self.do(actions)

    def do(self, actions: list[Action]) -> None:
        """Carry out actions of the machine."""
        for action in actions:
            if isinstance(action, Emit):
                self.observer.on_event(self, action.event)
            elif isinstance(action, Send):
                self.observer.on_send(self, action.text)
                self.socket.send(action.text)
            elif isinstance(action, Watch):
                if action.topic in self.subscriptions:
                    self.socket.settle(self.subscriptions[action.topic])
                    self.subscriptions[action.topic].is_watched = True
                    self.socket.plan_tick(self.subscriptions[action.topic])
            elif isinstance(action, Unwatch):
                if action.topic in self.subscriptions:
                    self.subscriptions[action.topic].is_watched = False
            elif isinstance(action, Call):
                self.observer.on_call(self, action)
                self.sessions.call(action)
            elif isinstance(action, OpenSocket):
                self.observer.on_open(self)
                self.socket.connect()
            elif isinstance(action, CloseSocket):
                self.socket.close()
