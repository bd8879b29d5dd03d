"""The simulated gateway over REST: login, sessions, the brokerage session, and the penalty for too many requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpapi_fast.feed.machine import Call, CallKind, Failure, SessionFacts

if TYPE_CHECKING:
    from .world import World

PENALTY_S = 900.0


@dataclass
class Habits:
    """What is unknown about the gateway, or differs between gateways.

    Attributes:
        renewals: the reply to a subscribe for an active stream is a snapshot of the `same` stream, of a `new` one, or
            missing: `unanswered`.
        snapshots_marked: whether the frames of a snapshot differ from ticks.
        ticks_marked: whether ticks contain what marks a snapshot, as in older captures.
        status_first: `sts` comes before `system`.
        init_is_needed: after a new session the brokerage session has to be opened.
        reads_first: after a blocked loop the socket is read before the timers run.
    """

    renewals: str = "same"
    snapshots_marked: bool = True
    ticks_marked: bool = False
    status_first: bool = False
    init_is_needed: bool = True
    reads_first: bool = False


class SimulatedSessions:
    """The sessions of the gateway, and its responses.

    Args:
        world: the time, and the machine that receives the responses.
        habits: of the gateway.
    """

    def __init__(self, world: World, habits: Habits) -> None:
        self._world = world
        self.habits = habits
        #: Why it responds to nothing; why it responds to no call over REST.
        self.down: Failure | None = None
        self.rest_down: Failure | None = None
        self.is_logged_in = True
        #: Without a login it responds in the usual form, but without a session.
        self.is_login_page_plain = False
        self.generation = 1
        #: Every `/tickle` returns another session.
        self.is_changing = False
        self.is_authenticated = False
        self.is_competing = False
        self.penalty_until_s = 0.0
        #: A 429 was received, and the penalty is not over.
        self.is_penalized = False
        #: How many more times the brokerage session does not open, and the login page appears.
        self.init_failures = 0
        self.login_pages = 0

    def call(self, call: Call) -> None:
        """Respond to a call after a while."""
        random = self._world.random
        delay_s = 30.0 if self.rest_down is Failure.UNREACHABLE and random.random() < 0.5 else 0.05
        self._world.after(delay_s * random.uniform(0.5, 1.0), self._respond, call)

    def refusal(self) -> Failure | None:
        """Why a request fails now."""
        if self._world.now_s < self.penalty_until_s:
            return Failure.RATE_LIMITED
        if self.down or self.rest_down:
            return self.down or self.rest_down
        if self.login_pages:
            self.login_pages -= 1
            return Failure.NOT_LOGGED_IN
        return None if self.is_logged_in or self.is_login_page_plain else Failure.NOT_LOGGED_IN

    def _respond(self, call: Call) -> None:
        world = self._world
        machine, now = world.machine, world.now()
        failure = self.refusal()
        if failure is not None:
            if failure is Failure.RATE_LIMITED:
                # A request during the penalty extends it.
                self.penalty_until_s = world.now_s + PENALTY_S
                if not self.is_penalized:
                    self.is_penalized = True
                    world.at(self.penalty_until_s, self._end_penalty)
            world.put(machine.on_call_failed, call.number, failure, now)
        elif not self.is_logged_in:
            world.put(machine.on_facts, call.number, SessionFacts(None, False, False, None), now)
        elif call.kind is CallKind.ACCOUNTS:
            if self.is_authenticated:
                world.put(machine.on_accounts, call.number, now)
            else:
                world.put(machine.on_call_failed, call.number, Failure.GATEWAY_ERROR, now)
        else:
            if call.kind is CallKind.INIT:
                self._init(call.compete)
            elif self.is_changing:
                self.generation += 1
            generation = None if call.kind is CallKind.INIT else self.generation
            facts = SessionFacts(generation, self.is_authenticated, True, self.is_competing)
            world.put(machine.on_facts, call.number, facts, now)

    def _end_penalty(self) -> None:
        self.is_penalized = False

    def _init(self, compete: bool) -> None:
        if self.is_competing and not compete:
            return
        if self.init_failures:
            self.init_failures -= 1
            return
        if not self.is_authenticated or self.is_competing:
            self.is_authenticated, self.is_competing = True, False
            self._world.after(0.5, self._world.socket.send_status, True, True, False)
