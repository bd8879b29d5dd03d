"""Trouble of a feed, for people: one text when data stops and why, one when it returns, and the error at the end"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CompetingSessionError, CpapiError, NotAuthenticatedError, SessionError, TransportError
from cpapi_fast.events import Cause, FeedEvent, FeedState, StateChange
from cpapi_fast.limited_reporter import CHANGE_BURST, LimitedReporter
from cpapi_fast.redaction import redact

from .feed_log import FeedLog
from .machine import Machine
from .machine.advice import FEED_WORDING
from .options import FeedOptions

#: After how long without data an attempt that has neither succeeded nor failed is reported, in seconds of the clock.
QUIET_START_S: Final = 10.0

#: Causes of a feed without data that a retry does not mend.
_NOT_RETRYABLE: Final = frozenset({Cause.FORBIDDEN, Cause.NOT_A_GATEWAY, Cause.REFUSED, Cause.UPGRADE_REFUSED})

#: How many stale subscriptions are reported one by one.
_MAX_SUBSCRIPTIONS: Final = 5


class TroubleReporter:
    """Turns changes of state into texts: each cause once, until data arrives again.

    Args:
        report: called with a text about trouble.
        report_end: called with a text about its end.
        clock: measures the time without data.
    """

    def __init__(self, report: Callable[[str], None], report_end: Callable[[str], None], clock: Clock) -> None:
        #: The last failure of the feed, and its last change of any kind except for its end; None before the first.
        self.last_trouble: StateChange | None = None
        self.last_change: StateChange | None = None
        self._report: Final = report
        self._report_end: Final = report_end
        self._clock: Final = clock
        self._since_s: float | None = None
        self._reported: tuple[FeedState, Cause] | None = None
        self._stale: Final[set[str]] = set()

    @property
    def is_in_trouble(self) -> bool:
        """Whether the feed delivers no data, for a cause that was reported."""
        return self._since_s is not None

    @property
    def end_text(self) -> str:
        """Why there is no data at the end; empty if there is."""
        if self._since_s is None or self.last_trouble is None:
            return ""
        return f"no data for the last {self._clock.monotonic_s() - self._since_s:,.1f} s: {_text(self.last_trouble)}"

    def on_change(self, change: StateChange) -> None:
        """Report a change that matters to a person."""
        if change.subscription is None:
            self._on_feed(change)
        else:
            self._on_subscription(change, change.subscription)

    def on_quiet_start(self, state: FeedState) -> None:
        """Report that there is no data yet, and no failure either."""
        if not self.is_in_trouble:
            self._since_s = self._clock.monotonic_s() - QUIET_START_S
            self._report(
                f"no data for {QUIET_START_S:g} s, and no error ({_words(state.value)}); if this persists, run "
                "`cpapi-fast doctor`"
            )

    def _on_feed(self, change: StateChange) -> None:
        if change.cause is not Cause.STOPPED:
            self.last_change = change
        if change.state is FeedState.STREAMING:
            if self._since_s is not None:
                self._report_end(f"data again after {self._clock.monotonic_s() - self._since_s:.1f} s without")
            self._since_s = self._reported = None
            return
        if not change.is_failure:
            return
        self.last_trouble = change
        if self._since_s is None:
            self._since_s = self._clock.monotonic_s()
        if self._reported != (change.state, change.cause):
            self._reported = (change.state, change.cause)
            self._report(_text(change))

    def _on_subscription(self, change: StateChange, topic: str) -> None:
        if change.state is FeedState.STALE:
            self._stale.add(topic)
            if len(self._stale) <= _MAX_SUBSCRIPTIONS:
                self._report(f"{redact(topic)} is {_text(change)}")
            elif len(self._stale) == _MAX_SUBSCRIPTIONS + 1:
                self._report("more subscriptions are stale; the events list all of them")
        elif topic in self._stale:
            self._stale.discard(topic)
            if change.state is FeedState.STREAMING and len(self._stale) < _MAX_SUBSCRIPTIONS:
                self._report_end(f"{redact(topic)} has data again")


class NoDataTimer:
    """Calls a function when a feed has had no data for a time; once, until it has data again.

    Args:
        clock: measures the time.
        limit_s: the time in seconds of the clock; None for never.
        has_data: whether the feed delivers data now, or has nothing to deliver.
        on_limit: called after the time.
    """

    def __init__(
        self, clock: Clock, limit_s: float | None, has_data: Callable[[], bool], on_limit: Callable[[], None]
    ) -> None:
        self._clock: Final = clock
        self._limit_s: Final = limit_s
        self._has_data: Final = has_data
        self._on_limit: Final = on_limit
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def update(self) -> None:
        """Start or stop the timer. Call it after every change of state and of the subscriptions."""
        if self._limit_s is None:
            return
        if self._has_data():
            self.stop()
            self._is_over = False
        elif self._timer is None and not self._is_over:
            self._timer = self._clock.call_later(self._limit_s, self._on_timer)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._is_over = True
        self._on_limit()


class FeedTrouble(TroubleReporter):
    """Logs the events of one feed, its trouble as warnings, and gives up after a time without data.

    Args:
        machine: has the state of the feed.
        options: `log_trouble` and `give_up_after_s`.
        clock: measures the time without data, and limits how often something is written.
        where: the gateway, for the texts.
        give_up: called with the error to end the feed with.
    """

    def __init__(
        self, machine: Machine, options: FeedOptions, clock: Clock, where: str, give_up: Callable[[CpapiError], None]
    ) -> None:
        self._machine: Final = machine
        self._give_up: Final = give_up
        self._limit_s: Final = options.give_up_after_s
        self._is_logging: Final = options.log_trouble
        self._facts: dict[str, Any] | None = None
        self._was_logged = False
        self._log_of_feed: Final = FeedLog(f"feed of {where}", self._next_try_s)
        self._warnings: Final = LimitedReporter(
            lambda text: self._log(logging.WARNING, text), clock, burst=CHANGE_BURST
        )
        self._ends: Final = LimitedReporter(lambda text: self._log(logging.INFO, text), clock, burst=CHANGE_BURST)
        super().__init__(self._warnings, self._ends, clock)
        self._is_running = False
        quiet_s = QUIET_START_S if options.log_trouble else None
        self._timers: Final = (
            NoDataTimer(clock, quiet_s, self._has_data, lambda: self.on_quiet_start(machine.state)),
            NoDataTimer(clock, self._limit_s, self._has_data, self._on_limit),
        )

    def start(self) -> None:
        """Start to measure the time without data."""
        self._is_running = True
        self.update()

    def on_change(self, change: StateChange) -> None:
        """Log a change: as a warning if it matters to a person, otherwise as INFO."""
        if self._is_logging:
            self._facts, self._was_logged = self._log_of_feed.facts_of(change), False
        super().on_change(change)
        self._facts = None
        if self._is_logging and not self._was_logged:
            self._log_of_feed.on_change(change)
        if change.subscription is None:
            self.update()

    def on_event(self, event: FeedEvent) -> None:
        """Log an event that is no change of state."""
        if self._is_logging:
            self._log_of_feed.on_event(event)

    def on_next_try(self) -> None:
        """Log the time of the next attempt. Call it when it has changed."""
        if self._is_logging:
            self._log_of_feed.on_next_try()

    def update(self) -> None:
        """Start or stop the timers. Call it when the subscriptions have changed."""
        if self._is_running:
            for timer in self._timers:
                timer.update()

    def describe(self, wanted: str, timeout_s: float) -> str:
        """The text of the error after a wait for states, with the last cause and its advice."""
        what = f"the feed is {self._machine.state.value}, not {wanted}, after {timeout_s:g} s"
        return str(no_data_error(what, self._change))

    def close(self) -> None:
        """Stop the timers, and write how many texts were left out."""
        self._is_running = False
        for timer in self._timers:
            timer.stop()
        self._warnings.close()
        self._ends.close()
        self._log_of_feed.close()

    @property
    def current(self) -> StateChange | None:
        """The change because of which there is no data; None while there is data, or before the first failure."""
        return self.last_trouble if self.is_in_trouble else None

    @property
    def _change(self) -> StateChange | None:
        return self.current or self.last_change

    def _has_data(self) -> bool:
        # An open session without market data may be quiet for days.
        if self._machine.state is not FeedState.AUTHENTICATED:
            return self._machine.state is FeedState.STREAMING
        return not any(state.spec.is_market_data for state in self._machine.subscriptions.values())

    def _on_limit(self) -> None:
        error = no_data_error(f"no data for {self._limit_s:g} s", self._change)
        self._log(logging.ERROR, f"ended: {error}")
        self._give_up(error)

    def _log(self, level: int, text: str) -> None:
        if self._is_logging:
            self._was_logged = True
            self._log_of_feed.write(level, text, self._facts)

    def _next_try_s(self) -> float | None:
        due_s = self._machine.next_try_s
        return None if due_s is None else max(due_s - self._clock.monotonic_s(), 0.0)


def no_data_error(what: str, change: StateChange | None) -> SessionError | TransportError:
    """An error of the type that fits the last change of the feed, with its cause and advice.

    Args:
        what: what happened.
        change: the last change of the feed; None if there was none.
    """
    if change is None:
        return TransportError(what)
    detail = f" ({change.detail})" if change.detail else ""
    # What is raised ends the feed or a wait, so the error leaves out that the feed retries.
    advice = change.advice.removesuffix(FEED_WORDING.retries) if change.is_failure else "Run `cpapi-fast doctor`."
    text = f"{what}: the feed is {change.state.value}, {change.cause.value}{detail}. To do: {advice}"
    if change.state is FeedState.LOGIN_REQUIRED:
        return NotAuthenticatedError(text)
    if change.state is FeedState.COMPETING:
        return CompetingSessionError(text)
    return SessionError(text) if change.cause in _NOT_RETRYABLE else TransportError(text)


def _text(change: StateChange) -> str:
    detail = f": {change.detail}" if change.detail else ""
    return f"{_words(change.state.value)} ({_words(change.cause.value)}{detail}); {change.advice}"


def _words(value: str) -> str:
    return value.replace("_", " ")
