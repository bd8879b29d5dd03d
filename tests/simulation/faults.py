"""Everything that goes wrong with a gateway, each with its end, and with what has to be noticed in time."""

from __future__ import annotations

from collections import Counter
from random import Random

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine import Failure

from .oracles import Oracles
from .world import PENALTY_S, World, WorldLine

#: After the last fault is over all has to stream again within this: the longest pause between two tries, and a look.
RECOVERY_S = 75.0
#: The same for one subscription: two pauses between tries to revive it; one that seldom ticks is asked every 9 minutes.
LINE_RECOVERY_S = 600.0
#: The machine's clock has no finer grain than this in what it promises.
TICK_S = 0.5

HOUR_NS = 3_600 * 1_000_000_000


class Faults:
    """Lets things go wrong in a world.

    Args:
        world: where.
        oracles: told what was not noticed in time.
        random: which, when and how long.
    """

    def __init__(self, world: World, oracles: Oracles, random: Random) -> None:
        self.world = world
        self.oracles = oracles
        self.random = random
        self.happened: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self.recovery_s = RECOVERY_S
        self._active = 0
        self._era = 0
        self._changed_s = 0.0
        self._names = [name for name in vars(Faults) if name[0] != "_" and name not in _NOT_RANDOM]

    # --- the frame of a fault ---------------------------------------------------------------------

    @property
    def is_calm(self) -> bool:
        """No fault is under way, and what there was is repaired."""
        return self._active == 0 and self.world.machine.state is FeedState.STREAMING

    def begin_random(self) -> None:
        """Let any one thing go wrong."""
        getattr(self, self.random.choice(self._names))()

    def _begin(self, name: str, over_after_s: float = 0.0) -> None:
        self.happened[name] += 1
        self._active += 1
        self._era += 1
        self._changed_s = self.world.now_s
        self.world.after(over_after_s, self._over)

    def _over(self) -> None:
        self._active -= 1
        self._era += 1
        world = self.world
        self._changed_s = world.now_s
        if self._active == 0:
            world.after(self.recovery_s, self._check, self._era)
            world.after(LINE_RECOVERY_S, self._check_lines, self._era)

    def _check(self, era: int) -> None:
        if era == self._era and self.world.machine.state is not FeedState.STREAMING:
            self.oracles.fail(self.world, f"{self.world.machine.state} after the last fault was over")

    def _check_lines(self, era: int) -> None:
        if era != self._era:
            return
        for line in self.world.lines.values():
            if line.spec.is_market_data and not line.is_alive:
                self.oracles.fail(self.world, f"{line.spec.topic} is dead after the last fault was over")

    def _noticed(self, within_s: float, what: str, *states: FeedState) -> None:
        """Unless something else happens meanwhile, the feed has to be told one of these states in time."""
        self.world.after(within_s, self._check_noticed, self._era, self.world.now_s, what, states)

    def _check_noticed(self, era: int, since_s: float, what: str, states: tuple[FeedState, ...]) -> None:
        if era == self._era and all(self.oracles.said_s.get((None, state), -1.0) < since_s for state in states):
            self.oracles.fail(self.world, f"{what} was not told in time")

    # --- the network ------------------------------------------------------------------------------

    def reset(self) -> None:
        """The socket is reset."""
        self._begin("reset")
        self.world.end_socket(Cause.CONNECTION_LOST)

    def closed(self) -> None:
        """The gateway closes it with some code, or breaks the protocol."""
        self._begin("closed")
        self.world.end_socket(self.random.choice([Cause.CLOSED_BY_GATEWAY, Cause.PROTOCOL_VIOLATION]))

    def flapping(self) -> None:
        """Many resets in a row."""
        count = self.random.randint(2, 8)
        self._begin("flapping", count * 7.0)
        for index in range(count):
            self.world.after(index * self.random.uniform(3.0, 7.0), self.world.end_socket)

    def half_open(self) -> None:
        """The other side is gone, and no FIN has come."""
        dead_s = self.world.machine.options.socket_timeout_s + TICK_S
        is_calm = self.is_calm
        self._begin("half_open", dead_s + 0.1)
        self.world.freeze()
        if is_calm:
            self._noticed(dead_s, "a dead socket", FeedState.DISCONNECTED)

    def cut(self) -> None:
        """The cable is out for a while."""
        duration_s = self.random.uniform(1.0, 600.0)
        self._begin("cut", max(duration_s, 31.0))
        self.world.freeze()
        self.world.is_connectable = False
        self.world.rest_down = Failure.UNREACHABLE
        self.world.after(duration_s, self._uncut)

    def _uncut(self) -> None:
        self.world.is_connectable = True
        self.world.rest_down = None

    # --- the gateway ------------------------------------------------------------------------------

    def maintenance(self, duration_s: float | None = None) -> None:
        """It is reset: 503 or nobody there; then a new session."""
        if duration_s is None:
            duration_s = self.random.uniform(5.0, 900.0)
        self._begin("maintenance", duration_s)
        world = self.world
        world.down = self.random.choice([Failure.GATEWAY_ERROR, Failure.GATEWAY_ERROR, Failure.UNREACHABLE])
        world.end_socket(Cause.CLOSED_BY_GATEWAY)
        world.after(duration_s, self._up)

    def _up(self) -> None:
        self.world.down = None
        self._new_session(is_authenticated=not self.world.habits.init_is_needed)
        self.world.doubts = self.random.choice([0, 0, 1])

    def _new_session(self, *, is_authenticated: bool) -> None:
        world = self.world
        world.generation += 1
        world.is_authenticated = is_authenticated
        world.is_competing = False
        for line in world.lines.values():
            world.die(line)

    def not_ready(self) -> None:
        """A socket opens and `system` does not come, or late; subscribes sent before vanish."""
        delay_s = self.random.choice([None, 5.0, 12.0, 25.0])
        self._begin("not_ready", 60.0)
        self.world.ready_delay_s = delay_s
        self.world.end_socket()
        self.world.after(59.0, self._ready_again)

    def _ready_again(self) -> None:
        self.world.ready_delay_s = 0.1
        self.world.end_socket()

    def session_changes(self) -> None:
        """A new session under the open socket, which heartbeats on."""
        is_calm = self.is_calm
        self._begin("session_changes", 61.0)
        self._new_session(is_authenticated=self.random.random() < 0.5)
        if is_calm:
            keepalive_s = self.world.machine.options.keepalive_interval_s
            self._noticed(keepalive_s + TICK_S, "a changed session", FeedState.DISCONNECTED)

    def session_ends(self) -> None:
        """The brokerage session ends, with a word or without."""
        self._begin("session_ends", 62.0)
        world = self.world
        world.is_authenticated = False
        world.init_failures = self.random.choice([0, 0, 0, 1, 2])
        for line in world.lines.values():
            if line.spec.needs_brokerage:
                world.die(line)
        if self.random.random() < 0.7:
            world.say_status(False, None, None)

    def competing(self) -> None:
        """Another login holds the session for a while."""
        duration_s = self.random.uniform(20.0, 900.0)
        self._begin("competing", duration_s + 30.0)
        world = self.world
        world.is_competing, world.is_authenticated = True, False
        for line in world.lines.values():
            if line.spec.needs_brokerage:
                world.die(line)
        world.say_status(None, None, True)
        world.after(0.1, world.say_status, False, None, None)
        world.after(duration_s, self._alone)

    def _alone(self) -> None:
        self.world.is_competing = False
        self.world.say_status(None, None, False)

    def logged_out(self, duration_s: float | None = None) -> None:
        """A human has to log in."""
        if duration_s is None:
            duration_s = self.random.uniform(200.0, 3_600.0)
        self._begin("logged_out", duration_s)
        world, since_s = self.world, self.world.now_s
        world.is_logged_in = world.is_authenticated = False
        world.is_login_page_plain = self.random.random() < 0.3
        for line in world.lines.values():
            world.die(line)
        if self.random.random() < 0.5:
            world.end_socket(Cause.CLOSED_BY_GATEWAY)
        world.after(150.0, self._check_login, since_s)
        world.after(duration_s, self._log_in)

    def _check_login(self, since_s: float) -> None:
        world = self.world
        if world.is_logged_in:
            return
        alone_s = max(self._changed_s, world.penalty_until_s) + 150.0
        if self._active > 1 or world.now_s < alone_s:
            world.at(max(alone_s, world.now_s + 10.0), self._check_login, since_s)
        else:
            self.oracles.within(world, "a login that is needed", FeedState.LOGIN_REQUIRED, since_s)

    def _log_in(self) -> None:
        self.world.is_logged_in = True
        self._new_session(is_authenticated=self.random.random() < 0.5)

    def login_page(self) -> None:
        """The login page shows in passing."""
        self._begin("login_page")
        self.world.doubts = 1

    def rest_fails(self) -> None:
        """REST fails and the socket lives."""
        duration_s = self.random.uniform(30.0, 600.0)
        self._begin("rest_fails", duration_s)
        self.world.rest_down = self.random.choice([Failure.GATEWAY_ERROR, Failure.UNREACHABLE, Failure.REFUSED])
        self.world.after(duration_s, self._uncut)

    def penalty(self) -> None:
        """Somebody on this machine has asked too often."""
        self._begin("penalty", 2 * PENALTY_S + 120.0)
        self.world.penalty_until_s = self.world.now_s + PENALTY_S
        if self.random.random() < 0.5:
            self.world.end_socket()

    # --- subscriptions ----------------------------------------------------------------------------

    def killed(self) -> None:
        """One stream stops in silence."""
        world = self.world
        lines = [line for line in world.lines.values() if line.is_alive and line.spec.is_market_data]
        if not lines:
            return
        line, is_calm = self.random.choice(lines), self.is_calm
        self._begin("killed")
        world.die(line)
        instrument = line.instrument
        if instrument is None or not instrument.is_regular or not is_calm or not instrument.is_open(world.now_s):
            return
        dead_s = min(60.0, 5.0 * instrument.period_s) + TICK_S
        known_s = world.now_s - max(line.alive_since_s, self._opened_s(line))
        if instrument.period_s <= 1.0 and known_s > 600.0 and instrument.is_open(world.now_s + dead_s):
            world.after(dead_s, self._check_killed, self._era, line, world.now_s)

    def _opened_s(self, line: WorldLine) -> float:
        sessions = line.instrument.sessions if line.instrument is not None else None
        return max((start for start, _ in sessions or () if start <= self.world.now_s), default=0.0)

    def _check_killed(self, era: int, line: WorldLine, since_s: float) -> None:
        if era == self._era and line.spec.topic in self.world.lines:
            self.oracles.within(self.world, "a dead stream", FeedState.STALE, since_s, line.spec.topic)

    def all_killed(self) -> None:
        """All streams stop in silence."""
        self._begin("all_killed", 60.0)
        for line in self.world.lines.values():
            self.world.die(line)

    def swallowed(self) -> None:
        """Some subscribes vanish after a reset."""
        self._begin("swallowed", 75.0)
        self.world.swallow = self.random.randint(1, 2 * len(self.world.lines))
        self.world.end_socket()
        self.world.after(30.0, self._listens)

    def _listens(self) -> None:
        self.world.swallow = 0

    def orders_refused(self) -> None:
        """`sor` is refused some times after a reset."""
        self._begin("orders_refused")
        if "sor" in self.world.lines:
            self.world.lines["sor"].refusals_left = self.random.randint(1, 4)
        self.world.end_socket()

    def churn(self) -> None:
        """The user changes the set."""
        self._begin("churn")
        world = self.world
        line = self.random.choice([line for line in world.lines.values() if line.instrument is not None])
        instrument, spec = line.instrument, line.spec
        world.unsubscribe(spec.topic)
        world.after(self.random.choice([0.0, 0.01, 1.0, 30.0]), world.subscribe, spec, instrument)

    # --- this side --------------------------------------------------------------------------------

    def blocked(self) -> None:
        """The loop is blocked."""
        self._begin("blocked")
        self.world.block(self.random.choice([0.5, 2.0, 5.0, 10.0, 40.0]))

    def paused(self) -> None:
        """A full consumer stops reading."""
        duration_s = self.random.choice([1.0, 10.0, 45.0, 200.0])
        self._begin("paused", duration_s)
        self.world.pause()
        self.world.after(duration_s, self.world.resume)

    def clock_stepped(self) -> None:
        """The wall clock is set."""
        self._begin("clock_stepped")
        for line in self.world.lines.values():
            self.world.settle(line)
        self.world.step_ns += self.random.choice([-HOUR_NS, HOUR_NS])


_NOT_RANDOM = frozenset({"is_calm", "begin_random"})
