"""The states of a feed: what each input does to them, and what has to be done about it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed_options import FeedOptions
from cpapi_fast.topics import TIC_TEXT

from .actions import (
    Action,
    Activity,
    Call,
    CallKind,
    CloseSocket,
    Emit,
    Failure,
    Moment,
    OpenSocket,
    SessionFacts,
)
from .advice import ADVICE
from .backoff import Backoff
from .care import Care
from .lines import LineSpec

_NEVER: Final = float("inf")
#: A tick that comes so much late tells that nobody was looking, ...
_LATE_S: Final = 1.0
#: ... and what waits in the socket gets this long to be read before silence is judged; but not again and again.
_GRACE_S: Final = 1.0
_MOST_GRACES: Final = 3
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
#: Data that is all dead under a living socket: so long until the socket is given up, doubled from time to time.
_DEAD_DATA_S: Final = 10.0
_DEAD_DATA_MAX_S: Final = 900.0
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


class _Phase(enum.Enum):
    """How far the way to data has been gone."""

    IDLE = "idle"
    #: No socket: waiting for the next try, asking over REST, or opening.
    AWAY = "away"
    OPENING = "opening"
    #: A socket: not heard `system` yet; heard, but without a brokerage session; everything subscribed.
    OPEN = "open"
    READY = "ready"
    LIVE = "live"


_WITH_SOCKET: Final = frozenset({_Phase.OPEN, _Phase.READY, _Phase.LIVE})


class Machine:
    """One feed's policy. Every input returns the actions it calls for, in order; nothing else happens.

    After each input `due_s` says when `tick` wants to be called.

    Args:
        options: the policies.
        meter: what was heard of a topic on all connections together; asked, never told.
        heard_s: when the last frame of any kind came, in seconds of the clock; 0 before the first.
        seed: of the jitter.
    """

    def __init__(
        self,
        options: FeedOptions,
        *,
        meter: Callable[[str], Activity],
        heard_s: Callable[[], float],
        seed: int = 0,
    ) -> None:
        random = Random(seed)
        self.state = FeedState.DISCONNECTED
        #: The last that was heard of the session, merged over REST and `sts`; None where nothing was said.
        self.session = SessionFacts(None, None, None, None)
        #: How many sockets were opened.
        self.connections = 0
        self._actions: list[Action] = []
        self.options: Final = options
        self._heard_s = heard_s
        self.care: Final = Care(options, random, meter, self._actions_append)
        self._backoff: Final = Backoff(options.reconnect_base_s, options.reconnect_max_s, random)
        self._phase = _Phase.IDLE
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
        self._graces = 0
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
        #: In the penalty box until then: whoever asks stays in it.
        self._box_s = 0.0
        self._blind_until_s = 0.0

    def _actions_append(self, action: Action) -> None:
        self._actions.append(action)

    def _done(self) -> list[Action]:
        actions, self._actions = self._actions, []
        self._detail = ""
        return actions

    @property
    def has_socket(self) -> bool:
        """Whether a socket is open."""
        return self._phase in _WITH_SOCKET

    @property
    def next_try_s(self) -> float | None:
        """When the gateway is asked again by itself, in seconds of the clock; None while nothing waits for that."""
        return None if self._retry_s == _NEVER else self._retry_s

    @property
    def due_s(self) -> float:
        """When to call `tick` next, in seconds of the clock; infinity for not before the next input."""
        return min(
            self._retry_s,
            self._ready_s,
            self._sts_s,
            self._tic_s,
            self._tickle_s,
            self._socket_s,
            self._dead_s,
            self.care.due_s,
        )

    # --- from the user ----------------------------------------------------------------------------

    def start(self, now: Moment) -> list[Action]:
        """Begin."""
        if self._phase is _Phase.IDLE:
            self._phase = _Phase.AWAY
            self._enter(FeedState.CONNECTING, Cause.STARTED, now)
            self._ask(CallKind.TICKLE, now)
        return self._done()

    def stop(self, now: Moment) -> list[Action]:
        """End. Holes that are open are told without an end."""
        if self._phase is not _Phase.IDLE:
            if self.has_socket or self._phase is _Phase.OPENING:
                self._actions_append(CloseSocket())
            self.care.end()
            self.care.lose(Cause.STOPPED)
            self._forget_socket()
            self._phase = _Phase.IDLE
            self._step = self._keepalive = None
            self._retry_s = _NEVER
            self._enter(FeedState.DISCONNECTED, Cause.STOPPED, now)
        return self._done()

    def subscribe(self, spec: LineSpec, now: Moment) -> list[Action]:
        """Subscribe now, or as soon as it can be; again after every loss.

        Raises:
            LimitError: the account has no market data line left.
        """
        self.care.add(spec, now)
        self.care.send_due(now)
        return self._done()

    def unsubscribe(self, topic: str, now: Moment) -> list[Action]:
        """End a subscription."""
        self.care.remove(topic, now)
        return self._done()

    def on_paused(self, is_paused: bool, now: Moment) -> list[Action]:
        """Reading the socket was stopped, or goes on: as long as it is stopped, silence means nothing."""
        if self._is_paused and not is_paused:
            self._opened_s = now.s
            self.care.start_anew(now.s)
        self._is_paused = self.care.is_paused = is_paused
        return self._done()

    # --- from REST --------------------------------------------------------------------------------

    def on_facts(self, number: int, facts: SessionFacts, now: Moment) -> list[Action]:
        """`/tickle` or ssodh/init was answered."""
        if self._keepalive is not None and number == self._keepalive.number:
            self._keepalive = None
            self._on_keepalive(facts, now)
        elif self._step is not None and number == self._step.number:
            step, self._step = self._step, None
            self._on_step(step, facts, now)
        return self._done()

    def on_accounts(self, number: int, now: Moment) -> list[Action]:
        """`/iserver/accounts` was answered."""
        if self._step is not None and number == self._step.number:
            self._step = None
            self._has_accounts = True
            if self._phase is _Phase.AWAY:
                self._phase = _Phase.OPENING
                self._actions_append(OpenSocket())
            elif self._phase is _Phase.READY and self.session.authenticated is not False:
                self._go_live(now)
        return self._done()

    def on_call_failed(
        self, number: int, failure: Failure, now: Moment, *, retry_after_s: float | None = None, detail: str = ""
    ) -> list[Action]:
        """A call failed; `retry_after_s` where the answer, or our own pace, says how long to wait."""
        self._detail = detail
        self._note_limit(failure, now, retry_after_s)
        if self._keepalive is not None and number == self._keepalive.number:
            self._keepalive = None
            self._on_keepalive_failed(failure, now)
        elif self._step is not None and number == self._step.number:
            step, self._step = self._step, None
            self._on_step_failed(step, failure, now, retry_after_s)
        return self._done()

    # --- from the socket --------------------------------------------------------------------------

    def on_socket_opened(self, now: Moment) -> list[Action]:
        """The socket is open."""
        if self._phase is not _Phase.OPENING:
            self._actions_append(CloseSocket())
            return self._done()
        options = self.options
        self._phase = _Phase.OPEN
        self.connections += 1
        self._opened_s = now.s
        self._has_sts = self._is_ready_said = False
        self._socket_generation = self.session.generation
        self._ready_s = now.s + options.ready_timeout_s
        self._tic_s = now.s + options.keepalive_interval_s
        self._tickle_s = now.s + options.keepalive_interval_s
        self._socket_s = now.s + options.socket_dead_after_s
        self._enter(FeedState.OPEN, Cause.SOCKET_OPENED, now)
        return self._done()

    def on_socket_failed(
        self, failure: Failure, now: Moment, *, retry_after_s: float | None = None, detail: str = ""
    ) -> list[Action]:
        """The socket could not be opened."""
        self._detail = detail
        self._note_limit(failure, now, retry_after_s)
        if self._phase is _Phase.OPENING:
            self._phase = _Phase.AWAY
            self._fail(failure, now, retry_after_s)
        return self._done()

    def on_socket_ended(self, cause: Cause, now: Moment, *, detail: str = "") -> list[Action]:
        """The socket has ended, for a cause that is not ours."""
        self._detail = detail
        if self.has_socket:
            self._leave(cause, now, has_ended=True)
        return self._done()

    def on_ready(self, now: Moment) -> list[Action]:
        """`system` with `success`."""
        if self._phase is _Phase.OPEN:
            self._become_ready(Cause.READY, now)
        elif self.has_socket and not self._is_ready_said:
            # Only now it listens: what was subscribed before may not have been heard.
            self._notice(Cause.READY, now)
            self.care.ask_again(now)
        self._is_ready_said = True
        return self._done()

    def on_status(
        self, authenticated: bool | None, connected: bool | None, competing: bool | None, now: Moment
    ) -> list[Action]:
        """`sts`: whole at first, in fragments later; None for what it does not say."""
        old = self.session
        self.session = SessionFacts(
            old.generation,
            old.authenticated if authenticated is None else authenticated,
            old.connected if connected is None else connected,
            old.competing if competing is None else competing,
        )
        if authenticated is not None:
            self._has_sts = True
        self._judge_session(now)
        if competing and self._phase is _Phase.LIVE:
            # Told although the data still flows: it will not for long.
            self._notice(Cause.COMPETING, now)
            self._tickle_s = min(self._tickle_s, now.s)
        return self._done()

    def on_line_frame(
        self,
        topic: str,
        received_ns: int,
        now: Moment,
        *,
        is_snapshot: bool = False,
        stream_id: str | None = None,
    ) -> list[Action]:
        """A frame of an armed topic, in its order among the others.

        Args:
            topic: its topic.
            received_ns: its receive time.
            now: now.
            is_snapshot: whether it looks like an answer to a subscribe and not like a tick.
            stream_id: its `server_id`, if it has one.
        """
        is_data = self.care.on_frame(topic, received_ns, now, is_snapshot=is_snapshot, stream_id=stream_id)
        if is_data and self._phase is _Phase.LIVE and self.state is not FeedState.STREAMING:
            self._dead_s = _NEVER
            self._streaming_since_s = now.s
            self._enter(FeedState.STREAMING, Cause.DATA, now)
        return self._done()

    def on_refused(self, topic: str, now: Moment) -> list[Action]:
        """An error frame that names a topic, such as `sor` with code 500."""
        if self.care.on_refused(topic, now) and self._phase is _Phase.LIVE and self._step is None:
            self._ask(CallKind.ACCOUNTS, now)
        return self._done()

    # --- time -------------------------------------------------------------------------------------

    def tick(self, now: Moment) -> list[Action]:
        """Do what is due."""
        self._notice_lateness(now)
        if self._retry_s <= now.s:
            self._retry_s = _NEVER
            if self._step is None:
                self._ask(CallKind.TICKLE, now)
        if self._ready_s <= now.s:
            self._on_ready_timeout(now)
        if self._sts_s <= now.s:
            self._sts_s = _NEVER
            self._has_sts = True
            self._judge_session(now)
        if self._tic_s <= now.s:
            self._tic_s = now.s + self.options.keepalive_interval_s
            self.care.send_text(TIC_TEXT, now)
        if self._tickle_s <= now.s:
            self._tickle_s = now.s + self.options.keepalive_interval_s
            if now.s < self._box_s:
                self._tickle_s = self._box_s
            elif self._keepalive is None and self._step is None:
                self._keepalive = self._call(CallKind.TICKLE)
        if self._socket_s <= now.s:
            self._check_socket(now)
        self._tend(now)
        if self._dead_s <= now.s:
            self._dead_s = _NEVER
            if self.care.is_dead:
                self._dead_tries += 1
                self._leave(Cause.DATA_DEAD, now)
        return self._done()

    def _notice_lateness(self, now: Moment) -> None:
        if now.s - self.due_s <= _LATE_S:
            if now.s >= self._blind_until_s:
                self._graces = 0
        elif self._graces < _MOST_GRACES:
            self._graces += 1
            self._blind_until_s = now.s + _GRACE_S
            self.care.go_blind(self._blind_until_s)

    def _tend(self, now: Moment) -> None:
        self.care.tick(now)
        if self._phase is _Phase.LIVE and self.state is not FeedState.STALE and self.care.is_dead:
            self._streaming_since_s = _NEVER
            self._enter(FeedState.STALE, Cause.DATA_DEAD, now)
            # Maybe the session has changed under the socket: ask now.
            self._tickle_s = now.s
            self._dead_s = now.s + min(_DEAD_DATA_S * 2.0 ** min(self._dead_tries, 10), _DEAD_DATA_MAX_S)

    def _check_socket(self, now: Moment) -> None:
        if self._is_paused:
            self._socket_s = now.s + self.options.socket_dead_after_s
            return
        dead_s = max(self._heard_s(), self._opened_s) + self.options.socket_dead_after_s
        if now.s < dead_s:
            self._socket_s = dead_s
        elif now.s < self._blind_until_s:
            self._socket_s = self._blind_until_s
        else:
            self._leave(Cause.SOCKET_SILENT, now)

    # --- the way to data --------------------------------------------------------------------------

    def _ask(self, kind: CallKind, now: Moment, *, compete: bool = False) -> None:
        if now.s >= self._box_s:
            self._step = self._call(kind, compete=compete)
        elif self._phase is not _Phase.LIVE:
            self._retry_s = self._box_s
            self._notice(Cause.RATE_LIMITED, now)

    def _note_limit(self, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        if failure is Failure.RATE_LIMITED:
            wait_s = self.options.penalty_s if retry_after_s is None else retry_after_s
            self._box_s = max(self._box_s, now.s + wait_s)

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
            if self.state in (FeedState.LOGIN_REQUIRED, FeedState.COMPETING, FeedState.DISCONNECTED):
                cause = Cause.RETRY if self.state is FeedState.DISCONNECTED else Cause.LOGGED_IN
                self._enter(FeedState.READY if self.has_socket else FeedState.CONNECTING, cause, now)
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
        elif step.kind is CallKind.ACCOUNTS and self._phase is _Phase.LIVE:
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
        if failure is Failure.RATE_LIMITED:
            wait_s = self._box_s - now.s
        elif failure is Failure.REFUSED:
            wait_s = self.options.reconnect_max_s
        else:
            wait_s = self._backoff_s(now)
            if retry_after_s is not None:
                wait_s = max(wait_s, retry_after_s)
        self._retry_s = now.s + wait_s
        if failure is Failure.NOT_LOGGED_IN:
            self._on_doubt(now)
        elif self.has_socket:
            self._notice(cause, now)
        elif self.state not in (FeedState.LOGIN_REQUIRED, FeedState.COMPETING):
            self._enter(FeedState.DISCONNECTED, cause, now)
        else:
            self._notice(cause, now)

    def _backoff_s(self, now: Moment) -> float:
        nightly = self.options.nightly
        return self._backoff.next_s(
            is_slow=nightly is not None and self._backoff.tries > 0 and nightly.holds(now.day_ns)
        )

    def _on_ready_timeout(self, now: Moment) -> None:
        self._ready_s = _NEVER
        if self.options.ready_fallback == "reconnect":
            self._leave(Cause.READY_NOT_SAID, now)
        else:
            self._become_ready(Cause.READY_NOT_SAID, now)

    def _become_ready(self, cause: Cause, now: Moment) -> None:
        self._phase = _Phase.READY
        self._ready_s = _NEVER
        self._enter(FeedState.READY, cause, now)
        self.care.go_live(now, has_brokerage=False)
        if not self._has_sts:
            self._sts_s = now.s + _STS_WAIT_S
        self._judge_session(now)

    def _judge_session(self, now: Moment) -> None:
        """Whether the brokerage session is open, as far as is known, and what follows."""
        authenticated = self.session.authenticated
        if self._phase is _Phase.LIVE and authenticated is False:
            self._phase = _Phase.READY
            self._has_accounts = False
            self._dead_s = self._streaming_since_s = _NEVER
            self.care.lose(Cause.SESSION_ENDED, brokerage_only=True)
            self._enter(FeedState.READY, Cause.SESSION_ENDED, now)
            self._step = None
            self._ask(CallKind.TICKLE, now)
        elif self._phase is _Phase.READY and self._has_sts:
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
        self._phase = _Phase.LIVE
        self._sts_s = self._retry_s = _NEVER
        self._enter(FeedState.AUTHENTICATED, Cause.LOGGED_IN, now)
        self.care.go_live(now, has_brokerage=True)

    # --- keepalive --------------------------------------------------------------------------------

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
            self._tickle_s = self._box_s
            self._notice(Cause.RATE_LIMITED, now)
        else:
            self._tickle_s = now.s + min(_KEEPALIVE_RETRY_S, self.options.keepalive_interval_s)

    # --- ends -------------------------------------------------------------------------------------

    def _leave(self, cause: Cause, now: Moment, *, has_ended: bool = False) -> None:
        """Give up the socket, if it has not ended by itself, and come back in a while."""
        if now.s - self._streaming_since_s >= _STABLE_S:
            self._backoff.reset()
            self._dead_tries = 0
        self._close(cause, has_ended=has_ended)
        self._enter(FeedState.DISCONNECTED, cause, now)
        self._retry_s = now.s + (0.0 if cause is Cause.SESSION_CHANGED else self._backoff_s(now))

    def _close(self, cause: Cause, *, has_ended: bool = False) -> None:
        if not has_ended:
            self._actions_append(CloseSocket())
        self.care.lose(cause)
        self._forget_socket()
        self._phase = _Phase.AWAY
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
