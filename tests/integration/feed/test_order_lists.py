"""The orders that a feed requests after each subscribe to them: what they add, and what happens if that fails."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway

PATH = "/iserver/account/orders"


def requests(gateway: SimulatedGateway) -> list[int | None]:
    """The status of the response to each request for the orders."""
    return [request.status for request in gateway.requests if request.path == f"/v1/api{PATH}"]


def add_order(gateway: SimulatedGateway, order_id: int, **members: Any) -> None:
    """Give the account an order of which the socket says nothing."""
    order = {"orderId": order_id, "status": "Submitted", "filledQuantity": 0.0, "totalSize": 10.0}
    gateway._state.orders._orders[order_id] = order | members


async def subscribed(gateway: SimulatedGateway) -> None:
    await gateway.wait_for(lambda: gateway.open_connections and "sor" in gateway.open_connections[-1].subscriptions)


async def test_orders_from_before_the_subscribe_are_known(gateway: SimulatedGateway, client: cf.Client) -> None:
    add_order(gateway, 7)
    changes: list[int | None] = []
    async with cf.Feed(client) as feed:
        feed.on_order(lambda order: changes.append(order.order_id))
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: 7 in feed.orders)
        assert (feed.orders[7].is_current, feed.orders[7].total_size) == (True, 10.0)
        assert 7 in changes
        # Only one request per subscribe.
        await gateway.wait_for(lambda: len(feed.orders) > 2)
        assert requests(gateway) == [200]


async def test_after_a_lost_connection_orders_are_as_the_gateway_lists_them(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: requests(gateway) == [200])
        rows = [{"orderId": number, "status": "Submitted", "filledQuantity": 0.0} for number in (1, 2, 3)]
        gateway.faults.send_frame(json.dumps({"topic": "sor", "args": rows}).encode())
        await gateway.wait_for(lambda: 3 in feed.orders)
        # In the meantime one is unchanged, one is filled, and one is gone.
        add_order(gateway, 1)
        add_order(gateway, 2, status="Filled", filledQuantity=10.0)
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(lambda: not feed.orders[3].is_current)
        await gateway.wait_for(lambda: feed.orders[2].is_current)
        assert [feed.orders[number].is_current for number in (1, 2, 3)] == [True, True, False]
        assert (feed.orders[2].is_finished, feed.orders[2].filled_quantity) == (True, 10.0)
        assert requests(gateway) == [200, 200]


async def test_a_request_that_fails_disturbs_nothing_and_is_made_again_at_the_next_connection(
    gateway: SimulatedGateway, client: cf.Client, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.faults.fail_rest(PATH, status=500, body=b'{"error":"of DU1234567"}')
    changes: list[cf.StateChange] = []
    add_order(gateway, 7)
    with caplog.at_level(logging.WARNING, "cpapi_fast"):
        async with cf.Feed(client) as feed:
            await feed.subscribe_orders()
            await feed.wait_for(cf.FeedState.STREAMING, timeout_s=60)
            feed.on_item(lambda item: changes.append(item) if isinstance(item, cf.StateChange) else None)
            await gateway.wait_for(lambda: feed.stats.calls_failed == 1)
            known = len(feed.orders)
            await gateway.wait_for(lambda: len(feed.orders) > known)
            assert changes == []
            assert 7 not in feed.orders
            gateway.faults.drop_sockets(reset=True)
            await gateway.wait_for(lambda: 7 in feed.orders)
            assert requests(gateway) == [500, 200]
    texts = [record.getMessage() for record in caplog.records if "the orders could not" in record.getMessage()]
    assert len(texts) == 1
    assert "500" in texts[0]
    assert "DU1234567" not in texts[0]


async def test_a_body_of_another_shape_disturbs_nothing(
    gateway: SimulatedGateway, client: cf.Client, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.faults.fail_rest(PATH, status=200, body=b'{"orders":5}')
    async with cf.Feed(client, cf.FeedOptions(log_trouble=False)) as feed:
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: feed.stats.calls_failed == 1)
        await gateway.wait_for(lambda: len(feed.orders) > 1)
    assert caplog.records == []


async def test_an_incomplete_list_is_requested_once_more(gateway: SimulatedGateway, client: cf.Client) -> None:
    gateway.faults.fail_rest(PATH, status=200, body=b'{"orders":[],"snapshot":false}', times=None)
    async with cf.Feed(client) as feed:
        await feed.subscribe_orders()
        await gateway.wait_for(lambda: requests(gateway) == [200, 200])
        known = len(feed.orders)
        await gateway.wait_for(lambda: len(feed.orders) > known + 2)
        assert requests(gateway) == [200, 200]


@pytest.mark.parametrize("kept_state", [True, False])
async def test_no_orders_are_requested_without_need(
    gateway: SimulatedGateway, client: cf.Client, kept_state: bool
) -> None:
    async with cf.Feed(client, cf.FeedOptions(kept_state=kept_state)) as feed:
        await feed.subscribe_pnl()
        if not kept_state:
            await feed.subscribe_orders()
            await subscribed(gateway)
        await feed.wait_for(cf.FeedState.STREAMING, timeout_s=60)
        frames = feed.stats.connection.frames_received
        await gateway.wait_for(lambda: feed.stats.connection.frames_received > frames + 5)
    assert requests(gateway) == []


async def test_the_request_waits_for_room_in_the_budget(gateway: SimulatedGateway, client: cf.Client) -> None:
    add_order(gateway, 7)
    async with cf.Feed(client) as feed:
        await feed.wait_for(cf.FeedState.AUTHENTICATED, timeout_s=60)
        budget = feed._driver.machine._calls.retry_policy.budget
        # The request of the orders and those of a try do not fit any more.
        while budget.free_s(now_s := client.clock.monotonic_s(), 6) <= now_s:
            budget.spend(now_s)
        free_s = budget.free_s(now_s, 6)
        await feed.subscribe_orders()
        await subscribed(gateway)
        await gateway.wait_for(lambda: 7 in feed.orders)
        assert client.clock.monotonic_s() >= free_s
        assert requests(gateway) == [200]


async def test_a_response_to_an_earlier_request_is_too_old(gateway: SimulatedGateway, client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_orders()
        lists = feed._driver._order_lists
        await gateway.wait_for(lambda: requests(gateway) == [200] and lists._number is None)
        add_order(gateway, 7)
        late = await client.live_orders()
        assert 7 in [order.order_id for order in late.orders]
        lists.on_response(1, late)
        assert 7 not in feed.orders


async def test_the_orders_over_rest(gateway: SimulatedGateway, client: cf.Client) -> None:
    await client.tickle()
    with pytest.raises(cf.StatusError, match="query /accounts first"):
        await client.live_orders()
    await client.accounts()
    add_order(gateway, 7)
    # The client waits for the limit of one such request in five seconds.
    found = await client.live_orders()
    assert (found.is_complete, [order.order_id for order in found.orders], found.odd) == (True, [7], ())
    assert repr(found) == "LiveOrders(1 orders)"
    gateway.faults.fail_rest(PATH, status=200, body=b'{"orders":[5,{"orderId":8}],"snapshot":"yes"}')
    found = await client.live_orders()
    assert (found.is_complete, [order.order_id for order in found.orders]) == (False, [8])
    assert found.odd == ("orders", "snapshot")
    gateway.faults.end_brokerage_session()
    with pytest.raises(cf.NoSessionError):
        await client.live_orders()
