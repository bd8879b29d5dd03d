"""Feed where its user, or its own code, does something wrong: it says so, and never goes silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from tests.support import run, until

STREAMING = cf.FeedState.STREAMING


def with_gateway(
    scenario: Callable[[SimulatedGateway, cf.Client], Awaitable[None]], *, speed: float = 20.0, **options: Any
) -> None:
    async def main() -> None:
        clock = cf.Clock(speed)
        async with (
            SimulatedGateway(SimulatorOptions(tls=False, **options), clock=clock) as gateway,
            cf.Client(gateway.url, clock=clock) as client,
        ):
            await scenario(gateway, client)

    run(main())


def test_a_client_that_is_closed_under_the_feed_ends_whoever_waits_and_refuses_what_cannot_work():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
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

    with_gateway(scenario)


def test_a_close_that_is_cancelled_still_ends_readers_and_waiters():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
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

    with_gateway(scenario)


def test_what_cannot_be_sent_is_refused_before_anything_of_it_stays():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
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

    with_gateway(scenario)


def test_market_data_by_its_topic_is_cared_for_as_market_data():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
        texts = ("smd+265598", 'smd+265598+{"fields":["31","84","86"]}', "umd+265598+{}")
        async with cf.Feed(client, cf.FeedOptions(market_data_lines=1)) as feed:
            subscription = await feed.subscribe_topic(*texts)
            with pytest.raises(cf.LimitError):
                await feed.subscribe_market_data(8314)
            await feed.wait_for(STREAMING)
            # Its stream ends as one does that is not renewed: without a word.
            gateway.faults.end_stream("265598")
            async for item in feed:
                if isinstance(item, cf.Gap):
                    assert item.subscription == subscription.topic
                    break

    with_gateway(scenario, tick_intervals={265598: 0.5})


def test_a_topic_whose_rhythm_the_user_knows_is_noticed_when_it_stops():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
        async with cf.Feed(client) as feed:
            # Nobody ever answers it.
            await feed.subscribe_topic("xyz", "xyz+{}", "uxyz+{}", usual_interval_s=1.0)
            async for item in feed:
                if isinstance(item, cf.StateChange) and item.subscription == "xyz":
                    assert item.state is cf.FeedState.STALE
                    break

    with_gateway(scenario)


def test_a_subscription_does_not_show_the_account_that_its_topic_names():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
        async with cf.Feed(client) as feed:
            subscription = await feed.subscribe_topic("ssd+DU1234567", "ssd+DU1234567+{}", "usd+DU1234567+{}")
            assert subscription.topic == "ssd+DU1234567"
            assert "DU1234567" not in repr(subscription)
            assert "'market_data:265598@NYSE'" in repr(await feed.subscribe_market_data(265598, exchange="NYSE"))

    with_gateway(scenario)


def test_it_is_used_in_its_own_loop_only():
    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
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

    with_gateway(scenario)


class Faulty(cf.TradingHours):
    """Fails once, when it is asked for the n-th time; after that it is always open."""

    asked = 0
    fails_at = 0

    def is_open(self, time_ns: int) -> bool:
        type(self).asked += 1
        if type(self).asked == type(self).fails_at:
            raise ArithmeticError("a fault of whoever wrote it")
        return True


@pytest.mark.parametrize("fails_at", [1, 2], ids=["while a frame is handled", "while time passes"])
def test_a_fault_of_its_own_is_reported_and_it_goes_on(fails_at: int):
    reports: list[dict[str, Any]] = []
    Faulty.asked, Faulty.fails_at = 0, fails_at

    async def scenario(gateway: SimulatedGateway, client: cf.Client) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
        hours = Faulty(((0, "00:00", "24:00"),), "UTC")
        # A policy that would lose the frames at hand without a gap is not taken over.
        options = cf.FeedOptions(renew_after_s=(20.0, 21.0), ws=cf.WsOptions(callback_errors="report"))
        async with cf.Feed(client, options) as feed:
            await feed.subscribe_market_data(265598, hours=hours)
            await until(lambda: reports)
            renewals = feed.stats.renewals
            await until(lambda: feed.stats.renewals > renewals and feed.state is STREAMING)
            assert feed.stats.connections == (2 if fails_at == 1 else 1)
        assert [type(report["exception"]) for report in reports] == [ArithmeticError]

    with_gateway(scenario, tick_intervals={265598: 0.5})
