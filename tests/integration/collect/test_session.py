"""A run and the session: readiness, renewals, logins and competing logins."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.run import collect
from cpapi_fast.errors import (
    TransportError,
)
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.harness import (
    CONIDS,
    UP,
    check_summary,
    happened,
    options_of,
    quoted,
    states,
)


@pytest.mark.gateway(ready_delay_s=3.0)
async def test_nothing_is_subscribed_before_ready(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    notices: list[str] = []
    summary = await collect(client, options_of(client, tmp_path, duration_s=60.0), on_notice=notices.append)
    (connection,) = gateway.connections
    assert connection.ignored == 0
    assert notices == []
    texts = [text.text.partition("+{")[0] for text in connection.received]
    assert [text for text in texts if text.startswith("smd")] == ["smd+265598", "smd+8314"]
    check_summary(summary, tmp_path)
    assert len(quoted(tmp_path)) >= 4
    assert states(tmp_path) == [*UP, "disconnected"]
    assert {line["cause"] for line in happened(tmp_path) if line["type"] == "state"} >= {"started", "data", "stopped"}


@pytest.mark.gateway(ready_delay_s=None)
async def test_a_gateway_that_never_becomes_ready_is_reported(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    notices: list[str] = []
    options = options_of(client, tmp_path, {"ready_timeout_s": 5.0}, duration_s=20.0)
    with pytest.raises(TransportError, match="nothing was collected"):
        await collect(client, options, on_notice=notices.append)
    assert any("ready timeout" in notice and "Log in to the gateway again" in notice for notice in notices)


@pytest.mark.gateway(speed=400.0, idle_timeout_s=2_200.0)
async def test_subscriptions_are_renewed_and_kept_alive(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    # Longer than a busy machine takes to get started, and shorter than the run: without the ticks it would expire.
    summary = await collect(client, options_of(client, tmp_path, duration_s=2280.0))
    (connection,) = gateway.connections
    texts = Counter(text.text.partition("+{")[0] for text in connection.received)
    # At 360 to 420 s, and so on; a busy machine is late, by 40 s for each tenth of a second.
    assert texts["smd+265598"] in (5, 6, 7)
    assert texts["smd+8314"] in (5, 6, 7)
    assert texts["tic"] >= 20
    assert 8 <= summary.feed.renewals <= 12
    last = max(row["updated"].timestamp() * 1000 for row in quoted(tmp_path))
    first = min(row["updated"].timestamp() * 1000 for row in quoted(tmp_path))
    assert last - first > 1_900_000, "the streams outlive their 10 minutes"


@pytest.mark.gateway(speed=50.0)
async def test_errors_and_competing_logins_are_reported(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    notices: list[str] = []
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: collector.status().state == "streaming")
    gateway.faults.send_error("account DU1234567 is unknown", 500)
    gateway.faults.start_competing()
    await gateway.wait_for(lambda: collector.status().state == "competing")
    await gateway.wait_for(lambda: any("competing" in notice for notice in notices))
    gateway.faults.stop_competing()
    await gateway.wait_for(lambda: collector.status().state == "streaming")
    stop.set()
    await running
    assert all(gateway.session_id not in notice for notice in notices)
    assert any("reports an error" in notice for notice in notices)
    assert not any("DU1234567" in notice for notice in notices)
    assert len([notice for notice in notices if notice.startswith("competing")]) == 1, "reported once"
    assert "competing" in states(tmp_path)


@pytest.mark.gateway(has_brokerage=False)
async def test_brokerage_session_is_opened_when_it_is_not(client: Client, tmp_path: Path) -> None:
    summary = await collect(client, options_of(client, tmp_path, duration_s=60.0))
    check_summary(summary, tmp_path)
    assert quoted(tmp_path)


@pytest.mark.gateway(speed=50.0, is_logged_in=False)
async def test_a_missing_login_is_reported_and_waited_for(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    notices: list[str] = []
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: collector.status().state == "login_required")
    await gateway.wait_for(lambda: any("Log in to the gateway in a browser" in notice for notice in notices))
    assert "Log in" in collector.status().advice
    gateway.faults.log_in()
    await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
    stop.set()
    summary = await running
    check_summary(summary, tmp_path)
    assert sum("login required" in notice for notice in notices) == 1
    assert any("data again after" in notice for notice in notices)
