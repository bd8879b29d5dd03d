"""A gateway that contradicts itself gets few requests and few sockets, on real sockets; and the texts are paced."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

import cpapi_fast as cf
from cpapi_fast.feed.machine.session.retry_policy import MAX_REQUESTS
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter, StartGateway

pytestmark = pytest.mark.time_limit(120.0)

STREAMING = cf.FeedState.STREAMING
FIRST_CONID = 100_000


def gateway_client(gateway: SimulatedGateway) -> cf.Client:
    tls = None if gateway.fingerprint is None else cf.Tls.pinned(gateway.fingerprint)
    return cf.Client(gateway.url, tls=tls, clock=gateway.clock)


async def run_for_a_minute(gateway: SimulatedGateway, disturb: Callable[[], object]) -> list[cf.StateChange]:
    """A feed for a minute of the gateway's clock, disturbed all the time. Returns the changes of the feed's state."""
    changes: list[cf.StateChange] = []

    def on_item(item: object) -> None:
        if isinstance(item, cf.StateChange) and item.subscription is None:
            changes.append(item)

    async with gateway_client(gateway) as client, cf.Feed(client) as feed:
        feed.on_item(on_item)
        await feed.subscribe_market_data(265598)
        end_s = gateway.clock.monotonic_s() + 60.0
        while gateway.clock.monotonic_s() < end_s:
            disturb()
            # 200 times a second at normal speed.
            await asyncio.sleep(0.005)
    return changes


def check_requests(gateway: SimulatedGateway) -> Counter[str]:
    paths = Counter(request.path.rpartition("/")[2] for request in gateway.requests)
    assert paths.total() <= MAX_REQUESTS, paths
    assert paths["ws"] <= 6, paths
    return paths


async def test_a_new_session_at_each_tickle_without_a_brokerage_session(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(speed=8.0)
    gateway.faults.change_session_at_tickle()
    # No data, so no try succeeds.
    gateway.faults.drop_subscribes(1_000_000)
    changes = await run_for_a_minute(gateway, lambda: gateway.faults.send_status(authenticated=False))
    paths = check_requests(gateway)
    assert paths["ws"] >= 2
    told = Counter((change.state, change.cause) for change in changes)
    assert told[cf.FeedState.DISCONNECTED, cf.Cause.SESSION_CHANGED] == 1, told


async def test_a_status_that_flaps(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(speed=8.0)
    state = iter(range(1_000_000))
    await run_for_a_minute(gateway, lambda: gateway.faults.send_status(authenticated=next(state) % 2 == 0))
    check_requests(gateway)


async def test_a_refused_upgrade_behind_healthy_rest(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(speed=8.0)
    gateway.faults.fail_rest("/ws", status=403, body=b"no", content_type="text/plain", times=None)
    changes = await run_for_a_minute(gateway, lambda: None)
    check_requests(gateway)
    down = [change for change in changes if change.state is cf.FeedState.DISCONNECTED]
    # One event for all tries, and the end of the feed.
    assert len(down) == 2, down
    assert down[1].cause is cf.Cause.STOPPED
    assert "403" in down[0].detail
    # Within seconds of the first try.
    assert (down[0].time_ns - changes[0].time_ns) / 1e9 < 10.0


# --- texts ----------------------------------------------------------------------------------------


async def all_stream(feed: cf.Feed, gateway: SimulatedGateway, connections: int) -> None:
    await gateway.wait_for(
        lambda: feed.stats.connections == connections and all(one.state is STREAMING for one in feed.subscriptions),
        timeout_s=60.0,
    )


@pytest.mark.parametrize(("count", "within_s", "speed"), [(100, 2.0, 0.25), (1_000, 15.0, 0.7)])
async def test_everything_streams_again_soon_after_a_reset(
    start_gateway: StartGateway, enter: Enter, count: int, within_s: float, speed: float
) -> None:
    """In seconds of a slow clock, so that a busy machine has enough time."""
    gateway = await start_gateway(speed=speed, tls=True, market_data_lines=count, max_texts_per_s=1_000)
    client = await enter(gateway_client(gateway))
    options = cf.FeedOptions(market_data_lines=count, last_values=False)
    feed = cf.Feed(client, options)
    for conid in range(FIRST_CONID, FIRST_CONID + count):
        await feed.subscribe_market_data(conid)
    await enter(feed)
    await all_stream(feed, gateway, 1)
    began_s = gateway.clock.monotonic_s()
    gateway.faults.drop_sockets(reset=True)
    await all_stream(feed, gateway, 2)
    assert gateway.clock.monotonic_s() - began_s <= within_s
    assert (feed.stats.texts_queued, feed.stats.queue_age_s) == (0, 0.0)


async def test_thousands_of_texts_at_once_break_a_connection_that_does_not_pace_them(
    start_gateway: StartGateway, enter: Enter
) -> None:
    gateway = await start_gateway(max_texts_per_s=1_000, market_data_lines=5_000)
    client = await enter(gateway_client(gateway))
    ws = await enter(await cf.WsClient.connect(client))
    for conid in range(3_000):
        ws.send_nowait(f"smd+{FIRST_CONID + conid}+{{}}")
    with pytest.raises(cf.TransportError):
        await ws.wait_closed()


async def test_a_new_subscribe_streams_at_once_after_ten_thousand_cancelled_ones(
    start_gateway: StartGateway, enter: Enter
) -> None:
    gateway = await start_gateway(max_texts_per_s=1_000)
    client = await enter(gateway_client(gateway))
    feed = await enter(cf.Feed(client))
    await feed.subscribe_market_data(265598)
    await feed.wait_for(STREAMING, timeout_s=60.0)
    for conid in range(10_000):
        subscription = await feed.subscribe_market_data(FIRST_CONID + conid)
        await subscription.cancel()
    after = [await feed.subscribe_market_data(conid) for conid in range(1, 21)]
    began_s = gateway.clock.monotonic_s()
    await gateway.wait_for(
        lambda: all(one.status is not None and one.status.state is STREAMING for one in after), timeout_s=60.0
    )
    # It took more than a minute when each cancelled subscribe had its turn.
    assert gateway.clock.monotonic_s() - began_s < 20.0
    assert feed.stats.connections == 1
    wanted = {"smd+265598", *(f"smd+{conid}" for conid in range(1, 21))}
    await gateway.wait_for(lambda: set(gateway.open_connections[0].subscriptions) == wanted)
