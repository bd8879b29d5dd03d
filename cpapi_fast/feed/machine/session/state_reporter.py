"""The state of the feed, and the event for each change of it."""

from __future__ import annotations

from collections.abc import Callable

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine.actions import Action, Emit, Moment
from cpapi_fast.feed.machine.advice import advice_on


class StateReporter:
    """The state of one feed.

    Args:
        act: receives each action, in order.
        is_reclaiming: whether the feed takes the session back from other logins.
    """

    def __init__(self, act: Callable[[Action], None], *, is_reclaiming: bool = False) -> None:
        self.state = FeedState.DISCONNECTED
        #: The text of the error that the current input reports; part of the events that follow from it.
        self.detail = ""
        #: The advice for one cause that the current input has; the table of causes has all others.
        self.advice: dict[Cause, str] = {}
        self._is_reclaiming = is_reclaiming
        self._cause = Cause.STOPPED
        self._act = act

    def enter(self, state: FeedState, cause: Cause, now: Moment) -> None:
        """Change the state and report it; if the state stays the same, report a notice instead."""
        if state is self.state:
            self.notice(cause, now)
            return
        previous, self.state = self.state, state
        self._report(previous, cause, now)

    def notice(self, cause: Cause, now: Moment) -> None:
        """Report a cause without a change of state, once: the same cause again is not reported."""
        if cause is not self._cause:
            self._report(self.state, cause, now)

    def _report(self, previous: FeedState, cause: Cause, now: Moment) -> None:
        self._cause = cause
        advice = self.advice.get(cause) or advice_on(cause, is_reclaiming=self._is_reclaiming)
        self._act(Emit(StateChange(now.ns, self.state, previous, cause, advice, detail=self.detail)))
