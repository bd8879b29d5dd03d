"""When the next request may be made: backoff with jitter, the nightly reset, the penalty, and the request budget."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

from cpapi_fast.feed.machine.actions import Failure, Moment
from cpapi_fast.feed.options import FeedOptions

#: Failures that last until a person has changed something.
_SLOW: Final = frozenset({Failure.REFUSED, Failure.FORBIDDEN, Failure.NOT_A_GATEWAY})

#: The largest number of requests in any minute, whatever the gateway does: REST calls and upgrades together. The window
#: is longer than a minute, because requests are delayed on their way to the gateway by different times.
MAX_REQUESTS: Final = 20
_WINDOW_S: Final = 62.0
#: The requests of one try: `/tickle`, `ssodh/init`, perhaps `auth/status`, `/iserver/accounts` and the upgrade.
TRY_REQUESTS: Final = 5


class RequestBudget:
    """At most `MAX_REQUESTS` requests in any minute. Every request of the machine is counted here."""

    def __init__(self) -> None:
        self._recent_s: deque[float] = deque(maxlen=MAX_REQUESTS)

    def free_s(self, now_s: float, count: int = 1) -> float:
        """When `count` requests may be made; `now_s` for at once."""
        to_expire = len(self._recent_s) + count - MAX_REQUESTS
        return max(now_s, self._recent_s[to_expire - 1] + _WINDOW_S) if to_expire > 0 else now_s

    def spend(self, now_s: float) -> None:
        """Count a request that is made now."""
        self._recent_s.append(now_s)


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

    Attributes:
        budget: counts every request.
    """

    def __init__(self, options: FeedOptions, random: Random) -> None:
        #: When the penalty ends. No request is made before, because it would extend the penalty.
        self.penalty_until_s = 0.0
        self.budget: Final = RequestBudget()
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

    def allowed_s(self, now: Moment, count: int = 1) -> float:
        """When `count` requests may be made; the current time for at once."""
        return max(self.penalty_until_s, self.budget.free_s(now.s, count))

    def first_or_backoff(self, now: Moment, *, was_good: bool) -> float:
        """The pause before a try whose reason is no failed try: none at first or after a good time."""
        if was_good:
            return 0.0
        is_first = self._backoff.tries == 0
        pause_s = self.backoff(now)
        return 0.0 if is_first else pause_s

    def backoff(self, now: Moment) -> float:
        """The next pause; in the window of the nightly reset a long one, unless it is the first."""
        nightly = self._options.nightly
        return self._backoff.next_s(
            is_slow=nightly is not None and self._backoff.tries > 0 and nightly.holds(now.day_ns)
        )

    def reset(self) -> None:
        """Start with short pauses again, because the last connection was stable."""
        self._backoff.reset()
