"""The state that a feed keeps of its messages: quotes, orders, executions, profit and loss, accounts, session.

The files::

    quote_values.pyx   reads the values of a quote
    quote.py           Quote, the merged state of one market data subscription
    rows.py            rows by key, bounded, with snapshots
    orders.py          orders, merged from sparse updates
    executions.py      executions, each once
    account.py         profit and loss, account summary, ledger
    session.py         the session
    kept_state.py      all of them but quotes, fed with the frames of a feed
    changes.py         the callbacks for one kind of state
"""

from __future__ import annotations

from .account import AccountValue, LedgerBalance, Pnl, PnlRows
from .changes import Changes
from .kept_state import KeptState, Row, StateKind
from .orders import Order
from .quote import Quote, read_quote
from .rows import Rows
from .session import FeedSession

__all__ = [
    "AccountValue",
    "Changes",
    "FeedSession",
    "KeptState",
    "LedgerBalance",
    "Order",
    "Pnl",
    "PnlRows",
    "Quote",
    "Row",
    "Rows",
    "StateKind",
    "read_quote",
]
