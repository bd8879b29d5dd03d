"""The faults of a simulated run: how each begins and ends, and what the feed has to report about it."""

from __future__ import annotations

from collections import Counter
from random import Random

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine import Failure

from .gateway import PENALTY_S
from .oracles import Oracles
from .subscription import SimulatedSubscription
from .world import World

#: How long after the end of the last fault the feed has to stream: the longest pause between two tries, and a check.
RECOVERY_S = 75.0
#: The same for one subscription: two resubscribes; an infrequent one is renewed every 9 minutes.
SUBSCRIPTION_RECOVERY_S = 600.0
#: The tolerance of every time limit.
TICK_S = 0.5

HOUR_NS = 3_600 * 1_000_000_000


class Faults:
    """Causes faults in a world.

    Args:
        world: the world.
        oracles: receives the problems.
        random: decides which fault, when and for how long.
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

    # --- every fault ------------------------------------------------------------------------------

    @property
    def is_calm(self) -> bool:
        """Whether no fault is under way and the feed streams."""
        return self._active == 0 and self.world.machine.state is FeedState.STREAMING

    def begin_random(self) -> None:
        """Begin a random fault."""
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
            world.after(SUBSCRIPTION_RECOVERY_S, self._check_subscriptions, self._era)

    def _check(self, era: int) -> None:
        if era == self._era and self.world.machine.state is not FeedState.STREAMING:
            self.oracles.fail(self.world, f"{self.world.machine.state} after the last fault was over")

    def _check_subscriptions(self, era: int) -> None:
        if era != self._era:
            return
        for subscription in self.world.subscriptions.values():
            if subscription.spec.is_market_data and not subscription.is_streaming:
                self.oracles.fail(
                    self.world, f"{subscription.spec.topic} does not stream after the last fault was over"
                )

    def _noticed(self, within_s: float, what: str, *states: FeedState) -> None:
        """Require one of these states within a time, unless another fault begins or ends before."""
        self.world.after(within_s, self._check_noticed, self._era, self.world.now_s, what, states)

    def _check_noticed(self, era: int, since_s: float, what: str, states: tuple[FeedState, ...]) -> None:
        if era == self._era and all(self.oracles.reported_s.get((None, state), -1.0) < since_s for state in states):
            self.oracles.fail(self.world, f"{what} was not reported in time")

    # --- the network ------------------------------------------------------------------------------

    def reset(self) -> None:
        """The socket is reset."""
        self._begin("reset")
        self.world.socket.end(Cause.CONNECTION_LOST)

    def closed(self) -> None:
        """The gateway closes the socket, or violates the protocol."""
        self._begin("closed")
        self.world.socket.end(self.random.choice([Cause.CLOSED_BY_GATEWAY, Cause.PROTOCOL_VIOLATION]))

    def flapping(self) -> None:
        """Many resets in a row."""
        count = self.random.randint(2, 8)
        self._begin("flapping", count * 7.0)
        for index in range(count):
            self.world.after(index * self.random.uniform(3.0, 7.0), self.world.socket.end)

    def half_open(self) -> None:
        """The gateway is gone, and no FIN was received."""
        detected_s = self.world.machine.options.socket_timeout_s + TICK_S
        is_calm = self.is_calm
        self._begin("half_open", detected_s + 0.1)
        self.world.socket.freeze()
        if is_calm:
            self._noticed(detected_s, "a silent socket", FeedState.DISCONNECTED)

    def cut(self) -> None:
        """The network is interrupted for a while."""
        duration_s = self.random.uniform(1.0, 600.0)
        self._begin("cut", max(duration_s, 31.0))
        self.world.socket.freeze()
        self.world.socket.is_connectable = False
        self.world.sessions.rest_down = Failure.UNREACHABLE
        self.world.after(duration_s, self._uncut)

    def _uncut(self) -> None:
        self.world.socket.is_connectable = True
        self.world.sessions.rest_down = None

    # --- the gateway ------------------------------------------------------------------------------

    def maintenance(self, duration_s: float | None = None) -> None:
        """The gateway is reset: it responds with 503 or not at all, then with a new session."""
        if duration_s is None:
            duration_s = self.random.uniform(5.0, 900.0)
        self._begin("maintenance", duration_s)
        world = self.world
        world.sessions.down = self.random.choice([Failure.GATEWAY_ERROR, Failure.GATEWAY_ERROR, Failure.UNREACHABLE])
        world.socket.end(Cause.CLOSED_BY_GATEWAY)
        world.after(duration_s, self._up)

    def _up(self) -> None:
        self.world.sessions.down = None
        self._new_session(is_authenticated=not self.world.sessions.habits.init_is_needed)
        self.world.sessions.login_pages = self.random.choice([0, 0, 1])

    def _new_session(self, *, is_authenticated: bool) -> None:
        world = self.world
        world.sessions.generation += 1
        world.sessions.is_authenticated = is_authenticated
        world.sessions.is_competing = False
        for subscription in world.subscriptions.values():
            world.socket.end_stream(subscription)

    def not_ready(self) -> None:
        """On the next socket `system` is late or missing, and subscribes before it are ignored."""
        delay_s = self.random.choice([None, 5.0, 12.0, 25.0])
        self._begin("not_ready", 60.0)
        self.world.socket.ready_delay_s = delay_s
        self.world.socket.end()
        self.world.after(59.0, self._ready_again)

    def _ready_again(self) -> None:
        self.world.socket.ready_delay_s = 0.1
        self.world.socket.end()

    def session_changes(self) -> None:
        """The gateway has a new session, and the open socket continues to send heartbeats."""
        is_calm = self.is_calm
        self._begin("session_changes", 61.0)
        self._new_session(is_authenticated=self.random.random() < 0.5)
        if is_calm:
            keepalive_s = self.world.machine.options.keepalive_interval_s
            self._noticed(keepalive_s + TICK_S, "a changed session", FeedState.DISCONNECTED)

    def session_ends(self) -> None:
        """The brokerage session ends, with `sts` or without."""
        self._begin("session_ends", 62.0)
        world = self.world
        world.sessions.is_authenticated = False
        world.sessions.init_failures = self.random.choice([0, 0, 0, 1, 2])
        for subscription in world.subscriptions.values():
            if subscription.spec.needs_brokerage:
                world.socket.end_stream(subscription)
        if self.random.random() < 0.7:
            world.socket.send_status(False, None, None)

    def session_flaps(self) -> None:
        """The brokerage session ends and begins again, many times a second."""
        duration_s, every_s = self.random.uniform(2.0, 90.0), self.random.choice([0.02, 0.2, 1.0, 5.0])
        self._begin("session_flaps", duration_s + 61.0)
        self._flap(self.world.now_s + duration_s, every_s)

    def _flap(self, until_s: float, every_s: float) -> None:
        world = self.world
        is_over = world.now_s >= until_s
        world.sessions.is_authenticated = is_over or not world.sessions.is_authenticated
        for subscription in world.subscriptions.values():
            if subscription.spec.needs_brokerage and not world.sessions.is_authenticated:
                world.socket.end_stream(subscription)
            # A subscribe between two changes may be answered after the feed was told that the session has ended.
            subscription.had_no_stream = True
        world.socket.send_status(world.sessions.is_authenticated, None, None)
        if not is_over:
            world.after(every_s, self._flap, until_s, every_s)

    def session_keeps_changing(self) -> None:
        """Each `/tickle` returns another session, and the brokerage session does not open."""
        duration_s = self.random.uniform(10.0, 300.0)
        self._begin("session_keeps_changing", duration_s)
        world = self.world
        world.sessions.is_changing, world.sessions.is_authenticated = True, False
        world.sessions.init_failures = 1_000
        for subscription in world.subscriptions.values():
            world.socket.end_stream(subscription)
        world.socket.send_status(False, None, None)
        world.after(duration_s, self._stop_changing)

    def _stop_changing(self) -> None:
        self.world.sessions.is_changing = False
        self.world.sessions.init_failures = 0

    def competing(self) -> None:
        """Another login holds the session for a while."""
        duration_s = self.random.uniform(20.0, 900.0)
        self._begin("competing", duration_s + 30.0)
        world = self.world
        world.sessions.is_competing, world.sessions.is_authenticated = True, False
        for subscription in world.subscriptions.values():
            if subscription.spec.needs_brokerage:
                world.socket.end_stream(subscription)
        world.socket.send_status(None, None, True)
        world.after(0.1, world.socket.send_status, False, None, None)
        world.after(duration_s, self._stop_competing)

    def _stop_competing(self) -> None:
        self.world.sessions.is_competing = False
        self.world.socket.send_status(None, None, False)

    def logged_out(self, duration_s: float | None = None) -> None:
        """The user has to log in."""
        if duration_s is None:
            duration_s = self.random.uniform(200.0, 3_600.0)
        self._begin("logged_out", duration_s)
        world, since_s = self.world, self.world.now_s
        world.sessions.is_logged_in = world.sessions.is_authenticated = False
        world.sessions.is_login_page_plain = self.random.random() < 0.3
        for subscription in world.subscriptions.values():
            world.socket.end_stream(subscription)
        if self.random.random() < 0.5:
            world.socket.end(Cause.CLOSED_BY_GATEWAY)
        world.after(150.0, self._check_login, since_s)
        world.after(duration_s, self._log_in)

    def _check_login(self, since_s: float) -> None:
        world = self.world
        if world.sessions.is_logged_in or world.machine.state is FeedState.LOGIN_REQUIRED:
            return
        single_s = max(self._changed_s, world.sessions.penalty_until_s) + 150.0
        if self._active > 1 or world.now_s < single_s:
            world.at(max(single_s, world.now_s + 10.0), self._check_login, since_s)
        else:
            self.oracles.within(world, "a login that is needed", FeedState.LOGIN_REQUIRED, since_s)

    def _log_in(self) -> None:
        self.world.sessions.is_logged_in = True
        self._new_session(is_authenticated=self.random.random() < 0.5)

    def login_page(self) -> None:
        """The login page appears for a moment."""
        self._begin("login_page")
        self.world.sessions.login_pages = 1

    def rest_fails(self) -> None:
        """REST fails while the socket works."""
        duration_s = self.random.uniform(30.0, 600.0)
        self._begin("rest_fails", duration_s)
        self.world.sessions.rest_down = self.random.choice(
            [Failure.GATEWAY_ERROR, Failure.UNREACHABLE, Failure.REFUSED]
        )
        self.world.after(duration_s, self._uncut)

    def penalty(self) -> None:
        """Another program has sent too many requests."""
        self._begin("penalty", 2 * PENALTY_S + 120.0)
        self.world.sessions.penalty_until_s = self.world.now_s + PENALTY_S
        if self.random.random() < 0.5:
            self.world.socket.end()

    # --- subscriptions ----------------------------------------------------------------------------

    def killed(self) -> None:
        """One stream ends without a notice."""
        world = self.world
        streaming = [one for one in world.subscriptions.values() if one.is_streaming and one.spec.is_market_data]
        if not streaming:
            return
        subscription, is_calm = self.random.choice(streaming), self.is_calm
        self._begin("killed")
        world.socket.end_stream(subscription)
        instrument = subscription.instrument
        if instrument is None or not instrument.is_regular or not is_calm or not instrument.is_open(world.now_s):
            return
        detected_s = min(60.0, 5.0 * instrument.period_s) + TICK_S
        known_s = world.now_s - max(subscription.streaming_since_s, self._opened_s(subscription))
        if instrument.period_s <= 1.0 and known_s > 600.0 and instrument.is_open(world.now_s + detected_s):
            world.after(detected_s, self._check_killed, self._era, subscription, world.now_s)

    def _opened_s(self, subscription: SimulatedSubscription) -> float:
        sessions = subscription.instrument.sessions if subscription.instrument is not None else None
        return max((start for start, _ in sessions or () if start <= self.world.now_s), default=0.0)

    def _check_killed(self, era: int, subscription: SimulatedSubscription, since_s: float) -> None:
        if era == self._era and subscription.spec.topic in self.world.subscriptions:
            self.oracles.within(self.world, "an ended stream", FeedState.STALE, since_s, subscription.spec.topic)

    def frozen(self) -> None:
        """The gateway sends no more ticks of one stream, and answers probes with its old snapshot."""
        self._freeze(is_hard=False)

    def frozen_for_good(self) -> None:
        """The same, and an unsubscribe does not help. It ends some time after it was noticed, or with the socket."""
        self._freeze(is_hard=True)

    def _freeze(self, *, is_hard: bool) -> None:
        world, most_s = self.world, 1.5 if is_hard else 20.0
        streaming = [
            one
            for one in world.subscriptions.values()
            if one.is_streaming
            and one.spec.is_market_data
            and one.instrument is not None
            and one.instrument.period_s <= most_s
            and one.instrument.is_open(world.now_s)
            and world.now_s - one.streaming_since_s > 60.0
        ]
        if not streaming or world.socket.is_held:
            return
        subscription, is_calm = self.random.choice(streaming), self.is_calm
        self._begin("frozen_for_good" if is_hard else "frozen", 60.0)
        world.socket.freeze_stream(subscription, is_hard=is_hard)
        if is_hard:
            world.after(60.0, self._thaw, subscription, world.now_s)
        instrument, detected_s = subscription.instrument, 50.0
        assert instrument is not None
        known_s = world.now_s - max(subscription.streaming_since_s, self._opened_s(subscription))
        is_regular = instrument.is_regular and instrument.period_s <= 1.0 and known_s > 600.0
        if is_calm and is_regular and instrument.is_open(world.now_s + detected_s):
            world.after(detected_s, self._check_killed, self._era, subscription, world.now_s)

    def _thaw(self, subscription: SimulatedSubscription, since_s: float) -> None:
        world = self.world
        if subscription.is_frozen and world.subscriptions.get(subscription.spec.topic) is subscription:
            if self.oracles.reported_s.get((subscription.spec.topic, FeedState.STALE), -1.0) >= since_s:
                world.socket.thaw_stream(subscription)
            else:
                world.after(60.0, self._thaw, subscription, since_s)

    def all_killed(self) -> None:
        """All streams end without a notice."""
        self._begin("all_killed", 60.0)
        for subscription in self.world.subscriptions.values():
            self.world.socket.end_stream(subscription)

    def swallowed(self) -> None:
        """Some subscribes are ignored after a reset."""
        self._begin("swallowed", 75.0)
        self.world.socket.ignored_subscribes = self.random.randint(1, 2 * len(self.world.subscriptions))
        self.world.socket.end()
        self.world.after(30.0, self._stop_ignoring)

    def _stop_ignoring(self) -> None:
        self.world.socket.ignored_subscribes = 0

    def orders_refused(self) -> None:
        """`sor` is refused some times after a reset."""
        self._begin("orders_refused")
        if "sor" in self.world.subscriptions:
            self.world.subscriptions["sor"].refusals_left = self.random.randint(1, 4)
        self.world.socket.end()

    def churn(self) -> None:
        """The user unsubscribes and subscribes."""
        self._begin("churn")
        world = self.world
        subscription = self.random.choice([one for one in world.subscriptions.values() if one.instrument is not None])
        instrument, spec = subscription.instrument, subscription.spec
        world.unsubscribe(spec.topic)
        world.after(self.random.choice([0.0, 0.01, 1.0, 30.0]), world.subscribe, spec, instrument)

    # --- this side --------------------------------------------------------------------------------

    def blocked(self) -> None:
        """The loop is blocked."""
        self._begin("blocked")
        self.world.socket.block(self.random.choice([0.5, 2.0, 5.0, 10.0, 40.0]))

    def stalled(self) -> None:
        """The network delivers nothing for a while, and then everything."""
        duration_s = self.random.choice([1.5, 5.0, 12.0, 20.0])
        self._begin("stalled", duration_s)
        self.world.socket.stall()
        self.world.after(duration_s, self.world.socket.unstall, duration_s)

    def paused(self) -> None:
        """A full consumer stops the socket from being read."""
        duration_s = self.random.choice([1.0, 10.0, 45.0, 200.0])
        self._begin("paused", duration_s)
        self.world.socket.pause()
        self.world.after(duration_s, self.world.socket.resume)

    def clock_stepped(self) -> None:
        """The wall clock is set."""
        self._begin("clock_stepped")
        for subscription in self.world.subscriptions.values():
            self.world.socket.settle(subscription)
        self.world.step_ns += self.random.choice([-HOUR_NS, HOUR_NS])


_NOT_RANDOM = frozenset({"is_calm", "begin_random"})
