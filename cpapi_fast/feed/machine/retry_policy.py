"""How long to leave the gateway alone: after a failure, in the window of its nightly reset, in the penalty box."""

from __future__ import annotations

from random import Random

from cpapi_fast.feed.options import FeedOptions

from .actions import Failure, Moment
from .backoff import Backoff


class RetryPolicy:
    """The pauses between tries.

    Args:
        options: how long they are.
        random: where the jitter comes from.
    """

    def __init__(self, options: FeedOptions, random: Random) -> None:
        #: In the penalty box until then: whoever asks stays in it.
        self.penalty_until_s = 0.0
        self._options = options
        self._backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s, random)

    def note_limit(self, now: Moment, retry_after_s: float | None) -> None:
        """The gateway, or our own pace, asks for patience."""
        wait_s = self._options.penalty_s if retry_after_s is None else retry_after_s
        self.penalty_until_s = max(self.penalty_until_s, now.s + wait_s)

    def after(self, failure: Failure, now: Moment, retry_after_s: float | None) -> float:
        """How long to wait after this failure."""
        if failure is Failure.RATE_LIMITED:
            return self.penalty_until_s - now.s
        if failure is Failure.REFUSED:
            return self._options.reconnect_max_s
        return max(self.backoff(now), retry_after_s or 0.0)

    def backoff(self, now: Moment) -> float:
        """The next wait; a long one when the gateway is about to be reset, or is in the midst of it."""
        nightly = self._options.nightly
        return self._backoff.next_s(
            is_slow=nightly is not None and self._backoff.tries > 0 and nightly.holds(now.day_ns)
        )

    def reset(self) -> None:
        """What was tried has worked."""
        self._backoff.reset()
