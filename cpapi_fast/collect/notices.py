"""What a person who watches a run should hear of: no data and why, data again, a slow disk; each once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.outputs.contract import DiskChange, RecordedEvent

#: No data comes in these, once a feed is past its beginning.
_TROUBLE: Final = frozenset({FeedState.DISCONNECTED, FeedState.LOGIN_REQUIRED, FeedState.COMPETING, FeedState.STALE})

#: Worth a word in any state.
_WORTH_A_WORD: Final = frozenset({Cause.READY_TIMEOUT, Cause.SESSION_ENDED, Cause.RATE_LIMITED})

#: With more subscriptions than this in the same trouble, the further ones are not told one by one.
_MOST_SUBSCRIPTIONS: Final = 5

#: Between two words about frames that were dropped, in real seconds.
_DROPS_INTERVAL_S: Final = 10.0


class Notices:
    """Puts events into words.

    Args:
        say: told each word.
        clock: what the time without data is measured with.
    """

    def __init__(self, say: Callable[[str], object], clock: Clock) -> None:
        self.say: Final = say
        #: The last change of the feed that meant no data; None before the first.
        self.last_trouble: StateChange | None = None
        self._clock: Final = clock
        self._since_s: float | None = None
        self._told: tuple[FeedState, Cause] | None = None
        self._stale: Final[set[str]] = set()
        self._dropped = 0
        self._dropped_told_s = -_DROPS_INTERVAL_S

    @property
    def is_in_trouble(self) -> bool:
        """Whether no data comes, for a reason that was told."""
        return self._since_s is not None

    def on_event(self, event: RecordedEvent) -> None:
        """Say what is to be said about an event."""
        if isinstance(event, DiskChange):
            self._on_disk(event)
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
                self.say(f"data comes again, after {self._clock.monotonic_s() - self._since_s:.1f} s without")
            self._since_s = self._told = None
            return
        if change.cause is Cause.STOPPED or (change.state not in _TROUBLE and change.cause not in _WORTH_A_WORD):
            return
        if change.state in _TROUBLE:
            self.last_trouble = change
            if self._since_s is None:
                self._since_s = self._clock.monotonic_s()
        if self._told != (change.state, change.cause):
            self._told = (change.state, change.cause)
            self.say(_words(change))

    def _on_subscription(self, change: StateChange, topic: str) -> None:
        if change.state is FeedState.STALE:
            self._stale.add(topic)
            if len(self._stale) <= _MOST_SUBSCRIPTIONS:
                self.say(f"{topic} is {_words(change)}")
            elif len(self._stale) == _MOST_SUBSCRIPTIONS + 1:
                self.say("more subscriptions are stale; the file of events has them all")
        elif topic in self._stale:
            self._stale.discard(topic)
            if change.state is FeedState.STREAMING and len(self._stale) < _MOST_SUBSCRIPTIONS:
                self.say(f"{topic} has data again")

    def _on_disk(self, change: DiskChange) -> None:
        if not change.is_slow:
            self.say("the disk has caught up")
        elif change.policy == "hold":
            self.say("the disk is slower than the data: the gateway is kept waiting until it has caught up")
        else:
            self.say(f"the disk is slower than the data: what is too much for it is dropped ({change.policy})")

    def _on_drop(self, gap: Gap) -> None:
        self._dropped += gap.frames_dropped or 0
        if time.monotonic() - self._dropped_told_s >= _DROPS_INTERVAL_S:
            self._dropped_told_s = time.monotonic()
            self.say(f"{self._dropped:,} frames were dropped so far, since the disk is slower than the data")


def _words(change: StateChange) -> str:
    state, cause = change.state.value.replace("_", " "), change.cause.value.replace("_", " ")
    detail = f": {change.detail}" if change.detail else ""
    return f"{state} ({cause}{detail}); {change.advice}"
