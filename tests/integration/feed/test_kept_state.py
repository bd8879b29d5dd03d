"""Orders, executions, accounts and the session of a feed against the simulator, and what a lost connection does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.messages import Execution, OrdersMessage
from cpapi_fast.simulator import SimulatedGateway

STREAMING = cf.FeedState.STREAMING
ACCOUNT = "DU1234567"


def merged(gateway: SimulatedGateway, topic: str, key: str, *, from_index: int = 0) -> dict[Any, dict[str, Any]]:
    """By key: the records that the gateway has written of a topic, merged."""
    found: dict[Any, dict[str, Any]] = {}
    for sent in gateway.log[from_index:]:
        if sent.topic == topic:
            payload = json.loads(sent.payload)
            for record in payload.get("args") or payload.get("result") or []:
                found.setdefault(record[key], {}).update(record)
    return found


async def settled(gateway: SimulatedGateway, feed: cf.Feed, condition: Callable[[], object]) -> None:
    """Wait for a condition, then stop the gateway's frames, and wait until the feed has what was written."""
    await gateway.wait_for(condition)
    gateway.faults.stall()
    written = len(gateway.log)
    await gateway.wait_for(lambda: feed.stats.connection.frames_received >= written)


@pytest.mark.gateway(keep_log=True)
async def test_orders_are_merged_before_a_reader_has_the_frame(gateway: SimulatedGateway, client: cf.Client) -> None:
    changes: list[cf.Order] = []
    seen: list[int] = []
    async with cf.Feed(client) as feed:
        callback = feed.on_order(changes.append)
        assert feed.orders == {}
        await feed.subscribe_orders()
        async for item in feed:
            message = item.message if isinstance(item, cf.Frame) else None
            if isinstance(message, OrdersMessage):
                for update in message.orders:
                    assert update.order_id is not None
                    order = feed.orders[update.order_id]
                    assert update.raw.keys() <= order.raw.keys()
                    assert order.is_current
                    seen.append(update.order_id)
            if len(set(seen)) == 3:
                break
        await settled(gateway, feed, lambda: True)
        expected = merged(gateway, "sor", "orderId")
        assert {number: order.raw for number, order in feed.orders.items()} == expected
        first = feed.orders[seen[0]]
        assert first.is_finished
        assert first.total_size == expected[seen[0]]["totalSize"]
        # One call for each update that changed something, with the order after it.
        assert {order.order_id for order in changes} == expected.keys()
        assert [order.status for order in changes if order.order_id == seen[0]][-1] == first.status
        assert callback.stats.events_delivered == len(changes)
        assert feed.stats.rows_left_out == feed.stats.rows_evicted == 0


@pytest.mark.gateway(keep_log=True)
async def test_after_a_lost_connection_orders_are_not_current_until_their_next_update(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    changes: list[cf.Order] = []
    async with cf.Feed(client) as feed:
        feed.on_order(changes.append)
        await feed.subscribe_orders()
        # One is finished, and one is working.
        await gateway.wait_for(lambda: len(feed.orders) > 1 and not list(feed.orders.values())[-1].is_finished)
        finished, working = list(feed.orders.values())[-2:]
        gateway.faults.drop_subscribes(1_000)
        changes.clear()
        not_current: list[bool] = []

        def on_item(item: cf.Frame | cf.FeedEvent) -> None:
            if isinstance(item, cf.StateChange) and item.cause is cf.Cause.CONNECTION_LOST:
                # The event does not come before the state.
                not_current.append(all(order.is_finished or not order.is_current for order in feed.orders.values()))

        feed.on_item(on_item)
        gateway.faults.drop_sockets(reset=True)
        await feed.wait_for(cf.FeedState.DISCONNECTED, timeout_s=60)
        await gateway.wait_for(lambda: changes)
        number = changes[-1].order_id
        assert number is not None
        assert not_current == [True]
        # It keeps what is known, and is not current; the finished one is final.
        lost = feed.orders[number]
        assert (lost.is_current, lost.raw) == (False, changes[-1].raw)
        assert finished.order_id is not None
        assert feed.orders[finished.order_id].is_current
        await feed.wait_for(cf.FeedState.AUTHENTICATED, timeout_s=60)
        assert not feed.orders[number].is_current
        # The gateway sends no order again. The next update is sparse, and completes what is known.
        gateway.faults.drop_subscribes(0)
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: feed.orders[number].is_current)
        await settled(gateway, feed, lambda: feed.orders[number].is_finished)
        assert {key: order.raw for key, order in feed.orders.items()} == merged(gateway, "sor", "orderId")
        assert feed.orders[number].ticker == working.ticker


