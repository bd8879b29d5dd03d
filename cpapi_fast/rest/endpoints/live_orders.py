"""LiveOrders: the orders of the brokerage session, parsed from the gateway's JSON"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cpapi_fast.messages.orders import OrderUpdate
from cpapi_fast.protocol.members import Members
from cpapi_fast.protocol.shape import ShapeError


@dataclass(frozen=True, slots=True, eq=False)
class LiveOrders:
    """The response to `/iserver/account/orders`. The `repr` contains only the number of orders.

    Attributes:
        orders: the orders, with the members of a full update of `sor`.
        is_complete: whether the gateway says that these are all orders (`snapshot`). The first response of a session
            may not be.
        payload: the decoded body.
        odd: the names of members that had an unexpected type.
    """

    orders: tuple[OrderUpdate, ...]
    is_complete: bool
    payload: dict[str, Any] = field(repr=False)
    odd: tuple[str, ...] = ()

    @classmethod
    def parse(cls, payload: object) -> LiveOrders:
        """Parse the decoded body of `/iserver/account/orders`.

        Raises:
            ShapeError: the body is not an object with a list of orders.
        """
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        rows = body.payload.get("orders")
        if not isinstance(rows, list):
            raise ShapeError("orders is not a list")
        orders = tuple(OrderUpdate(row) for row in rows if isinstance(row, dict))
        if len(orders) < len(rows):
            odd.append("orders")
        return cls(orders, body.flag("snapshot") is True, body.payload, tuple(odd))

    def __repr__(self) -> str:
        return f"LiveOrders({len(self.orders)} orders)"
