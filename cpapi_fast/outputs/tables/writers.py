"""The writer of each table, by the name of the table"""

from __future__ import annotations

from typing import Final

from .account_schema import AccountTableName
from .accounts import AccountSummaryWriter, AccountWriter, ExecutionsWriter, LedgerWriter, OrdersWriter, PnlWriter
from .market_data import MarketDataWriter, QuotesWriter, TicksWriter
from .schema import TableName

MARKET_DATA_WRITERS: Final[dict[TableName, type[MarketDataWriter]]] = {"ticks": TicksWriter, "quotes": QuotesWriter}

ACCOUNT_WRITERS: Final[dict[AccountTableName, type[AccountWriter]]] = {
    "orders": OrdersWriter,
    "executions": ExecutionsWriter,
    "pnl": PnlWriter,
    "account_summary": AccountSummaryWriter,
    "ledger": LedgerWriter,
}
