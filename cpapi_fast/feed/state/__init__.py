"""The state that a feed keeps of its messages: quotes, orders, executions, profit and loss, accounts, session"""

from __future__ import annotations

from .changes import Changes
from .quote import Quote, read_quote

__all__ = ["Changes", "Quote", "read_quote"]
