"""Subscribes to orders, executions, profit and loss and accounts, as far as a run collects them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

from cpapi_fast.outputs.run_events import OrderList
from cpapi_fast.outputs.tables.accounts import AccountWriter, OrdersWriter, rows_of_list

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.delivery.consumer_queue import ConsumerQueue
    from cpapi_fast.events import FeedEvent
    from cpapi_fast.feed import Feed
    from cpapi_fast.messages.orders import OrderUpdate
    from cpapi_fast.outputs.tables.account_schema import AccountTableName


class AccountSubscriptions:
    """The subscriptions of a run to orders, executions, profit and loss and accounts.

    Args:
        options: what the run collects.
    """

    def __init__(self, options: CollectOptions) -> None:
        self._options: Final = options
        #: How many rows the lists of orders have that were passed on.
        self._list_rows = 0

    async def subscribe(self, feed: Feed, queue: ConsumerQueue, report: Callable[[str], None]) -> None:
        """Subscribe, and let the lists of all orders follow the frames that were received before them.

        Args:
            feed: the feed; with orders, it keeps rows, because only then it requests the lists.
            queue: the queue of the items that are written; it gets each list as an `OrderList`.
            report: called with a line of text if the files contain what the user may not expect.
        """
        options = self._options
        if options.orders:
            feed._watch_order_lists(lambda orders, received_ns: self.put_list(queue, orders, received_ns))
            await feed.subscribe_orders()
        if options.executions:
            await feed.subscribe_executions(days=options.executions)
        if options.pnl:
            await feed.subscribe_pnl()
        for account in options.summary:
            await feed.subscribe_account_summary(account)
        for account in options.ledger:
            await feed.subscribe_ledger(account)
        if options.redact_captures and options.account_tables:
            names = " and ".join(options.account_tables)
            report(f"redact_captures concerns the capture only: the files of {names} contain accounts")

    def put_list(self, queue: ConsumerQueue, orders: Sequence[OrderUpdate], received_ns: int) -> None:
        """Pass a list of orders on, as an event of one consumer only."""
        listed = OrderList(received_ns, tuple(orders))
        self._list_rows += rows_of_list(listed)
        queue.put_event(cast("FeedEvent", listed))

    def settle(self, tables: Sequence[AccountWriter]) -> None:
        """Count the rows of lists that the table did not get, because too many events waited for the disk.

        Args:
            tables: the tables of accounts, closed.
        """
        for table in tables:
            if isinstance(table, OrdersWriter):
                table.drop_list_rows(self._list_rows - table.list_rows)

    def missing_text(self, tables: Sequence[AccountWriter]) -> str:
        """Which of the subscriptions that always have a first row had none; empty if all had one.

        The gateway answers an unknown account with nothing. There may be no orders and executions.

        Args:
            tables: the tables of accounts, closed.
        """
        options = self._options
        seen = {table.name: table.accounts for table in tables}
        found = ["profit and loss"] if options.pnl and not seen["pnl"] else []
        given: tuple[tuple[AccountTableName, tuple[str, ...]], ...] = (
            ("account_summary", options.summary),
            ("ledger", options.ledger),
        )
        for table, accounts in given:
            missing = [account for account in accounts if account not in seen[table]]
            if missing:
                # Without the accounts, which never reach a notice.
                found.append(f"{table.replace('_', ' ')} of {len(missing):,} of {len(accounts):,} accounts")
        return f"nothing was received of: {', '.join(found)}" if found else ""
