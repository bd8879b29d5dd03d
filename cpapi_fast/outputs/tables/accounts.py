"""Tables of accounts in Parquet files: orders, executions, profit and loss, account summary and ledger"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Final

from cpapi_fast.outputs.run_events import OrderList, RecordedEvent

from .account_rows import AccountRows, LedgerRows, PnlRows, SummaryRows, may_have_updates
from .account_schema import AccountTableName, account_table_schema
from .order_rows import ExecutionRows, OrderRows
from .writer import TableWriter

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: How many rows are collected before they are written. They are Python objects, about 2 kB each.
_GROUP_ROWS: Final = 8_192


class AccountWriter(TableWriter[AccountRows[Any]]):
    """Writes one table of accounts; see `TableWriter` for the options. Not thread-safe. Use one of its subclasses.

    What is counted are updates: a message can have several. One that is no object, and a message that is not JSON or
    has no updates where they have to be, count as dropped (`malformed`).

    Args:
        folder: the folder for the files; it must exist.
        stem: the start of the file names; the name of the table by default.
        options: those of `TableWriter`, except for `group_rows`.
    """

    name: ClassVar[AccountTableName]
    rows_class: ClassVar[Any]

    def __init__(self, folder: str | os.PathLike[str], stem: str | None = None, **options: Any) -> None:
        options.setdefault("group_rows", _GROUP_ROWS)
        super().__init__(
            folder, stem, lambda: account_table_schema(self.name), lambda _capacity: self.rows_class(), **options
        )

    @property
    def left_out(self) -> int:
        """How many updates have values that later rows do not have: without an id, without room, or too large."""
        return self._rows.left_out

    @property
    def accounts(self) -> frozenset[str | None]:
        """The accounts of which an update had a row, by topic or by the name of the row; at most 1,000."""
        return frozenset(self._rows.accounts)

    def write(self, batch: Batch) -> None:
        """Write the updates of a batch. Raises like `TableWriter.write`."""
        # Most batches have market data only.
        if may_have_updates(batch) or self._error is not None or self._is_closed:
            super().write(batch)
        else:
            self._spans.pass_batch(len(batch))

    def _count_of(self, batch: Batch) -> int:
        return self._rows.count(batch)

    def _drops(self) -> tuple[tuple[str, int], ...]:
        return ("malformed", self._rows.malformed), ("repeated execution", self._rows.repeated)


class OrdersWriter(AccountWriter):
    """Writes the table `orders`: the whole state of an order after each update; see `AccountWriter`.

    A member that an update does not have has the value of the row before. No value is carried across an interruption of
    the updates, where the column `segment` changes; pass the events of the feed to `observe_event`, and the lists of
    all orders, whose rows then begin the segment with all that is known.
    """

    name = "orders"
    unit = "updates of orders"
    rows_class = OrderRows

    #: How many rows of lists were received.
    list_rows = 0

    def observe_event(self, event: RecordedEvent) -> None:
        """Take note of an event between two batches; of a list of orders, write its rows. Raises like `write`."""
        super().observe_event(event)
        rows = self._rows
        assert isinstance(rows, OrderRows)  # noqa: S101 - the class of this writer
        if not isinstance(event, OrderList):
            rows.observe(event)
            return
        self.list_rows += rows_of_list(event)
        if self._error is None and not self._is_closed:
            # Its rows are no items of a batch.
            self._spans.is_batch = False
            try:
                self._write_items(rows.begin_list, event, rows_of_list)
            finally:
                self._spans.is_batch = True
        else:
            self._drop_unwritten(rows_of_list(event))

    def drop_list_rows(self, count: int) -> None:
        """Count rows of lists that never came here as received and dropped."""
        self.counts.drop(count, "lost list")
        self.counts.received += count


def rows_of_list(listed: OrderList) -> int:
    """How many rows a list of orders has: one for each, or one without an order."""
    return max(1, len(listed.orders))


class ExecutionsWriter(AccountWriter):
    """Writes the table `executions`: a row per execution, and one per change of it; see `AccountWriter`.

    The gateway sends the executions of the last days after each subscribe, and each execution again with its
    commission. An update that changes nothing has no row, and counts as dropped (`repeated execution`). The last 10,000
    executions are recognised.
    """

    name = "executions"
    unit = "executions"
    rows_class = ExecutionRows


class PnlWriter(AccountWriter):
    """Writes the table `pnl`: each row of each update of profit and loss, as sent; see `AccountWriter`."""

    name = "pnl"
    unit = "rows of P&L"
    rows_class = PnlRows


class AccountSummaryWriter(AccountWriter):
    """Writes the table `account_summary`: each value of each update, as sent; see `AccountWriter`."""

    name = "account_summary"
    unit = "values of accounts"
    rows_class = SummaryRows


class LedgerWriter(AccountWriter):
    """Writes the table `ledger`: each currency of each update, as sent; see `AccountWriter`."""

    name = "ledger"
    unit = "balances"
    rows_class = LedgerRows
