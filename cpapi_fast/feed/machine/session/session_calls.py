"""The REST calls without a response yet, and the facts about the session that responses contain."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.events import Cause
from cpapi_fast.feed.machine.actions import Action, Call, CallKind, Moment, SessionFacts
from cpapi_fast.feed.options import FeedOptions

from .retry_policy import RetryPolicy
from .state_reporter import StateReporter

_NEVER: Final = float("inf")


class SessionCalls:
    """The REST calls of one feed: at most one for the next step towards a connection, and at most one keepalive.

    Args:
        options: intervals and pauses.
        random: the source of the jitter.
        act: receives each action, in order.
        reporter: receives a notice when the penalty prevents a call.
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
        self.retry_policy: Final = RetryPolicy(options, random)
        self._options = options
        self._act = act
        self._reporter = reporter
        self._count = 0

    def request(self, kind: CallKind, now: Moment, *, is_live: bool = False, compete: bool = False) -> None:
        """Make the call for the next step. During a penalty make none, and retry after it unless `is_live`."""
        if now.s >= self.retry_policy.penalty_until_s:
            self.step = self._call(kind, compete=compete)
        elif not is_live:
            self.retry_s = self.retry_policy.penalty_until_s
            self._reporter.notice(Cause.RATE_LIMITED, now)

    def _call(self, kind: CallKind, *, compete: bool = False) -> Call:
        self._count += 1
        call = Call(kind, self._count, compete)
        self._act(call)
        return call

    def take_step(self, number: int) -> Call | None:
        """Remove and return the call for the next step; None if it has another number."""
        step = self.step
        if step is None or step.number != number:
            return None
        self.step = None
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
        self.keepalive_s = _NEVER

    def retry(self, now: Moment, *, is_live: bool) -> None:
        """Restart from the first step, if that is due."""
        if self.retry_s <= now.s:
            self.retry_s = _NEVER
            if self.step is None:
                self.request(CallKind.TICKLE, now, is_live=is_live)

    def keep_alive(self, now: Moment) -> None:
        """Send the keepalive, if it is due."""
        penalty_until_s = self.retry_policy.penalty_until_s
        if self.keepalive_s <= now.s:
            self.keepalive_s = max(now.s + self._options.keepalive_interval_s, penalty_until_s)
            if now.s >= penalty_until_s and self.keepalive is None and self.step is None:
                self.keepalive = self._call(CallKind.TICKLE)
