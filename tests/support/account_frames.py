"""Frames of orders, executions and accounts in every shape of the protocol, and the writers of their tables."""

from __future__ import annotations

from typing import Any, Final

import orjson

from cpapi_fast.outputs.tables.account_schema import AccountTableName
from cpapi_fast.outputs.tables.accounts import (
    AccountSummaryWriter,
    AccountWriter,
    ExecutionsWriter,
    LedgerWriter,
    OrdersWriter,
    PnlWriter,
)

WRITERS: Final[dict[AccountTableName, type[AccountWriter]]] = {
    "orders": OrdersWriter,
    "executions": ExecutionsWriter,
    "pnl": PnlWriter,
    "account_summary": AccountSummaryWriter,
    "ledger": LedgerWriter,
}

#: A full update of an order, as recorded.
ORDER: Final[dict[str, Any]] = {
    "acct": "DU1234567", "conidex": "8314", "conid": 8314, "account": "DU1234567", "orderId": 7, "cashCcy": "USD",
    "sizeAndFills": "0/3", "orderDesc": "Sell 3 IBM Limit 190.00, GTC", "description1": "IBM", "ticker": "IBM",
    "secType": "STK", "listingExchange": "NYSE", "remainingQuantity": 3.0, "filledQuantity": 0.0, "totalSize": 3.0,
    "companyName": "INTL BUSINESS MACHINES CORP", "status": "PreSubmitted", "order_ccp_status": "Submitted",
    "outsideRTH": False, "origOrderType": "LIMIT", "supportsTaxOpt": "1", "lastExecutionTime": "260101000000",
    "orderType": "Limit", "bgColor": "#FFFFFF", "fgColor": "#0000CC", "isEventTrading": "0", "price": "190.00",
    "timeInForce": "GTC", "lastExecutionTime_r": 1767225600000, "side": "SELL",
}  # fmt: skip

#: An execution without its commission.
EXECUTION: Final[dict[str, Any]] = {
    "execution_id": "0000e0d5.00000001.01.01", "symbol": "IBM", "supports_tax_opt": "1", "side": "B",
    "order_description": "Bot 3 @ 190.00 on ISLAND", "trade_time": "20260429-14:21:18", "trade_time_r": 1777472478000,
    "size": 3.0, "price": "190.00", "submitter": "user1234", "exchange": "ISLAND", "net_amount": 570.0,
    "account": "DU1234567", "accountCode": "DU1234567", "company_name": "INTL BUSINESS MACHINES CORP",
    "contract_description_1": "IBM", "sec_type": "STK", "listing_exchange": "NYSE", "conid": 8314, "conidEx": "8314",
    "clearing_id": "IB", "clearing_name": "IB", "liquidation_trade": "0", "is_event_trading": "0",
    "order_id": 1777439171105,
}  # fmt: skip


def order(**members: Any) -> bytes:
    """A sparse update of an order; `order_id` is its id."""
    head = {"acct": "DU1234567", "orderId": members.pop("order_id", 7)}
    return orjson.dumps({"topic": "sor", "args": [head | members]})


def full_order(**members: Any) -> bytes:
    """A full update of an order."""
    return orjson.dumps({"topic": "sor", "args": [ORDER | members]})


def execution(**members: Any) -> bytes:
    """An execution; `number` is that of its id."""
    number = members.pop("number", 1)
    return orjson.dumps(
        {"topic": "str", "args": [EXECUTION | {"execution_id": f"0000e0d5.{number:08x}.01.01"} | members]}
    )


def pnl(account: str = "DU1234567", **members: Any) -> bytes:
    """Profit and loss of an account."""
    return orjson.dumps({"topic": "spl", "args": {f"{account}.Core": {"rowType": 1} | members}})


def summary(account: str = "DU1234567", **values: Any) -> bytes:
    """Values of an account summary, amounts as numbers and others as texts."""
    rows = [
        {"key": key, "currency": "USD", "monetaryValue": value, "severity": 0, "timestamp": 1767225600}
        if not isinstance(value, str)
        else {"key": key, "value": value, "severity": 0, "timestamp": 1767225600}
        for key, value in values.items()
    ]
    return orjson.dumps({"result": rows, "topic": f"ssd+{account}"})


def ledger(currency: str = "USD", account: str = "DU1234567", **members: Any) -> bytes:
    """Balances of an account in one currency."""
    row = {"key": f"LedgerList{currency}", "timestamp": 1767225600}
    return orjson.dumps({"result": [row | members], "topic": f"sld+{account}"})


#: By table: messages in each shape that is documented or was recorded.
FRAMES: Final[dict[str, list[bytes]]] = {
    "orders": [
        full_order(),
        full_order(orderId=8, side="BUY", price="", orderType="Market"),
        order(isEventTrading="0"),
        order(order_id=8, status="Submitted", fgColor="#00F000"),
        order(status="Filled", filledQuantity=3.0, remainingQuantity=0.0, avgPrice="189.90", sizeAndFills="3"),
    ],
    "executions": [
        b'{"topic":"str","args":[]}',
        execution(),
        execution(commission="1.05"),
        execution(number=2, side="S", position="5", conidex="8314"),
        execution(number=2, side="S", position="5", conidex="8314", commission="0.35"),
    ],
    "pnl": [
        pnl(dpl=-12.5, nl=2.0201311791131118e8, upl=249013.53, el=101006559, uel=101006558.95, mv=391710.74),
        pnl(dpl=1, upl=2),
        b'{"topic":"spl","args":{"DU1234567.":{"rowType":1,"dpl":2.5}}}',
    ],
    "account_summary": [
        summary(AccountCode="DU1234567", NetLiquidation=1e6, **{"AccruedCash-S": 12.5}),
        summary("U7654321", AccountReady="true"),
        b'{"result":[],"topic":"ssd+DU1234567"}',
    ],
    "ledger": [
        ledger(cashbalance=2.0201311791131118e8, realizedPnl=0.0, unrealizedPnl=2.5, secondKey="USD", acctCode="U1"),
        ledger("BASE"),
    ],
}
