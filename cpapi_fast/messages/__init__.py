"""Typed messages: the class of each topic, with the members of its messages as attributes"""

from __future__ import annotations

from .account import LedgerMessage, LedgerRow, PnlMessage, PnlRow, SummaryMessage, SummaryRow
from .enums import OptionRight, OrderStatus, Side
from .history import DepthMessage, DepthRow, HistoryBar, HistoryMessage
from .market_data import MarketDataMessage
from .member import JsonObject, Member, Message
from .notices import (
    Bulletin,
    BulletinsMessage,
    ErrorMessage,
    Notification,
    NotificationsMessage,
    OtherMessage,
    ReplyMessage,
)
from .orders import Execution, ExecutionsMessage, OrdersMessage, OrderUpdate
from .session import AccountsMessage, StatusMessage, SystemMessage, TicMessage

__all__ = [
    "AccountsMessage",
    "Bulletin",
    "BulletinsMessage",
    "DepthMessage",
    "DepthRow",
    "ErrorMessage",
    "Execution",
    "ExecutionsMessage",
    "HistoryBar",
    "HistoryMessage",
    "JsonObject",
    "LedgerMessage",
    "LedgerRow",
    "MarketDataMessage",
    "Member",
    "Message",
    "Notification",
    "NotificationsMessage",
    "OptionRight",
    "OrderStatus",
    "OrderUpdate",
    "OrdersMessage",
    "OtherMessage",
    "PnlMessage",
    "PnlRow",
    "ReplyMessage",
    "Side",
    "StatusMessage",
    "SummaryMessage",
    "SummaryRow",
    "SystemMessage",
    "TicMessage",
]
