"""What a run by symbol does before and after its symbols are resolved: retries, and one time for both."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from pathlib import Path

import orjson
import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.errors import CpapiError, LimitError
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.harness import happened, options_of, quoted
from tests.support.loops import until

IBM = 8314
STOCKS = "/trsrv/stocks"


def asked(gateway: SimulatedGateway, path: str = STOCKS) -> list[int]:
    """The times of the requests of a path, in ns of the clock."""
    return [request.time_ns for request in gateway.requests if request.path.endswith(path)]


async def run_until_quoted(collector: Collector) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    await until(lambda: running.done() or bool(collector.latest_status.latest))
    stop.set()
    await running


async def test_the_duration_includes_the_time_in_which_symbols_are_resolved(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    # Forty pauses of 15 s. If they did not count, the run would take 1,300 s.
    gateway.faults.fail_rest(STOCKS, status=503, times=40)
    limits = {"duration_s": 700.0, "give_up_after_s": 650.0}
    summary = await Collector(client, options_of(client, tmp_path, conids=(), symbols=("IBM",), **limits)).run()
    assert len(asked(gateway)) == 41
    # With data, the run goes on after the time without data.
    assert summary.reason == "the duration is over"
    assert 700.0 <= summary.duration_s < 1_250.0
    assert {row["conid"] for row in quoted(tmp_path)} == {IBM}


async def test_the_time_without_data_includes_the_time_in_which_symbols_are_resolved(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.fail_rest(STOCKS, status=503, times=40)
    gateway.faults.fail_rest("/ws", status=503, times=None)
    collector = Collector(client, options_of(client, tmp_path, conids=(), symbols=("IBM",), give_up_after_s=700.0))
    with pytest.raises(CpapiError, match="no data for 700 s"):
        await collector.run()
    assert len(asked(gateway)) == 41
    assert collector.summary is not None
    assert 700.0 <= collector.summary.duration_s < 1_250.0


@pytest.mark.parametrize("body", [b"null", b"{", b"<html></html>"])
@pytest.mark.parametrize("path", [STOCKS, "/iserver/contract/649180695/info"])
async def test_one_odd_body_does_not_end_a_run(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, path: str, body: bytes
) -> None:
    gateway.faults.fail_rest(path, status=200, body=body)
    notices: list[str] = []
    options = options_of(client, tmp_path, conids=(), symbols=("ESZ6",))
    await run_until_quoted(Collector(client, options, on_notice=notices.append))
    assert "the symbols are not resolved yet, next try in 15 s" in notices[0]
    assert {row["conid"] for row in quoted(tmp_path)} == {649180695}


async def test_the_next_try_is_after_the_penalty(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    gateway.faults.fail_rest(STOCKS, status=429)
    notices: list[str] = []
    options = options_of(client, tmp_path, conids=(), symbols=("IBM",))
    await run_until_quoted(Collector(client, options, on_notice=notices.append))
    first, second = asked(gateway)
    assert second - first >= 600 * 1_000_000_000
    # No try in between, which the client would refuse.
    assert len([text for text in notices if "not resolved yet" in text]) == 1


async def test_too_many_symbols_are_refused_before_each_is_requested(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    symbols = tuple(f"Q{number}" for number in range(200))
    with pytest.raises(LimitError, match="at most 100 instead of 200"):
        await Collector(client, options_of(client, tmp_path, conids=(), symbols=symbols)).run()
    assert asked(gateway) == []
    # Both are the same contract, so it is not certain that these are too many.
    options = options_of(client, tmp_path, {"market_data_lines": 1}, conids=(), symbols=("ESZ6", "ESZ26@CME"))
    await run_until_quoted(Collector(client, options))


async def test_several_symbols_of_one_contract_are_one_row(client: Client, tmp_path: Path) -> None:
    options = options_of(client, tmp_path, conids=(), symbols=("IBM@NYSE", "IBM", "IBM @NYSE", "IBM:USD"))
    assert options.symbols == ("IBM@NYSE", "IBM", "IBM:USD")
    collector = Collector(client, options)
    await run_until_quoted(collector)
    assert [(row["symbol"], row["conid"]) for row in happened(tmp_path)[0]["symbols"]] == [("IBM@NYSE", IBM)]
    assert collector.summary is not None
    assert [one.text for one in collector.summary.symbols] == ["IBM@NYSE"]
    assert collector.latest_status.symbols == {"8314": "IBM@NYSE"}


async def test_the_line_of_symbols_has_the_time_when_they_were_resolved(client: Client, tmp_path: Path) -> None:
    before_ns = time.time_ns()
    await run_until_quoted(Collector(client, options_of(client, tmp_path, conids=(), symbols=("IBM",))))
    symbols, *events = happened(tmp_path)
    assert symbols["type"] == "symbols"
    resolved_ns = dt.datetime.fromisoformat(symbols["time"]).timestamp() * 1e9
    # The clock of the gateway is fast, and that of the events is not.
    assert before_ns - 1_000_000 <= resolved_ns <= time.time_ns()
    assert symbols["time"] <= min(event["time"] for event in events)


@pytest.mark.parametrize(("competing", "is_taken"), [("reclaim", True), ("observe", False)])
async def test_another_login_holds_the_brokerage_session(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, competing: str, is_taken: bool
) -> None:
    body = b'{"error":"Another session is already competing"}'
    gateway.faults.fail_rest("/iserver/contract/649180695/info", status=401, body=body)
    options = options_of(client, tmp_path, {"competing": competing}, conids=(), symbols=("ESZ6",))
    notices: list[str] = []
    await run_until_quoted(Collector(client, options, on_notice=notices.append))
    opened = [orjson.loads(one.body) for one in gateway.requests if one.path.endswith("/ssodh/init")]
    assert bool(opened) is is_taken
    assert all(one["compete"] is True for one in opened)
    assert any("not resolved yet" in text for text in notices) is not is_taken
