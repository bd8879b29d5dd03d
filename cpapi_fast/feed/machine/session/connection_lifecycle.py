"""The phases of a connection: opening the socket, waiting for `system`, opening the brokerage session, live data."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Protocol

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine.actions import Action, CloseSocket, Moment
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.topics import TIC_TEXT

from .session_calls import SessionCalls
from .socket_timeout import SocketTimeout
from .state_reporter import StateReporter, Step

_NEVER: Final = float("inf")
#: The gateway sends `sts` within 0.25 s after `system`. Without it after this time, the session from `/tickle` decides.
_STS_WAIT_S: Final = 2.0
#: After a connection has been good for this long, the backoff starts with its shortest pause again.
_STABLE_S: Final = 60.0
#: After a connection has been good for this long, a new session is a reason to act at once, as it is at the start.
_GOOD_S: Final = 20.0
#: Without data a connection is good if nothing is stale this long after the time limit of the replies to subscribes:
#: then no data is expected.
_SETTLE_S: Final = 5.0
#: A socket is replaced after all market data was stale for this long; doubled each time, up to the maximum.
_ALL_STALE_S: Final = 10.0
_ALL_STALE_MAX_S: Final = 900.0


class Phase(enum.Enum):
    """The phase of a connection."""

    #: Not started, or stopped.
    IDLE = "idle"
    #: Waiting for the next try, or for a response over REST.
    NO_SOCKET = "no socket"
    #: The socket is being opened.
    OPENING = "opening"
    #: The socket is open; `system` has not arrived.
    OPEN = "open"
    #: The gateway accepts subscribes; the brokerage session is not open.
    READY = "ready"
    #: The brokerage session is open, and everything is subscribed.
    LIVE = "live"


_WITH_SOCKET: Final = frozenset({Phase.OPEN, Phase.READY, Phase.LIVE})


class ConnectionUser(Protocol):
    """The user of a connection, which subscribes and sends texts. Implemented by `SubscriptionManager`."""

    def subscribe_all(self, now: Moment, *, has_brokerage: bool) -> None:
        """Subscribe to everything; without a brokerage session, only to what does not need one."""

    def drop_all(self, cause: Cause, *, brokerage_only: bool = False) -> None:
        """Drop all subscriptions because the connection ended; or those that need the brokerage session."""

    def send_text(self, text: str, now: Moment) -> None:
        """Send a text on the socket."""


class ConnectionLifecycle:
    """The phase of one feed's connection.

    Args:
        options: pauses and policies.
        act: receives each action, in order.
        reporter: receives the states of the feed.
        calls: makes calls for the brokerage session, and schedules a reconnect.
        socket_timeout: checks the open socket.
        user: subscribes when the gateway accepts it, and drops its subscriptions when the connection ends.
    """

    def __init__(
        self,
        options: FeedOptions,
        act: Callable[[Action], None],
        reporter: StateReporter,
        calls: SessionCalls,
        socket_timeout: SocketTimeout,
        user: ConnectionUser,
    ) -> None:
        self.phase = Phase.IDLE
        #: How many sockets were opened.
        self.connections = 0
        #: The generation of the session that the socket belongs to.
        self.generation: int | None = None
        self._options = options
        self._act = act
        self._reporter = reporter
        self._calls = calls
        self._socket_timeout = socket_timeout
        self._user = user
        self._has_sts = False
        self._has_ready = False
        self._has_accounts = False
        #: Whether all market data is stale.
        self.is_stale = False
        self._all_stale_tries = 0
        #: Since when the connection has been good: it streams, or no data is expected. Infinity for never.
        self._good_since_s = _NEVER
        #: When to stop waiting for `system`, to stop waiting for `sts`, to count a connection without data as good, to
        #: send `tic`, and to replace the socket; infinity for never.
        self._ready_s = _NEVER
        self._sts_s = _NEVER
        self._settle_s = _NEVER
        self._tic_s = _NEVER
        self._replace_s = _NEVER

    @property
    def has_socket(self) -> bool:
        """Whether a socket is open."""
        return self.phase in _WITH_SOCKET

    # --- opening ----------------------------------------------------------------------------------

    def on_accounts(self, now: Moment) -> None:
        """Open the socket, or subscribe on the open one. Both require `/iserver/accounts` first."""
        reporter = self._reporter
        if self.phase is Phase.NO_SOCKET:
            if reporter.current is FeedState.DISCONNECTED:
                reporter.progress(Step.ACCOUNTS, FeedState.CONNECTING, Cause.RETRY, now)
            reporter.reach(Step.ACCOUNTS)
            if self._calls.open_socket(now):
                self._has_accounts = True
                self.phase = Phase.OPENING
        elif self.phase is Phase.READY and self._calls.session.authenticated is not False:
            self._has_accounts = True
            self._go_live(now)
        elif self.phase is Phase.READY:
            # The brokerage session has ended in the meantime.
            self._calls.begin(now)

    def on_socket_opened(self, now: Moment) -> None:
        """Wait for `system` on the new socket; close it if the feed was stopped in the meantime."""
        if self.phase is not Phase.OPENING:
            self._act(CloseSocket())
            return
        self.phase = Phase.OPEN
        self.connections += 1
        self._has_sts = self._has_ready = False
        self._calls.forget_sts()
        self.generation = self._calls.session.generation
        self._ready_s = now.s + self._options.ready_timeout_s
        self._calls.slow_s = _NEVER
        self._tic_s = self._calls.keepalive_s = now.s + self._options.keepalive_interval_s
        self._socket_timeout.start(now.s)
        self._reporter.progress(Step.OPEN, FeedState.OPEN, Cause.SOCKET_OPENED, now)

    def on_ready(self, now: Moment) -> bool:
        """Subscribe, because the gateway sent `system`. Returns whether earlier subscribes may have been lost."""
        is_late = self.has_socket and self.phase is not Phase.OPEN and not self._has_ready
        if self.phase is Phase.OPEN:
            self._become_ready(Cause.READY, now)
        elif is_late:
            self._reporter.notice(Cause.READY, now)
        self._has_ready = True
        return is_late

    def _become_ready(self, cause: Cause, now: Moment) -> None:
        self.phase = Phase.READY
        self._ready_s = _NEVER
        self._reporter.progress(Step.READY, FeedState.READY, cause, now)
        self._user.subscribe_all(now, has_brokerage=False)
        if not self._has_sts:
            self._sts_s = now.s + _STS_WAIT_S
        self._check_brokerage(now)

    # --- the brokerage session --------------------------------------------------------------------

    def on_session(self, now: Moment) -> None:
        """Continue with the session facts from the keepalive's response."""
        if self._calls.session.authenticated is not None:
            self._has_sts = True
        self._check_brokerage(now)

    def on_status(
        self, authenticated: bool | None, connected: bool | None, competing: bool | None, now: Moment
    ) -> None:
        """Continue with the session facts from `sts`; None for what it does not contain."""
        old = self._calls.session
        self._calls.session = old._replace(
            authenticated=old.authenticated if authenticated is None else authenticated,
            connected=old.connected if connected is None else connected,
            competing=old.competing if competing is None else competing,
        )
        self._calls.note_sts(authenticated, competing, self._reporter.detail)
        if authenticated is not None:
            self._has_sts = True
        self._check_brokerage(now)
        if competing and self.phase is Phase.LIVE:
            # Data still flows, but it will stop soon.
            self._reporter.notice(Cause.COMPETING, now)
            self._calls.hasten_keepalive(now)

    def _check_brokerage(self, now: Moment) -> None:
        authenticated, calls = self._calls.session.authenticated, self._calls
        if self.phase is Phase.LIVE and authenticated is False:
            was_good = self._end_good_time(now)
            self.phase = Phase.READY
            self._has_accounts = self.is_stale = False
            self._replace_s = self._settle_s = _NEVER
            self._user.drop_all(Cause.SESSION_ENDED, brokerage_only=True)
            self._reporter.detail = self._reporter.detail or calls.sts_words
            self._reporter.fail(FeedState.READY, Cause.SESSION_ENDED, now)
            calls.step = None
            calls.begin(now, was_good=was_good)
        elif self.phase is Phase.READY and self._has_sts:
            if authenticated is False:
                self._has_accounts = False
                calls.begin(now)
            elif self._has_accounts:
                self._go_live(now)
            else:
                calls.begin(now, is_better=True)

    def _go_live(self, now: Moment) -> None:
        self.phase = Phase.LIVE
        self._sts_s = self._calls.retry_s = _NEVER
        self._settle_s = now.s + self._options.answer_timeout_s + _SETTLE_S
        self._reporter.progress(Step.AUTHENTICATED, FeedState.AUTHENTICATED, Cause.LOGGED_IN, now)
        self._user.subscribe_all(now, has_brokerage=True)

    # --- data -------------------------------------------------------------------------------------

    def on_data(self, now: Moment) -> None:
        """Report `STREAMING`, unless the feed streams already."""
        if self.phase is Phase.LIVE and self._reporter.state is not FeedState.STREAMING:
            self._replace_s = _NEVER
            self.is_stale = False
            self._reporter.progress(Step.DATA, FeedState.STREAMING, Cause.DATA, now)
            self._begin_good_time(now)

    def on_all_stale(self, now: Moment) -> None:
        """Report `STALE`, check the session at once, and schedule the replacement of the socket."""
        self._end_good_time(now)
        self.is_stale = True
        self._reporter.fail(FeedState.STALE, Cause.ALL_STALE, now)
        # The session may have changed while the socket was open.
        self._calls.hasten_keepalive(now)
        self._replace_s = now.s + min(_ALL_STALE_S * 2.0 ** min(self._all_stale_tries, 10), _ALL_STALE_MAX_S)

    def _begin_good_time(self, now: Moment) -> None:
        self._settle_s = _NEVER
        if self._good_since_s == _NEVER:
            self._good_since_s = now.s
        self._calls.succeed(now)

    def _end_good_time(self, now: Moment) -> bool:
        """Returns whether the connection was good for a while."""
        good_s = now.s - self._good_since_s
        if good_s >= _STABLE_S:
            self._calls.retry_policy.reset()
            self._all_stale_tries = 0
        self._good_since_s = _NEVER
        return good_s >= _GOOD_S

    def is_replacement_due(self, now_s: float) -> bool:
        """Whether the socket is due for replacement. True once per schedule."""
        if now_s < self._replace_s:
            return False
        self._replace_s = _NEVER
        return True

    def replace_socket(self, now: Moment) -> None:
        """Reconnect, because all market data is still stale."""
        self._all_stale_tries += 1
        self.reconnect(Cause.ALL_STALE, now)

    # --- ends -------------------------------------------------------------------------------------

    def reconnect(self, cause: Cause, now: Moment, *, has_ended: bool = False) -> None:
        """Close the socket, unless it has ended, and schedule the next try."""
        was_good = self._end_good_time(now)
        self.close(cause, has_ended=has_ended)
        self._reporter.fail(FeedState.DISCONNECTED, cause, now)
        policy = self._calls.retry_policy
        # After a changed session the gateway works, so the first try begins at once.
        is_session = cause is Cause.SESSION_CHANGED
        pause_s = policy.first_or_backoff(now, was_good=was_good) if is_session else policy.backoff(now)
        self._calls.retry_s = now.s + pause_s

    def close(self, cause: Cause, *, has_ended: bool = False, phase: Phase = Phase.NO_SOCKET) -> None:
        """Close the socket, unless it has ended or there is none, and continue with `phase`."""
        if not has_ended and (self.has_socket or self.phase is Phase.OPENING):
            self._act(CloseSocket())
        self._user.drop_all(cause)
        self._socket_timeout.stop()
        self.phase = phase
        self.generation = None
        self._has_accounts = self.is_stale = False
        self._ready_s = self._sts_s = self._settle_s = self._tic_s = self._replace_s = self._good_since_s = _NEVER
        self._calls.clear()

    # --- time -------------------------------------------------------------------------------------

    @property
    def due_s(self) -> float:
        """When `tick` is due."""
        return min(self._ready_s, self._sts_s, self._settle_s, self._tic_s, self._replace_s)

    @property
    def change_due_s(self) -> float:
        """When `tick` may subscribe or drop subscriptions."""
        return min(self._ready_s, self._sts_s, self._replace_s)

    def tick(self, now: Moment) -> None:
        """Do what is due, except for replacing the socket."""
        if self._ready_s <= now.s:
            self._ready_s = _NEVER
            if self._options.ready_fallback == "reconnect":
                self.reconnect(Cause.READY_TIMEOUT, now)
            else:
                self._become_ready(Cause.READY_TIMEOUT, now)
        if self._sts_s <= now.s:
            self._sts_s = _NEVER
            self._has_sts = True
            self._check_brokerage(now)
        if self._settle_s <= now.s:
            self._settle_s = _NEVER
            if not self.is_stale:
                self._begin_good_time(now)
        if self._tic_s <= now.s:
            self._tic_s = now.s + self._options.keepalive_interval_s
            self._user.send_text(TIC_TEXT, now)
