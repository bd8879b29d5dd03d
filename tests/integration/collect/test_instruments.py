"""The instruments of a run change while it continues, and those that stay are not touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.instruments import InstrumentChange
from cpapi_fast.errors import LimitError, SubscriptionError, SymbolError, UsageError
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.support.loops import until

from .harness import options_of, quoted

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
