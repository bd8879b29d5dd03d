"""The way to data and back: session, socket and brokerage session, step by step, and what each failure means."""

from __future__ import annotations

import enum
from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.options import FeedOptions

from .actions import Action, Activity, Call, CallKind, CloseSocket, Emit, Failure, Moment, SessionFacts
from .advice import ADVICE
from .retry_policy import RetryPolicy
from .subscription_manager import SubscriptionManager

_NEVER: Final = float("inf")
#: `sts` follows `system` within a quarter of a second; after this the ticket's word counts.
_STS_WAIT_S: Final = 2.0
#: At its reset the gateway shows its login page in passing: it is asked again after this before a human is called.
_DOUBT_S: Final = 5.0
_DOUBTS: Final = 2
#: So many times the brokerage session may fail to open before a human is called.
_INITS: Final = 3
_INIT_WAIT_S: Final = 2.0
#: After a failed keepalive the next one comes this soon.
_KEEPALIVE_RETRY_S: Final = 10.0
#: A connection that has streamed so long has worked: the pauses between tries begin anew.
_STABLE_S: Final = 60.0

_CAUSE_OF: Final = {
    Failure.NOT_LOGGED_IN: Cause.NOT_LOGGED_IN,
    Failure.COMPETING: Cause.COMPETING,
    Failure.RATE_LIMITED: Cause.RATE_LIMITED,
    Failure.GATEWAY_ERROR: Cause.GATEWAY_ERROR,
    Failure.UNREACHABLE: Cause.UNREACHABLE,
    Failure.REFUSED: Cause.REFUSED,
}


class Phase(enum.Enum):
    """How far the way to data has been gone."""

    IDLE = "idle"
    #: No socket: waiting for the next try, asking over REST, or opening.
    AWAY = "away"
    OPENING = "opening"
    #: A socket: not heard `system` yet; heard, but without a brokerage session; everything subscribed.
    OPEN = "open"
    READY = "ready"
    LIVE = "live"


_WITH_SOCKET: Final = frozenset({Phase.OPEN, Phase.READY, Phase.LIVE})


