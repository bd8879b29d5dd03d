"""The subscriptions of a run to orders and accounts: what is counted of lists that never reach their table."""

from __future__ import annotations

from pathlib import Path

from cpapi_fast.collect.account_subscriptions import AccountSubscriptions
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.delivery.overflow import DropOldest
from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.messages.orders import OrderUpdate
from cpapi_fast.outputs.tables.accounts import OrdersWriter
from tests.support.account_frames import ORDER

UP = StateChange(1, FeedState.STREAMING, FeedState.STREAMING, Cause.DATA, "")


def test_lists_that_were_dropped_while_the_disk_was_slow_are_counted(tmp_path: Path) -> None:
    """A queue keeps so many events; beyond that, it drops the oldest."""
    subscriptions = AccountSubscriptions(CollectOptions(out=tmp_path, orders=True))
    queue = DropOldest(100, 1_000_000, 3)
    order = OrderUpdate(ORDER)
    subscriptions.put_list(queue, [order, order], 10)
    for _ in range(3):
        queue.put_event(UP)
    subscriptions.put_list(queue, [order], 20)
    subscriptions.put_list(queue, [], 30)
    with OrdersWriter(tmp_path) as writer:
        while (item := queue.next_batch()) is not None:
            writer.observe_event(item)  # type: ignore[arg-type]
    subscriptions.settle([writer])
    counts = writer.counts
    assert (counts.received, counts.written, counts.dropped) == (4, 2, {"lost list": 2})
