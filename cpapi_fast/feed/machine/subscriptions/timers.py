"""When to check or renew each subscription: a heap with one current entry per subscription."""

from __future__ import annotations

import heapq
from typing import Final

from .subscription_state import SubscriptionState

_NEVER: Final = float("inf")
#: The heap is rebuilt when it has more entries than this many per subscription, plus the extra ones.
_ENTRIES_PER_SUBSCRIPTION: Final = 4
_EXTRA_ENTRIES: Final = 64


class Timers:
    """A heap of subscriptions by due time, the earlier of `check_s` and `renew_s`. Obsolete entries are skipped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, SubscriptionState]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def due_s(self) -> float:
        """When the first entry is due, obsolete ones included; infinity if there is none."""
        return self._heap[0][0] if self._heap else _NEVER

    def set(self, subscription: SubscriptionState) -> None:
        """Schedule a subscription after a change of its times. A later time takes effect when its old entry is due."""
        check_s, renew_s = subscription.staleness.check_s, subscription.request.renew_s
        due_s = min(renew_s, check_s)
        if due_s < subscription.timer_s:
            subscription.timer_s = due_s
            self._count += 1
            heapq.heappush(self._heap, (due_s, self._count, subscription))

    def topics_due(self, now_s: float) -> list[str]:
        """The topics of the entries that are due, obsolete ones included."""
        heap = self._heap
        count = len(heap)
        if not count or heap[0][0] > now_s:
            return []
        topics, positions = [heap[0][2].topic], [1, 2]
        for position in positions:
            if position < count and heap[position][0] <= now_s:
                topics.append(heap[position][2].topic)
                # The children of an entry in the heap are not due before it.
                positions += (2 * position + 1, 2 * position + 2)
        return topics

    def take(self, now_s: float) -> SubscriptionState | None:
        """Remove and return a subscription that is due; None if none is. Call `set` after handling it."""
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            due_s, _, subscription = heapq.heappop(heap)
            if subscription.timer_s == due_s:
                subscription.timer_s = _NEVER
                if subscription.staleness.check_s <= now_s or subscription.request.renew_s <= now_s:
                    return subscription
                self.set(subscription)
        return None

    def shrink(self, subscriptions: dict[str, SubscriptionState]) -> None:
        """Remove the obsolete entries if there are many."""
        if len(self._heap) > _ENTRIES_PER_SUBSCRIPTION * len(subscriptions) + _EXTRA_ENTRIES:
            self._heap = []
            for subscription in subscriptions.values():
                subscription.timer_s = _NEVER
                self.set(subscription)
