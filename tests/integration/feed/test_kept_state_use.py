"""How a program uses the state that a feed keeps: options, parameters, callbacks that raise, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway

ACCOUNT = "DU1234567"


async def test_bounds_are_options_and_what_is_lost_is_counted(gateway: SimulatedGateway, client: cf.Client) -> None:
    options = cf.FeedOptions(max_orders=1, max_executions=2, max_account_rows=3)
    async with cf.Feed(client, options) as feed:
        await feed.subscribe_executions(days=7)
        await feed.subscribe_orders()
        await feed.subscribe_account_summary(ACCOUNT)
        await gateway.wait_for(lambda: feed.stats.rows_evicted > 13 and feed.account_summary)
        assert (len(feed.executions), len(feed.account_summary)) == (2, 3)
        assert len(feed.orders) <= 1
        assert feed.stats.rows_left_out > 100
    for name in ("max_orders", "max_executions", "max_account_rows"):
        with pytest.raises(cf.ConfigError, match=name):
            cf.FeedOptions(**{name: 0})


async def test_a_feed_that_keeps_no_state_still_has_the_frames_and_the_session(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client, cf.FeedOptions(kept_state=False)) as feed:
        for read in ("orders", "executions", "pnl", "account_summary", "ledger"):
            with pytest.raises(cf.UsageError, match="kept_state=True"):
                getattr(feed, read)
        for add in (feed.on_order, feed.on_execution, feed.on_pnl, feed.on_account_value, feed.on_ledger_balance):
            with pytest.raises(cf.UsageError, match="kept_state=True"):
                add(print)
        topics: set[str | None] = set()
        feed.on_item(lambda item: topics.add(item.topic) if isinstance(item, cf.Frame) else None)
        await feed.subscribe_orders()
        await feed.subscribe_executions()
        await feed.subscribe_pnl()
        await feed.subscribe_ledger(ACCOUNT)
        await gateway.wait_for(lambda: topics >= {"sor", "str", "spl", f"sld+{ACCOUNT}"})
        await gateway.wait_for(lambda: feed.session.is_current)
        state = feed._driver.state
        kinds = (state.orders, state.executions, state.pnl, state.account_values, state.ledger_balances)
        assert [len(kind.snapshot) for kind in kinds] == [0] * 5
        assert not feed._driver.topics.tracker.inspects_kept


@pytest.mark.parametrize(
    ("days", "account", "keys"),
    [(0, "", 5), (8, "A+B", [""]), (True, f"{ACCOUNT} ", "NetLiquidation"), (1.5, None, [5])],
)
async def test_wrong_parameters_are_refused_without_the_account(
    client: cf.Client, days: Any, account: Any, keys: Any
) -> None:
    async with cf.Feed(client) as feed:
        with pytest.raises(cf.SubscriptionError, match="days must be a whole number from 1 to 7"):
            await feed.subscribe_executions(days=days)
        with pytest.raises(cf.SubscriptionError, match="realtime_only must be"):
            await feed.subscribe_executions(realtime_only=account)
        with pytest.raises(cf.SubscriptionError) as refused:
            await feed.subscribe_account_summary(account)
        assert "an account must be a text" in str(refused.value)
        assert ACCOUNT not in str(refused.value)
        with pytest.raises(cf.SubscriptionError, match="keys must be"):
            await feed.subscribe_ledger(ACCOUNT, keys=keys)
        assert feed.subscriptions == ()


async def test_a_callback_that_raises_is_reported_and_called_again(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    reported: list[BaseException] = []
    calls = 0

    def wrong(_order: cf.Order) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("mine")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    async with cf.Feed(client) as feed:
        callback = feed.on_order(wrong)
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: calls > 2)
        callback.close()
        seen = calls
        known = len(feed.orders)
        await gateway.wait_for(lambda: len(feed.orders) > known)
        assert calls == seen == callback.stats.callback_errors
    loop.set_exception_handler(None)
    assert all(isinstance(error, cf.CallbackError) for error in reported)
    assert len(reported) == seen
    assert [type(error.__cause__) for error in reported[:1]] == [ValueError]


async def test_after_the_last_callback_is_closed_no_change_is_collected(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        driver = feed._driver
        callbacks = [feed.on_order(print), feed.on_session(print), feed.on_order(print)]
        quotes = feed.on_quote(print)
        for callback in callbacks:
            assert driver.state.on_change is not None
            callback.close()
        assert driver.state.on_change is None
        assert driver.inspector.on_delivered is not None
        quotes.close()
        assert driver.inspector.on_delivered is None
        # A callback that is added later is called again.
        orders: list[cf.Order] = []
        feed.on_order(orders.append)
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: orders)


async def test_the_end_of_a_feed_is_no_change_of_its_rows(gateway: SimulatedGateway, client: cf.Client) -> None:
    changes: list[Any] = []
    async with cf.Feed(client) as feed:
        feed.on_order(changes.append)
        feed.on_pnl(changes.append)
        await feed.subscribe_orders()
        await feed.subscribe_pnl()
        await gateway.wait_for(lambda: feed.pnl and feed.orders)
    assert changes
    assert all(row.is_current for row in changes)
    # What is known can still be read, and is not current.
    assert not feed.pnl[ACCOUNT].is_current
