"""Executions: each execution once, with its commission as soon as that is known (`str`)"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, Final

from cpapi_fast.messages.orders import Execution, ExecutionsMessage

from .rows import Rows, RowStore

_COMMISSION: Final = "commission"

#: What the gateway sends for a commission that it does not have.
_NOTHING: Final = (None, "", "-", "N/A")


class Executions:
    """The executions by id. The gateway sends each one again when its commission is known, and after a reconnect.

    Attributes:
        store: the rows and their counts.

    Args:
        most: how many executions to keep. Beyond that, the one with the earliest trade time is removed, or the new one
            is left out if it is that: so what the gateway sends again does not become new again.
    """

    def __init__(self, most: int) -> None:
        self.store: Final[RowStore[str, Execution]] = RowStore(most, Execution)
        #: By id: the trade time, and which of the executions it was. Without a trade time, the latest one known then.
        self._times: Final[dict[str, tuple[int, int]]] = {}
        #: The same with the id, earliest first; entries that the other does not have any more are skipped.
        self._earliest: list[tuple[int, int, str]] = []
        self._latest_ms = 0
        self._count = 0
        #: The latest trade time of an execution that was removed.
        self._removed_ms: int | None = None

    @property
    def snapshot(self) -> Rows[str, Execution]:
        """The executions at this moment, in the order in which they arrived first."""
        return self.store.snapshot

    def update(self, message: ExecutionsMessage) -> list[Execution]:
        """Merge a message, and return the executions that are new or changed."""
        found = map(self.merge, message.executions)
        return [execution for execution in found if execution is not None]

    def merge(self, update: Execution) -> Execution | None:
        """Merge one execution of a message, and return it if it is new or changed."""
        execution_id = self.store.checked(update.execution_id)
        time_ms = update.trade_time_ms
        found = self.store.put_update(
            execution_id,
            self._with_known_commission(execution_id, update.raw),
            Execution,
            lambda: self._make_room(time_ms),
        )
        if found is None or execution_id is None:
            return None
        self._note_time(execution_id, time_ms)
        before, now = found
        return now if before is None or before.raw != now.raw else None

    def _with_known_commission(self, execution_id: str | None, update: dict[str, Any]) -> dict[str, Any]:
        # An execution that is sent again without its commission still has it.
        if update.get(_COMMISSION, 0) in _NOTHING:
            known = None if execution_id is None else self.store.rows.get(execution_id)
            if known is not None and known.commission is not None:
                return {key: value for key, value in update.items() if key != _COMMISSION}
        return update

    def _note_time(self, execution_id: str, time_ms: int | None) -> None:
        before = self._times.get(execution_id)
        if before is None:
            self._count += 1
            now = (self._latest_ms if time_ms is None else time_ms, self._count)
        elif time_ms is None or time_ms == before[0]:
            return
        else:
            now = (time_ms, before[1])
        self._latest_ms = max(self._latest_ms, now[0])
        self._times[execution_id] = now
        heappush(self._earliest, (*now, execution_id))
        if len(self._earliest) > 2 * self.store.most + 100:
            self._earliest = [(*time, name) for name, time in self._times.items()]
            heapify(self._earliest)

    def _make_room(self, time_ms: int | None) -> bool:
        if time_ms is not None and self._removed_ms is not None and time_ms <= self._removed_ms:
            return False
        while True:
            earliest_ms, number, execution_id = self._earliest[0]
            if self._times.get(execution_id) != (earliest_ms, number):
                heappop(self._earliest)
                continue
            if time_ms is not None and time_ms < earliest_ms:
                return False
            heappop(self._earliest)
            del self._times[execution_id]
            self.store.evict(execution_id)
            self._removed_ms = earliest_ms if self._removed_ms is None else max(self._removed_ms, earliest_ms)
            return True