async def test_a_gateway_that_sends_its_orders_again_confirms_those_that_it_still_has(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: feed.orders)
        rows = [{"orderId": number, "status": "Submitted", "filledQuantity": 0.0} for number in (1, 2, 3)]
        gateway.faults.send_frame(json.dumps({"topic": "sor", "args": rows}).encode())
        await gateway.wait_for(lambda: 3 in feed.orders)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: not feed.orders[3].is_current)
        await gateway.wait_for(
            lambda: any("sor" in connection.subscriptions for connection in gateway.open_connections)
        )
        # One was filled, and one is gone.
        rows[1]["status"] = "Filled"
        gateway.faults.send_frame(json.dumps({"topic": "sor", "args": rows[:2]}).encode())
        await gateway.wait_for(lambda: feed.orders[2].is_finished)
        assert [feed.orders[number].is_current for number in (1, 2, 3)] == [True, True, False]
        assert feed.orders[3].status == "Submitted"


@pytest.mark.gateway(keep_log=True)
async def test_an_execution_is_kept_once_with_its_commission_also_over_a_reconnect(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    changes: list[Execution] = []
    async with cf.Feed(client) as feed:
        feed.on_execution(changes.append)
        await feed.subscribe_executions(days=2)
        # The history, then at least two new ones whose commission follows.
        await gateway.wait_for(lambda: len(feed.executions) >= 6)
        before = dict(feed.executions)
        calls = len(changes)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: feed.stats.connections == 2 and len(feed.executions) > len(before) + 1)
        await settled(gateway, feed, lambda: list(feed.executions.values())[-2].commission is not None)
        expected = merged(gateway, "str", "execution_id")
        assert {name: execution.raw for name, execution in feed.executions.items()} == expected
        assert list(feed.executions)[: len(before)] == list(before)
        # The history was sent again and changed nothing: a call for each execution, and one for its commission.
        commissions = sum("commission" in raw for raw in expected.values())
        assert len(changes) == len(expected) + commissions
        assert calls < len(changes)
        first = next(iter(feed.executions.values()))
        assert isinstance(first.price, float)
        assert first.trade_time is not None


async def test_profit_and_loss_summary_and_ledger(gateway: SimulatedGateway, client: cf.Client) -> None:
    changes: dict[str, list[Any]] = {"pnl": [], "value": [], "balance": []}
    async with cf.Feed(client) as feed:
        feed.on_pnl(changes["pnl"].append)
        feed.on_account_value(changes["value"].append)
        feed.on_ledger_balance(changes["balance"].append)
        await feed.subscribe_pnl()
        await feed.subscribe_account_summary(ACCOUNT, keys=["NetLiquidation", "AccountReady", "AccruedCash-S"])
        await feed.subscribe_ledger(ACCOUNT)
        await gateway.wait_for(lambda: len(changes["pnl"]) > 3 and len(changes["balance"]) > 6 and feed.account_summary)
        row = feed.pnl[f"{ACCOUNT}.Core"]
        assert (row.account, row.is_current, row.row_type) == (ACCOUNT, True, 1)
        assert isinstance(row.dpl, float)
        assert feed.account_summary[ACCOUNT, "NetLiquidation"].currency == "USD"
        assert feed.account_summary[ACCOUNT, "AccountReady"].value == "true"
        assert len(feed.account_summary) == 3
        # Rows without a change have only key and time, and keep their balances.
        assert len(feed.ledger) == 5
        assert all(balance.cash_balance and balance.timestamp for balance in feed.ledger.values())
        for view in (feed.pnl, feed.account_summary, feed.ledger, row, changes["value"][0], changes["balance"][0]):
            assert ACCOUNT not in repr(view)
        gateway.faults.drop_subscribes(1_000)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(
            lambda: (
                not any(
                    row.is_current for view in (feed.pnl, feed.account_summary, feed.ledger) for row in view.values()
                )
            ),
        )
        assert feed.pnl[f"{ACCOUNT}.Core"].dpl is not None
        assert not any(found[-1].is_current for found in changes.values())
        await gateway.wait_for(lambda: feed.stats.connections == 2)
        gateway.faults.drop_subscribes(0)
        # Topics other than market data are not probed: a second subscribe sends the text again.
        await feed.subscribe_pnl()
        await feed.subscribe_account_summary(ACCOUNT)
        await feed.subscribe_ledger(ACCOUNT)
        await gateway.wait_for(lambda: all(row.is_current for row in feed.pnl.values()))
        await gateway.wait_for(lambda: len(feed.account_summary) > 100)
        assert all(value.is_current for value in feed.account_summary.values())
        # An unsubscribe ends the updates. What is known stays, and is not current.
        await feed.unsubscribe("spl")
        assert [row.is_current for row in feed.pnl.values()] == [False]
        assert not changes["pnl"][-1].is_current


