"""How long to wait before the next try: full jitter, so that many clients of one gateway do not come back together."""

from __future__ import annotations

from random import Random


class Backoff:
    """Waits that grow from try to try, each drawn anew between nothing and its bound.

    Args:
        base_s: the bound of the first wait; it doubles from try to try ...
        max_s: ... up to this.
        random: where the jitter comes from.
    """

    def __init__(self, base_s: float, max_s: float, random: Random) -> None:
        self.tries = 0
        self._base_s = base_s
        self._max_s = max_s
        self._random = random

    def next_s(self, *, is_slow: bool = False) -> float:
        """The wait before the next try; with `is_slow` at least half of the longest."""
        bound_s = min(self._base_s * 2.0 ** min(self.tries, 60), self._max_s)
        self.tries += 1
        if is_slow:
            return self._random.uniform(self._max_s / 2, self._max_s)
        return self._random.uniform(0.0, bound_s)

    def reset(self) -> None:
        """Begin anew: what was tried has worked."""
        self.tries = 0
