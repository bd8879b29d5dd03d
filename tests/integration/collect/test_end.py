"""The end of a run: errors at the start, giving up, stopping and cancelling."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.run import collect
from cpapi_fast.errors import (
    CompetingSessionError,
    CpapiError,
    LimitError,
    NotAuthenticatedError,
    PinMismatchError,
    TransportError,
    UsageError,
)
from cpapi_fast.feed.driver.failures import FAILURES
from cpapi_fast.feed.machine import Failure
from cpapi_fast.protocol.response_table import ROWS
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter, StartGateway
from tests.integration.collect.harness import (
    CONIDS,
    check_summary,
    client_of,
    happened_name,
    options_of,
    states,
)


@pytest.mark.parametrize(
    ("options", "error", "expected_text"),
    [
        *(
            (
                {"is_logged_in": False, "logged_out_response": answer},
                NotAuthenticatedError,
                "Log in to the gateway in a browser",
            )
            for answer in ("unauthorized", "redirect", "html", "json")
        ),
        ({"has_brokerage": False, "is_competing": True}, CompetingSessionError, "other login"),
    ],
)
async def test_give_up_after_ends_a_run_without_data(
    start_gateway: StartGateway,
    enter: Enter,
    tmp_path: Path,
    options: dict[str, Any],
    error: type[CpapiError],
    expected_text: str,
) -> None:
    options = dict(options)
    is_competing = options.pop("is_competing", False)

    gateway = await start_gateway(speed=50.0, **options)
    client = await enter(client_of(gateway))
    if is_competing:
        gateway.faults.start_competing()
    collector = Collector(client, options_of(client, tmp_path, give_up_after_s=60.0))
    with pytest.raises(error, match="no data for 60 s") as caught:
        await collector.run()
    assert expected_text in str(caught.value)
    assert collector.summary is not None
    assert "no data for 60 s" in collector.summary.reason
    assert states(tmp_path)


async def test_a_refused_upgrade_is_the_cause_at_the_end(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.fail_rest("/ws", status=403, times=None)
    collector = Collector(client, options_of(client, tmp_path, duration_s=10.0))
    with pytest.raises(CpapiError, match=r"nothing was collected: .* 403") as caught:
        await collector.run()
    assert "retries" not in str(caught.value)


async def test_an_accepted_upgrade_without_a_quote_is_an_error_with_the_cause(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.drop_subscribes(1_000_000)
    options = options_of(client, tmp_path, {"answer_timeout_s": 10.0}, duration_s=60.0)
    collector = Collector(client, options)
    with pytest.raises(TransportError, match=r"no quote was collected: the feed is .*, all_stale"):
        await collector.run()


async def test_the_cause_of_missing_data_at_the_end_is_in_the_reason(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    collector = Collector(client, options_of(client, tmp_path))
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: bool(collector.latest_status.latest))
    gateway.faults.fail_rest("/ws", status=502, times=None)
    gateway.faults.drop_sockets()
    await gateway.wait_for(lambda: collector.latest_status.state == "disconnected")
    await asyncio.sleep(0.5)
    stop.set()
    summary = await running
    assert summary.reason.startswith("stopped; no data for the last ")
    assert "disconnected (" in summary.reason


@pytest.mark.gateway(is_logged_in=False)
async def test_nothing_collected_is_an_error_and_leaves_no_empty_capture(client: Client, tmp_path: Path) -> None:
    collector = Collector(client, options_of(client, tmp_path, duration_s=40.0))
    with pytest.raises(CpapiError, match="the duration is over before anything was received") as caught:
        await collector.run()
    assert "Log in" in str(caught.value)
    assert collector.summary is not None
    assert [path.name for path in tmp_path.iterdir()] == [happened_name(tmp_path)]
    assert collector.summary.outputs[0].files == ()


async def test_a_wrong_fingerprint_ends_the_run_at_once(gateway: SimulatedGateway, tmp_path: Path) -> None:
    async with Client(gateway.url, tls=Tls.pinned("0" * 64), clock=gateway.clock) as client:
        with pytest.raises(PinMismatchError, match="fingerprint"):
            await collect(client, options_of(client, tmp_path))
    assert list(gateway.requests) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "headers", "expected_text"),
    [
        (404, {}, "correct the base URL"),
        (403, {"Server": "AirTunes/770.8.1"}, "AirPlay Receiver"),
        (405, {}, "Correct the port"),
        (302, {"Location": "/elsewhere"}, "correct the base URL"),
    ],
)
async def test_another_server_at_the_first_request_ends_the_run_at_once(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, status: int, headers: dict[str, str], expected_text: str
) -> None:
    gateway.faults.fail_rest("/tickle", status=status, headers=headers, times=None)
    collector = Collector(client, options_of(client, tmp_path))
    with pytest.raises(CpapiError, match=expected_text) as caught:
        await collector.run()
    assert "retries" not in str(caught.value)
    assert str(status) in str(caught.value)
    assert len(gateway.requests) == 1
    assert collector.summary is not None


async def test_a_gateway_that_is_known_or_starts_ends_no_run(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    for status in (503, 404, 302):
        gateway.faults.fail_rest("/tickle", status=status, headers={"Location": "/elsewhere"})
    collector = Collector(client, options_of(client, tmp_path, {"reconnect_max_s": 10.0}))
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: bool(collector.latest_status.latest), timeout_s=2000.0)
    gateway.faults.fail_rest("/tickle", status=404, times=2)
    before = len(gateway.requests)
    gateway.faults.drop_sockets()
    # Two that are refused, and one that is not.
    await gateway.wait_for(lambda: len(gateway.requests) >= before + 3, timeout_s=2000.0)
    await gateway.wait_for(lambda: collector.latest_status.state == "streaming", timeout_s=2000.0)
    stop.set()
    assert (await running).reason == "stopped"


def test_what_ends_a_run_at_once_is_never_retryable() -> None:
    for meaning, failure in FAILURES.items():
        if failure is Failure.NOT_A_GATEWAY:
            assert not ROWS[meaning].is_retryable, meaning


async def test_more_instruments_than_lines(client: Client, tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="100"):
        await collect(client, options_of(client, tmp_path, conids=tuple(range(1, 102))))
    assert list(tmp_path.iterdir()) == []


async def test_stopped_while_connecting(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    gateway.faults.stall()
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, tmp_path))
    running = asyncio.create_task(collector.run(stop))
    await asyncio.sleep(0.05)
    stop.set()
    with pytest.raises(TransportError, match="stopped before anything was received"):
        await running
    assert collector.summary is not None
    gateway.faults.resume()
    assert list(tmp_path.glob("capture*")) == []


async def test_cancelled_run_finishes_its_files(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    collector = Collector(client, options_of(client, tmp_path))
    running = asyncio.create_task(collector.run())
    await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(UsageError):
        await collector.run()
    check_summary(collector.summary, tmp_path)
    assert collector.status().state == "ended"
