"""Executions: each execution once, with its commission as soon as that is known (`str`)"""

from __future__ import annotations

from typing import Final

from cpapi_fast.messages.orders import Execution, ExecutionsMessage

from .rows import Rows, RowStore


class Executions:
    """The executions by id. The gateway sends each one again when its commission is known, and after a reconnect.

    Attributes:
        store: the rows and their counts.

    Args:
        most: how many executions to keep. Beyond that, the one that arrived first is removed.
    """

    def __init__(self, most: int) -> None:
        self.store: Final[RowStore[str, Execution]] = RowStore(most, Execution)

    @property
    def snapshot(self) -> Rows[str, Execution]:
        """The executions at this moment, in the order in which they arrived first."""
        return self.store.snapshot

    def update(self, message: ExecutionsMessage) -> list[Execution]:
        """Merge a message, and return the executions that are new or changed."""
        changed = []
        for row in message.executions:
            execution_id = self.store.checked(row.execution_id)
            found = self.store.put_update(execution_id, row.raw, Execution, self._make_room)
            if found is not None and (found[0] is None or found[0].raw != found[1].raw):
                changed.append(found[1])
        return changed

    def _make_room(self) -> bool:
        self.store.evict(next(iter(self.store.rows)))
        return True
