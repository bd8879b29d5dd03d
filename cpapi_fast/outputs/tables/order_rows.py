"""Rows of orders and executions, merged as a feed merges them: orders within a segment, executions over the run"""

from __future__ import annotations

from typing import Any, Final

from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.feed.state.executions import Executions
from cpapi_fast.feed.state.orders import Orders
from cpapi_fast.messages.member import Message
from cpapi_fast.messages.orders import Execution, ExecutionsMessage, OrdersMessage, OrderUpdate
from cpapi_fast.outputs.run_events import OrderList, RecordedEvent

from .account_rows import AccountRows, Update

_ORDERS: Final = "sor"

#: How many orders and executions are kept for merging.
MOST_KEPT: Final = 10_000

#: Stands for the orders of an empty list.
_NO_ORDER: Final = OrderUpdate({})

#: The states of a feed in which it is subscribed to orders, and those of their subscription.
_SUBSCRIBED: Final = frozenset({FeedState.AUTHENTICATED, FeedState.STREAMING, FeedState.STALE})
_OPEN: Final = frozenset({FeedState.OPEN, FeedState.STREAMING})


class OrderRows(AccountRows[OrderUpdate]):
    """The rows of orders: each one the whole state of its order, as far as it is known in the segment."""

    def __init__(self) -> None:
        super().__init__("orders", _ORDERS, OrdersMessage, OrdersMessage.orders)
        self._segment: int | None = None
        self._last_segment = 0
        #: When the last gap that was reported ends; rows from then on belong to another segment than those before.
        self._end_ns: int | None = None
        self._end()

    def _end(self) -> None:
        """End the segment: nothing of before is known in the next one."""
        self._segment = None
        self._orders = Orders(MOST_KEPT)

    def observe(self, event: RecordedEvent) -> None:
        """End the segment if the event interrupts the updates of orders."""
        if isinstance(event, StateChange):
            subscribed = _SUBSCRIBED if event.subscription is None else _OPEN
            if event.subscription in (None, _ORDERS) and event.state not in subscribed:
                self._end()
        elif isinstance(event, Gap) and event.subscription in (None, _ORDERS):
            # A gap is reported before the first update after it. The list of all orders may have come before that.
            is_over = self._segment is None or self._segment > event.last_good_ns
            if event.cause is Cause.CONSUMER_OVERFLOW or not is_over:
                self._end()
                if event.first_good_ns is not None:
                    self._end_ns = max(event.first_good_ns, self._end_ns or 0)

    def begin_list(self, listed: OrderList) -> None:
        """Take the orders of a list, which are then moved. A list without orders is moved as an order without members.

        Otherwise the last segment with rows would be the one of before, with orders that are gone.
        """
        orders = listed.orders or (_NO_ORDER,)
        self._left.extend(Update(row, listed.received_ns, None, (True,)) for row in orders)

    def _update_of(self, message: Message, row: OrderUpdate) -> Update[OrderUpdate]:
        return Update(row, message.received_ns, None, (False,))

    def _begin_row(self, received_ns: int) -> None:
        if self._end_ns is not None and received_ns >= self._end_ns:
            # Joined gaps are reported before updates that lie between them.
            self._end_ns = None
            self._end()
        if self._segment is None:
            self._segment = self._last_segment = max(received_ns, self._last_segment + 1)

    def _state_after(self, update: Update[OrderUpdate]) -> OrderUpdate:
        row, received_ns = update.row, update.received_ns
        self._begin_row(received_ns)
        if row is _NO_ORDER:
            return row
        store = self._orders.store
        order_id, left_out = row.order_id, store.left_out
        before = None if order_id is None else store.rows.get(order_id)
        self._orders.merge(row, received_ns)
        if store.left_out == left_out and order_id is not None:
            return store.rows[order_id]
        # What is too large, and an order for which there is no room, is in this row only.
        self.left_out += 1
        return row if before is None else OrderUpdate(before.raw | row.raw)

    def _own_values(self, update: Update[OrderUpdate]) -> tuple[Any, ...]:
        return self._segment, *update.own


class ExecutionRows(AccountRows[Execution]):
    """The rows of executions: one for each, and another one for each change of it."""

    def __init__(self) -> None:
        super().__init__("executions", "str", ExecutionsMessage, ExecutionsMessage.executions)
        self._executions: Final = Executions(MOST_KEPT)

    def _state_after(self, update: Update[Execution]) -> Execution | None:
        store = self._executions.store
        name, left_out = store.checked(update.row.execution_id), store.left_out
        before = None if name is None else store.rows.get(name)
        merged = self._executions.merge(update.row)
        if store.left_out == left_out:
            return merged
        # Without an id, older than all that are kept, or too large. Whether it repeats another one is not known.
        self.left_out += 1
        return update.row if before is None else Execution(before.raw | update.row.raw)
