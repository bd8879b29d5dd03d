"""A run continues after a lost connection and waits for an unreachable gateway; gaps are reported."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.harness import (
    CONIDS,
    check_summary,
    happened,
    happened_name,
    options_of,
    receive_times,
)

ENDS = {
    "lost": (lambda gateway: gateway.faults.drop_sockets(), "connection_lost"),
    "reset": (lambda gateway: gateway.faults.drop_sockets(reset=True), "connection_lost"),
    "closed": (lambda gateway: gateway.faults.close_sockets(1001, "DU1234567 away"), "closed_by_gateway"),
    "silent": (lambda gateway: gateway.faults.stall(), "socket_silent"),
    "renewed": (lambda gateway: gateway.faults.change_session_id(), "session_changed"),
    "violation": (lambda gateway: gateway.faults.send_bytes(b"\xff\xff\xff\xff"), "protocol_violation"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.gateway(speed=50.0)
async def test_a_run_reconnects_and_records_the_gap(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, end: str
) -> None:
    action, cause = ENDS[end]

    notices: list[str] = []
    stop = asyncio.Event()
    options = options_of(client, tmp_path, {"socket_timeout_s": 50.0})
    collector = Collector(client, options, on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
    action(gateway)
    await gateway.wait_for(lambda: any(cause.replace("_", " ") in notice for notice in notices), timeout_s=60)
    gateway.faults.resume()
    rows = sum(quote.rows for quote in collector.status().latest)
    await gateway.wait_for(lambda: any("data again after" in notice for notice in notices), timeout_s=60)
    await gateway.wait_for(lambda: sum(quote.rows for quote in collector.status().latest) > rows + 4)
    await gateway.wait_for(lambda: collector.status().gaps >= len(CONIDS), timeout_s=60)
    assert collector.status().advice == ""
    stop.set()
    summary = await running
    reported = "".join(notices) + (tmp_path / happened_name(tmp_path)).read_text()
    assert gateway.session_id not in reported
    assert "DU1234567" not in reported
    check_summary(summary, tmp_path)
    assert summary.reason == "stopped"
    assert summary.feed.connections >= 2
    assert summary.gaps.keys() >= {cause}
    assert sum("data again after" in notice for notice in notices) >= 1
    lines = happened(tmp_path)
    for topic in ("smd+265598", "smd+8314"):
        gaps = [line for line in lines if line["type"] == "gap" and line["subscription"] == topic]
        assert any(line["cause"] == cause and line["first_good_ns"] for line in gaps)
    # A gap is at its place between the frames of the capture.
    times = receive_times(tmp_path)
    for line in lines:
        if line["type"] == "gap" and line["first_good_ns"]:
            assert line["first_good_ns"] in times[line["row"] :]
            assert line["last_good_ns"] in times[: line["row"]]


@pytest.mark.gateway(speed=50.0)
async def test_a_gateway_that_comes_later_is_waited_for(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.begin_maintenance()
    notices: list[str] = []
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: any("gateway error" in notice for notice in notices))
    gateway.faults.end_maintenance()
    await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
    stop.set()
    summary = await running
    check_summary(summary, tmp_path)
