"""Tries that fail: each failure is reported in time and once, and the requests stay rare whatever the gateway does."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine import Action, Call, CallKind, CloseSocket, Emit, Failure, Moment, OpenSocket, SessionFacts
from cpapi_fast.feed.machine.session.retry_policy import MAX_REQUESTS
from cpapi_fast.feed.options import FeedOptions
from tests.unit.feed.machine_harness import EPOCH_NS, SMD, SOR, ObservedMachine

#: A failure is reported within this time after the start.
TOLD_S = 15.0
RUN_S = 1_200.0
YES = SessionFacts(1, True, True, False)
NO = SessionFacts(1, False, True, False)

#: A response to a call, or the reason why it fails.
Response = SessionFacts | Failure


@dataclass
class Gateway:
    """A gateway that does the same in every try.

    Attributes:
        tickle, init, accounts: the responses; a function is called for each. True is a good response of accounts.
        upgrade: why the upgrade fails; None if it succeeds.
        ready: whether it sends `system`.
        status: `authenticated` of the `sts` after it; None for none.
        flapping_s: how often `sts` changes afterwards; 0 for never.
        closes: whether it closes the socket after this.
        data: whether subscribes are answered.
        delay_s: how long every response takes.
    """

    tickle: Response | Callable[[], Response] = YES
    init: Response | Callable[[], Response] = YES
    accounts: Failure | bool = True
    upgrade: Failure | None = None
    ready: bool = True
    status: bool | None = True
    flapping_s: float = 0.0
    closes: bool = False
    data: bool = False
    delay_s: float = 0.05


@dataclass
class Run:
    """A machine at such a gateway, in virtual time."""

    gateway: Gateway
    options: FeedOptions = field(default_factory=FeedOptions)
    specs: tuple = (SMD,)
    seed: int = 1

    def __post_init__(self) -> None:
        self.s = 1_000.0
        self.started_s = self.s
        self.requests: list[tuple[float, str]] = []
        self.events: list[tuple[float, StateChange]] = []
        self.last_frame_s = 0.0
        self._steps: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._socket = 0
        self.machine = ObservedMachine(self.options, lambda: ({}, self.last_frame_s), self.seed)
        for spec in self.specs:
            self._do(self.machine.subscribe(spec, self.now()))

    def now(self) -> Moment:
        ns = EPOCH_NS + int(self.s * 1e9)
        return Moment(self.s, ns, ns)

    def runs(self, duration_s: float = RUN_S) -> Run:
        """Time passes."""
        if self.s == self.started_s:
            self._do(self.machine.start(self.now()))
        until_s = self.s + duration_s
        at_once = 0
        while True:
            due_s = min(self.machine.due_s, self._steps[0][0] if self._steps else float("inf"))
            if due_s > until_s:
                self.s = until_s
                return self
            at_once = 0 if due_s > self.s else at_once + 1
            assert at_once < 1_000, "time does not advance"
            self.s = max(self.s, due_s)
            if self._steps and self._steps[0][0] <= self.machine.due_s:
                heapq.heappop(self._steps)[2]()
            else:
                self._do(self.machine.tick(self.now()))

    def _after(self, delay_s: float, step: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._steps, (self.s + delay_s, self._count, step))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Call):
                self.requests.append((self.s, action.kind.value))
                self._after(self.gateway.delay_s, lambda call=action: self._respond(call))
            elif isinstance(action, OpenSocket):
                self.requests.append((self.s, "/ws"))
                self._after(self.gateway.delay_s, self._open)
            elif isinstance(action, CloseSocket):
                self._socket += 1
            elif isinstance(action, Emit) and isinstance(action.event, StateChange) and not action.event.subscription:
                self.events.append((self.s - self.started_s, action.event))

    def _respond(self, call: Call) -> None:
        machine, gateway = self.machine, self.gateway
        if call.kind is CallKind.ACCOUNTS:
            response = gateway.accounts
        else:
            response = gateway.tickle if call.kind is CallKind.TICKLE else gateway.init
            response = response() if callable(response) else response
        if isinstance(response, Failure):
            self._do(machine.on_call_failed(call.number, response, self.now(), detail=f"{call.kind.value} failed"))
        elif isinstance(response, SessionFacts):
            self._do(machine.on_facts(call.number, response, self.now()))
        else:
            self._do(machine.on_accounts(call.number, self.now()))

    def _open(self) -> None:
        machine, gateway = self.machine, self.gateway
        if gateway.upgrade is not None:
            self._do(machine.on_socket_failed(gateway.upgrade, self.now(), detail="the upgrade failed: HTTP 403"))
            return
        self._socket += 1
        number = self._socket
        self._do(machine.on_socket_opened(self.now()))
        self._later(0.1, number, self._burst)
        self._later(10.0, number, self._beat)
        if gateway.closes:
            self._later(0.5, number, self._close)

    def _later(self, delay_s: float, number: int, step: Callable[[], None]) -> None:
        self._after(delay_s, lambda: step() if number == self._socket else None)

    def _burst(self) -> None:
        gateway = self.gateway
        self.last_frame_s = self.s
        if gateway.ready:
            self._do(self.machine.on_ready(self.now()))
        if gateway.status is not None:
            self._flap(gateway.status)

    def _flap(self, status: bool) -> None:
        self.last_frame_s = self.s
        number = self._socket
        self._do(self.machine.on_status(status, None, None, self.now()))
        if self.gateway.data:
            self._do(self.machine.on_subscription_frame("smd+1", self.now().ns, self.now(), is_snapshot=True))
        if self.gateway.flapping_s and number == self._socket:
            self._later(self.gateway.flapping_s, number, lambda: self._flap(not status))

    def _beat(self) -> None:
        self.last_frame_s = self.s
        self._later(10.0, self._socket, self._beat)

    def _close(self) -> None:
        self._socket += 1
        self._do(self.machine.on_socket_ended(Cause.CLOSED_BY_GATEWAY, self.now()))

    # --- what holds -------------------------------------------------------------------------------

    def most_a_minute(self, path: str = "") -> int:
        """The largest number of requests in a minute."""
        times = [at_s for at_s, kind in self.requests if path in kind]
        return max((sum(at_s <= other < at_s + 60.0 for other in times) for at_s in times), default=0)

    def told(self) -> list[tuple[FeedState, Cause]]:
        """The states and causes that were reported."""
        return [(event.state, event.cause) for _, event in self.events]


def new_sessions() -> Callable[[], Response]:
    """`/tickle` returns another session each time."""
    count = iter(range(1, 100_000))
    return lambda: YES._replace(generation=next(count))


def alternating(*responses: Response) -> Callable[[], Response]:
    """Each response in turn."""
    count = iter(range(100_000))
    return lambda: responses[next(count) % len(responses)]


DOWN = FeedState.DISCONNECTED
LOGIN = (FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN)
CASES = {
    "tickle-unreachable": (Gateway(tickle=Failure.UNREACHABLE), (DOWN, Cause.UNREACHABLE)),
    "tickle-error": (Gateway(tickle=Failure.GATEWAY_ERROR), (DOWN, Cause.GATEWAY_ERROR)),
    "tickle-refused": (Gateway(tickle=Failure.REFUSED), (DOWN, Cause.REFUSED)),
    "tickle-login-page": (Gateway(tickle=Failure.NOT_LOGGED_IN), LOGIN),
    "tickle-without-session": (Gateway(tickle=SessionFacts(None, None, None, None)), LOGIN),
    "tickle-competing": (Gateway(tickle=NO._replace(competing=True)), (FeedState.COMPETING, Cause.COMPETING)),
    "not-connected": (Gateway(tickle=NO._replace(connected=False)), (DOWN, Cause.GATEWAY_ERROR)),
    "tickle-hangs": (Gateway(tickle=Failure.UNREACHABLE, delay_s=30.0), (FeedState.CONNECTING, Cause.UNREACHABLE)),
    "init-without-effect": (Gateway(tickle=NO, init=NO._replace(generation=None)), LOGIN),
    "init-error": (Gateway(tickle=NO, init=Failure.GATEWAY_ERROR), (DOWN, Cause.GATEWAY_ERROR)),
    "init-login-page": (Gateway(tickle=NO, init=Failure.NOT_LOGGED_IN), LOGIN),
    "init-competing": (Gateway(tickle=NO, init=Failure.COMPETING), (FeedState.COMPETING, Cause.COMPETING)),
    "accounts-error": (Gateway(accounts=Failure.GATEWAY_ERROR), (DOWN, Cause.GATEWAY_ERROR)),
    "accounts-login-page": (Gateway(accounts=Failure.NOT_LOGGED_IN), LOGIN),
    "accounts-login-page-after-init": (Gateway(tickle=NO, accounts=Failure.NOT_LOGGED_IN), LOGIN),
    "accounts-competing": (Gateway(accounts=Failure.COMPETING), (FeedState.COMPETING, Cause.COMPETING)),
    "upgrade-login": (Gateway(upgrade=Failure.NOT_LOGGED_IN), (DOWN, Cause.GATEWAY_ERROR)),
    "upgrade-error": (Gateway(upgrade=Failure.GATEWAY_ERROR), (DOWN, Cause.GATEWAY_ERROR)),
    "upgrade-unreachable": (Gateway(upgrade=Failure.UNREACHABLE), (DOWN, Cause.UNREACHABLE)),
    "upgrade-refused": (Gateway(upgrade=Failure.REFUSED), (DOWN, Cause.REFUSED)),
    "upgrade-rate-limited": (Gateway(upgrade=Failure.RATE_LIMITED), (DOWN, Cause.RATE_LIMITED)),
    "closed-after-opening": (Gateway(ready=False, status=None, closes=True), (DOWN, Cause.CLOSED_BY_GATEWAY)),
    "closed-after-ready": (Gateway(closes=True), (DOWN, Cause.CLOSED_BY_GATEWAY)),
    "never-ready": (Gateway(ready=False, status=None), (FeedState.READY, Cause.READY_TIMEOUT)),
    "never-ready-reconnect": (Gateway(ready=False, status=None), (DOWN, Cause.READY_TIMEOUT)),
    "no-data": (Gateway(), (FeedState.STALE, Cause.ALL_STALE)),
    "no-data-no-status": (Gateway(status=None), (FeedState.STALE, Cause.ALL_STALE)),
    "status-not-authenticated": (Gateway(status=False), (FeedState.STALE, Cause.ALL_STALE)),
    "flapping-status": (Gateway(flapping_s=0.02), (FeedState.READY, Cause.SESSION_ENDED)),
    "flapping-status-slow-rest": (Gateway(flapping_s=0.02, delay_s=0.2), (FeedState.READY, Cause.SESSION_ENDED)),
    "new-session-each-time": (Gateway(tickle=new_sessions(), status=False), (DOWN, Cause.SESSION_CHANGED)),
    "new-session-and-flapping-status": (
        Gateway(tickle=new_sessions(), flapping_s=0.02),
        (DOWN, Cause.SESSION_CHANGED),
    ),
    "login-page-in-turn": (Gateway(tickle=alternating(YES, Failure.NOT_LOGGED_IN), status=False), None),
    "init-in-turn": (Gateway(tickle=alternating(NO, YES), accounts=Failure.GATEWAY_ERROR), None),
}


def run_of(name: str, seed: int = 1) -> tuple[Run, tuple[FeedState, Cause] | None]:
    gateway, expected = CASES[name]
    fallback = "reconnect" if name.endswith("reconnect") else "subscribe"
    return Run(gateway, FeedOptions(ready_fallback=fallback), seed=seed).runs(), expected


@pytest.mark.parametrize("name", CASES)
def test_every_failure_is_reported_in_time_and_once(name: str):
    run, expected = run_of(name)
    troubles = [(at_s, event) for at_s, event in run.events if event.cause not in (Cause.STARTED, Cause.RETRY)]
    assert troubles, "nothing was reported"
    if expected is None:
        return
    at_s = next((at_s for at_s, event in run.events if (event.state, event.cause) == expected), None)
    assert at_s is not None, run.told()
    assert at_s <= TOLD_S
    counts = Counter(run.told())
    assert counts[expected] == 1, run.told()
    # Not even the steps before the failure are reported again with every try.
    assert max(counts.values()) <= 2, run.told()
    assert len(run.events) <= 14, run.told()
    assert run.events[-1][1].state is not FeedState.STREAMING


@pytest.mark.parametrize("name", CASES)
def test_requests_are_rare_and_become_rarer(name: str):
    for seed in range(3):
        run, _ = run_of(name, seed)
        assert run.most_a_minute() <= MAX_REQUESTS
        assert run.most_a_minute("/ws") <= 6
        late = [at_s for at_s, _ in run.requests if at_s >= run.started_s + RUN_S / 2]
        # A try of four requests each half a minute, and the keepalive.
        assert len(late) <= (RUN_S / 2) / 60.0 * 10.0, Counter(kind for _, kind in run.requests)


def test_a_failure_that_returns_is_the_last_cause_again():
    run = Run(Gateway(tickle=Failure.UNREACHABLE)).runs(300.0)
    for failure in (Failure.GATEWAY_ERROR, Failure.UNREACHABLE):
        run.gateway.tickle = failure
        run.runs(300.0)
    causes = [cause for _, cause in run.told()]
    assert causes == [Cause.STARTED, Cause.UNREACHABLE, Cause.GATEWAY_ERROR, Cause.UNREACHABLE]
    # Failures that alternate are reported once each.
    run.gateway.tickle = alternating(Failure.UNREACHABLE, Failure.GATEWAY_ERROR)
    run.runs(1_000.0)
    assert len(run.events) <= len(causes) + 1


def test_the_detail_of_a_refused_upgrade_is_reported():
    run, _ = run_of("upgrade-login")
    assert run.events[-1][1].detail == "the upgrade failed: HTTP 403"
    assert run.events[-1][0] < 1.0
    # The pauses grow: at most a dozen upgrades in the first five minutes.
    assert sum(kind == "/ws" and at_s < run.started_s + 300.0 for at_s, kind in run.requests) <= 20


def test_a_slow_response_is_reported_with_its_path():
    run, _ = run_of("tickle-hangs")
    assert run.events[1][1].detail == "no response to /tickle for 10 s"
    slow = Run(Gateway(upgrade=Failure.UNREACHABLE, delay_s=11.0)).runs(60.0)
    details = [event.detail for _, event in slow.events]
    assert "no response to /tickle for 10 s" in details


def test_a_try_that_gets_further_reports_the_steps_before():
    run = Run(Gateway(upgrade=Failure.GATEWAY_ERROR)).runs(30.0)
    count = len(run.events)
    run.gateway.upgrade = None
    run.gateway.data = True
    run.runs(60.0)
    assert [event.state for _, event in run.events[count : count + 5]] == [
        FeedState.CONNECTING,
        FeedState.OPEN,
        FeedState.READY,
        FeedState.AUTHENTICATED,
        FeedState.STREAMING,
    ]


def test_a_feed_without_market_data_needs_no_data_to_succeed():
    run = Run(Gateway(), specs=(SOR,)).runs(100.0)
    assert run.machine.state is FeedState.AUTHENTICATED
    for _ in range(3):
        run._close()
        run.runs(100.0)
    # Each connection was good for a minute, so each is reported, and the next begins after a short pause.
    assert run.told().count((FeedState.AUTHENTICATED, Cause.LOGGED_IN)) == 4


def test_the_login_of_a_user_is_reported_after_failures():
    run = Run(Gateway(tickle=Failure.NOT_LOGGED_IN)).runs(200.0)
    run.gateway.tickle, run.gateway.accounts = YES, Failure.NOT_LOGGED_IN
    run.runs(200.0)
    # The login helped only as far as the next step, which is reported once.
    assert run.told()[-2:] == [(FeedState.CONNECTING, Cause.LOGGED_IN), LOGIN]
    run.gateway.accounts, run.gateway.data = True, True
    run.runs(60.0)
    assert run.machine.state is FeedState.STREAMING


@pytest.mark.parametrize("seed", range(20))
def test_a_gateway_that_does_anything_at_any_time_gets_few_requests(seed: int):
    random = Random(seed)

    def facts() -> Response:
        if random.random() < 0.2:
            return random.choice([Failure.NOT_LOGGED_IN, Failure.COMPETING, Failure.GATEWAY_ERROR, Failure.UNREACHABLE])
        generation = random.choice([1, 1, 2, random.randrange(1_000), None])
        return SessionFacts(generation, *(random.choice([True, True, False, None]) for _ in range(3)))

    gateway = Gateway(tickle=facts, init=facts, delay_s=random.choice([0.001, 0.05, 0.5]))
    options = FeedOptions(
        competing=random.choice(["observe", "reclaim"]), ready_fallback=random.choice(["subscribe", "reconnect"])
    )
    run = Run(gateway, options, specs=(SMD, SOR), seed=seed)

    def stir() -> None:
        gateway.accounts = random.choice([True, True, True, Failure.GATEWAY_ERROR, Failure.NOT_LOGGED_IN])
        gateway.upgrade = random.choice([None, None, None, Failure.GATEWAY_ERROR])
        gateway.status = random.choice([True, False, None])
        gateway.data = random.random() < 0.3
        gateway.closes = random.random() < 0.2
        if run.machine.has_socket:
            run.last_frame_s = run.s
            flags = [random.choice([True, False, None]) for _ in range(3)]
            run._do(run.machine.on_status(*flags, run.now()))
            run._do(run.machine.on_refused("sor", run.now()))
        run._after(random.choice([0.003, 0.003, 0.003, 1.0]), stir)

    run._after(0.0, stir)
    run.runs(300.0)
    assert run.most_a_minute() <= MAX_REQUESTS
