"""The types of messages: each attribute has the type of its values."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type

import cpapi_fast as cf
from cpapi_fast.messages import (
    AccountsMessage,
    BulletinsMessage,
    DepthMessage,
    ErrorMessage,
    ExecutionsMessage,
    HistoryMessage,
    LedgerMessage,
    MarketDataMessage,
    Message,
    NotificationsMessage,
    OptionRight,
    OrdersMessage,
    OrderStatus,
    OrderUpdate,
    PnlMessage,
    ReplyMessage,
    Side,
    StatusMessage,
    SummaryMessage,
    SystemMessage,
    TicMessage,
)
from cpapi_fast.messages.member_types import NumberMember
from cpapi_fast.protocol.availability import Availability


def message_types(frame: cf.Frame) -> None:
    message = frame.message
    assert_type(message, Message | None)
    if message is None:
        return
    assert_type(message.raw, dict[str, Any])
    assert_type(message.extras, dict[str, Any])
    assert_type(message.problems, tuple[str, ...])
    assert_type(message.topic, str | None)
    assert_type(message.channel, str | None)
    assert_type(message.target, str)
    assert_type(message.received, datetime | None)
    assert_type(message.received_ns, int)
    match message:
        case MarketDataMessage():
            assert_type(message.bid_price, float | None)
            assert_type(message.symbol, str | None)
            assert_type(message.conid, int | None)
            assert_type(message.underlying_conid, int | None)
            assert_type(message.can_be_traded, bool | None)
            assert_type(message.right, OptionRight | None)
            assert_type(message.updated, datetime | None)
            assert_type(message.updated_ms, int | None)
            assert_type(message.availability, Availability | None)
            assert_type(message.is_halted, bool)
            assert_type(message.fields, dict[str, Any])
            _ = message.bid_prize  # type: ignore[attr-defined]
            message.bid_price = 1.0  # type: ignore[assignment]
        case OrdersMessage():
            assert_type(message.orders, tuple[OrderUpdate, ...])
            for order in message.orders:
                assert_type(order.status, OrderStatus | None)
                assert_type(order.side, Side | None)
                assert_type(order.price, float | None)
                assert_type(order.order_id, int | None)
                assert_type(order.last_execution_time, datetime | None)
        case _:
            pass


def row_types(
    executions: ExecutionsMessage, pnl: PnlMessage, summary: SummaryMessage, ledger: LedgerMessage, depth: DepthMessage
) -> None:
    assert_type(executions.executions[0].side, Side | None)
    assert_type(executions.executions[0].trade_time, datetime | None)
    assert_type(pnl.rows[0].account, str)
    assert_type(pnl.rows[0].name, str)
    assert_type(pnl.rows[0].dpl, float | None)
    assert_type(summary.rows[0].timestamp, datetime | None)
    assert_type(ledger.rows[0].cash_balance, float | None)
    assert_type(depth.rows[0].price, float | None)
    assert_type(depth.rows[0].focus, bool | None)


def other_types(
    history: HistoryMessage,
    system: SystemMessage,
    status: StatusMessage,
    accounts: AccountsMessage,
    notifications: NotificationsMessage,
    bulletins: BulletinsMessage,
    tic: TicMessage,
    error: ErrorMessage,
    reply: ReplyMessage,
) -> None:
    assert_type(history.bars[0].start, datetime | None)
    assert_type(history.bars[0].close, float | None)
    assert_type(system.heartbeat, datetime | None)
    assert_type(status.authenticated, bool | None)
    assert_type(accounts.accounts, tuple[str, ...] | None)
    assert_type(accounts.acct_props, dict[str, Any] | None)
    assert_type(notifications.notifications[0].options, list[Any] | None)
    assert_type(bulletins.bulletins[0].id, str | None)
    assert_type(tic.alive, bool | None)
    assert_type(error.code, int | None)
    assert_type(reply.is_waiting_for_session, bool)
    assert_type(MarketDataMessage.bid_price, NumberMember)
    assert_type(MarketDataMessage.bid_price.key, str)
