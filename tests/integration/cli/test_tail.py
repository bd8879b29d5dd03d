"""The views of `tail` on a real feed, while faults happen at the simulated gateway."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.cli.tail import Row, Tail, View
from cpapi_fast.clock import Clock
from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed import Feed
from cpapi_fast.protocol.topics import MarketDataFields
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter
from tests.support.loops import until

CONIDS = (265598, 8314)
COLUMNS = ("31", "84", "7051")


@pytest.fixture
def clock() -> Clock:
    """Twenty times as fast as the machine's."""
    return Clock(20.0)


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """Both conids tick once a second."""
    return {"tls": False, "ready_delay_s": 0.0, "tick_intervals": dict.fromkeys(CONIDS, 1.0)}


@pytest.fixture
def feed(client: Client) -> Feed:
    """A feed that `tail` starts."""
    return Feed(client)


@pytest.fixture
async def tail(enter: Enter, feed: Feed, client: Client, gateway: SimulatedGateway) -> Tail:
    """The view of a running feed that is subscribed to both conids."""
    tail = Tail(feed, CONIDS, COLUMNS, clock=gateway.clock, where=client.base_url)
    feed.on_batch(tail.on_item)
    for conid in CONIDS:
        await feed.subscribe_market_data(conid, MarketDataFields.from_codes([*COLUMNS, "55"]))
    await enter(feed)
    return tail


def row_of(view: View, name: str) -> Row:
    return next(row for row in view.rows if row.name == name)


async def streaming(tail: Tail) -> View:
    await until(lambda: all(row.state is FeedState.STREAMING and row.ticks > 3 for row in tail.view().rows))
    return tail.view()


# In ordinary time, so that a machine that stalls for a moment makes nothing stale.
@pytest.mark.gateway(speed=1.0, tick_intervals=dict.fromkeys(CONIDS, 0.1))
async def test_quotes_and_counters(gateway: SimulatedGateway, feed: Feed, tail: Tail) -> None:
    before = tail.view()
    assert [row.values for row in before.rows] == [("", "", "")] * 2
    assert [row.age_s for row in before.rows] == [None, None]
    view = await streaming(tail)
    assert (view.state, view.where, view.connections, view.gaps) == (FeedState.STREAMING, gateway.url, 1, 0)
    assert view.columns == ("last", "bid", "company_name")
    for row in view.rows:
        assert all(row.values)
        assert row.symbol
        assert row.availability in ("live", "delayed", "frozen")
        assert row.age_s is not None
    assert view.frames >= 8
    assert view.next_try_s is None
    assert view.events[-1].endswith("feed streaming: data")
    assert tail.events_seen == len(view.events)


async def test_a_stale_subscription_keeps_its_values(gateway: SimulatedGateway, tail: Tail) -> None:
    await streaming(tail)
    # Every repeated subscribe is dropped.
    gateway.faults.drop_subscribes(1_000_000)
    gateway.faults.end_stream("265598")
    await until(lambda: row_of(tail.view(), "265598").state is FeedState.STALE)
    view = tail.view()
    row = row_of(view, "265598")
    assert all(row.values)
    assert row.is_in_gap
    assert row.age_s is not None
    assert row.age_s > 2.0
    assert not any(row.fresh)
    assert any("smd+265598 stale: subscription silent" in event for event in view.events)


async def test_a_lost_connection_keeps_everything_and_is_counted(gateway: SimulatedGateway, tail: Tail) -> None:
    await streaming(tail)
    gateway.faults.begin_maintenance()
    await until(lambda: tail.view().next_try_s is not None)
    view = tail.view()
    assert view.state is FeedState.DISCONNECTED
    assert [row.state for row in view.rows] == [FeedState.DISCONNECTED] * 2
    assert all(value for row in view.rows for value in row.values)
    await until(lambda: tail.view().cause is Cause.GATEWAY_ERROR)
    assert tail.view().advice
    gateway.faults.end_maintenance()
    await until(lambda: tail.view().state is FeedState.STREAMING)
    await until(lambda: tail.view().gaps >= 2)
    view = tail.view()
    assert view.connections >= 2
    assert all(row.gaps >= 1 for row in view.rows)
    assert any("gap in smd+265598" in event for event in view.events)


async def test_an_unsubscribed_topic_has_no_row(feed: Feed, tail: Tail) -> None:
    await streaming(tail)
    await feed.unsubscribe_market_data(8314)
    assert [row.name for row in tail.view().rows] == ["265598"]
