"""`sbd`: a price ladder, one per account."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .topic_streams import IntervalTimer, Moment
from .wire import payload

_INTERVAL_S: Final = 1.0
_DEPTH: Final = 5


class LadderStream:
    """Market depth of one contract, in the documented shape with prices and sizes as strings. No recording exists."""

    needs_brokerage = True

    def __init__(self, target: str, seed: int) -> None:
        self.topic = f"sbd+{target}"
        self._random = Random(f"{seed}/sbd/{target}")
        self._timer = IntervalTimer(_INTERVAL_S)
        self._middle = self._random.randrange(1_000, 50_000)

    def first(self, now: Moment) -> list[bytes]:
        """A frame with all rows."""
        self._timer.start(now.s)
        return [self._frame(range(2 * _DEPTH + 1))]

    def poll(self, now: Moment) -> list[bytes]:
        """A frame with the rows that changed."""
        if not self._timer.is_due(now.s):
            return []
        return [self._frame(sorted(self._random.sample(range(2 * _DEPTH + 1), 3)))]

    def _frame(self, rows: Any) -> bytes:
        return payload({"topic": self.topic, "data": [self._row(row) for row in rows]})

    def _row(self, row: int) -> dict[str, Any]:
        cents = self._middle + _DEPTH - row
        price = f"{cents // 100}.{cents % 100:02d}"
        size = str(self._random.randrange(1, 40) * 100)
        if row == _DEPTH:
            # The row of the last trade has its size before the price.
            return {"row": row, "focus": 1, "price": f"{size} @ {price}"}
        return {"row": row, "focus": 0, "price": price, "ask" if row < _DEPTH else "bid": size}
