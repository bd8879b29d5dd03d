"""Notices of a run: one line of text when data stops, when it returns, when the disk is slow or a file is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.outputs.interface import DiskChange, FileChange, RecordedEvent
from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact_accounts

#: States without data. The states of the start are not among them.
_TROUBLE: Final = frozenset({FeedState.DISCONNECTED, FeedState.LOGIN_REQUIRED, FeedState.COMPETING, FeedState.STALE})

#: Causes that are reported in any state.
_REPORTED_CAUSES: Final = frozenset({Cause.READY_TIMEOUT, Cause.SESSION_ENDED, Cause.RATE_LIMITED})

#: How many stale subscriptions are reported one by one.
_MAX_SUBSCRIPTIONS: Final = 5

#: The time between two notices about dropped frames, in real seconds.
_DROPS_INTERVAL_S: Final = 10.0


class Notices:
    """Turns events into notices.

    Args:
        report: called with the text of each notice.
        clock: measures the time without data.
    """

    def __init__(self, report: Callable[[str], object], clock: Clock) -> None:
        self._report: Final = report
        #: The last change of the feed to a state without data; None before the first.
        self.last_trouble: StateChange | None = None
        self._clock: Final = clock
        self._since_s: float | None = None
        self._reported: tuple[FeedState, Cause] | None = None
        self._stale: Final[set[str]] = set()
        self._dropped = 0
        self._drop_reported_s = -_DROPS_INTERVAL_S

    def report(self, text: str) -> None:
        """Report one notice, with everything in it made printable."""
        self._report(printable(text))

    @property
    def is_in_trouble(self) -> bool:
        """Whether the feed delivers no data, for a cause that was reported."""
        return self._since_s is not None

    def on_event(self, event: RecordedEvent) -> None:
        """Report an event that matters to a person."""
        if isinstance(event, DiskChange):
            self._on_disk(event)
        elif isinstance(event, FileChange):
            self._on_file(event)
        elif isinstance(event, Gap):
            if event.cause is Cause.CONSUMER_OVERFLOW:
                self._on_drop(event)
        elif isinstance(event, StateChange):
            if event.subscription is None:
                self._on_feed(event)
            else:
                self._on_subscription(event, event.subscription)

    def _on_feed(self, change: StateChange) -> None:
        if change.state is FeedState.STREAMING:
            if self._since_s is not None:
                self.report(f"data again after {self._clock.monotonic_s() - self._since_s:.1f} s without")
            self._since_s = self._reported = None
            return
        if change.cause is Cause.STOPPED or (change.state not in _TROUBLE and change.cause not in _REPORTED_CAUSES):
            return
        if change.state in _TROUBLE:
            self.last_trouble = change
            if self._since_s is None:
                self._since_s = self._clock.monotonic_s()
        if self._reported != (change.state, change.cause):
            self._reported = (change.state, change.cause)
            self.report(_text(change))

    def _on_subscription(self, change: StateChange, topic: str) -> None:
        if change.state is FeedState.STALE:
            self._stale.add(topic)
            if len(self._stale) <= _MAX_SUBSCRIPTIONS:
                self.report(f"{redact_accounts(topic)} is {_text(change)}")
            elif len(self._stale) == _MAX_SUBSCRIPTIONS + 1:
                self.report("more subscriptions are stale; the events file lists all of them")
        elif topic in self._stale:
            self._stale.discard(topic)
            if change.state is FeedState.STREAMING and len(self._stale) < _MAX_SUBSCRIPTIONS:
                self.report(f"{redact_accounts(topic)} has data again")

    def _on_disk(self, change: DiskChange) -> None:
        if not change.is_slow:
            self.report(f"the disk has caught up with the data after {change.duration_s or 0.0:,.1f} s")
        elif change.policy == "hold":
            self.report("the disk is slower than the data; the socket is not read until the disk has caught up")
        else:
            self.report(f"the disk is slower than the data; frames beyond the limit are dropped ({change.policy})")

    def _on_file(self, change: FileChange) -> None:
        lost = f"{change.lost:,} {change.unit} in it are lost" if change.lost else f"its {change.unit} are not lost"
        follows = "the run ends" if change.policy == "fail" else "a new file follows"
        self.report(f"another program has {change.change} {change.path}; {lost}; {follows}")

    def _on_drop(self, gap: Gap) -> None:
        self._dropped += gap.frames_dropped or 0
        if time.monotonic() - self._drop_reported_s >= _DROPS_INTERVAL_S:
            self._drop_reported_s = time.monotonic()
            self.report(f"{self._dropped:,} frames dropped so far, because the disk is slower than the data")


def _text(change: StateChange) -> str:
    state, cause = change.state.value.replace("_", " "), change.cause.value.replace("_", " ")
    detail = f": {change.detail}" if change.detail else ""
    return redact_accounts(f"{state} ({cause}{detail}); {change.advice}")
