"""The steps to a session over REST, and what follows from each response and each failure."""

from __future__ import annotations

from typing import Final

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine.actions import Call, CallKind, Failure, Moment, SessionFacts
from cpapi_fast.feed.options import FeedOptions

from .connection_lifecycle import ConnectionLifecycle, Phase
from .session_calls import SessionCalls
from .state_reporter import StateReporter, Step

_NEVER: Final = float("inf")
#: During its reset the gateway returns its login page for a moment. A login is required only after this many login
#: pages, with this pause between two requests.
_LOGIN_PAGE_S: Final = 5.0
_LOGIN_PAGES: Final = 2
#: How many requests to open the brokerage session may fail before a login is required, and the pause between them.
_INITS: Final = 3
_INIT_WAIT_S: Final = 2.0
#: The pause before the keepalive that follows a failed one.
_KEEPALIVE_RETRY_S: Final = 10.0


_NOT_CONNECTED: Final = "the gateway responds, and reports that it is not connected to IB (connected: false)"


class SessionLifecycle:
    """The steps of one feed: `/tickle`, `ssodh/init` if necessary, `/iserver/accounts`, then the socket.

    Args:
        options: pauses and policies.
        reporter: receives the states of the feed.
        calls: makes the calls.
        connection: opens the socket after the last step.
    """

    def __init__(
        self, options: FeedOptions, reporter: StateReporter, calls: SessionCalls, connection: ConnectionLifecycle
    ) -> None:
        self._options = options
        self._reporter = reporter
        self._calls = calls
        self._connection = connection
        #: Whether the gateway said that the brokerage session is not open, whatever `/tickle` says.
        self._needs_init = False
        #: How many consecutive keepalives have got a login page.
        self._keepalive_login_pages = 0
        self._reclaim_s = 0.0

    def start(self, now: Moment) -> None:
        """Begin with the first step."""
        self._connection.phase = Phase.NO_SOCKET
        self._reporter.reset()
        self._reporter.enter(FeedState.CONNECTING, Cause.STARTED, now)
        self._calls.start(now)

    def stop(self, now: Moment) -> None:
        """Close the socket and stop all timers."""
        self._connection.close(Cause.STOPPED, phase=Phase.IDLE)
        self._calls.retry_s = _NEVER
        self._reporter.reset()
        self._reporter.enter(FeedState.DISCONNECTED, Cause.STOPPED, now)

    # --- responses --------------------------------------------------------------------------------

    def on_facts(self, number: int, facts: SessionFacts, now: Moment) -> None:
        """Continue after a response to `/tickle` or `ssodh/init`."""
        if self._calls.take_keepalive(number):
            self._on_keepalive(facts, now)
        elif self._calls.step is not None and self._calls.step.kind is not CallKind.ACCOUNTS:
            step = self._calls.take_step(number)
            if step is not None:
                self._on_step(step, facts, now)

    def on_accounts(self, number: int, now: Moment) -> None:
        """Continue after a response to `/iserver/accounts`."""
        step = self._calls.step
        if step is not None and step.kind is CallKind.ACCOUNTS and self._calls.take_step(number) is not None:
            self._connection.on_accounts(now)

    def on_call_failed(self, number: int, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        """Continue after a failed call."""
        if failure is Failure.RATE_LIMITED:
            self._calls.retry_policy.note_limit(now, retry_after_s)
        if self._calls.take_keepalive(number):
            self._on_keepalive_failed(failure, now)
            return
        step = self._calls.take_step(number)
        if step is not None:
            self._on_step_failed(step, failure, now, retry_after_s)

    def on_socket_failed(self, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        """Retry later, because the socket could not be opened."""
        if failure is Failure.RATE_LIMITED:
            self._calls.retry_policy.note_limit(now, retry_after_s)
        if self._connection.phase is Phase.OPENING:
            self._connection.phase = Phase.NO_SOCKET
            self._calls.slow_s = _NEVER
            self._needs_init = failure is Failure.BROKERAGE_CLOSED
            if failure is Failure.NOT_LOGGED_IN:
                # REST has just reported a login, so a login does not help. If it was lost meanwhile, `/tickle` tells.
                failure = Failure.GATEWAY_ERROR
            self._fail(failure, now, retry_after_s)

    def on_refused(self, now: Moment) -> None:
        """Request `/iserver/accounts`, because the gateway has refused a subscribe that requires it."""
        if self._is_live and self._calls.step is None:
            self._calls.request(CallKind.ACCOUNTS, now, is_live=True)

    @property
    def _is_live(self) -> bool:
        return self._connection.phase is Phase.LIVE

    def _on_step(self, step: Call, facts: SessionFacts, now: Moment) -> None:
        calls, connection = self._calls, self._connection
        if step.kind is CallKind.INIT:
            # The response to `ssodh/init` does not contain the session id.
            facts = facts._replace(generation=calls.session.generation)
        calls.session = facts
        if facts.generation is None:
            self._on_login_page(now)
            return
        if connection.has_socket and facts.generation != connection.generation:
            connection.reconnect(Cause.SESSION_CHANGED, now)
        elif facts.competing and not facts.authenticated:
            self._on_competing(now)
        elif self._needs_init and step.kind is CallKind.TICKLE and facts.authenticated is not False:
            self._needs_init = False
            calls.request(CallKind.INIT, now, is_live=self._is_live)
        elif facts.authenticated is not False:
            calls.forget_sts()
            if self._reporter.current in (FeedState.LOGIN_REQUIRED, FeedState.COMPETING):
                state = FeedState.READY if connection.has_socket else FeedState.CONNECTING
                self._reporter.progress(Step.LOGGED_IN, state, Cause.LOGGED_IN, now)
            self._reporter.reach(Step.LOGGED_IN)
            calls.request(CallKind.ACCOUNTS, now, is_live=self._is_live)
        elif facts.connected is False:
            self._reporter.detail = self._reporter.detail or _NOT_CONNECTED
            self._fail(Failure.GATEWAY_ERROR, now, None)
        elif step.kind is CallKind.TICKLE:
            calls.inits += 1
            calls.request(CallKind.INIT, now, is_live=self._is_live, compete=self._may_reclaim(now))
        elif calls.is_held_by_sts:
            self._on_competing(now)
        elif calls.inits < _INITS:
            calls.retry_s = now.s + _INIT_WAIT_S
        else:
            self._require_login(now)

    def _may_reclaim(self, now: Moment) -> bool:
        """Whether the next request to open the session may take it from another login, which may hold it unreported.

        Only after a request that takes nothing has failed. At a limited rate, because two programs that reclaim from
        each other never stop.
        """
        if self._options.competing != "reclaim" or self._calls.inits < _INITS or now.s < self._reclaim_s:
            return False
        self._reclaim_s = now.s + self._options.keepalive_interval_s
        return True

    def _on_keepalive(self, facts: SessionFacts, now: Moment) -> None:
        if facts.generation is None:
            # Some gateways report a missing login with a regular response instead of an error.
            self._on_keepalive_failed(Failure.NOT_LOGGED_IN, now)
            return
        self._keepalive_login_pages = 0
        self._calls.session = facts
        connection = self._connection
        if not connection.has_socket:
            return
        if facts.generation != connection.generation:
            # The socket continues to send heartbeats, but no data.
            connection.reconnect(Cause.SESSION_CHANGED, now)
            return
        connection.on_session(now)

    # --- failures ---------------------------------------------------------------------------------

    def _on_step_failed(self, step: Call, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        if failure is Failure.NOT_LOGGED_IN:
            self._on_login_page(now)
        elif failure is Failure.COMPETING:
            self._on_competing(now)
        elif step.kind is CallKind.ACCOUNTS and self._is_live:
            # It was requested because of a refused subscribe, and the next refusal requests it again.
            if failure is Failure.RATE_LIMITED:
                self._reporter.notice(Cause.RATE_LIMITED, now)
        else:
            self._needs_init = failure is Failure.BROKERAGE_CLOSED and step.kind is CallKind.ACCOUNTS
            self._fail(failure, now, retry_after_s)

    def _on_keepalive_failed(self, failure: Failure, now: Moment) -> None:
        if not self._connection.has_socket:
            return
        if failure is Failure.NOT_LOGGED_IN:
            self._keepalive_login_pages += 1
            self._calls.keepalive_s = now.s + _LOGIN_PAGE_S
            if self._keepalive_login_pages >= _LOGIN_PAGES:
                self._require_login(now)
        elif failure is Failure.RATE_LIMITED:
            self._calls.keepalive_s = self._calls.retry_policy.penalty_until_s
            self._reporter.notice(Cause.RATE_LIMITED, now)
        else:
            self._calls.keepalive_s = now.s + min(_KEEPALIVE_RETRY_S, self._options.keepalive_interval_s)

    def _on_login_page(self, now: Moment) -> None:
        """The gateway requires a login, perhaps only for a moment."""
        self._calls.login_pages += 1
        # What `sts` has said was about a session that has ended.
        self._calls.forget_sts()
        if self._calls.login_pages >= _LOGIN_PAGES:
            self._require_login(now)
        else:
            self._calls.retry_s = now.s + _LOGIN_PAGE_S

    def _require_login(self, now: Moment) -> None:
        if self._connection.has_socket:
            self._connection.close(Cause.NOT_LOGGED_IN)
        self._keepalive_login_pages = 0
        self._reporter.detail = self._reporter.detail or self._calls.sts_words
        self._reporter.fail(FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN, now)
        self._calls.retry_s = now.s + self._options.login_poll_s

    def _on_competing(self, now: Moment) -> None:
        self._calls.inits = 0
        self._calls.session = self._calls.session._replace(competing=True)
        self._reporter.detail = self._reporter.detail or self._calls.sts_words
        self._reporter.fail(FeedState.COMPETING, Cause.COMPETING, now)
        if self._options.competing == "reclaim" and now.s >= self._reclaim_s:
            self._reclaim_s = now.s + self._options.keepalive_interval_s
            self._calls.request(CallKind.INIT, now, is_live=self._is_live, compete=True)
        else:
            self._calls.retry_s = now.s + self._options.login_poll_s

    def _fail(self, failure: Failure, now: Moment, retry_after_s: float | None) -> None:
        """Schedule a restart from the first step, and report the failure."""
        self._calls.retry_s = now.s + self._calls.retry_policy.after(failure, now, retry_after_s)
        # A login page after another failure may again be there for a moment only.
        self._calls.login_pages = 0
        reporter = self._reporter
        stays = self._connection.has_socket or reporter.current in (FeedState.LOGIN_REQUIRED, FeedState.COMPETING)
        reporter.fail(reporter.state if stays else FeedState.DISCONNECTED, failure.cause, now)
