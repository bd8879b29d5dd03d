"""Objects that belong to one event loop, used in another one: UsageError from each call, and they keep working."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway
from tests.support.loops import until

CONID = 265598

#: A call that returns an awaitable, or a plain function that raises.
Call = Callable[[], Any]


async def refused_elsewhere(calls: dict[str, Call], match: str) -> None:
    """Assert that each call raises UsageError in a loop of another thread, while this loop runs."""

    async def attempt(call: Call) -> object:
        result = call()
        return await result if isinstance(result, Awaitable) else result

    for name, call in calls.items():
        with pytest.raises(cf.UsageError, match=match) as caught:
            await asyncio.to_thread(asyncio.run, attempt(call))
        assert not caught.value.is_retryable, name
        assert "run_coroutine_threadsafe" in str(caught.value), name


def calls_of_client(client: cf.Client) -> dict[str, Call]:
    return {
        "tickle": client.tickle,
        "auth_status": client.auth_status,
        "health": client.health,
        "accounts": client.accounts,
        "history": lambda: client.history(CONID, period="1d", bar="1h"),
        "init_brokerage_session": client.init_brokerage_session,
        "logout": client.logout,
        "ssl_context": client.ssl_context,
        "spawn_keepalive": client.spawn_keepalive,
        "WsClient.connect": lambda: cf.WsClient.connect(client),
        "aenter": client.__aenter__,
        "aexit": lambda: client.__aexit__(None, None, None),
        "aclose": client.aclose,
    }


@pytest.mark.each_loop
async def test_a_client(gateway: SimulatedGateway, client: cf.Client) -> None:
    await client.tickle()
    keepalive = client.spawn_keepalive()
    await refused_elsewhere(calls_of_client(client), "a client belongs to the event loop")
    await refused_elsewhere({"keepalive.stop": keepalive.stop}, "a keepalive belongs")
    assert keepalive.is_running
    assert not client.is_closed
    assert (await client.tickle()).authenticated


async def test_a_client_that_was_entered_and_not_used_yet(client: cf.Client) -> None:
    await refused_elsewhere({"tickle": client.tickle}, "a client belongs")
    assert (await client.tickle()).authenticated


async def test_a_feed_of_a_client_of_another_loop_ends_with_the_error(client: cf.Client) -> None:
    await client.tickle()

    async def other() -> None:
        async with cf.Feed(client) as feed:
            await feed.wait_for(cf.FeedState.STREAMING)

    with pytest.raises(cf.UsageError, match="a client belongs"):
        await asyncio.to_thread(asyncio.run, other())


def test_a_client_in_one_run_after_the_other() -> None:
    client = cf.Client("http://localhost:5000/v1/api")
    asyncio.run(client.ssl_context())
    for call in (client.tickle, client.aclose):
        with pytest.raises(cf.UsageError, match=r"that loop has ended\. Create a new one"):
            asyncio.run(call())


def test_a_pacer_moves_to_the_next_run_with_its_penalty() -> None:
    pacer = cf.RestPacer()

    async def turn() -> None:
        (await pacer.acquire("/tickle")).give_back()

    asyncio.run(turn())
    asyncio.run(turn())
    pacer.penalize("/tickle")
    with pytest.raises(cf.RateLimitedError):
        asyncio.run(turn())


async def test_a_pacer_is_refused_in_two_loops_at_once() -> None:
    pacer = cf.RestPacer()
    (await pacer.acquire("/tickle")).give_back()
    await refused_elsewhere({"acquire": lambda: pacer.acquire("/tickle")}, "a pacer belongs")


@pytest.mark.each_loop
async def test_a_connection(gateway: SimulatedGateway, ws: cf.WsClient) -> None:
    subscription = await ws.subscribe_market_data(CONID)
    # Frames are pending, so none of the reads would wait.
    await until(lambda: ws.stats.pending)
    calls: dict[str, Call] = {
        "next_message": ws.next_message,
        "aiter": ws.__aiter__,
        "anext": ws.__anext__,
        "batches": lambda: ws.batches().__anext__(),
        "raw_stream": lambda: ws.raw_stream().__anext__(),
        "on_batch": lambda: ws.on_batch(print),
        "on_frame": lambda: ws.on_frame(print),
        "use_sink": lambda: ws.use_sink(None),
        "hold_reading": lambda: ws.hold_reading(True),
        "send_text": lambda: ws.send_text("tic"),
        "send_nowait": lambda: ws.send_nowait("tic"),
        "subscribe_market_data": lambda: ws.subscribe_market_data(CONID),
        "unsubscribe_market_data": lambda: ws.unsubscribe_market_data(CONID),
        "subscribe_orders": ws.subscribe_orders,
        "subscribe_pnl": ws.subscribe_pnl,
        "subscription.cancel": subscription.cancel,
        "wait_closed": ws.wait_closed,
        "aenter": ws.__aenter__,
        "aexit": lambda: ws.__aexit__(None, None, None),
        "close": ws.close,
    }
    await refused_elsewhere(calls, "a connection belongs")
    assert ws.is_open
    assert await ws.next_message() is not None


async def test_a_connection_without_pending_frames(ws: cf.WsClient) -> None:
    while ws.stats.pending:
        await ws.next_message()
    await refused_elsewhere({"next_message": ws.next_message}, "a connection belongs")


async def test_a_feed_and_its_readers(feed: cf.Feed) -> None:
    consumer = feed.consumer()
    subscription = await feed.subscribe_market_data(CONID)
    await feed.wait_for(cf.FeedState.STREAMING)
    calls: dict[str, Call] = {
        "start": feed.start,
        "wait_for": lambda: feed.wait_for(cf.FeedState.STREAMING),
        "subscribe_market_data": lambda: feed.subscribe_market_data(8314),
        "unsubscribe_market_data": lambda: feed.unsubscribe_market_data(CONID),
        "subscribe_orders": feed.subscribe_orders,
        "subscribe_pnl": feed.subscribe_pnl,
        "subscribe_topic": lambda: feed.subscribe_topic("a", "a+{}", "ua+{}"),
        "unsubscribe": lambda: feed.unsubscribe(subscription.topic),
        "subscription.cancel": subscription.cancel,
        "aiter": lambda: feed.__aiter__().__anext__(),
        "batches": lambda: feed.batches().__anext__(),
        "consumer": lambda: consumer.__anext__(),
        "consumer.batches": lambda: consumer.batches().__anext__(),
        "consumer.chunks": lambda: consumer.chunks().__anext__(),
        "aexit": lambda: feed.__aexit__(None, None, None),
        "aclose": feed.aclose,
    }
    await refused_elsewhere(calls, "a feed belongs")
    assert [status.topic for status in feed.subscriptions] == [subscription.topic]
    assert await consumer.__anext__() is not None
