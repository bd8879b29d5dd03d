"""A gateway, its network and its market in virtual time, for the pure machine: what the protocol says, and no sockets.

The market runs without a step per tick: what a line ticked is counted when somebody looks. Only where the machine
wants to see every frame of a line (it is armed) each tick is a step. Times of ticks are times of arrival, so what is
still on its way when a socket is reset counts among what never arrived.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cpapi_fast.events import Cause, FeedEvent
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
    OpenSocket,
    Send,
    SessionFacts,
    SubscriptionSpec,
)
from cpapi_fast.feed.options import FeedOptions

from .market import EPOCH_NS, NEVER, Instrument

HEARTBEAT_S = 10.0
EXPIRY_S = 900.0
PENALTY_S = 900.0


@dataclass
class Habits:
    """What is not known of the gateway, or differs between gateways.

    Attributes:
        renewals: a subscribe for a live stream is answered by a snapshot of the `same` stream, of a `new` one, or is
            left `unanswered`.
        snapshots_marked: whether the frames of a snapshot can be told from ticks.
        ticks_marked: whether ticks carry what marks a snapshot, as in older captures.
        status_first: `sts` comes before `system`.
        init_is_needed: after a new session the brokerage session has to be opened.
        reads_first: after a blocked loop what waits in the socket is read before the timers run.
    """

    renewals: str = "same"
    snapshots_marked: bool = True
    ticks_marked: bool = False
    status_first: bool = False
    init_is_needed: bool = True
    reads_first: bool = False


class Held:
    """What oracles are told; `oracles.Oracles` keeps them."""

    def on_event(self, world: World, event: FeedEvent) -> None:
        """An event of the machine."""

    def on_delivered(self, world: World, line: WorldLine) -> None:
        """Frames of a line were delivered."""

    def on_call(self, world: World, call: Call) -> None:
        """The machine asked over REST."""

    def on_send(self, world: World, text: str) -> None:
        """The machine sent a text."""

    def on_expired(self, world: World, line: WorldLine) -> None:
        """The gateway ended a stream since it was not renewed."""


class WorldLine:
    """One subscription as the gateway, the network and the user have it."""

    def __init__(self, spec: SubscriptionSpec, instrument: Instrument | None, at_s: float) -> None:
        self.spec = spec
        self.instrument = instrument
        #: The gateway has a stream for it on the socket, under this id, until then.
        self.is_alive = False
        self.stream_id = ""
        self.expires_s = NEVER
        #: What the feed has heard of it; and what waits in a socket that is not read.
        self.frames = 0
        self.last_ns = 0
        self.last_s = 0.0
        self.delivered_ns = 0
        self.pending = 0
        self.is_armed = False
        #: Ticks are counted up to here.
        self.cursor_s = at_s
        self.token = 0
        #: Since the last frame that was delivered: ticked in vain, was without a stream, and a gap was told.
        self.is_lost = False
        self.was_dead = True
        self.is_gap_told = False
        self.first_sent_ns = 0
        self.subscribed_ns = 0
        self.died_s = at_s
        self.alive_since_s = NEVER
        self.refusals_left = 0
        #: No subscribe was in vain so far: what ticked before the first was heard is not missing.
        self.is_untried = True


class World:
    """The gateway and everything between it and the machine.

    Args:
        options: of the feed.
        seed: of everything that is left to chance.
        habits: of the gateway.
        held: told what happens.
        start_s: the virtual time to begin at.
    """

    def __init__(
        self,
        options: FeedOptions,
        *,
        seed: int = 1,
        habits: Habits | None = None,
        held: Held | None = None,
        start_s: float = 0.0,
    ) -> None:
        self.now_s = start_s
        self.random = Random(seed)
        self.habits = habits or Habits()
        self.held = held or Held()
        self.lines: dict[str, WorldLine] = {}
        self.machine = Machine(options, meter=self.activity, heard_s=self.heard_s, seed=seed)
        self.inputs = 0
        self.sends = 0
        #: The gateway.
        self.down: Failure | None = None
        self.is_logged_in = True
        #: Logged out it answers all the same, only without a session.
        self.is_login_page_plain = False
        self.generation = 1
        self.is_authenticated = False
        self.is_competing = False
        self.rest_down: Failure | None = None
        self.penalty_until_s = 0.0
        #: A 429 was heard, and the box is not over.
        self.is_boxed = False
        self.ready_delay_s: float | None = 0.1
        self.swallow = 0
        self.init_failures = 0
        self.doubts = 0
        self._streams = 0
        #: The network.
        self.is_connectable = True
        self.rtt_s = 0.04
        self.socket = 0
        self.has_socket = False
        self.is_frozen = False
        self.is_held = False
        self.is_listening = False
        self.socket_generation = 0
        self._heard_s = 0.0
        self._beat_s = NEVER
        self.step_ns = 0
        self._end_cause: Cause | None = None
        self._queue: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0
        self._still = 0

    # --- time -------------------------------------------------------------------------------------

    def now(self) -> Moment:
        """The moment, as the machine wants it."""
        ns = EPOCH_NS + int(self.now_s * 1e9)
        return Moment(self.now_s, ns + self.step_ns, ns)

    def ns(self, at_s: float) -> int:
        """A time on the machine's clock."""
        return EPOCH_NS + int(at_s * 1e9) + self.step_ns

    def after(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Have something happen in a while."""
        self.at(self.now_s + delay_s, function, *arguments)

    def at(self, at_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Have something happen."""
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
                self.now_s, self._still = at_s, 0
            else:
                self._still += 1
                assert self._still < 5000, f"time stands still at {self.now_s}: {machine.state}"
            if next_s <= due_s:
                _, _, function, arguments = heapq.heappop(queue)
                function(*arguments)
            else:
                self.inputs += 1
                self.do(machine.tick(self.now()))

    # --- the user ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the feed."""
        self.do(self.machine.start(self.now()))

    def stop(self) -> None:
        """Stop it."""
        self.do(self.machine.stop(self.now()))

    def subscribe(self, spec: SubscriptionSpec, instrument: Instrument | None = None) -> WorldLine:
        """Subscribe to an instrument."""
        line = self.lines.get(spec.topic)
        if line is None:
            line = self.lines[spec.topic] = WorldLine(spec, instrument, self.now_s)
            line.subscribed_ns = self.now().ns
        self.do(self.machine.subscribe(spec, self.now()))
        return line

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""
        self.do(self.machine.unsubscribe(topic, self.now()))
        line = self.lines.pop(topic)
        line.is_alive = line.is_armed = False

    # --- the machine ------------------------------------------------------------------------------

    def activity(self, topic: str) -> Activity:
        """What was heard of a topic, as the tracker has it."""
        line = self.lines.get(topic)
        if line is None:
            return Activity(0, 0, 0.0)
        if not line.is_armed and line.instrument is not None:
            self.settle(line)
        return Activity(line.frames, line.last_ns, line.last_s)

    def heard_s(self) -> float:
        """When the last frame of any kind came."""
        if self._beat_s != NEVER and not self.is_held and not self.is_frozen and self.now_s >= self._beat_s:
            beats = (self.now_s - self._beat_s) // HEARTBEAT_S
            self._heard(self._beat_s + beats * HEARTBEAT_S)
            self._beat_s += (beats + 1) * HEARTBEAT_S
        return self._heard_s

    def _heard(self, at_s: float) -> None:
        self._heard_s = max(self._heard_s, at_s)

    def do(self, actions: list[Action]) -> None:
        """Carry out what the machine wants."""
        for action in actions:
            kind = type(action)
            if kind is Emit:
                self.held.on_event(self, action.event)  # type: ignore[union-attr]
            elif kind is Send:
                self._send(action.text)  # type: ignore[union-attr]
            elif kind is Arm:
                line = self.lines.get(action.topic)  # type: ignore[union-attr]
                if line is not None:
                    self.settle(line)
                    line.is_armed = True
                    self._watch(line)
            elif kind is Disarm:
                line = self.lines.get(action.topic)  # type: ignore[union-attr]
                if line is not None:
                    line.is_armed = False
            elif kind is Call:
                self._call(action)  # type: ignore[arg-type]
            elif kind is OpenSocket:
                self.after(1.5 * self.rtt_s, self._open)
            elif kind is CloseSocket:
                self._close()

    def _input(self, actions: list[Action]) -> None:
        self.inputs += 1
        self.do(actions)

    # --- REST -------------------------------------------------------------------------------------

    def _call(self, call: Call) -> None:
        self.held.on_call(self, call)
        delay_s = 30.0 if self.rest_down is Failure.UNREACHABLE and self.random.random() < 0.5 else 0.05
        self.after(delay_s * self.random.uniform(0.5, 1.0), self._answer, call)

    def _refusal(self) -> Failure | None:
        if self.now_s < self.penalty_until_s:
            return Failure.RATE_LIMITED
        if self.down or self.rest_down:
            return self.down or self.rest_down
        if self.doubts:
            self.doubts -= 1
            return Failure.NOT_LOGGED_IN
        return None if self.is_logged_in or self.is_login_page_plain else Failure.NOT_LOGGED_IN

    def _answer(self, call: Call) -> None:
        machine, now = self.machine, self.now()
        failure = self._refusal()
        if failure is not None:
            if failure is Failure.RATE_LIMITED:
                # Whoever asks in the penalty box stays in it.
                self.penalty_until_s = self.now_s + PENALTY_S
                if not self.is_boxed:
                    self.is_boxed = True
                    self.at(self.penalty_until_s, self._unbox)
            self._input(machine.on_call_failed(call.number, failure, now))
        elif not self.is_logged_in:
            self._input(machine.on_facts(call.number, SessionFacts(None, False, False, None), now))
        elif call.kind is CallKind.ACCOUNTS:
            if self.is_authenticated:
                self._input(machine.on_accounts(call.number, now))
            else:
                self._input(machine.on_call_failed(call.number, Failure.GATEWAY_ERROR, now))
        else:
            if call.kind is CallKind.INIT:
                self._init(call.compete)
            facts = SessionFacts(
                None if call.kind is CallKind.INIT else self.generation,
                self.is_authenticated,
                True,
                self.is_competing,
            )
            self._input(machine.on_facts(call.number, facts, now))

    def _unbox(self) -> None:
        self.is_boxed = False

    def _init(self, compete: bool) -> None:
        if self.is_competing and not compete:
            return
        if self.init_failures:
            self.init_failures -= 1
            return
        if not self.is_authenticated or self.is_competing:
            self.is_authenticated, self.is_competing = True, False
            self.after(0.5, self.say_status, True, True, False)

    # --- the socket -------------------------------------------------------------------------------

    def _open(self) -> None:
        failure = self._refusal()
        if failure is None and not (self.is_connectable and self.is_logged_in):
            failure = Failure.UNREACHABLE
        if failure is not None:
            self._input(self.machine.on_socket_failed(failure, self.now()))
            return
        self.socket += 1
        self.has_socket, self.is_frozen, self.is_held, self.is_listening = True, False, False, False
        self.socket_generation = self.generation
        self._beat_s = self.now_s + HEARTBEAT_S
        self._heard(self.now_s)
        self._input(self.machine.on_socket_opened(self.now()))
        if self.ready_delay_s is not None:
            self.after(self.ready_delay_s, self._listen, self.socket)
        self.after(0.05 if self.habits.status_first else 0.2, self._first_status, self.socket)

    def _listen(self, socket: int) -> None:
        if socket == self.socket and self.has_socket and not self.is_frozen:
            self.is_listening = True
            self._heard(self.now_s)
            self._input(self.machine.on_ready(self.now()))

    def _first_status(self, socket: int) -> None:
        if socket == self.socket:
            self.say_status(self.is_authenticated, True, self.is_competing)

    def say_status(self, authenticated: bool | None, connected: bool | None, competing: bool | None) -> None:
        """Send an `sts`, whole or a fragment."""
        if self.has_socket and not self.is_frozen and not self.is_held:
            self._heard(self.now_s)
            self._input(self.machine.on_status(authenticated, connected, competing, self.now()))

    def end_socket(self, cause: Cause = Cause.CONNECTION_LOST) -> None:
        """The socket ends, and both sides see it."""
        if self.is_held:
            # Nobody reads, so nobody sees it.
            self._end_cause = cause
        elif self.has_socket:
            self._forget_socket()
            self._input(self.machine.on_socket_ended(cause, self.now()))

    def freeze(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        if self.has_socket and not self.is_frozen:
            self.heard_s()
            for line in self.lines.values():
                self.die(line)
            self.is_frozen = True
            self._beat_s = NEVER

    def _close(self) -> None:
        if not self.has_socket:
            return
        if not self.is_frozen and not self.is_held and self.random.random() < 0.5:
            # What was on its way comes before the peer's CLOSE, and is delivered.
            self.after(self.rtt_s * 0.4, self._drain, self.socket)
        else:
            self._forget_socket()

    def _drain(self, socket: int) -> None:
        if socket == self.socket:
            self._forget_socket()

    def _forget_socket(self) -> None:
        for line in self.lines.values():
            self.die(line)
        self.heard_s()
        self.has_socket = self.is_listening = self.is_held = False
        self._beat_s, self._end_cause = NEVER, None

    def _send(self, text: str) -> None:
        self.sends += 1
        self.held.on_send(self, text)
        if text[0] == "s":
            line = self.lines.get(text.partition("+{")[0])
            if line is not None and not line.first_sent_ns:
                line.first_sent_ns = self.now().ns
                self.settle(line)
                line.is_lost = False
        if self.has_socket and not self.is_frozen and text != "tic":
            self.after(self.rtt_s, self._receive, text, self.socket)

    def _receive(self, text: str, socket: int) -> None:
        """The gateway has read a text, and its answer has arrived."""
        if socket != self.socket or not self.has_socket or self.is_frozen:
            line = self.lines.get(text.partition("+{")[0])
            if line is not None:
                line.is_untried = False
            return
        word, _, rest = text.partition("+")
        if word == "sor":
            self._order(text)
        elif word in ("smd", "spl"):
            topic = f"smd+{rest.partition('+')[0]}" if word == "smd" else "spl"
            line = self.lines.get(topic)
            if line is None:
                return
            is_closed = line.spec.needs_brokerage and not self.is_authenticated
            if not self.is_listening or is_closed or self.swallow:
                self.swallow = max(self.swallow - 1, 0)
                line.is_untried = False
            else:
                self._stream(line)
        elif word in ("umd", "upl"):
            line = self.lines.get(f"smd+{rest.partition('+')[0]}" if word == "umd" else "spl")
            if line is not None:
                self.die(line)

    def _order(self, text: str) -> None:
        line = self.lines.get("sor")
        if line is not None and line.refusals_left:
            line.refusals_left -= 1
            self._input(self.machine.on_refused("sor", self.now()))

    def _stream(self, line: WorldLine) -> None:
        """A subscribe has reached the market."""
        self.settle(line)
        if line.is_untried:
            line.is_untried = line.is_lost = False
        is_new = not line.is_alive
        line.expires_s = self.now_s + EXPIRY_S if line.spec.is_market_data else NEVER
        if is_new or self.habits.renewals == "new":
            self._streams += 1
            line.stream_id = f"q{self._streams}"
        if is_new:
            line.is_alive = True
            line.alive_since_s = self.now_s
        if line.spec.is_market_data and (is_new or self.habits.renewals != "unanswered"):
            for _ in range(2):
                self._frame(line, is_snapshot=self.habits.snapshots_marked)
        self._watch(line)

    # --- lines ------------------------------------------------------------------------------------

    def die(self, line: WorldLine) -> None:
        """Its stream ends without a word."""
        self.settle(line)
        if line.is_alive:
            line.is_alive = False
            line.died_s = self.now_s
        line.was_dead = True
        if line.pending:
            # Received by the machine's socket, and never read.
            line.pending, line.is_lost = 0, True
        self._watch(line)

    def settle(self, line: WorldLine) -> None:
        """Count its ticks until now."""
        instrument, to_s = line.instrument, self.now_s
        if instrument is None or to_s <= line.cursor_s:
            return
        if line.is_alive and line.expires_s < to_s:
            self._count_ticks(line, line.expires_s)
            line.is_alive, line.was_dead, line.died_s = False, True, line.expires_s
            self.held.on_expired(self, line)
        self._count_ticks(line, to_s)

    def _count_ticks(self, line: WorldLine, to_s: float) -> None:
        assert line.instrument is not None
        count, last_s = line.instrument.ticks(line.cursor_s, to_s)
        line.cursor_s = to_s
        if not count:
            return
        if not line.is_alive or not self.has_socket:
            line.is_lost = True
        elif self.is_held:
            line.pending += count
        else:
            line.frames += count
            line.last_s, line.last_ns = last_s, self.ns(last_s)
            self._heard(last_s)
            self.held.on_delivered(self, line)

    def _watch(self, line: WorldLine) -> None:
        """Each tick of an armed line is a step."""
        line.token += 1
        if line.is_armed and line.is_alive and line.instrument is not None and not self.is_held:
            at_s = line.instrument.next_s(line.cursor_s)
            if at_s != NEVER:
                self.at(at_s, self._tick, line, line.token)

    def _tick(self, line: WorldLine, token: int) -> None:
        if token != line.token or not line.is_armed:
            return
        if line.expires_s < self.now_s:
            self.settle(line)
            return
        assert line.instrument is not None
        count, _ = line.instrument.ticks(line.cursor_s, self.now_s)
        line.cursor_s = self.now_s
        for _ in range(count):
            self._frame(line, is_snapshot=self.habits.ticks_marked)
        self._watch(line)

    def _frame(self, line: WorldLine, *, is_snapshot: bool) -> None:
        """A frame of a line has arrived."""
        if self.is_held:
            line.pending += 1
            return
        now = self.now()
        line.frames += 1
        line.last_s, line.last_ns = now.s, now.ns
        self._heard(now.s)
        if line.is_armed:
            self._input(
                self.machine.on_subscription_frame(
                    line.spec.topic, now.ns, now, is_snapshot=is_snapshot, stream_id=line.stream_id or None
                )
            )
        self.held.on_delivered(self, line)

    # --- reading ----------------------------------------------------------------------------------

    def hold(self) -> None:
        """Stop reading the socket: a full consumer, or a loop that is blocked."""
        if self.has_socket and not self.is_held:
            self.heard_s()
            for line in self.lines.values():
                self.settle(line)
            self.is_held = True

    def release(self) -> None:
        """Read what has come meanwhile, all at once."""
        if not self.is_held:
            return
        for line in self.lines.values():
            self.settle(line)
        self.is_held = False
        if self.has_socket and not self.is_frozen:
            self._heard(self.now_s)
        for line in list(self.lines.values()):
            pending, line.pending = line.pending, 0
            for _ in range(pending if line.is_armed else min(pending, 1)):
                self._frame(line, is_snapshot=False)
            if not line.is_armed and pending > 1:
                line.frames += pending - 1
            self._watch(line)
        cause, self._end_cause = self._end_cause, None
        if cause is not None:
            self.end_socket(cause)

    def pause(self) -> None:
        """A full consumer of the policy `block`."""
        if self.has_socket:
            self.hold()
            self._input(self.machine.on_paused(True, self.now()))

    def resume(self) -> None:
        """It has room again."""
        if self.is_held:
            self._input(self.machine.on_paused(False, self.now()))
            self.release()

    def block(self, duration_s: float) -> None:
        """The loop does nothing for a while; then timers run, or reads, first."""
        self.hold()
        self.now_s += duration_s
        if self.habits.reads_first:
            self.release()
        self._input(self.machine.tick(self.now()))
        self.release()
