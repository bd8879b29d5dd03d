"""A kept state for tests, with the changes that it reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cpapi_fast.feed.state import KeptState, Row, StateKind
from cpapi_fast.frames.batch import BatchBuilder
from cpapi_fast.frames.frame import Frame


class Kept:
    """A state, the changes that it reported, and a counter of receive times."""

    def __init__(self, most: int = 100) -> None:
        self.state = KeptState(max_orders=most, max_executions=most, max_account_rows=most)
        self.changes: list[tuple[StateKind, Row]] = []
        self.state.on_change = lambda kind, row: self.changes.append((kind, row))
        self.received_ns = 0

    def frame(self, message: dict[str, Any] | bytes) -> Frame:
        self.received_ns += 1
        builder = BatchBuilder()
        builder.append(message if isinstance(message, bytes) else json.dumps(message).encode())
        batch = builder.finish(self.received_ns)
        assert batch is not None
        return batch[0]

    def put(self, message: dict[str, Any] | bytes) -> list[Row]:
        """Merge a message, and return the rows that changed."""
        self.changes.clear()
        self.state.on_subscription_frame(self.frame(message))
        self.state.flush()
        return [row for _, row in self.changes]

    def orders(self, *rows: dict[str, Any]) -> list[Any]:
        return self.put({"topic": "sor", "args": list(rows)})

    def executions(self, *rows: dict[str, Any]) -> list[Any]:
        return self.put({"topic": "str", "args": list(rows)})

    def interrupt(self, is_open: Callable[[str], bool] = lambda _topic: False) -> list[Any]:
        self.changes.clear()
        self.state.check_interruptions(is_open)
        self.state.flush()
        return [row for _, row in self.changes]


def working(order_id: int, **members: Any) -> dict[str, Any]:
    """The update of an order that makes it current."""
    return {"orderId": order_id, "status": "Submitted", "filledQuantity": 0.0, **members}
