"""A run takes the trading hours of its instruments from their schedules."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.trading_hours import follow_schedules
from cpapi_fast.errors import ConfigError
from cpapi_fast.feed import Feed
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.support.loops import until

from .harness import options_of

PATH = "/contract/trading-schedule"
IBM = 8314


def stock_schedule(gateway: SimulatedGateway) -> bytes:
    """From 09:30 to 16:00 in New York on each weekday around now."""
    today = dt.datetime.fromtimestamp(gateway.clock.time_ns() / 1e9, dt.UTC).date()
    days = {}
    for offset in range(-2, 9):
        day = today + dt.timedelta(days=offset)
        if day.weekday() < 5:
            opening = int(dt.datetime(day.year, day.month, day.day, 14, 30, tzinfo=dt.UTC).timestamp())
            days[day.strftime("%Y%m%d")] = {"liquid_hours": [{"opening": opening, "closing": opening + 23_400}]}
    return orjson.dumps({"exchange_time_zone": "Etc/UTC", "schedules": days})


def asked(gateway: SimulatedGateway) -> list[dict[str, str]]:
    return [dict(request.query) for request in gateway.requests if request.path.endswith(PATH)]


def subscribed_hours(record: Path) -> list[Any]:
    """The trading hours of each subscribe in a decision record, None without any."""
    lines = [line for line in record.read_text().splitlines() if "smd+" in line and '"subscribe"' in line]
    return ["Etc/UTC" in line or "Europe/Zurich" in line for line in lines]


async def run_until(client: Client, folder: Path, record: Path, condition: Any, **options: Any) -> None:
    feed = {"record_decisions": record}
    collector = Collector(client, options_of(client, folder, feed, conids=(IBM,), **options))
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    await until(lambda: condition() and bool(collector.latest_status.latest))
    stop.set()
    await running


async def test_hours_come_from_the_schedule(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    gateway.faults.fail_rest(PATH, status=200, body=stock_schedule(gateway), times=None)
    record = tmp_path / "record"

    def is_renewed() -> bool:
        (connection, *_) = gateway.connections or (None,)
        texts = [] if connection is None else [text.text for text in connection.received]
        return sum(text.startswith(f"smd+{IBM}+") for text in texts) >= 2

    await run_until(client, tmp_path / "out", record, is_renewed)
    assert asked(gateway) == [{"conid": "8314"}]
    assert subscribed_hours(record) == [False, True]
    # The second subscribe is a renewal with the same fields.
    (connection,) = gateway.connections
    assert len({text.text for text in connection.received if text.text.startswith(f"smd+{IBM}+")}) == 1


async def test_a_market_that_is_always_open_changes_nothing(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    await run_until(client, tmp_path / "out", record, lambda: asked(gateway))
    assert subscribed_hours(record) == [False]


@pytest.mark.parametrize("failure", [{"status": 500}, {"status": 200, "body": b"x"}, {"status": 200, "body": b"{}"}])
async def test_without_a_schedule_the_run_goes_on(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, failure: dict[str, Any]
) -> None:
    gateway.faults.fail_rest(PATH, times=None, **failure)
    record = tmp_path / "record"
    await run_until(client, tmp_path / "out", record, lambda: asked(gateway))
    assert subscribed_hours(record) == [False]


async def test_given_hours_and_none_need_no_schedule(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    given = TradingHours.weekdays("09:00", "17:30", "Europe/Zurich")
    for index, (hours, expected) in enumerate([(given, [True]), (None, [False])]):
        record = tmp_path / f"record {index}"
        await run_until(client, tmp_path / str(index), record, lambda: True, trading_hours=hours)
        assert subscribed_hours(record) == expected
    assert asked(gateway) == []


async def test_each_exchange_has_its_own_schedule_and_combinations_have_none(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    options = options_of(client, tmp_path, conids=("265598@NYSE", "28812380;;;8314/1,8894/-1", IBM))
    stop = asyncio.Event()
    running = asyncio.create_task(Collector(client, options).run(stop))
    await until(lambda: len(asked(gateway)) == 2)
    stop.set()
    await running
    assert asked(gateway) == [{"conid": "265598", "exchange": "NYSE"}, {"conid": "8314"}]


@dataclass
class Following:
    """`follow_schedules` of a feed whose market data streams."""

    gateway: SimulatedGateway
    feed: Feed
    reports: list[str]

    def asked(self) -> list[str]:
        return [query["conid"] for query in asked(self.gateway)]


@asynccontextmanager
async def following(
    gateway: SimulatedGateway, client: Client, folder: Path, conids: tuple[int, ...], **intervals: float
) -> AsyncIterator[Following]:
    options = options_of(client, folder, conids=conids)
    reports: list[str] = []
    async with Feed(client, options.feed) as feed:
        for conid in conids:
            await feed.subscribe_market_data(conid, options.fields)
        task = asyncio.create_task(follow_schedules(client, feed, options, options.fields, reports.append, **intervals))
        yield Following(gateway, feed, reports)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_schedules_are_requested_again(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    async with following(gateway, client, tmp_path, (IBM, 265598), interval_s=10.0) as run:
        await until(lambda: len(run.asked()) >= 6)
        assert run.asked()[:6] == ["8314", "265598"] * 3
        assert run.reports == []


@pytest.mark.gateway(inactive_conids=frozenset({7}))
async def test_only_what_failed_is_requested_again(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    # The gateway refuses 7, and the first two requests of 8314 fail.
    gateway.faults.fail_rest(PATH, status=500)
    async with following(gateway, client, tmp_path, (IBM, 7, 265598), retry_s=5.0) as run:
        await until(lambda: len(run.asked()) >= 3)
        gateway.faults.fail_rest(PATH, status=500)
        await until(lambda: len(run.asked()) >= 5)
        await client.clock.sleep(30.0)
        # Then nothing is due before tomorrow.
        assert run.asked() == ["8314", "7", "265598", "8314", "8314"]
        assert len(run.reports) == 1
        assert run.reports[0].startswith("no trading hours of 8314, 7, so a missing tick counts at all times: ")


@pytest.mark.gateway(inactive_conids=frozenset({7}))
async def test_a_refused_schedule_is_not_requested_again_soon(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    async with following(gateway, client, tmp_path, (7, IBM), retry_s=5.0) as run:
        await until(lambda: bool(run.reports))
        await client.clock.sleep(30.0)
        assert run.asked() == ["7", "8314"]
        assert "no trading hours of 7, so" in run.reports[0]
        assert "Contract not found" in run.reports[0]


async def test_an_unknown_time_zone_is_reported_once(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    body = orjson.dumps(orjson.loads(stock_schedule(gateway)) | {"exchange_time_zone": "Nowhere/Land"})
    gateway.faults.fail_rest(PATH, status=200, body=body, times=None)
    async with following(gateway, client, tmp_path, (IBM,), interval_s=5.0) as run:
        await until(lambda: len(run.asked()) >= 3)
        assert len(run.reports) == 1
        assert "does not know the time zone 'Nowhere/Land'" in run.reports[0]


async def test_hours_that_changed_are_set_again(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    def subscribed() -> int:
        texts = [text.text for connection in gateway.connections for text in connection.received]
        return sum(text.startswith(f"smd+{IBM}+") for text in texts)

    async with following(gateway, client, tmp_path, (IBM,), interval_s=5.0) as run:
        await until(lambda: len(run.asked()) >= 2)
        assert subscribed() == 1
        gateway.faults.fail_rest(PATH, status=200, body=stock_schedule(gateway), times=None)
        await until(lambda: subscribed() == 2)
        asked_before = len(run.asked())
        await until(lambda: len(run.asked()) >= asked_before + 2)
        assert subscribed() == 2


def test_invalid_hours(tmp_path: Path) -> None:
    for wrong in ("none", 5, dt.time(9)):
        with pytest.raises(ConfigError, match="trading_hours must be"):
            CollectOptions(out=tmp_path, trading_hours=wrong)  # type: ignore[arg-type]
