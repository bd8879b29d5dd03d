"""The documented limits on REST request rates, and the penalty for exceeding them."""

from __future__ import annotations

from collections import deque
from typing import Final

#: How many requests are allowed per second, over all paths.
_PER_SECOND: Final = 10
_PENALTY_S: Final = 900.0
#: Seconds between two requests to a path.
_PATH_INTERVALS_S: Final = {"/tickle": 1.0, "/sso/validate": 60.0, "/iserver/account/orders": 5.0}


class RateLimiter:
    """Decides whether a REST request exceeds a rate limit. All times are seconds of the gateway's clock."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_PER_SECOND)
        self._last: dict[str, float] = {}
        self._released_s = 0.0

    def allows(self, path: str, now_s: float) -> bool:
        """Count a request; whether it is allowed. If not, its response is 429.

        More than ten requests in a second start a penalty of 15 minutes. A path that is requested too soon only refuses
        that request; whether it counts towards the penalty is not known.
        """
        if now_s < self._released_s:
            return False
        if len(self._recent) == _PER_SECOND and now_s - self._recent[0] < 1.0:
            self._released_s = now_s + _PENALTY_S
            return False
        self._recent.append(now_s)
        interval_s = _PATH_INTERVALS_S.get(path)
        if interval_s is not None:
            last_s = self._last.get(path)
            if last_s is not None and now_s - last_s < interval_s:
                return False
            self._last[path] = now_s
        return True
