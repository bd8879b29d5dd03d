"""How long to wait before the next try: backoff with jitter, the window of the nightly reset, and the penalty."""

from __future__ import annotations

from random import Random
from typing import Final

from cpapi_fast.feed.machine.actions import Failure, Moment
from cpapi_fast.feed.options import FeedOptions

#: Failures that last until a person has changed something.
_SLOW: Final = frozenset({Failure.REFUSED, Failure.FORBIDDEN, Failure.NOT_A_GATEWAY})


class Backoff:
    """Random pauses below a bound that doubles with each try, so that clients do not retry at the same moment.

    Args:
        base_s: the first bound.
        max_s: the largest bound.
        random: the source of the jitter.
    """

    def __init__(self, base_s: float, max_s: float, random: Random) -> None:
        self.tries = 0
        self._base_s = base_s
        self._max_s = max_s
        self._random = random

    def next_s(self, *, is_slow: bool = False) -> float:
        """The pause before the next try; with `is_slow` at least half of `max_s`."""
        bound_s = min(self._base_s * 2.0 ** min(self.tries, 60), self._max_s)
        self.tries += 1
        if is_slow:
            return self._random.uniform(self._max_s / 2, self._max_s)
        return self._random.uniform(0.0, bound_s)

    def reset(self) -> None:
        """Start with the first bound again."""
        self.tries = 0


class RetryPolicy:
    """The pauses of one feed between tries.

    Args:
        options: bounds, nightly window and penalty.
        random: the source of the jitter.
    """

    def __init__(self, options: FeedOptions, random: Random) -> None:
        #: When the penalty ends. No request is made before, because it would extend the penalty.
        self.penalty_until_s = 0.0
        self._options = options
        self._backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s, random)

    def note_limit(self, now: Moment, retry_after_s: float | None) -> None:
        """Start the penalty after a 429, or the pause that the client's pacer requires."""
        wait_s = self._options.penalty_s if retry_after_s is None else retry_after_s
        self.penalty_until_s = max(self.penalty_until_s, now.s + wait_s)

    def after(self, failure: Failure, now: Moment, retry_after_s: float | None) -> float:
        """The pause after this failure, in seconds."""
        if failure is Failure.RATE_LIMITED:
            return self.penalty_until_s - now.s
        if failure in _SLOW:
            return self._options.reconnect_max_s
        return max(self.backoff(now), retry_after_s or 0.0)

    def backoff(self, now: Moment) -> float:
        """The next pause; in the window of the nightly reset a long one, unless it is the first."""
        nightly = self._options.nightly
        return self._backoff.next_s(
            is_slow=nightly is not None and self._backoff.tries > 0 and nightly.holds(now.day_ns)
        )

    def reset(self) -> None:
        """Start with short pauses again, because a try succeeded."""
        self._backoff.reset()
