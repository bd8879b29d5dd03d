"""When to look at which subscription: one entry of a heap for each, not one for every change of mind."""

from __future__ import annotations

import heapq
from typing import Final

from .subscription_state import SubscriptionState

_NEVER: Final = float("inf")
#: So many entries for each subscription that none needs, and some to spare, and the heap is made anew.
_SLACK: Final = 4
_SPARE: Final = 64


class Timers:
    """A heap of subscriptions. An entry stands for the earlier of `check_s` and `renew_s`, or is left behind."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, SubscriptionState]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def due_s(self) -> float:
        """When the next one is due, or was left behind."""
        return self._heap[0][0] if self._heap else _NEVER

    def set(self, line: SubscriptionState) -> None:
        """Its times have changed. One that is later than before waits until the entry of before is due."""
        due_s = min(line.check_s, line.renew_s)
        if due_s < line.timer_s:
            line.timer_s = due_s
            self._count += 1
            heapq.heappush(self._heap, (due_s, self._count, line))

    def take(self, now_s: float) -> SubscriptionState | None:
        """One that is due; the caller calls `set` when it has looked."""
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            due_s, _, line = heapq.heappop(heap)
            if line.timer_s == due_s:
                line.timer_s = _NEVER
                if line.check_s <= now_s or line.renew_s <= now_s:
                    return line
                self.set(line)
        return None

    def shrink(self, lines: dict[str, SubscriptionState]) -> None:
        """Throw away what was left behind, when it is much."""
        if len(self._heap) > _SLACK * len(lines) + _SPARE:
            self._heap = []
            for line in lines.values():
                line.timer_s = _NEVER
                self.set(line)
