"""The types of the feed: items, consumers, last values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import assert_type

import cpapi_fast as cf
from cpapi_fast.messages import Execution, OrderStatus, StatusMessage


async def item_types(client: cf.Client) -> None:
    async with cf.Feed(client, cf.FeedOptions(competing="reclaim")) as feed:
        assert_type(feed, cf.Feed)
        subscription = await feed.subscribe_market_data(265598, cf.MarketDataFields.default_l1(), exchange="NYSE")
        assert_type(subscription, cf.FeedSubscription)
        assert_type(subscription.status, cf.SubscriptionStatus | None)
        assert_type(await feed.wait_for(cf.FeedState.STREAMING, timeout_s=5.0), cf.FeedState)
        async for item in feed:
            assert_type(item, cf.Frame | cf.StateChange | cf.Gap | cf.Standstill | cf.Backfill)
            if isinstance(item, cf.Gap):
                assert_type(item.first_good_ns, int | None)
                assert_type(item.cause, cf.Cause)
        assert_type(feed.batches(), AsyncIterator[cf.Batch | cf.StateChange | cf.Gap | cf.Standstill | cf.Backfill])
        assert_type(feed.stats, cf.FeedStats)


async def consumer_types(feed: cf.Feed) -> None:
    async with feed.consumer(policy="conflate", max_pending_frames=10_000) as consumer:
        assert_type(consumer, cf.Consumer)
        assert_type(consumer.stats, cf.ConsumerStats)
        assert_type(consumer.stats.received, int)
        async for item in consumer.batches():
            assert_type(item, cf.Batch | cf.StateChange | cf.Gap | cf.Standstill | cf.Backfill)
        async for chunk in consumer.chunks():
            assert_type(chunk, list[cf.Batch | cf.StateChange | cf.Gap | cf.Standstill | cf.Backfill])
    callback = feed.on_batch(print)
    assert_type(callback, cf.CallbackConsumer)
    assert_type(callback.stats, cf.ConsumerStats)


def last_value_types(feed: cf.Feed) -> None:
    value = feed.last_value(265598)
    assert_type(feed.last_value("28812380;;;8314/1,8894/-1"), cf.LastValue | None)
    assert_type(value, cf.LastValue | None)
    if value is not None:
        assert_type(value["31"], cf.LastField)
        assert_type(value["31"].age_s, float)


def quote_types(feed: cf.Feed) -> None:
    quote = feed.quote("265598@NYSE")
    assert_type(quote, cf.Quote)
    assert_type(quote.bid_price, float | None)
    assert_type(quote.symbol, str | None)
    assert_type(quote.is_current, bool)
    assert_type(quote.is_halted, bool)
    assert_type(quote.age_s("bid_price"), float | None)
    assert_type(quote.received_ns_of(84), int | None)
    quotes: list[cf.Quote] = []
    assert_type(feed.on_quote(quotes.append), cf.CallbackConsumer)


async def state_types(feed: cf.Feed) -> None:
    assert_type(await feed.subscribe_executions(days=3), cf.FeedSubscription)
    assert_type(await feed.subscribe_account_summary("DU1234567", keys=["NetLiquidation"]), cf.FeedSubscription)
    assert_type(await feed.subscribe_ledger("DU1234567"), cf.FeedSubscription)
    assert_type(feed.orders, Mapping[int, cf.Order])
    assert_type(feed.orders[7].status, OrderStatus | None)
    assert_type(feed.orders[7].is_finished, bool)
    assert_type(feed.executions["0000e0d5.1"], Execution)
    assert_type(feed.executions["0000e0d5.1"].commission, float | None)
    assert_type(feed.pnl["DU1234567.Core"].dpl, float | None)
    assert_type(feed.account_summary["DU1234567", "NetLiquidation"].monetary_value, float | None)
    assert_type(feed.ledger["DU1234567", "LedgerListUSD"].cash_balance, float | None)
    assert_type(feed.ledger["DU1234567", "LedgerListUSD"].account, str)
    assert_type(feed.session, cf.FeedSession)
    assert_type(feed.session.status, StatusMessage | None)
    orders: list[cf.Order] = []
    assert_type(feed.on_order(orders.append), cf.CallbackConsumer)
