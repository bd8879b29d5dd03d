"""Subscribes to orders, executions, profit and loss and accounts, as far as a run collects them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from cpapi_fast.outputs.interface import OrderList

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.delivery.consumer import Consumer
    from cpapi_fast.events import FeedEvent
    from cpapi_fast.feed import Feed
    from cpapi_fast.messages.orders import OrderUpdate
    from cpapi_fast.outputs.tables.account_schema import AccountTableName
    from cpapi_fast.outputs.tables.accounts import AccountWriter


async def subscribe_accounts(
    feed: Feed, consumer: Consumer, options: CollectOptions, report: Callable[[str], None]
) -> None:
    """Subscribe, and let the lists of all orders follow the frames that were received before them.

    Args:
        feed: the feed; with orders, it keeps rows, because only then it requests the lists.
        consumer: the consumer whose items are written; it gets each list as an `OrderList`.
        options: what to collect.
        report: called with a line of text if the files contain what the user may not expect.
    """

    def put_list(orders: Sequence[OrderUpdate], received_ns: int) -> None:
        # An event of this consumer only.
        consumer.queue.put_event(cast("FeedEvent", OrderList(received_ns, tuple(orders))))

    if options.orders:
        feed._watch_order_lists(put_list)
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


def missing_text(options: CollectOptions, tables: Sequence[AccountWriter]) -> str:
    """Which of the account subscriptions of a run that always have a first row had none; empty if all had one.

    The gateway answers an unknown account with nothing. Without orders and executions there may be none of these.

    Args:
        options: what the run collected.
        tables: its tables of accounts, closed.
    """
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
