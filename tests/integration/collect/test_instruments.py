"""The instruments of a run change while it continues, and those that stay are not touched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.cli.service.reload import Reloader
from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.instruments import InstrumentChange
from cpapi_fast.errors import LimitError, SubscriptionError, SymbolError, UsageError
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.support.loops import until
from tests.unit.cli.test_settings import parsed

from .harness import options_of, quoted
from .test_trading_hours import PATH, stock_schedule

AAPL, IBM, ES = 265598, 8314, 495512563


@asynccontextmanager
async def running(client: Client, folder: Path, **options: Any) -> AsyncIterator[Collector]:
    collector = Collector(client, options_of(client, folder, **options), on_notice=lambda _text: None)
    stop = asyncio.Event()
    task = asyncio.create_task(collector.run(stop))
    try:
        await until(lambda: len(collector.latest_status.latest) == len(collector.options.conids) or task.done())
        yield collector
    finally:
        stop.set()
        await task


def sent_to(gateway: SimulatedGateway) -> list[str]:
    """The subscribes and unsubscribes of market data, by conid, in their order."""
    return [
        "+".join(text.text.split("+")[:2])
        for connection in gateway.connections
        for text in connection.received
        if text.text.startswith(("smd+", "umd+"))
    ]


def has(collector: Collector, *conids: int) -> Callable[[], bool]:
    names = {str(conid) for conid in conids}
    return lambda: {quote.name for quote in collector.latest_status.latest if quote.rows} == names


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    # Without TLS, because a run may end while a schedule is requested, and TLS of that request ends after the loop.
    return {"speed": 20.0, "seed": 7, "keep_sent": 100_000, "tls": False}


async def test_an_instrument_joins_and_another_leaves(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    async with running(client, tmp_path, conids=(AAPL, IBM), trading_hours=None) as collector:
        before = sent_to(gateway)
        assert await collector.set_instruments([ES, AAPL]) == InstrumentChange((str(ES),), (str(IBM),))
        await until(has(collector, AAPL, ES))
        assert sent_to(gateway)[len(before) :] == [f"umd+{IBM}", f"smd+{ES}"], "nothing about the other"
        assert set(collector.latest_status.subscriptions) == {str(AAPL), str(ES)}
        assert await collector.set_instruments((AAPL, ES)) == InstrumentChange((), ())
        assert (await collector.set_instruments((IBM, AAPL, ES))).added == (str(IBM),)
        await until(has(collector, AAPL, ES, IBM))
        assert collector.latest_status.rows_unlisted == 0
    summary = collector.summary
    assert summary is not None
    assert summary.gaps == {}, "no gap for those that stay"
    rows = quoted(tmp_path)
    assert {row["conid"] for row in rows} == {AAPL, IBM, ES}
    assert len({row["segment"] for row in rows if row["conid"] == AAPL}) == 1


async def test_symbols_join(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    async with running(client, tmp_path, conids=(IBM,)) as collector:
        assert (await collector.set_instruments([IBM], ["AAPL@NASDAQ"])).added == (str(AAPL),)
        await until(has(collector, IBM, AAPL))
        assert collector.latest_status.symbols == {str(AAPL): "AAPL@NASDAQ"}
        requests = len(gateway.requests)
        assert await collector.set_instruments([IBM], ["AAPL@NASDAQ"]) == InstrumentChange((), ())
        assert not any("stocks" in one.path for one in list(gateway.requests)[requests:]), "it is known"
    assert collector.summary is not None
    assert [one.text for one in collector.summary.symbols] == ["AAPL@NASDAQ"]


async def test_the_schedule_of_an_instrument_that_joins_is_requested(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    def asked() -> list[str]:
        requests = [one for one in gateway.requests if one.path.endswith("/contract/trading-schedule")]
        return [dict(one.query)["conid"] for one in requests]

    async with running(client, tmp_path, conids=(AAPL, IBM)) as collector:
        await until(lambda: len(asked()) >= 2)
        await collector.set_instruments([AAPL, ES])
        await until(lambda: str(ES) in asked())
        assert sorted(asked()) == sorted(map(str, (AAPL, IBM, ES))), "each once"


@pytest.mark.parametrize(
    ("conids", "symbols", "error"),
    [
        ((AAPL, "x"), (), SubscriptionError),
        ("265598", (), SubscriptionError),
        (range(1, 102), (), LimitError),
        ((AAPL,), ("NOSUCHSYMBOL",), SymbolError),
    ],
)
async def test_after_an_error_nothing_is_changed(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, conids: Any, symbols: Any, error: type[Exception]
) -> None:
    async with running(client, tmp_path, conids=(AAPL, IBM), trading_hours=None) as collector:
        before = sent_to(gateway)
        with pytest.raises(error):
            await collector.set_instruments(conids, symbols)
        assert sent_to(gateway) == before
        assert set(collector.latest_status.subscriptions) == {str(AAPL), str(IBM)}


async def test_only_a_run_that_is_in_progress_has_instruments(client: Client, tmp_path: Path) -> None:
    collector = Collector(client, options_of(client, tmp_path))
    with pytest.raises(UsageError, match="only while the collector runs"):
        await collector.set_instruments([AAPL])
    async with running(client, tmp_path) as ended:
        pass
    with pytest.raises(UsageError, match="only while the collector runs"):
        await ended.set_instruments([AAPL])


def changes_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for path in sorted(folder.glob("events-*")) for line in path.read_text().splitlines()]
    return [line for line in lines if line["type"] == "instruments"]


async def test_joining_and_leaving_is_in_the_events(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    async with running(client, tmp_path, conids=(AAPL, IBM), trading_hours=None) as collector:
        await collector.set_instruments([AAPL])
        await collector.set_instruments([AAPL, IBM])
        await collector.set_instruments([AAPL, IBM])
    found = [(line["added"], line["removed"], line["symbols"]) for line in changes_of(tmp_path)]
    assert found == [([], [str(IBM)], []), ([str(IBM)], [], [])]
    assert all(line["time_ns"] > 0 for line in changes_of(tmp_path))


async def test_files_name_the_symbols_that_joined(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    async with running(client, tmp_path, conids=(IBM,), trading_hours=None, roll_interval_s=2.0) as collector:
        await collector.set_instruments([IBM], ["AAPL@NASDAQ"])
        await until(has(collector, IBM, AAPL))
        rows = collector.latest_status.connection.frames_received if collector.latest_status.connection else 0
        files = len(list(tmp_path.glob("capture-*")))
        await until(lambda: len(list(tmp_path.glob("capture-*"))) >= files + 2)
        assert rows
    assert [one["symbol"] for one in changes_of(tmp_path)[0]["symbols"]] == ["AAPL@NASDAQ"]
    for path, read in (
        (max(tmp_path.glob("capture-*")), lambda path: pa.ipc.open_stream(path).schema),
        (max(tmp_path.glob("quotes-*")), pq.read_schema),
    ):
        names = json.loads(read(path).metadata[b"cpapi_fast.symbols"])
        assert [one["conid"] for one in names] == [AAPL], path


async def test_a_reload_before_the_first_subscription_is_made_after_it(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.fail_rest("/trsrv/stocks", status=503, times=None)
    config, told = tmp_path / "c.toml", list[str]()
    config.write_text(f"simulate = true\nout = '{tmp_path}'\nsymbols = ['AAPL@NASDAQ']\n", encoding="utf-8")
    options = options_of(client, tmp_path, conids=(), symbols=("AAPL@NASDAQ",), trading_hours=None)
    collector = Collector(client, options, on_notice=told.append)
    args = parsed("--config", str(config))
    reloader = Reloader(args, collector, lambda text, _facts: told.append(text), told.append)
    stop = asyncio.Event()
    task = asyncio.create_task(collector.run(stop))
    await until(lambda: bool(told))
    assert "not resolved yet" in told[0]
    reloads = [asyncio.create_task(reloader.reload()) for _ in range(3)]
    config.write_text(config.read_text(encoding="utf-8") + f"conids = [{IBM}]\n", encoding="utf-8")
    gateway.faults.clear_rest_failures()
    await asyncio.gather(*reloads)
    assert told[-1] == f"reloaded the instruments: 1 joined ({IBM}), 0 left"
    assert set(collector.status().subscriptions) == {str(AAPL), str(IBM)}
    stop.set()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_instrument_that_leaves_while_its_schedule_is_requested_does_not_return(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.fail_rest(PATH, status=200, body=stock_schedule(gateway), times=None)
    schedule = client.trading_schedule
    answered, waits = asyncio.Event(), asyncio.Event()

    async def held(conid: int, **options: Any) -> Any:
        found = await schedule(conid, **options)
        if conid == AAPL:
            waits.set()
            await answered.wait()
        return found

    client.trading_schedule = held  # type: ignore[method-assign]
    async with running(client, tmp_path, conids=(AAPL, IBM)) as collector:
        await asyncio.wait_for(waits.wait(), 60)
        await collector.set_instruments([IBM, ES])
        answered.set()
        # The schedules are requested one after the other, so that of AAPL is done, and no request is left.
        await until(lambda: all(sent_to(gateway).count(f"smd+{conid}") >= 2 for conid in (IBM, ES)))
        sent = sent_to(gateway)
        assert f"smd+{AAPL}" not in sent[sent.index(f"umd+{AAPL}") :]
        assert set(collector.status().subscriptions) == {str(IBM), str(ES)}
