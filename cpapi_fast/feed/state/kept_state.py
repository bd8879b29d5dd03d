"""KeptState: what a feed keeps of its messages besides quotes, and the changes that its callbacks get"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from cpapi_fast.frames.frame import Frame
from cpapi_fast.messages.account import LedgerMessage, PnlMessage, SummaryMessage
from cpapi_fast.messages.orders import Execution, ExecutionsMessage, OrdersMessage, OrderUpdate
from cpapi_fast.messages.session import AccountsMessage, StatusMessage, SystemMessage

from .account import AccountRows, AccountValue, LedgerBalance, Pnl
from .executions import Executions
from .orders import Order, Orders
from .rows import RowStore
from .session import SessionMessages

#: The kinds of state. Each has its own callbacks.
StateKind = Literal["order", "execution", "pnl", "account_value", "ledger_balance", "session"]

#: A row after a change; None for the session, whose state consists of more than its messages.
Row = Order | Execution | Pnl | AccountValue | LedgerBalance | None

#: The topics of the session. A user may subscribe to them.
_SESSION_TOPICS: Final = frozenset({"sts", "act"})


class KeptState:
    """Merges the frames of a feed that are not market data. It belongs to the loop's thread, but for its snapshots.

    Attributes:
        orders, executions, pnl, account_values, ledger_balances, session: the state of each kind.
        on_change: called with the kind and the row of each change, by `release`; None for nobody.
        is_orders_only: whether only the orders and the session are kept.
        on_list: called with the orders of each response over REST and its receive time, without the members that
            arrived since the request; None for nobody.

    Args:
        max_orders: how many orders to keep.
        max_executions: how many executions to keep.
        max_account_rows: how many rows to keep of each other kind.
        keeps_rows: whether to keep them at all; the session is always kept.
    """

    def __init__(self, *, max_orders: int, max_executions: int, max_account_rows: int, keeps_rows: bool = True) -> None:
        self.keeps_rows: Final = keeps_rows
        self.orders: Final = Orders(max_orders)
        self.executions: Final = Executions(max_executions)
        self.pnl: Final = AccountRows(Pnl, max_account_rows)
        self.account_values: Final = AccountRows(AccountValue, max_account_rows)
        self.ledger_balances: Final = AccountRows(LedgerBalance, max_account_rows)
        self.session: Final = SessionMessages()
        self.is_orders_only = False
        self.on_change: Callable[[StateKind, Row], None] | None = None
        self.on_list: Callable[[Sequence[OrderUpdate], int], None] | None = None
        self._changed: Final[deque[tuple[StateKind, Row]]] = deque()
        self._is_held = False
        self._odd = 0

    @property
    def rows_left_out(self) -> int:
        """How many updates were left out: no object, without a key, without room, or in part because too large."""
        return sum(store.left_out for store in self._stores()) + self.session.left_out + self._odd

    @property
    def rows_evicted(self) -> int:
        """How many rows were removed to make room for others."""
        return sum(store.evicted for store in self._stores())

    def _stores(self) -> tuple[RowStore[Any, Any], ...]:
        return (
            self.orders.store,
            self.executions.store,
            self.pnl.store,
            self.account_values.store,
            self.ledger_balances.store,
        )

    # --- frames -----------------------------------------------------------------------------------

    def on_subscription_frame(self, frame: Frame) -> None:
        """Merge a frame of a subscription."""
        topic = frame.topic
        if topic not in _SESSION_TOPICS and (not self.keeps_rows or (self.is_orders_only and topic != "sor")):
            return
        message = frame.message
        if isinstance(message, OrdersMessage):
            self._note_odd(message.raw.get("args"), list, message.orders)
            self._add("order", self.orders.update(message))
        elif isinstance(message, ExecutionsMessage):
            self._note_odd(message.raw.get("args"), list, message.executions)
            self._add("execution", self.executions.update(message))
        elif isinstance(message, PnlMessage):
            self._note_odd(message.raw.get("args"), dict, message.rows)
            self._add("pnl", self.pnl.update(message))
        elif isinstance(message, SummaryMessage):
            self._note_odd(message.raw.get("result"), list, message.rows)
            self._add("account_value", self.account_values.update(message))
        elif isinstance(message, LedgerMessage):
            self._note_odd(message.raw.get("result"), list, message.rows)
            self._add("ledger_balance", self.ledger_balances.update(message))
        else:
            # A subscription of its own to `sts` or `act`.
            self.on_connection_frame(frame)

    def _note_odd(self, entries: Any, container: type[list[Any] | dict[str, Any]], rows: Sequence[object]) -> None:
        # Entries that are no objects have no row.
        if isinstance(entries, container):
            self._odd += len(entries) - len(rows)
        elif entries is not None:
            self._odd += 1

    def on_connection_frame(self, frame: Frame) -> None:
        """Merge a frame that belongs to no subscription."""
        message = frame.message
        if isinstance(message, (StatusMessage, AccountsMessage, SystemMessage)) and self.session.update(message):
            self.on_session_change()

    def begin_order_list(self) -> None:
        """The orders are requested over REST now."""
        self.orders.begin_list()

    def on_order_list(self, rows: Sequence[OrderUpdate], received_ns: int) -> None:
        """Merge the orders in the response."""
        older = self.orders.end_list(rows)
        self._add("order", self.orders.merge_list(older, received_ns))
        if self.on_list is not None:
            self.on_list(older, received_ns)

    # --- interruptions ----------------------------------------------------------------------------

    def on_connection_lost(self) -> None:
        """Mark the status of the session as not current."""
        if self.session.interrupt():
            self.on_session_change()

    def on_session_change(self) -> None:
        """Report a change of the session."""
        self._add("session", [None])

    def check_interruptions(self, is_open: Callable[[str], bool]) -> None:
        """Mark the rows of the topics without an open subscription as not current.

        Args:
            is_open: whether there is a subscription to a topic whose subscribe was sent on this connection.
        """
        topics = ["sor", "spl"]
        topics += [f"ssd+{account}" for account in self.account_values.scopes]
        topics += [f"sld+{account}" for account in self.ledger_balances.scopes]
        for topic in topics:
            if not is_open(topic):
                self.interrupt(topic)

    def interrupt(self, topic: str) -> None:
        """Mark the rows of a topic as not current."""
        channel, _, account = topic.partition("+")
        if topic == "sor":
            self._add("order", self.orders.interrupt())
        elif topic == "spl":
            self._add("pnl", self.pnl.interrupt(""))
        elif channel == "ssd":
            self._add("account_value", self.account_values.interrupt(account))
        elif channel == "sld":
            self._add("ledger_balance", self.ledger_balances.interrupt(account))

    # --- changes ----------------------------------------------------------------------------------

    def _add(self, kind: StateKind, rows: Sequence[Row]) -> None:
        if self.on_change is not None:
            self._changed.extend((kind, row) for row in rows)

    def hold(self) -> None:
        """Report no change until `release`, so that callbacks come after the consumers have the frames."""
        self._is_held = True

    def release(self) -> None:
        """Report the changes from here on, and those that waited."""
        self._is_held = False
        self.flush()

    def flush(self) -> None:
        """Report the changes that waited, unless they are held."""
        # A callback may raise KeyboardInterrupt, and may cause further changes.
        while self._changed and not self._is_held:
            kind, row = self._changed.popleft()
            if self.on_change is not None:
                self.on_change(kind, row)
