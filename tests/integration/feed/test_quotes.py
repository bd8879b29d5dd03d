"""Feed.quote and Feed.on_quote against the simulator: typed values, and what a lost connection does to them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway

STREAMING = cf.FeedState.STREAMING
CONID = 265598
TOPIC = f"smd+{CONID}"


async def test_a_quote_has_at_least_the_frames_that_were_read(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        with pytest.raises(cf.UsageError, match="not subscribed"):
            feed.quote(CONID)
        await feed.subscribe_market_data(CONID, ["last_price", "bid_price", "ask_price", "55"])
        empty = feed.quote(CONID)
        assert (empty.bid_price, empty.is_current, empty.age_s()) == (None, False, None)
        merged: dict[str, Any] = {}
        ticks = 0
        async for item in feed:
            if not isinstance(item, cf.Frame) or item.conid != CONID:
                continue
            merged |= item.payload
            quote = feed.quote(CONID)
            assert quote.is_current
            assert set(merged) <= set(quote.raw)
            if quote.updated_ms == merged["_updated"]:
                assert quote.raw == merged
                ticks += 1
            if ticks == 5:
                break
        assert isinstance(quote.bid_price, float)
        assert quote.symbol == "AAPL"
        assert (quote.age_s("bid_price") or 0.0) >= (quote.age_s() or 0.0) > 0.0
        last = feed.last_value(CONID)
        assert last is not None
        assert set(last) | {"topic"} == set(feed.quote(CONID).raw)
    off = cf.Feed(client, cf.FeedOptions(last_values=False))
    with pytest.raises(cf.UsageError, match="last_values=True"):
        off.quote(CONID)
    with pytest.raises(cf.UsageError, match="last_values=True"):
        off.on_quote(print)


async def test_after_a_lost_connection_a_quote_is_not_current_until_its_snapshot(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    quotes: list[cf.Quote] = []
    async with cf.Feed(client) as feed:
        feed.on_quote(quotes.append)
        await feed.subscribe_market_data(CONID, ["last_price", "bid_price", "7059"])
        await gateway.wait_for(lambda: quotes and quotes[-1].last_size is not None)
        assert all(quote.is_current for quote in quotes)
        gateway.faults.drop_subscribes(1_000)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: not quotes[-1].is_current)
        lost = feed.quote(CONID)
        # The values stay and get older.
        assert (lost.is_current, lost.raw) == (False, quotes[-1].raw)
        assert lost.bid_price is not None
        # Fewer fields than before: those from before the gap are not carried across it.
        await feed.subscribe_market_data(CONID, ["84"])
        await feed.wait_for(cf.FeedState.AUTHENTICATED, timeout_s=60)
        assert not feed.quote(CONID).is_current
        seen_before = len(quotes)
        gateway.faults.drop_subscribes(0)
        await gateway.wait_for(lambda: len(quotes) > seen_before)
        current = quotes[seen_before]
        assert current.is_current
        assert current.bid_price is not None
        assert (current.last_price, current.last_size) == (None, None)
        assert feed.quote(CONID).last_size is None
        last = feed.last_value(CONID)
        assert last is not None
        assert "7059" in last


@pytest.mark.time_limit(120)
async def test_whatever_happens_no_current_quote_has_a_value_from_before_the_last_gap(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    gaps: dict[str | None, list[cf.Gap]] = {f"smd+{conid}": [] for conid in (CONID, 8314)}
    current: list[cf.Quote] = []
    wrong: list[object] = []

    def on_item(item: cf.Frame | cf.FeedEvent) -> None:
        if isinstance(item, cf.Gap) and item.first_good_ns is not None:
            gaps[item.subscription].append(item)

    def on_quote(quote: cf.Quote) -> None:
        if quote.is_current:
            current.append(quote)
            first_good_ns = max((gap.first_good_ns or 0 for gap in gaps[quote.topic]), default=0)
            times = [quote.received_ns_of(code) or 0 for code in quote.raw if code != "topic"]
            if min(times) < first_good_ns:
                wrong.append(quote)

    def has_gaps(count: int) -> bool:
        is_streaming = all(status.state is STREAMING for status in feed.subscriptions)
        return is_streaming and all(len(found) >= count for found in gaps.values())

    def end_streams() -> None:
        for conid in (CONID, 8314):
            gateway.faults.end_stream(str(conid))

    async with cf.Feed(client) as feed:
        feed.on_item(on_item)
        feed.on_quote(on_quote)
        for conid in (CONID, 8314):
            await feed.subscribe_market_data(conid)
        await gateway.wait_for(lambda: len(current) > 20)
        faults = (
            lambda: gateway.faults.drop_sockets(reset=True),
            end_streams,
            gateway.faults.end_brokerage_session,
            gateway.faults.change_session_id,
            lambda: gateway.faults.drop_sockets(reset=False),
        )
        for count, fault in enumerate(faults, start=1):
            seen = len(current)
            fault()
            await gateway.wait_for(
                lambda count=count, seen=seen: has_gaps(count) and len(current) > seen + 4,  # type: ignore[misc]
                timeout_s=60,
            )
    assert wrong == []


async def test_on_quote_is_called_once_per_read_and_subscription_and_when_a_quote_is_no_longer_current(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock
) -> None:
    quotes: list[cf.Quote] = []
    reads: dict[str, int] = {}

    def count(item: cf.Batch | cf.FeedEvent) -> None:
        if isinstance(item, cf.Batch):
            for topic in {frame.topic for frame in item if frame.kind is cf.FrameKind.MARKET_DATA}:
                reads[str(topic)] = reads.get(str(topic), 0) + 1

    async with cf.Feed(client) as feed:
        with pytest.raises(cf.ConfigError, match="coroutine function"):
            feed.on_quote(asyncio.sleep)  # type: ignore[arg-type]
        feed.on_batch(count)
        callback = feed.on_quote(quotes.append, name="strategy")
        assert repr(callback) == "<CallbackConsumer 'strategy'>"
        for conid in (CONID, 8314):
            await feed.subscribe_market_data(conid)
        await gateway.wait_for(lambda: len(quotes) > 20)
        called = {topic: sum(quote.topic == topic for quote in quotes) for topic in reads}
        # A read with an event between its frames is put in two parts.
        assert all(0 < called[topic] <= count <= called[topic] + 2 for topic, count in reads.items())
        assert callback.stats.events_delivered == len(quotes)
        callback.close()
        seen = len(quotes)
        frames = feed.stats.connection.frames_received
        await gateway.wait_for(lambda: feed.stats.connection.frames_received > frames + 10)
        assert len(quotes) == seen
    feed_with_end: list[cf.Quote] = []
    async with cf.Feed(client) as feed:
        feed.on_quote(feed_with_end.append)
        await feed.subscribe_market_data(CONID)
        await feed.wait_for(STREAMING, timeout_s=60)
        await gateway.wait_for(lambda: bool(feed_with_end))
    # The end of a feed is no change of its quotes.
    assert all(quote.is_current for quote in feed_with_end)
    with pytest.raises(cf.UsageError, match="closed"):
        feed.on_quote(print)


QUIET = pytest.mark.gateway(tick_intervals={CONID: 3_600.0})


def send_tick(gateway: SimulatedGateway, feed: cf.Feed) -> None:
    """Send a tick of the stream that the feed has subscribed to."""
    stream_id = feed._driver.machine.subscriptions[TOPIC].request.stream_id
    tick = {"server_id": stream_id, "conidEx": str(CONID), "conid": CONID, "_updated": 1_900_000_000_000, "84": "1.5"}
    gateway.faults.send_frame(json.dumps(tick | {"topic": TOPIC}).encode())


async def start_quiet(gateway: SimulatedGateway, feed: cf.Feed) -> cf.Quote:
    """Subscribe to an instrument that does not tick, and wait for its whole snapshot."""
    await feed.subscribe_market_data(CONID, ["last_price", "bid_price", "symbol"])
    machine = feed._driver.machine
    await gateway.wait_for(
        lambda: TOPIC in machine.subscriptions and machine.subscriptions[TOPIC].request.snapshots == 2
    )
    return feed.quote(CONID)


@QUIET
async def test_a_gap_that_is_found_late_leaves_the_values_since_the_snapshot(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    gaps: list[cf.Gap] = []
    async with cf.Feed(client) as feed:
        before = await start_quiet(gateway, feed)
        assert before.symbol == "AAPL"
        feed.on_item(lambda item: gaps.append(item) if isinstance(item, cf.Gap) else None)
        # The state after a revival whose snapshot has the time of the reply: only a tick shows that the stream had
        # stopped before.
        subscription = feed._driver.machine.subscriptions[TOPIC]
        subscription.revival.replies = 1
        subscription.revival.soon_s = float("inf")
        subscription.revival.from_ns = 1
        subscription.revival.ticks_at_reply = subscription.ticks
        feed._driver.topics.watch(TOPIC)
        send_tick(gateway, feed)
        await gateway.wait_for(lambda: gaps)
        quote = feed.quote(CONID)
        assert (quote.bid_price, quote.symbol, quote.is_current) == (1.5, "AAPL", True)
        assert quote.last_price == before.last_price


@QUIET
async def test_a_frame_that_closes_no_gap_leaves_the_values(gateway: SimulatedGateway, client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        before = await start_quiet(gateway, feed)
        gateway.faults.drop_subscribes(1_000)
        gateway.faults.end_brokerage_session()
        await gateway.wait_for(lambda: not feed.quote(CONID).is_current)
        # It was on its way when the subscription was dropped.
        send_tick(gateway, feed)
        await gateway.wait_for(lambda: feed.quote(CONID).bid_price == 1.5)
        quote = feed.quote(CONID)
        assert (quote.last_price, quote.symbol, quote.is_current) == (before.last_price, "AAPL", False)


@QUIET
async def test_a_callback_learns_that_a_quote_is_no_longer_current_also_without_a_frame_before(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    quotes: list[cf.Quote] = []
    async with cf.Feed(client) as feed:
        await start_quiet(gateway, feed)
        feed.on_quote(quotes.append)
        gateway.faults.drop_subscribes(1_000)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: quotes)
        assert [(quote.topic, quote.is_current) for quote in quotes] == [(TOPIC, False)]


async def test_in_one_read_with_the_ends_of_several_gaps_no_current_quote_is_mixed(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    wrong: list[object] = []
    gaps: list[cf.Gap] = []
    lost_ns = 0
    topics = (TOPIC, "smd+8314")

    def on_item(item: cf.Frame | cf.FeedEvent) -> None:
        if isinstance(item, cf.Gap) and item.first_good_ns is not None:
            gaps.append(item)
        for topic in topics:
            quote = feed.quote(topic)
            times = [quote.received_ns_of(code) or 0 for code in quote.raw if code != "topic"]
            if quote.is_current and lost_ns and min(times) < lost_ns:
                wrong.append((item, quote))

    async with cf.Feed(client) as feed:
        for topic in topics:
            await feed.subscribe_market_data(topic[4:])
        await gateway.wait_for(lambda: all(feed.quote(topic).is_current for topic in topics))
        gateway.faults.drop_subscribes(1_000)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: not any(feed.quote(topic).is_current for topic in topics))
        lost_ns = time.time_ns()
        feed.on_item(on_item)
        await feed.wait_for(cf.FeedState.AUTHENTICATED, timeout_s=60)
        machine = feed._driver.machine
        await gateway.wait_for(lambda: all(machine.subscriptions[topic].request.is_sent for topic in topics))
        for topic in topics:
            tick = {"conid": int(topic[4:]), "_updated": 1_900_000_000_000, "84": "1.5", "topic": topic}
            gateway.faults.send_frame(json.dumps(tick).encode())
        await gateway.wait_for(lambda: len(gaps) == 2)
    assert wrong == []


async def test_a_quote_can_be_read_in_any_thread(gateway: SimulatedGateway, client: cf.Client) -> None:
    wrong: list[object] = []
    stop = threading.Event()
    read = 0

    def reader(feed: cf.Feed) -> None:
        nonlocal read
        last_ms = 0
        while not stop.is_set():
            quote = feed.quote(CONID)
            updated_ms = quote.updated_ms or 0
            if (quote.age_s() or 0.0) < 0.0 or updated_ms < last_ms or (quote.bid_price is None) != (updated_ms == 0):
                wrong.append(quote)
            last_ms = updated_ms
            read += 1

    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(CONID, ["84"])
        thread = threading.Thread(target=reader, args=(feed,))
        thread.start()
        try:
            await feed.wait_for(STREAMING, timeout_s=60)
            await gateway.faults.send_burst(5_000)
            await gateway.wait_for(lambda: read > 1_000)
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)
    assert wrong == []
