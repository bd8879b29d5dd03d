"""The REST calls without a response yet, when to make the next one, and the facts that responses contain."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine.actions import Action, Call, CallKind, Moment, OpenSocket, SessionFacts
from cpapi_fast.feed.options import FeedOptions

from .retry_policy import TRY_REQUESTS, RetryPolicy
from .state_reporter import StateReporter

_NEVER: Final = float("inf")
#: A keepalive is not hastened sooner than this after the last one.
_KEEPALIVE_MIN_S: Final = 10.0
#: A first request without a response for this long is reported; the client's own time limits are longer.
_SLOW_S: Final = 10.0


class SessionCalls:
    """The REST calls of one feed: at most one for the next step towards a connection, and at most one keepalive.

    Every request of the feed's machine passes here, and so does every reason for one: the penalty, the backoff and the
    budget hold for all of them.

    Args:
        options: intervals and pauses.
        random: the source of the jitter.
        act: receives each action, in order.
        reporter: receives a notice when the penalty prevents a call, or when there is no response.
    """

    def __init__(
        self, options: FeedOptions, random: Random, act: Callable[[Action], None], reporter: StateReporter
    ) -> None:
        #: The latest facts about the session from REST and `sts`; None for what was never reported.
        self.session = SessionFacts(None, None, None, None)
        #: The call for the next step, and the keepalive; None if no response is outstanding.
        self.step: Call | None = None
        self.keepalive: Call | None = None
        #: When to restart from the first step, and when to send the keepalive; infinity for never.
        self.retry_s = _NEVER
        self.keepalive_s = _NEVER
        #: When to report that the first request has no response; infinity for never.
        self.slow_s = _NEVER
        #: How many tries have ended with a login page, and how many calls of `ssodh/init` did not open the brokerage
        #: session, since a try succeeded. Not reset by a step of a try: the next step may fail each time.
        self.login_pages = 0
        self.inits = 0
        #: Whether `sts` has said that another login holds the session, and the latest words of `sts`: REST may not say
        #: it. Forgotten when the session is open again.
        self.is_held_by_sts = False
        self.sts_words = ""
        self.retry_policy: Final = RetryPolicy(options, random)
        self._options = options
        self._act = act
        self._reporter = reporter
        self._count = 0
        self._last_keepalive_s = -_NEVER
        self._is_hastened = False

    @property
    def due_s(self) -> float:
        """When `retry` or `keep_alive` is due."""
        return min(self.retry_s, self.keepalive_s, self.slow_s)

    # --- tries ------------------------------------------------------------------------------------

    def begin(self, now: Moment, *, was_good: bool = False, is_better: bool = False) -> None:
        """Begin a try, unless one is under way or scheduled: at once if nothing has failed yet, else after a pause.

        Args:
            now: the current time.
            was_good: the connection was good for a while, so the try may begin at once.
            is_better: the reason is good news, so a scheduled try may begin earlier. Once per try, because good and bad
                news may alternate many times a second.
        """
        if self.step is not None or (self.retry_s != _NEVER and (self._is_hastened or not is_better)):
            return
        self._is_hastened = is_better
        due_s = now.s + self.retry_policy.first_or_backoff(now, was_good=was_good)
        if due_s > now.s:
            self.retry_s = min(self.retry_s, due_s)
        else:
            self.start(now)

    def start(self, now: Moment, *, is_live: bool = False) -> None:
        """Begin a try with its first step; later if the budget has no room for all of its steps."""
        self.retry_s = self.retry_policy.budget.free_s(now.s, TRY_REQUESTS)
        if self.retry_s <= now.s:
            self.retry_s = _NEVER
            self._is_hastened = False
            self.request(CallKind.TICKLE, now, is_live=is_live)

    def retry(self, now: Moment, *, is_live: bool) -> None:
        """Restart from the first step if that is due, and report a first request without a response."""
        if self.retry_s <= now.s:
            self.retry_s = _NEVER
            if self.step is None:
                self.start(now, is_live=is_live)
        if self.slow_s <= now.s:
            self.slow_s = _NEVER
            if self._reporter.state is FeedState.CONNECTING:
                # Before the upgrade, REST has worked, so nobody has to start the gateway.
                what, cause = (
                    ("the upgrade of the socket", Cause.UPGRADE_REFUSED)
                    if self.step is None
                    else (self.step.kind.value, Cause.UNREACHABLE)
                )
                self._reporter.detail = f"no response to {what} for {_SLOW_S:g} s"
                self._reporter.notice(cause, now)
                self._reporter.detail = ""

    def note_sts(self, authenticated: bool | None, competing: bool | None, words: str) -> None:
        """Remember what `sts` says about another login; None for what it does not contain."""
        if authenticated:
            self.forget_sts()
        if competing is not None:
            self.is_held_by_sts = competing
        self.sts_words = words or self.sts_words

    def forget_sts(self) -> None:
        """Forget what `sts` has said."""
        self.is_held_by_sts = False
        self.sts_words = ""

    def succeed(self, now: Moment) -> None:
        """The try has reached its goal."""
        self.login_pages = self.inits = 0
        self._reporter.succeed(now)

    # --- requests ---------------------------------------------------------------------------------

    def request(self, kind: CallKind, now: Moment, *, is_live: bool = False, compete: bool = False) -> None:
        """Make the call for the next step. If none is allowed now, make none, and retry later unless `is_live`."""
        policy = self.retry_policy
        # A call on a working connection leaves the room of a try in the budget.
        if now.s >= policy.allowed_s(now, 1 + TRY_REQUESTS if is_live else 1):
            self.step = self._call(kind, now, compete=compete)
            self.slow_s = now.s + _SLOW_S
        elif not is_live:
            self.retry_s = policy.allowed_s(now, TRY_REQUESTS)
            if now.s < policy.penalty_until_s:
                self._reporter.notice(Cause.RATE_LIMITED, now)

    def request_orders(self, now: Moment) -> None:
        """Request the orders, if the budget has room for a try besides."""
        if now.s >= self.retry_policy.allowed_s(now, 1 + TRY_REQUESTS):
            self._call(CallKind.ORDERS, now)

    def open_socket(self, now: Moment) -> bool:
        """Open the socket. Returns False if that is not allowed now; the next try is scheduled then."""
        policy = self.retry_policy
        if now.s < policy.allowed_s(now):
            self.retry_s = policy.allowed_s(now, TRY_REQUESTS)
            return False
        policy.budget.spend(now.s)
        self.slow_s = now.s + _SLOW_S
        self._act(OpenSocket())
        return True

    def _call(self, kind: CallKind, now: Moment, *, compete: bool = False) -> Call:
        self._count += 1
        self.retry_policy.budget.spend(now.s)
        if kind is CallKind.INIT:
            # The driver requests `auth/status` too if the gateway refuses without a reason.
            self.retry_policy.budget.spend(now.s)
        call = Call(kind, self._count, compete)
        self._act(call)
        return call

    # --- responses --------------------------------------------------------------------------------

    def take_step(self, number: int) -> Call | None:
        """Remove and return the call for the next step; None if it has another number."""
        step = self.step
        if step is None or step.number != number:
            return None
        self.step = None
        self.slow_s = _NEVER
        return step

    def take_keepalive(self, number: int) -> bool:
        """Remove the keepalive. Returns False if it has another number."""
        if self.keepalive is None or self.keepalive.number != number:
            return False
        self.keepalive = None
        return True

    def clear(self) -> None:
        """Ignore all outstanding responses and send no keepalive, because the socket has ended."""
        self.step = self.keepalive = None
        self.keepalive_s = self.slow_s = _NEVER

    # --- the keepalive ----------------------------------------------------------------------------

    def hasten_keepalive(self, now: Moment) -> None:
        """Send the keepalive at once, because the session may have changed; not at once again soon after one."""
        self.keepalive_s = min(self.keepalive_s, max(now.s, self._last_keepalive_s + _KEEPALIVE_MIN_S))

    def keep_alive(self, now: Moment) -> None:
        """Send the keepalive, if it is due."""
        if self.keepalive_s > now.s:
            return
        allowed_s = self.retry_policy.allowed_s(now)
        if now.s < allowed_s:
            self.keepalive_s = allowed_s
            return
        self.keepalive_s = now.s + self._options.keepalive_interval_s
        if self.keepalive is None and self.step is None:
            self._last_keepalive_s = now.s
            self.keepalive = self._call(CallKind.TICKLE, now)