async def test_after_a_subscribe_with_other_keys_rows_are_not_current_until_their_next_update(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    changes: list[cf.AccountValue] = []
    async with cf.Feed(client) as feed:
        feed.on_account_value(changes.append)
        await feed.subscribe_account_summary(ACCOUNT, keys=["NetLiquidation"])
        await gateway.wait_for(lambda: feed.account_summary)
        # The same again changes nothing.
        await feed.subscribe_account_summary(ACCOUNT, keys=["NetLiquidation"])
        assert feed.account_summary[ACCOUNT, "NetLiquidation"].is_current
        assert all(value.is_current for value in changes)
        await feed.subscribe_account_summary(ACCOUNT, keys=["AccountReady"])
        assert [value.key for value in changes if not value.is_current] == ["NetLiquidation"]
        assert not feed.account_summary[ACCOUNT, "NetLiquidation"].is_current
        await gateway.wait_for(lambda: (ACCOUNT, "AccountReady") in feed.account_summary)
        assert feed.account_summary[ACCOUNT, "AccountReady"].is_current


async def test_subscriptions_to_topics_of_the_session_leave_them_in_its_state(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_topic("sts", "sts+{}", "uts+{}")
        await feed.subscribe_topic("act", "act+{}", "uac+{}")
        await gateway.wait_for(lambda: feed.session.is_current and feed.session.accounts)
        assert feed.session.accounts == (ACCOUNT,)


async def test_the_session_is_merged_and_of_the_current_connection(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    changes: list[cf.FeedSession] = []
    async with cf.Feed(client) as feed:
        feed.on_session(changes.append)
        assert feed.session.status is None
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        session = feed.session
        assert (session.authenticated, session.connected, session.competing, session.is_current) == (
            True,
            True,
            False,
            True,
        )
        assert (session.accounts, session.selected_account, session.is_paper) == ((ACCOUNT,), ACCOUNT, True)
        assert session.status is not None
        server = session.status.server_name
        assert server
        assert changes[-1] == session
        # A fragment: the rest of the status stays.
        gateway.faults.end_brokerage_session()
        await gateway.wait_for(lambda: any(seen.authenticated is False for seen in changes))
        fragment = next(seen for seen in changes if seen.authenticated is False)
        assert fragment.status is not None
        assert (fragment.status.authenticated, fragment.status.server_name) == (False, server)
        await feed.wait_for(STREAMING, timeout_s=60)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: not changes[-1].is_current)
        assert (changes[-1].accounts, changes[-1].status is None) == ((ACCOUNT,), False)
        await gateway.wait_for(lambda: changes[-1].is_current)
        assert ACCOUNT not in repr(changes)


async def test_everything_can_be_read_in_any_thread(gateway: SimulatedGateway, client: cf.Client) -> None:
    wrong: list[object] = []
    stop = threading.Event()
    reads = 0

    def reader(feed: cf.Feed) -> None:
        nonlocal reads
        known: dict[int, int] = {}
        seen: set[str] = set()
        while not stop.is_set():
            for number, order in feed.orders.items():
                # A later read never has an older state.
                if order.received_ns < known.get(number, 0) or order.order_id != number:
                    wrong.append(order)
                known[number] = order.received_ns
            executions, pnl, ledger = feed.executions, feed.pnl, feed.ledger
            # What was known stays known, and every row belongs to its key.
            if not seen <= executions.keys():
                wrong.append(executions)
            seen.update(executions)
            wrong.extend(name for name, execution in executions.items() if execution.execution_id != name)
            wrong.extend(name for name, row in pnl.items() if row.name != name or row.dpl is None)
            wrong.extend(key for key, row in ledger.items() if (row.account, row.key) != key)
            session = feed.session
            # Both come with the first messages of a connection, and stay.
            if session.status is not None and session.status.authenticated is None:
                wrong.append(session)
            reads += 1

    async with cf.Feed(client) as feed:
        await feed.subscribe_orders()
        await feed.subscribe_executions()
        await feed.subscribe_pnl()
        await feed.subscribe_ledger(ACCOUNT)
        thread = threading.Thread(target=reader, args=(feed,))
        thread.start()
        try:
            await gateway.wait_for(lambda: reads > 100 and len(feed.orders) > 2 and feed.ledger and feed.pnl)
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)
    assert wrong == []
