"""The state of the feed, and the event for each change of it; a try that gets no further than earlier ones has none."""

from __future__ import annotations

import enum
from collections.abc import Callable

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine.actions import Action, Emit, Moment
from cpapi_fast.feed.machine.advice import advice_on


class Step(enum.IntEnum):
    """How far a try has got."""

    NONE = 0
    LOGGED_IN = 1
    ACCOUNTS = 2
    OPEN = 3
    READY = 4
    AUTHENTICATED = 5
    DATA = 6


class StateReporter:
    """The state of one feed, as it was reported.

    A try has succeeded when `succeed` is called. After one that failed, the progress of the next ones is withheld until
    they get further, and so are their failures, unless they are new or happen twice in a row. Otherwise a gateway that
    fails in the same way again and again causes events without end.

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
        #: How far the current try has got, and the furthest of those that failed since the last success.
        self._reached = Step.NONE
        self._failed = Step.NONE
        self._has_succeeded = False
        #: The failures reported since the last success, the latest failure, and whether the last event is a failure.
        self._failures: set[tuple[FeedState, Cause]] = set()
        self._last_failure: tuple[FeedState, Cause] | None = None
        self._is_failure_reported = False
        #: The progress of the current try that is not reported.
        self._withheld: list[tuple[FeedState, Cause]] = []

    @property
    def current(self) -> FeedState:
        """The state, with the progress that is not reported."""
        return self._withheld[-1][0] if self._withheld else self.state

    # --- tries ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all tries, because the feed starts or stops."""
        self._reached = self._failed = Step.NONE
        self._has_succeeded = self._is_failure_reported = False
        self._failures.clear()
        self._withheld.clear()

    def reach(self, step: Step) -> None:
        """The try has got to a step that is no state of its own."""
        self._reached = max(self._reached, step)

    def progress(self, step: Step, state: FeedState, cause: Cause, now: Moment) -> None:
        """The try has got to a step. It is reported if the step is beyond those of the tries that failed."""
        self.reach(step)
        if step <= self._failed:
            self._withheld.append((state, cause))
            return
        self._report_withheld(now)
        self._is_failure_reported = False
        self.enter(state, cause, now)

    def fail(self, state: FeedState, cause: Cause, now: Moment) -> None:
        """The try or the connection has failed. It is reported if it is new, or if it happens twice in a row."""
        self._failed = Step.NONE if self._has_succeeded else max(self._failed, self._reached)
        self._has_succeeded = False
        self._reached = Step.NONE
        failure = (state, cause)
        is_repeated, self._last_failure = failure == self._last_failure, failure
        if self._is_failure_reported and failure in self._failures and not is_repeated:
            self._withheld.clear()
            return
        if self._is_failure_reported and state is self.state:
            self._withheld.clear()
        self._report_withheld(now)
        self._failures.add(failure)
        self._is_failure_reported = True
        self.enter(state, cause, now)

    def succeed(self, now: Moment) -> None:
        """The try has reached its goal."""
        self._has_succeeded = True
        self._failed = Step.NONE
        self._failures.clear()
        self._report_withheld(now)
        self._is_failure_reported = False

    def _report_withheld(self, now: Moment) -> None:
        withheld, self._withheld = self._withheld, []
        detail, self.detail = self.detail, ""
        for state, cause in withheld:
            self.enter(state, cause, now)
        self.detail = detail

    # --- events -----------------------------------------------------------------------------------

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
