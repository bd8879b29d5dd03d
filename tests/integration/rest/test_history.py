"""`Client.history` and the texts of `smh` against the simulated gateway."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from cpapi_fast.errors import NotAuthenticatedError, StatusError, SubscriptionError
from cpapi_fast.protocol.history import History
from cpapi_fast.protocol.topics import history_subscribe_text, history_unsubscribe_text
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from cpapi_fast.ws.connection import WsClient
from tests.support.loops import until

PATH = "/v1/api/iserver/marketdata/history"


@pytest.mark.each_loop
@pytest.mark.gateway(speed=1.0)
async def test_history_over_rest(gateway: SimulatedGateway, client: Client) -> None:
    found = await client.history(265598, period="2h", bar="5min")
    assert (len(found.bars), found.bar_s) == (24, 300)
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in found.bars)
    starts = [bar.start_ns for bar in found.bars]
    assert starts == sorted(starts)
    assert starts[-1] % 300_000_000_000 == 0
    assert dict(gateway.requests[0].query) == {
        "conid": "265598",
        "period": "2h",
        "bar": "5min",
        "outsideRth": "false",
        "source": "Last",
    }
    assert (gateway.requests[0].method, gateway.requests[0].path) == ("GET", PATH)


async def test_every_argument_of_history(gateway: SimulatedGateway, client: Client) -> None:
    end = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
    found = await client.history(
        8314, period="1d", bar="1h", exchange="NYSE", outside_rth=True, start_time=end, source="bid_ask"
    )
    assert gateway.requests[0].query == {
        "conid": "8314",
        "period": "1d",
        "bar": "1h",
        "outsideRth": "true",
        "source": "Bid_Ask",
        "exchange": "NYSE",
        "startTime": "20260102-14:30:00",
    }
    assert found.bars[-1].start_ns == 1_767_362_400_000_000_000


async def test_invalid_arguments_are_refused_before_anything_is_sent(gateway: SimulatedGateway, client: Client) -> None:
    for wrong in ({"period": "9h"}, {"bar": "7min"}, {"exchange": "ny se"}, {"source": "x"}):
        with pytest.raises(SubscriptionError):
            await client.history(265598, **({"period": "1d", "bar": "1h"} | wrong))
    with pytest.raises(SubscriptionError):
        await client.history("265598", period="1d", bar="1h")  # type: ignore[arg-type]
    assert len(gateway.requests) == 0


@pytest.mark.gateway(inactive_conids=frozenset({7}))
async def test_errors_name_the_path_without_its_query(gateway: SimulatedGateway, client: Client) -> None:
    with pytest.raises(StatusError) as caught:
        await client.history(7, period="1d", bar="1h")
    assert (caught.value.status, caught.value.path) == (500, "/iserver/marketdata/history")
    gateway.faults.fail_rest("/iserver/marketdata/history", status=401)
    with pytest.raises(NotAuthenticatedError):
        await client.history(7, period="1d", bar="1h")


async def test_ten_concurrent_requests_run_five_at_a_time(gateway: SimulatedGateway) -> None:
    clock = gateway.clock
    async with Client(gateway.url, clock=clock, total_timeout_s=2_000.0, connect_timeout_s=2_000.0) as client:
        gateway.faults.stall()
        tasks = [asyncio.create_task(client.history(conid, period="1h", bar="1min")) for conid in range(1, 11)]
        await until(lambda: len(gateway.requests) == 5)
        assert client.pacer.waiting == 5
        gateway.faults.resume()
        answers = await asyncio.gather(*tasks)
        assert {len(found.bars) for found in answers} == {60}
        assert len(gateway.requests) == 10


@pytest.mark.each_loop
@pytest.mark.gateway(speed=1.0, ready_delay_s=0.0)
async def test_history_over_the_socket_is_the_same(gateway: SimulatedGateway, client: Client, ws: WsClient) -> None:
    async def answer(topic: str) -> dict[str, object]:
        async for frame in ws:
            if frame.topic == topic:
                return frame.payload
        raise AssertionError("the connection ended")

    await answer("sts")
    await ws.send_text(history_subscribe_text(265598, period="2h", bar="5min"))
    over_socket = History.parse(await answer("smh+265598"))
    over_rest = await client.history(265598, period="2h", bar="5min")
    # A new bar may begin between the two.
    assert len(set(over_socket.bars) & set(over_rest.bars)) >= 23
    (peer,) = gateway.connections
    assert list(peer.socket_subscriptions.histories) == [over_socket.server_id]
    assert over_socket.server_id is not None
    await ws.send_text(history_unsubscribe_text(over_socket.server_id))
    async for frame in ws:
        if frame.topic is None:
            assert frame.payload == {"message": f"Unsubscribed {over_socket.server_id}"}
            break
    assert peer.socket_subscriptions.histories == {}


async def test_accounts_are_requested_when_history_needs_them(gateway: SimulatedGateway, client: Client) -> None:
    body = b'{"error":"Please query /accounts first"}'
    gateway.faults.fail_rest("/iserver/marketdata/history", status=500, body=body)
    assert (await client.history(265598, period="1h", bar="1min")).bars
    gateway.faults.fail_rest("/iserver/marketdata/history", status=400, body=body, times=2)
    with pytest.raises(StatusError, match="Please query /accounts first") as caught:
        await client.history(265598, period="1h", bar="1min")
    assert caught.value.is_retryable