class SessionLifecycle:
    """How far the way to data has been gone, and what to do next.

    Args:
        options: the policies.
        meter: what was heard of a topic on all connections together; asked, never told.
        seed: of the jitter.
    """

    def __init__(
        self,
        options: FeedOptions,
        *,
        meter: Callable[[str], Activity],
        seed: int,
    ) -> None:
        random = Random(seed)
        self.state = FeedState.DISCONNECTED
        #: The last that was heard of the session, merged over REST and `sts`; None where nothing was said.
        self.session = SessionFacts(None, None, None, None)
        #: How many sockets were opened.
        self.connections = 0
        self._actions: list[Action] = []
        self.options: Final = options
        self.care: Final = SubscriptionManager(options, random, meter, self._actions_append)
        self._retry_policy: Final = RetryPolicy(options, random)
        self._phase = Phase.IDLE
        self._cause = Cause.STOPPED
        #: The words of the error that is being handled.
        self._detail = ""
        self._calls = 0
        #: The call that the way to data waits for, and the keepalive's.
        self._step: Call | None = None
        self._keepalive: Call | None = None
        self._socket_generation: int | None = None
        self._has_sts = False
        self._is_ready_said = False
        self._has_accounts = False
        self._doubts = 0
        self._inits = 0
        self._dead_tries = 0
        self._is_paused = False
        self._streaming_since_s = _NEVER
        self._opened_s = 0.0
        # When to do what; _NEVER for not.
        self._retry_s = _NEVER
        self._ready_s = _NEVER
        self._sts_s = _NEVER
        self._tic_s = _NEVER
        self._tickle_s = _NEVER
        self._socket_s = _NEVER
        self._dead_s = _NEVER
        self._reclaim_s = 0.0

    def _actions_append(self, action: Action) -> None:
        self._actions.append(action)

    @property
    def has_socket(self) -> bool:
        """Whether a socket is open."""
        return self._phase in _WITH_SOCKET

    @property
    def next_try_s(self) -> float | None:
        """When the gateway is asked again by itself, in seconds of the clock; None while nothing waits for that."""
        return None if self._retry_s == _NEVER else self._retry_s

    # --- the way to data --------------------------------------------------------------------------

    def _ask(self, kind: CallKind, now: Moment, *, compete: bool = False) -> None:
        if now.s >= self._retry_policy.penalty_until_s:
            self._step = self._call(kind, compete=compete)
        elif self._phase is not Phase.LIVE:
            self._retry_s = self._retry_policy.penalty_until_s
            self._notice(Cause.RATE_LIMITED, now)

    def _call(self, kind: CallKind, *, compete: bool = False) -> Call:
        self._calls += 1
        call = Call(kind, self._calls, compete)
        self._actions_append(call)
        return call

    def _on_step(self, step: Call, facts: SessionFacts, now: Moment) -> None:
        if step.kind is CallKind.INIT:
            # It says nothing of the session's id.
            facts = facts._replace(generation=self.session.generation)
        self.session = facts
        if facts.generation is None:
            self._on_doubt(now)
            return
        self._doubts = 0
        if self.has_socket and facts.generation != self._socket_generation:
            self._leave(Cause.SESSION_CHANGED, now)
        elif facts.competing and not facts.authenticated:
            self._on_competing(now)
        elif facts.authenticated is not False:
            self._inits = 0
            if self.state in (FeedState.LOGIN_REQUIRED, FeedState.COMPETING):
                self._enter(FeedState.READY if self.has_socket else FeedState.CONNECTING, Cause.LOGGED_IN, now)
            self._ask(CallKind.ACCOUNTS, now)
        elif facts.connected is False:
            self._fail(Failure.GATEWAY_ERROR, now, None)
        elif step.kind is CallKind.TICKLE and self._inits < _INITS:
            self._inits += 1
            self._ask(CallKind.INIT, now)
        elif self._inits < _INITS:
            self._retry_s = now.s + _INIT_WAIT_S
        else:
            self._inits = 0
            self._require_login(now)

    def _on_step_failed(self, step: Call, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        if failure is Failure.NOT_LOGGED_IN:
            self._on_doubt(now)
        elif failure is Failure.COMPETING:
            self._on_competing(now)
        elif step.kind is CallKind.ACCOUNTS and self._phase is Phase.LIVE:
            # Asked for the sake of a refused subscribe, which will be refused again and ask again.
            if failure is Failure.RATE_LIMITED:
                self._notice(Cause.RATE_LIMITED, now)
        else:
            self._fail(failure, now, retry_after_s)

    def _on_doubt(self, now: Moment) -> None:
        """The gateway wants a login, or says so in passing."""
        self._doubts += 1
        if self.state is FeedState.LOGIN_REQUIRED or self._doubts >= _DOUBTS:
            self._require_login(now)
        else:
            self._retry_s = now.s + _DOUBT_S

    def _require_login(self, now: Moment) -> None:
        if self.has_socket:
            self._close(Cause.NOT_LOGGED_IN)
        self._enter(FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN, now)
        self._retry_s = now.s + self.options.login_poll_s

    def _on_competing(self, now: Moment) -> None:
        self.session = self.session._replace(competing=True)
        self._enter(FeedState.COMPETING, Cause.COMPETING, now)
        if self.options.competing == "reclaim" and now.s >= self._reclaim_s:
            # Not again at once: two programs that reclaim from each other would fight without end.
            self._reclaim_s = now.s + self.options.keepalive_interval_s
            self._ask(CallKind.INIT, now, compete=True)
        else:
            self._retry_s = now.s + self.options.login_poll_s

    def _fail(self, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        """No way to data at the moment: wait, then try from the start."""
        cause = _CAUSE_OF[failure]
        self._retry_s = now.s + self._retry_policy.after(failure, now, retry_after_s)
        if failure is Failure.NOT_LOGGED_IN:
            self._on_doubt(now)
        elif self.has_socket:
            self._notice(cause, now)
        elif self.state not in (FeedState.LOGIN_REQUIRED, FeedState.COMPETING):
            self._enter(FeedState.DISCONNECTED, cause, now)
        else:
            self._notice(cause, now)

    def _on_ready_timeout(self, now: Moment) -> None:
        self._ready_s = _NEVER
        if self.options.ready_fallback == "reconnect":
            self._leave(Cause.READY_TIMEOUT, now)
        else:
            self._become_ready(Cause.READY_TIMEOUT, now)

    def _become_ready(self, cause: Cause, now: Moment) -> None:
        self._phase = Phase.READY
        self._ready_s = _NEVER
        self._enter(FeedState.READY, cause, now)
        self.care.go_live(now, has_brokerage=False)
        if not self._has_sts:
            self._sts_s = now.s + _STS_WAIT_S
        self._judge_session(now)

    def _judge_session(self, now: Moment) -> None:
        """Whether the brokerage session is open, as far as is known, and what follows."""
        authenticated = self.session.authenticated
        if self._phase is Phase.LIVE and authenticated is False:
            self._phase = Phase.READY
            self._has_accounts = False
            self._dead_s = self._streaming_since_s = _NEVER
            self.care.lose(Cause.SESSION_ENDED, brokerage_only=True)
            self._enter(FeedState.READY, Cause.SESSION_ENDED, now)
            self._step = None
            self._ask(CallKind.TICKLE, now)
        elif self._phase is Phase.READY and self._has_sts:
            if authenticated is False:
                self._has_accounts = False
                if self._step is None and self._retry_s == _NEVER:
                    self._ask(CallKind.TICKLE, now)
            elif self._has_accounts:
                self._go_live(now)
            elif self._step is None:
                self._retry_s = _NEVER
                self._ask(CallKind.ACCOUNTS, now)

    def _go_live(self, now: Moment) -> None:
        self._phase = Phase.LIVE
        self._sts_s = self._retry_s = _NEVER
        self._enter(FeedState.AUTHENTICATED, Cause.LOGGED_IN, now)
        self.care.go_live(now, has_brokerage=True)

    # --- keepalive --------------------------------------------------------------------------------

    def _tickle(self, now: Moment) -> None:
        self._tickle_s = max(now.s + self.options.keepalive_interval_s, self._retry_policy.penalty_until_s)
        if now.s >= self._retry_policy.penalty_until_s and self._keepalive is None and self._step is None:
            self._keepalive = self._call(CallKind.TICKLE)

    def _on_keepalive(self, facts: SessionFacts, now: Moment) -> None:
        if facts.generation is None:
            # Some gateways say so in an answer that looks like any other.
            self._on_keepalive_failed(Failure.NOT_LOGGED_IN, now)
            return
        self._doubts = 0
        self.session = facts
        if not self.has_socket:
            return
        if facts.generation != self._socket_generation:
            # The socket heartbeats on, and its data is dead.
            self._leave(Cause.SESSION_CHANGED, now)
            return
        if facts.authenticated is not None:
            self._has_sts = True
        self._judge_session(now)

    def _on_keepalive_failed(self, failure: Failure, now: Moment) -> None:
        if not self.has_socket:
            return
        if failure is Failure.NOT_LOGGED_IN:
            self._doubts += 1
            self._tickle_s = now.s + _DOUBT_S
            if self._doubts >= _DOUBTS:
                self._require_login(now)
        elif failure is Failure.RATE_LIMITED:
            self._tickle_s = self._retry_policy.penalty_until_s
            self._notice(Cause.RATE_LIMITED, now)
        else:
            self._tickle_s = now.s + min(_KEEPALIVE_RETRY_S, self.options.keepalive_interval_s)

    # --- ends -------------------------------------------------------------------------------------

    def _leave(self, cause: Cause, now: Moment, *, has_ended: bool = False) -> None:
        """Give up the socket, if it has not ended by itself, and come back in a while."""
        if now.s - self._streaming_since_s >= _STABLE_S:
            self._retry_policy.reset()
            self._dead_tries = 0
        self._close(cause, has_ended=has_ended)
        self._enter(FeedState.DISCONNECTED, cause, now)
        self._retry_s = now.s + (0.0 if cause is Cause.SESSION_CHANGED else self._retry_policy.backoff(now))

    def _close(self, cause: Cause, *, has_ended: bool = False) -> None:
        if not has_ended:
            self._actions_append(CloseSocket())
        self.care.lose(cause)
        self._forget_socket()
        self._phase = Phase.AWAY
        self._step = self._keepalive = None

    def _forget_socket(self) -> None:
        self._has_accounts = False
        self._is_paused = self.care.is_paused = False
        self._socket_generation = None
        self._ready_s = self._sts_s = self._tic_s = self._tickle_s = self._socket_s = self._dead_s = _NEVER
        self._streaming_since_s = _NEVER

    def _enter(self, state: FeedState, cause: Cause, now: Moment) -> None:
        if state is self.state:
            self._notice(cause, now)
            return
        previous, self.state, self._cause = self.state, state, cause
        self._actions_append(Emit(StateChange(now.ns, state, previous, cause, ADVICE[cause], detail=self._detail)))

    def _notice(self, cause: Cause, now: Moment) -> None:
        """The state is the same, and there is something to be told about it; once, not with every try."""
        if cause is not self._cause:
            self._cause = cause
            change = StateChange(now.ns, self.state, self.state, cause, ADVICE[cause], detail=self._detail)
            self._actions_append(Emit(change))
