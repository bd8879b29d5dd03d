"""Feed against the simulator over real sockets: what its methods promise. `tests/faults` has the faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions

T = TypeVar("T")

STREAMING = cf.FeedState.STREAMING
CONIDS = (265598, 8314, 272093)


async def read_until(consumer: Any, is_last: Callable[[Any], bool]) -> list[Any]:
    items = []
    async for item in consumer:
        items.append(item)
        if is_last(item):
            break
    return items


def is_state(state: cf.FeedState) -> Callable[[Any], bool]:
    return lambda item: isinstance(item, cf.StateChange) and item.subscription is None and item.state is state


async def test_every_step_to_data_is_reported_with_time_cause_and_advice(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        items = await read_until(feed, is_state(STREAMING))
        assert feed.state is STREAMING
        assert feed.last_change is items[-1]
        assert gateway.open_connections[0].subscriptions == ("smd+265598",)
    changes = [item for item in items if isinstance(item, cf.StateChange)]
    assert [change.state.value for change in changes] == [
        "connecting",
        "open",
        "ready",
        "authenticated",
        "streaming",
    ]
    assert [one.state for one in changes[:-1]] == [other.previous for other in changes[1:]]
    assert all(change.time_ns and change.advice and isinstance(change.cause, cf.Cause) for change in changes)
    # In order: the frame `system` with `success` comes before the state READY.
    ready = next(index for index, item in enumerate(items) if is_state(cf.FeedState.READY)(item))
    assert isinstance(items[ready - 1], cf.Frame)
    assert items[ready - 1].kind is cf.FrameKind.SYSTEM


async def test_after_a_lost_connection_the_gap_comes_right_before_the_first_frame(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        for conid in CONIDS:
            await feed.subscribe_market_data(conid)
        consumer = feed.consumer()
        items = await read_until(consumer, is_state(STREAMING))
        seen = {f"smd+{conid}" for conid in CONIDS}
        # Only a subscription that has data can have a gap.
        while seen:
            item = await consumer.__anext__()
            items.append(item)
            seen.discard(getattr(item, "topic", None))
        gateway.faults.drop_sockets(reset=True)
        gaps: set[str] = set()

        def all_are_back(item: Any) -> bool:
            if isinstance(item, cf.Gap):
                gaps.add(str(item.subscription))
            return len(gaps) == len(CONIDS) and isinstance(item, cf.Frame)

        items += await read_until(consumer, all_are_back)
        assert feed.stats.connections == 2
        stats = consumer.stats
        assert stats.received == stats.delivered + stats.conflated + stats.dropped + stats.pending
    for topic in (f"smd+{conid}" for conid in CONIDS):
        place = next(
            index for index, item in enumerate(items) if isinstance(item, cf.Gap) and item.subscription == topic
        )
        gap = items[place]
        before = [item for item in items[:place] if isinstance(item, cf.Frame) and item.topic == topic]
        after = next(item for item in items[place:] if isinstance(item, cf.Frame))
        assert gap.cause is cf.Cause.CONNECTION_LOST
        assert gap.last_good_ns == before[-1].received_ns
        assert after.topic == topic
        assert gap.first_good_ns == after.received_ns


async def test_subscriptions_change_at_any_time_from_any_task(gateway: SimulatedGateway, client: cf.Client) -> None:
    feed = cf.Feed(client)
    # Before the start, while the feed connects, and while it streams.
    await feed.subscribe_market_data(265598)
    async with feed:
        second = await feed.subscribe_market_data(8314)
        await feed.wait_for(STREAMING, timeout_s=60)
        await asyncio.gather(*(feed.subscribe_market_data(conid) for conid in range(1, 31)))
        await second.cancel()
        await second.cancel()
        assert second.status is None
        wanted = {"smd+265598", *(f"smd+{conid}" for conid in range(1, 31))}
        await gateway.wait_for(
            lambda: bool(gateway.open_connections) and set(gateway.open_connections[0].subscriptions) == wanted
        )
        await asyncio.gather(*(feed.unsubscribe_market_data(conid) for conid in range(1, 31)))
        await gateway.wait_for(lambda: gateway.open_connections[0].subscriptions == ("smd+265598",))
        assert [status.topic for status in feed.subscriptions] == ["smd+265598"]


async def test_a_subscription_beyond_the_limit_is_refused_and_leaves_nothing_behind(client: cf.Client) -> None:
    async with cf.Feed(client, cf.FeedOptions(market_data_lines=2)) as feed:
        await feed.subscribe_market_data(1)
        await feed.subscribe_market_data(2)
        await feed.subscribe_orders()
        with pytest.raises(cf.LimitError, match="market data lines are in use: 2 of 2"):
            await feed.subscribe_market_data(3)
        # A second subscribe to the same topic takes no further market data line.
        await feed.subscribe_market_data(2, cf.MarketDataFields(["31"]))
        assert [status.topic for status in feed.subscriptions] == ["smd+1", "smd+2", "sor"]
        await feed.unsubscribe_market_data(1)
        await feed.subscribe_market_data(3)


async def test_the_last_value_is_merged_and_every_field_has_an_age(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock
) -> None:
    async with cf.Feed(client) as feed:
        with pytest.raises(cf.UsageError, match="not subscribed"):
            feed.last_value(265598)
        await feed.subscribe_market_data(265598)
        assert feed.last_value(265598) is None
        merged: dict[str, Any] = {}
        async for item in feed:
            if isinstance(item, cf.Frame) and item.conid == 265598:
                merged |= item.payload
                if len(merged) > 10:
                    break
        # The reader may lag behind what was received; at least what it has read is there.
        value = feed.last_value(265598)
        assert value is not None
        assert value.is_current
        assert set(merged) - {"topic"} <= set(value)
        assert all(field.age_s >= 0.0 and field.received_ns for field in value.values())
        gateway.faults.stall()
        # No more frames arrive, so every value gets older.
        while min(field.age_s for field in (feed.last_value(265598) or value).values()) < 5:
            await clock.sleep(1)
        later = feed.last_value(265598)
        assert later is not None
        assert later["conid"].value == 265598
        gateway.faults.resume()
    off = cf.Feed(client, cf.FeedOptions(last_values=False))
    with pytest.raises(cf.UsageError, match="last_values=True"):
        off.last_value(265598)


@pytest.mark.gateway(refuse_orders_until_accounts=True)
async def test_refused_orders_are_subscribed_again_after_the_accounts_request(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        # As in a new brokerage session: its accounts have not been requested.
        gateway._state.session.has_read_accounts = False
        orders = await feed.subscribe_orders()
        items = await read_until(
            feed, lambda item: isinstance(item, cf.Frame) and item.topic == "sor" and "args" in item.payload
        )
        assert orders.status is not None
        assert orders.status.state is STREAMING
    changes = [item for item in items if isinstance(item, cf.StateChange) and item.subscription == "sor"]
    assert [change.cause for change in changes] == [cf.Cause.SUBSCRIPTION_REFUSED, cf.Cause.RETRY]


@pytest.mark.gateway(is_logged_in=False)
async def test_on_login_required_is_called_once_and_the_feed_continues_after_the_login(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock
) -> None:
    calls: list[cf.StateChange] = []
    async with cf.Feed(client, cf.FeedOptions(login_poll_s=5.0), on_login_required=calls.append) as feed:
        await feed.subscribe_market_data(265598)
        assert await feed.wait_for(cf.FeedState.LOGIN_REQUIRED, timeout_s=120) is cf.FeedState.LOGIN_REQUIRED
        requests_before = len(gateway.requests)
        await clock.sleep(60)
        assert 2 <= len(gateway.requests) - requests_before <= 20
        assert [change.cause for change in calls] == [cf.Cause.NOT_LOGGED_IN]
        assert "Log in" in calls[0].advice
        gateway.faults.log_in()
        await feed.wait_for(STREAMING, timeout_s=120)
        assert len(calls) == 1


@pytest.mark.parametrize("policy", ["observe", "reclaim"])
async def test_a_competing_login_is_observed_or_reclaimed(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock, policy: str
) -> None:
    states: list[cf.FeedState] = []
    async with cf.Feed(client, cf.FeedOptions(competing=policy, login_poll_s=5.0)) as feed:
        feed.on_item(lambda item: states.append(item.state) if is_state(getattr(item, "state", None))(item) else None)
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        gateway.faults.start_competing()
        await feed.wait_for(cf.FeedState.COMPETING, timeout_s=60)
        if policy == "observe":
            await clock.sleep(30)
            assert feed.state is cf.FeedState.COMPETING
            assert feed.session.competing
            gateway.faults.stop_competing()
        await feed.wait_for(STREAMING, timeout_s=120)
    assert cf.FeedState.COMPETING in states


async def test_feeds_do_not_affect_each_other(gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock) -> None:
    async with (
        SimulatedGateway(SimulatorOptions(tls=False, seed=2), clock=clock) as other_gateway,
        cf.Client(other_gateway.url, clock=clock) as other_client,
        cf.Feed(client) as one,
        cf.Feed(other_client) as other,
    ):
        await one.subscribe_market_data(265598)
        await other.subscribe_market_data(8314)
        await asyncio.gather(one.wait_for(STREAMING, timeout_s=60), other.wait_for(STREAMING, timeout_s=60))
        await gateway.aclose()
        await one.wait_for(cf.FeedState.DISCONNECTED, timeout_s=120)
        assert other.state is STREAMING
        assert other.stats.connections == 1


async def test_a_blocking_consumer_holds_the_socket_without_a_timeout_of_the_feed(
    client: cf.Client, clock: cf.Clock
) -> None:
    with pytest.raises(cf.ConfigError, match="overload='block'"):
        cf.Feed(client).consumer(policy="block")
    async with cf.Feed(client, cf.FeedOptions(overload="block")) as feed:
        consumer = feed.consumer(policy="block", max_pending_frames=50)
        for conid in range(1, 21):
            await feed.subscribe_market_data(conid)
        while consumer.stats.pending < 50:
            await clock.sleep(1)
        pending = consumer.stats.pending
        # Far longer than the socket timeout.
        await clock.sleep(120)
        assert consumer.stats.pending - pending <= 5_000
        assert feed.stats.connections == 1
        assert feed.state is STREAMING
        await read_until(consumer, lambda _item: consumer.stats.delivered > 200)
        assert consumer.stats.dropped == 0
        assert feed.stats.connections == 1


async def test_the_default_consumer_keeps_earlier_frames_unless_others_read(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        first = await feed.__aiter__().__anext__()
        assert is_state(cf.FeedState.CONNECTING)(first)
    async with cf.Feed(client) as feed:
        other = feed.consumer()
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        assert other.stats.received > 0
        batch = await feed.batches().__anext__()
        # Only frames that arrived after the first read.
        assert not is_state(cf.FeedState.CONNECTING)(batch)


async def test_a_closed_feed_ends_its_readers_leaves_no_task_and_cannot_be_used_again(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock
) -> None:
    feed = cf.Feed(client)
    await feed.subscribe_market_data(265598)
    async with feed:
        await feed.wait_for(STREAMING, timeout_s=60)
        items = asyncio.create_task(read_until(feed, lambda _item: False))
        await clock.sleep(2)
    kept = await items
    assert is_state(cf.FeedState.DISCONNECTED)(kept[-1])
    assert kept[-1].cause is cf.Cause.STOPPED
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("cpapi_fast feed")]
    await feed.aclose()
    with pytest.raises(cf.UsageError, match="closed"):
        await feed.subscribe_market_data(1)
    with pytest.raises(cf.UsageError, match="started only once"):
        await feed.start()
    with pytest.raises(cf.UsageError, match="closed"):
        await feed.wait_for(STREAMING)
    await gateway.wait_for(lambda: not gateway.open_connections)


@pytest.mark.gateway(ready_delay_s=None)
async def test_a_wait_that_times_out_reports_the_state_of_the_feed(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        with pytest.raises(TimeoutError, match=r"the feed is .*, not streaming, after 0.5 s"):
            await feed.wait_for(STREAMING, timeout_s=0.5)
        with pytest.raises(cf.UsageError, match="at least one state"):
            await feed.wait_for()


@pytest.mark.gateway(ready_delay_s=None)
async def test_a_gateway_that_never_becomes_ready_is_reported_and_the_feed_continues(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        items = await read_until(feed, is_state(cf.FeedState.STALE))
    causes = [item.cause for item in items if isinstance(item, cf.StateChange)]
    assert cf.Cause.READY_TIMEOUT in causes
    assert causes[-1] is cf.Cause.ALL_STALE


async def test_events_contain_no_secrets(gateway: SimulatedGateway, client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        items = await read_until(feed, is_state(STREAMING))
        events = [item for item in items if not isinstance(item, cf.Frame)]
        text = repr((feed, feed.stats, feed.subscriptions, feed.session, feed.last_change, events))
        assert gateway.session_id not in text
        assert "DU1234567" not in text


async def test_closing_the_client_raises_in_every_reader(
    gateway: SimulatedGateway, client: cf.Client, clock: cf.Clock
) -> None:
    async with cf.Client(gateway.url, clock=clock) as other, cf.Feed(other) as feed:
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING, timeout_s=60)
        await other.aclose()
        gateway.faults.drop_sockets()
        with pytest.raises(cf.UsageError, match="client is closed"):
            await read_until(feed, lambda _item: False)
        assert feed.state is cf.FeedState.DISCONNECTED


async def test_a_feed_that_is_closed_while_it_connects_leaves_nothing_behind(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    for rounds in range(0, 60, 3):
        feed = cf.Feed(client)
        await feed.start()
        for _ in range(rounds):
            await asyncio.sleep(0.0002)
        await feed.aclose()
    await gateway.wait_for(lambda: not gateway.open_connections)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("cpapi_fast feed")]


COMBINATIONS = ("28812380;;;8314/1,8894/-1", "28812380;;;265598/1,8314/-1", "0;;;8314/1,8894/-1")


async def test_instruments_that_share_a_conid_have_their_own_values(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    instruments = (265598, "265598@NYSE", "265598@OVERNIGHT", *COMBINATIONS)
    async with cf.Feed(client) as feed:
        for instrument in instruments:
            await feed.subscribe_market_data(instrument, cf.MarketDataFields.from_codes(["31", "84", "86"]))
        assert await feed.subscribe_market_data(265598, exchange="NYSE") is not None, "the same as the text"
        assert [known.topic for known in feed.subscriptions] == [f"smd+{name}" for name in instruments]

        def values() -> list[dict[str, Any]]:
            found = [feed.last_value(name) or {} for name in instruments]
            return [{code: field.value for code, field in value.items()} for value in found]

        await gateway.wait_for(lambda: all("84" in value for value in values()))
        found = values()
        assert [value["conidEx"] for value in found] == [str(name) for name in instruments]
        # Six markets, so six quotes.
        assert len({(value["84"], value["86"]) for value in found}) == len(instruments)
        for name in instruments[1:]:
            by_text, by_topic = feed.last_value(name), feed.last_value(f"smd+{name}")
            assert by_text is not None
            assert by_topic is not None
            assert by_text.topic == by_topic.topic == f"smd+{name}"
        by_exchange = feed.last_value(265598, exchange="NYSE")
        assert by_exchange is not None
        assert by_exchange.topic == "smd+265598@NYSE"

        await feed.unsubscribe_market_data(COMBINATIONS[0])
        await feed.unsubscribe_market_data("265598@NYSE")
        for name in (COMBINATIONS[0], "265598@NYSE", 8314):
            with pytest.raises(cf.UsageError, match="is not subscribed to; call subscribe_market_data"):
                feed.last_value(name)
        assert feed.last_value(COMBINATIONS[1]) is not None
        assert feed.last_value(265598) is not None
        for wrong in ("AAPL", "28812380;;;8314", "265598@nyse"):
            with pytest.raises(cf.SubscriptionError):
                feed.last_value(wrong)
            with pytest.raises(cf.SubscriptionError):
                await feed.subscribe_market_data(wrong)
        with pytest.raises(cf.SubscriptionError, match="exchange once"):
            feed.last_value("265598@NYSE", exchange="NYSE")


async def test_a_combination_of_any_form_has_a_last_value(gateway: SimulatedGateway, client: cf.Client) -> None:
    """A topic that was subscribed to by its texts is asked for by its topic or its target."""
    target = COMBINATIONS[0]
    async with cf.Feed(client) as feed:
        await feed.subscribe_topic(f"smd+{target}", f'smd+{target}+{{"fields":["31","84"]}}', f"umd+{target}+{{}}")
        await gateway.wait_for(lambda: feed.last_value(target))
        assert feed.last_value(f"smd+{target}") is not None
