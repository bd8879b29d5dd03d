"""Enums of messages: the known values of orders, executions and options"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, TypeVar

E = TypeVar("E", bound=enum.Enum)


class OrderStatus(enum.StrEnum):
    """The status of an order. The values are the gateway's."""

    #: The order was created and not transmitted.
    INACTIVE = "Inactive"
    #: The order was transmitted, and IB has not accepted it yet.
    PENDING_SUBMIT = "PendingSubmit"
    #: IB has accepted the order, and its exchange has not.
    PRE_SUBMITTED = "PreSubmitted"
    #: The order is working at its exchange.
    SUBMITTED = "Submitted"
    #: A cancel was requested and is not confirmed.
    PENDING_CANCEL = "PendingCancel"
    #: The order was cancelled.
    CANCELLED = "Cancelled"
    #: The order was filled completely.
    FILLED = "Filled"


class Side(enum.StrEnum):
    """The side of an order or execution. Orders have `BUY` on the wire, and executions `B`."""

    BUY = "BUY"
    SELL = "SELL"
    #: The exercise of an option.
    EXERCISE = "EXER"


class OptionRight(enum.StrEnum):
    """Whether an option is a put or a call."""

    PUT = "P"
    CALL = "C"


_SIDES: Final = {"B": Side.BUY, "S": Side.SELL}


def enum_of(values: type[E]) -> Callable[[Any], E]:
    """Return a function that converts the text of a member of an enum.

    It raises ValueError for anything else.
    """
    by_text = {value.value: value for value in values}

    def convert(value: Any) -> E:
        found = by_text.get(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError("the value is not known")
        return found

    return convert


order_status: Final = enum_of(OrderStatus)
option_right: Final = enum_of(OptionRight)

_side: Final = enum_of(Side)


def side(value: Any) -> Side:
    """Convert the side of an order (`BUY`) or execution (`B`).

    Raises:
        ValueError: the value is another one.
    """
    short = _SIDES.get(value) if isinstance(value, str) else None
    return short or _side(value)
