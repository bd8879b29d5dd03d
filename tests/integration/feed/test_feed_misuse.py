"""Feed after a mistake of its user or an unexpected error of its own: it raises or reports, and never just stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway
from tests.support.loops import until

STREAMING = cf.FeedState.STREAMING


async def test_closing_the_client_ends_waiters_and_refuses_further_calls(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING)
        waiter = asyncio.ensure_future(feed.wait_for(cf.FeedState.STALE))
        await asyncio.sleep(0)
        await client.aclose()
        gateway.faults.drop_sockets()
        with pytest.raises(cf.UsageError, match="client is closed"):
            await waiter
        with pytest.raises(cf.UsageError, match="client is closed"):
            await feed.wait_for(STREAMING)
        with pytest.raises(cf.UsageError, match="client is closed"):
            await feed.subscribe_market_data(8314)
        await feed.unsubscribe_market_data(265598)


async def test_a_cancelled_close_still_ends_readers_and_waiters(gateway: SimulatedGateway, client: cf.Client) -> None:
    feed = cf.Feed(client)
    await feed.start()
    await feed.wait_for(cf.FeedState.AUTHENTICATED)

    async def read() -> None:
        async for _ in feed:
            pass

    reader = asyncio.ensure_future(read())
    waiter = asyncio.ensure_future(feed.wait_for(cf.FeedState.COMPETING))
    closing = asyncio.ensure_future(feed.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await reader
    with pytest.raises(cf.UsageError, match="closed"):
        await waiter
    await gateway.wait_for(lambda: not gateway.open_connections)


async def test_an_invalid_subscription_is_refused_and_leaves_nothing_behind(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        await feed.wait_for(cf.FeedState.AUTHENTICATED)
        texts: list[Any] = ["a", "a+{}", "ua+{}"]
        for place in range(3):
            for bad in ("", "\ud800", None, b"a"):
                with pytest.raises(cf.SubscriptionError, match="UTF-8"):
                    await feed.subscribe_topic(*texts[:place], bad, *texts[place + 1 :])
        with pytest.raises(cf.ConfigError, match="TradingHours"):
            await feed.subscribe_market_data(265598, hours="09:30")  # type: ignore[arg-type]
        with pytest.raises(cf.ConfigError, match="usual_interval_s"):
            await feed.subscribe_topic("a", "a+{}", "ua+{}", usual_interval_s=0.0)
        assert feed.subscriptions == ()


@pytest.mark.gateway(tick_intervals={265598: 0.5})
async def test_market_data_subscribed_by_topic_is_resubscribed_when_it_stops(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    texts = ("smd+265598", 'smd+265598+{"fields":["31","84","86"]}', "umd+265598+{}")
    async with cf.Feed(client, cf.FeedOptions(market_data_lines=1)) as feed:
        subscription = await feed.subscribe_topic(*texts)
        with pytest.raises(cf.LimitError):
            await feed.subscribe_market_data(8314)
        await feed.wait_for(STREAMING)
        # Its stream ends without a notice, as one that is not renewed.
        gateway.faults.end_stream("265598")
        async for item in feed:
            if isinstance(item, cf.Gap):
                assert item.subscription == subscription.topic
                break


async def test_a_topic_with_a_usual_interval_becomes_stale_when_it_stops(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        # The gateway never replies to it.
        await feed.subscribe_topic("xyz", "xyz+{}", "uxyz+{}", usual_interval_s=1.0)
        async for item in feed:
            if isinstance(item, cf.StateChange) and item.subscription == "xyz":
                assert item.state is cf.FeedState.STALE
                break


async def test_the_repr_of_a_subscription_does_not_show_the_account(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        subscription = await feed.subscribe_topic("ssd+DU1234567", "ssd+DU1234567+{}", "usd+DU1234567+{}")
        assert subscription.topic == "ssd+DU1234567"
        assert "DU1234567" not in repr(subscription)
        assert "'market_data:265598@NYSE'" in repr(await feed.subscribe_market_data(265598, exchange="NYSE"))


async def test_a_feed_is_refused_in_another_loop(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        for call in (
            lambda: feed.subscribe_market_data(265598),
            lambda: feed.unsubscribe("smd+265598"),
            lambda: feed.wait_for(STREAMING),
            feed.aclose,
        ):
            with pytest.raises(cf.UsageError, match="event loop"):
                await asyncio.to_thread(asyncio.run, call())
        assert feed.subscriptions == ()


class Faulty(cf.TradingHours):
    """Trading hours that raise once, at the n-th check; otherwise always open."""

    checks = 0
    fails_at = 0

    def is_open(self, time_ns: int) -> bool:
        type(self).checks += 1
        if type(self).checks == type(self).fails_at:
            raise ArithmeticError("a fault of whoever wrote it")
        return True


@pytest.mark.parametrize("fails_at", [1, 2], ids=["while a frame is handled", "while time passes"])
@pytest.mark.gateway(tick_intervals={265598: 0.5})
async def test_an_unexpected_error_is_reported_and_the_feed_continues(client: cf.Client, fails_at: int) -> None:
    reports: list[dict[str, Any]] = []
    Faulty.checks, Faulty.fails_at = 0, fails_at

    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    hours = Faulty(((0, "00:00", "24:00"),), "UTC")
    # The feed ignores a callback policy that would lose frames without a gap.
    options = cf.FeedOptions(renew_after_s=(20.0, 21.0), ws=cf.WsOptions(callback_errors="report"))
    async with cf.Feed(client, options) as feed:
        await feed.subscribe_market_data(265598, hours=hours)
        await until(lambda: reports)
        renewals = feed.stats.renewals
        await until(lambda: feed.stats.renewals > renewals and feed.state is STREAMING)
        assert feed.stats.connections == (2 if fails_at == 1 else 1)
    assert [type(report["exception"]) for report in reports] == [ArithmeticError]
