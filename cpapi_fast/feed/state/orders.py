"""Orders: the state of each order, merged from sparse updates (`sor`)"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cpapi_fast.messages.enums import OrderStatus
from cpapi_fast.messages.orders import OrdersMessage, OrderUpdate

from .rows import MAX_MEMBERS, CurrentRows, Rows, RowStore

#: An order with one of these does not change any more.
_FINISHED: Final = frozenset({OrderStatus.CANCELLED, OrderStatus.FILLED})

#: All orders have one subscription.
_SCOPE: Final = ""

#: What an order never changes. A list of orders always has it.
_IDENTITY: Final = frozenset({"orderId", "acct", "account"})

#: Flags of what arrived: the status, and the filled or remaining quantity.
_STATUS: Final = 1
_QUANTITY: Final = 2


class Order(OrderUpdate):
    """The state of one order, merged from its updates. It has the attributes of an `OrderUpdate`, and does not change.

    A member that an update does not have keeps its value. A member that is null in an update has no value from then on.

    Attributes:
        raw: the merged members, also those that the class does not have.
        received_ns: the receive time of its last update, in ns since the Unix epoch.
        is_current: whether its status and its filled or remaining quantity arrived since the subscription to orders
            was last interrupted. A finished order for which it was true stays so. The feed requests the orders after
            each subscribe. An order that is not current afterwards is not among them: it may have changed, or be gone.
    """

    __slots__ = ("is_current", "received_ns")

    def __init__(self, raw: dict[str, Any], received_ns: int = 0, *, is_current: bool = True) -> None:
        super().__init__(raw)
        self.received_ns: Final = received_ns
        self.is_current: Final = is_current

    @property
    def is_finished(self) -> bool:
        """Whether it is filled or cancelled."""
        return self.status in _FINISHED

    def __reduce__(self) -> tuple[Any, ...]:
        return _order, (self.raw, self.received_ns, self.is_current)

    def __repr__(self) -> str:
        # Numbers and known values only, because texts may contain an account.
        status, side = (None if value is None else value.value for value in (self.status, self.side))
        amount = f"{side} {self.filled_quantity} of {self.total_size}"
        return f"<Order {self.order_id}, {status}, {amount}{'' if self.is_current else ', not current'}>"


#: The keys of the members that the class has.
_KNOWN: Final = frozenset(member.key for member in Order.members().values())


def _order(raw: dict[str, Any], received_ns: int, is_current: bool) -> Order:
    return Order(raw, received_ns, is_current=is_current)


class Orders:
    """The orders by id.

    Attributes:
        store: the rows and their counts.

    Args:
        most: how many orders to keep. Beyond that, the order that finished first is removed; without a finished one,
            the one that is not current for the longest time; without such a one, the new order is left out.
    """

    def __init__(self, most: int) -> None:
        self.store: Final[RowStore[int, Order]] = RowStore(most, Order)
        #: The finished orders in the order in which they finished.
        self._finished: Final[dict[int, None]] = {}
        self._current: Final[CurrentRows[int]] = CurrentRows()
        #: Which of the members that make an order current arrived since the last interruption.
        self._arrived: Final[dict[int, int]] = {}
        #: By id: the members that arrived since the orders were requested; None if no response is expected.
        self._since_request: dict[int, set[str]] | None = None

    @property
    def snapshot(self) -> Rows[int, Order]:
        """The orders at this moment."""
        return self.store.snapshot

    def update(self, message: OrdersMessage) -> list[Order]:
        """Merge a message, and return the orders that changed."""
        found = (self.merge(row, message.received_ns) for row in message.orders)
        return [order for order in found if order is not None]

    def merge(self, update: OrderUpdate, received_ns: int) -> Order | None:
        """Merge one update of a message, and return its order if that changed."""
        order_id = update.order_id
        order = self._merge(order_id, update.raw, received_ns)
        row = None if order_id is None else self.store.rows.get(order_id)
        if self._since_request is not None and order_id is not None and row is not None:
            arrived = self._since_request.setdefault(order_id, set())
            arrived.update(update.raw)
            if len(arrived) > MAX_MEMBERS:
                # Unknown members that the row has no room for.
                arrived.intersection_update(row.raw.keys() | _KNOWN)
        return order

    def begin_list(self) -> None:
        """The orders are requested now: what arrives until the response, which `end_list` gets, is at least as new."""
        self._since_request = {}

    def merge_list(self, rows: Iterable[OrderUpdate], received_ns: int) -> list[Order]:
        """Merge the orders in a response over REST, and return those that changed.

        Args:
            rows: the orders, as returned by `end_list`.
            received_ns: when the response arrived, in ns since the Unix epoch.
        """
        found = (self._merge(row.order_id, row.raw, received_ns) for row in rows)
        return [order for order in found if order is not None]

    def end_list(self, rows: Iterable[OrderUpdate]) -> list[OrderUpdate]:
        """Return the orders in a response over REST without the members that arrived since the request.

        Their id and account always stay.
        """
        since, self._since_request = self._since_request or {}, None
        found = []
        for row in rows:
            newer = since.get(row.order_id, set()) - _IDENTITY if row.order_id is not None else ()
            found.append(OrderUpdate({key: value for key, value in row.raw.items() if key not in newer}))
        return found

    def _merge(self, order_id: int | None, update: dict[str, Any], received_ns: int) -> Order | None:
        """Merge an update, and return its order if that changed."""
        found = self.store.put_update(order_id, update, lambda raw: Order(raw, received_ns), self._make_room)
        if found is None or order_id is None:
            return None
        before, order = found
        arrived = self._arrived[order_id] = self._arrived.get(order_id, 0) | _arrived_in(update)
        was_final = before is not None and before.is_current and before.is_finished
        if arrived != _STATUS | _QUANTITY and not (was_final and order.is_finished):
            order = Order(order.raw, received_ns, is_current=False)
            self.store.put(order_id, order)
        self._note(order_id, order)
        is_changed = before is None or before.is_current != order.is_current or before.raw != order.raw
        return order if is_changed else None

    def interrupt(self) -> list[Order]:
        """Mark the orders that are not finished as not current, and return those that were."""
        self._arrived.clear()
        self._since_request = None
        changed = []
        for order_id in self._current.interrupt(_SCOPE):
            order = self.store.rows[order_id]
            order = Order(order.raw, order.received_ns, is_current=False)
            self.store.put(order_id, order)
            changed.append(order)
        return changed

    def _note(self, order_id: int, order: Order) -> None:
        if order.is_finished:
            self._finished.setdefault(order_id)
        else:
            self._finished.pop(order_id, None)
        if order.is_finished and order.is_current:
            self._current.remove(_SCOPE, order_id)
        else:
            self._current.set(_SCOPE, order_id, is_current=order.is_current)

    def _make_room(self) -> bool:
        order_id = next(iter(self._finished), None)
        if order_id is None:
            order_id = self._current.oldest_not_current
        if order_id is None:
            return False
        self._finished.pop(order_id, None)
        self._current.remove(_SCOPE, order_id)
        self._arrived.pop(order_id, None)
        if self._since_request is not None:
            # What arrived is forgotten with the order, so a list says all that is known of it.
            self._since_request.pop(order_id, None)
        self.store.evict(order_id)
        return True


def _arrived_in(update: dict[str, Any]) -> int:
    has_quantity = update.get("filledQuantity") is not None or update.get("remainingQuantity") is not None
    return (_STATUS if update.get("status") is not None else 0) | (_QUANTITY if has_quantity else 0)
