"""The request rates that the gateway documents, and the penalty box above them."""

from __future__ import annotations

from collections import deque
from typing import Final

#: All requests together: this many within a second.
_OVERALL: Final = 10
_PENALTY_S: Final = 900.0
#: Seconds between two calls of a path.
_PER_PATH_S: Final = {"/tickle": 1.0, "/sso/validate": 60.0}


class Pacer:
    """Says whether a request comes too fast. All times are seconds of the gateway's clock."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_OVERALL)
        self._last: dict[str, float] = {}
        self._released_s = 0.0

    def allows(self, path: str, now_s: float) -> bool:
        """Count a request and say whether it is answered; if not, its answer is 429.

        More than ten a second puts the caller into the penalty box. A path called too soon only refuses that call:
        whether that counts towards the box is not known.
        """
        if now_s < self._released_s:
            return False
        if len(self._recent) == _OVERALL and now_s - self._recent[0] < 1.0:
            self._released_s = now_s + _PENALTY_S
            return False
        self._recent.append(now_s)
        interval_s = _PER_PATH_S.get(path)
        if interval_s is not None:
            last_s = self._last.get(path)
            if last_s is not None and now_s - last_s < interval_s:
                return False
            self._last[path] = now_s
        return True
