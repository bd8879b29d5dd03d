"""Symbols: resolved by the gateway, never guessed, and collected by `cpapi-fast collect --symbols`."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.symbols import resolve_symbols
from cpapi_fast.errors import CpapiError, NotAuthenticatedError, SubscriptionError, SymbolError
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.support.commands import command
from tests.support.loops import until

from .command_harness import check_bad_input
from .harness import happened, options_of, quoted

AAPL, IBM, ESZ6, CLF7, EURUSD = 265598, 8314, 649180695, 212921500, 12087792


async def resolved(client: Client, *symbols: str) -> list[int]:
    return [one.conid for one in await resolve_symbols(client, symbols)]


async def test_stocks_futures_and_pairs(client: Client) -> None:
    wanted = ["AAPL@NASDAQ", "IBM", "ESZ6", "ESH27", "CLF7", "EUR.USD", "IBM"]
    found = await resolve_symbols(client, wanted)
    assert [one.conid for one in found] == [AAPL, IBM, ESZ6, 649180696, CLF7, EURUSD]
    assert [one.text for one in found] == wanted[:-1]
    apple, ibm, future, _, oil, pair = found
    assert (apple.sec_type, apple.exchange, apple.currency, apple.name) == ("STK", "NASDAQ", "USD", "APPLE INC")
    assert (ibm.exchange, ibm.currency) == ("NYSE", "USD")
    assert (future.sec_type, future.contract_month, future.multiplier, future.exchange) == (
        "FUT",
        "202612",
        50.0,
        "CME",
    )
    # It expires in December.
    assert (oil.contract_month, oil.local_symbol) == ("202701", "CLF7")
    assert (pair.sec_type, pair.symbol, pair.currency) == ("CASH", "EUR.USD", "USD")


async def test_an_exchange_or_a_currency_narrows(client: Client) -> None:
    assert await resolved(client, "AAPL@EBS", "AAPL:CHF", "AAPL@NASDAQ:USD", "ESZ6@CME") == [
        273982664,
        273982664,
        AAPL,
        ESZ6,
    ]
    assert await resolved(client, "EUR.USD@IDEALPRO", "EUR.USD:USD") == [EURUSD, EURUSD]
    for symbol in ("ESZ9", "EUR.XXX", "ES", "XYZW@NYSE"):
        with pytest.raises(SymbolError, match="names no stock, future or currency pair"):
            await resolve_symbols(client, [symbol])
    for symbol, others in {
        "AAPL@LSE": r"AAPL@NASDAQ \(.*; AAPL@EBS \(",
        "AAPL:JPY": r"AAPL@NASDAQ \(conid 265598, STK, NASDAQ, USD, APPLE INC\); AAPL@MEXI",
        "AAPL@NASDAQ:CHF": r"AAPL@MEXI \(.*USD",
        "ESZ6@NYMEX": r"ESZ6@CME \(conid 649180695, FUT, CME, USD, 202612, ESZ6, ES, multiplier 50",
        "EUR.USD@XXX": r"EUR.USD@IDEALPRO \(",
    }.items():
        with pytest.raises(SymbolError, match=f"^{symbol} names no contract; there is {others}"):
            await resolve_symbols(client, [symbol])


async def test_the_future_with_the_symbol_itself_is_preferred(gateway: SimulatedGateway, client: Client) -> None:
    """A week's future has the same month, and another symbol at the exchange."""
    futures = [{"symbol": "VX", "conid": conid, "expirationDate": 20261223 - 7 * conid} for conid in (1, 2)]
    gateway.faults.fail_rest("/trsrv/futures", status=200, body=orjson.dumps({"VX": futures}), times=None)
    for conid, local_symbol in ((1, "VXZ6"), (2, "VX50Z6")):
        info = {"con_id": conid, "symbol": "VX", "local_symbol": local_symbol, "contract_month": "202612"}
        path = f"/iserver/contract/{conid}/info"
        gateway.faults.fail_rest(path, status=200, body=orjson.dumps(info | {"instrument_type": "FUT"}), times=None)
    assert await resolved(client, "VXZ6", "VXZ26") == [1, 1]


@pytest.mark.parametrize("status", [200, 400, 404])
async def test_a_currency_without_pairs(gateway: SimulatedGateway, client: Client, status: int) -> None:
    path = "/iserver/currency/pairs"
    gateway.faults.fail_rest(path, status=status, body=b'{"error":"Invalid currency"}', times=None)
    with pytest.raises(SymbolError, match=r"ABC\.DEF names no stock"):
        await resolve_symbols(client, ["ABC.DEF"])


async def test_pairs_of_which_only_one_list_can_be_read(gateway: SimulatedGateway, client: Client) -> None:
    path = "/iserver/currency/pairs"
    gateway.faults.fail_rest(path, status=500, body=b'{"error":"Invalid currency"}')
    assert await resolved(client, "EUR.USD") == [EURUSD]
    gateway.faults.fail_rest(path, status=500, body=b'{"error":"Invalid currency"}', times=None)
    with pytest.raises(SymbolError, match=r"ABC\.DEF is not clear: the list of currency pairs could not be read"):
        await resolve_symbols(client, ["ABC.DEF"])


async def test_a_pair_is_found_in_the_list_of_either_currency(gateway: SimulatedGateway, client: Client) -> None:
    gateway.faults.fail_rest("/iserver/currency/pairs", status=200, body=b'{"USD":[{"symbol":"USD.SGD","conid":1}]}')
    assert await resolved(client, "EUR.USD") == [EURUSD]
    asked = [request.query["currency"] for request in gateway.requests if request.path.endswith("/pairs")]
    assert asked == ["USD", "EUR"]
    # The reverse is another quote, and never taken for it.
    with pytest.raises(SymbolError):
        await resolve_symbols(client, ["USD.EUR"])


async def test_one_error_names_all_that_are_ambiguous_or_unknown(client: Client) -> None:
    with pytest.raises(SymbolError) as caught:
        await resolve_symbols(client, ["AAPL", "IBM", "XYZW", "MSFT"])
    text = str(caught.value)
    assert "AAPL is ambiguous: AAPL@NASDAQ (conid 265598, STK, NASDAQ, APPLE INC)" in text
    assert "XYZW names no stock" in text
    assert "MSFT is ambiguous" in text
    assert "IBM is" not in text
    assert {name: len(candidates) for name, candidates in caught.value.candidates.items()} == {
        "AAPL": 4,
        "XYZW": 0,
        "MSFT": 2,
    }
    for wrong in ("AAPL", b"AAPL", None, [5], ["A@@B"]):
        with pytest.raises(SubscriptionError):
            await resolve_symbols(client, wrong)  # type: ignore[arg-type]
    assert await resolve_symbols(client, []) == ()


async def test_a_contract_without_terms_is_still_resolved(gateway: SimulatedGateway, client: Client) -> None:
    gateway.faults.fail_rest(f"/iserver/contract/{IBM}/info", status=500, times=None)
    (ibm,) = await resolve_symbols(client, ["IBM"])
    assert (ibm.conid, ibm.exchange, ibm.currency) == (IBM, "NYSE", "")


# A run


def metadata_of(folder: Path) -> list[Any]:
    """The tables of symbols of all files."""
    found = [pq.read_schema(path).metadata[b"cpapi_fast.symbols"] for path in folder.glob("quotes-*.parquet")]
    for path in folder.glob("capture-*.arrows"):
        reader = read_capture(path)
        reader.read_all()
        found.append(reader.schema.metadata[b"cpapi_fast.symbols"])
    for path in folder.glob("events-*.jsonl"):
        first = orjson.loads(path.read_bytes().split(b"\n")[0])
        assert (first["type"], first["row"]) == ("symbols", 0)
        found.append(orjson.dumps(first["symbols"]))
    return [orjson.loads(table) for table in found]


async def test_a_run_by_symbol(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    options = options_of(client, tmp_path, conids=(IBM,), symbols=("AAPL@NASDAQ", "ESZ6", "IBM"), roll_interval_s=10.0)
    collector = Collector(client, options)
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    await until(lambda: len(collector.latest_status.latest) == 3)
    assert collector.latest_status.symbols == {"265598": "AAPL@NASDAQ", "649180695": "ESZ6", "8314": "IBM"}
    await until(lambda: len(list(tmp_path.glob("quotes-*.parquet"))) >= 2)
    stop.set()
    summary = await running
    assert Counter(row["conid"] for row in quoted(tmp_path)).keys() == {AAPL, ESZ6, IBM}
    tables = metadata_of(tmp_path)
    assert len(tables) >= 4
    assert all(table == tables[0] for table in tables)
    assert [(row["symbol"], row["conid"]) for row in tables[0]] == [("AAPL@NASDAQ", AAPL), ("ESZ6", ESZ6), ("IBM", IBM)]
    # The first line of the events is no event.
    events = summary.outputs[2].counts
    assert events.written == len(happened(tmp_path)) - len(list(tmp_path.glob("events-*.jsonl")))
    asked = [text.text for text in gateway.connections[-1].received if text.text.startswith("smd+")]
    assert len({text.split("+")[1] for text in asked}) == 3


async def run_until_quoted(client: Client, options: CollectOptions) -> None:
    """Run until each instrument has a quote."""
    collector = Collector(client, options)
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    count = len(options.conids) + len(options.symbols)
    await until(lambda: running.done() or len(collector.latest_status.latest) == count)
    stop.set()
    await running


async def test_files_of_a_run_without_symbols_have_no_table(client: Client, tmp_path: Path) -> None:
    await run_until_quoted(client, options_of(client, tmp_path))
    (quotes, *_) = tmp_path.glob("quotes-*.parquet")
    assert b"cpapi_fast.symbols" not in pq.read_schema(quotes).metadata
    assert all(line["type"] != "symbols" for line in happened(tmp_path))


async def test_an_ambiguous_symbol_ends_a_run_before_anything_is_written(client: Client, tmp_path: Path) -> None:
    collector = Collector(client, options_of(client, tmp_path, symbols=("AAPL",)))
    with pytest.raises(SymbolError, match="AAPL is ambiguous"):
        await collector.run()
    assert list(tmp_path.iterdir()) == []


async def test_a_run_waits_for_the_login(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    gateway.faults.log_out()
    notices: list[str] = []
    options = options_of(client, tmp_path, conids=(), symbols=("IBM",), duration_s=600.0)
    stop = asyncio.Event()
    collector = Collector(client, options, on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await until(lambda: any("symbols are not resolved yet" in text for text in notices))
    gateway.faults.log_in()
    await until(lambda: len(collector.latest_status.latest) == 1)
    stop.set()
    await running
    assert {row["conid"] for row in quoted(tmp_path)} == {IBM}


@pytest.mark.gateway(has_brokerage=False)
async def test_a_run_opens_the_brokerage_session(client: Client, tmp_path: Path) -> None:
    await run_until_quoted(client, options_of(client, tmp_path, conids=(), symbols=("IBM", "ESZ6")))
    assert {row["conid"] for row in quoted(tmp_path)} == {IBM, ESZ6}


@pytest.mark.parametrize("ends", ["stop", "duration", "give up"])
async def test_a_run_that_ends_before_its_symbols_are_resolved(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, ends: str
) -> None:
    gateway.faults.log_out()
    limits = {"duration": {"duration_s": 40.0}, "give up": {"give_up_after_s": 40.0}}.get(ends, {})
    stop = asyncio.Event()
    notices: list[str] = []
    options = options_of(client, tmp_path, symbols=("IBM",), **limits)
    running = asyncio.create_task(Collector(client, options, on_notice=notices.append).run(stop))
    await until(lambda: bool(notices))
    if ends == "stop":
        stop.set()
    with pytest.raises(NotAuthenticatedError, match="before the symbols were resolved; nothing was collected"):
        await running
    assert list(tmp_path.iterdir()) == []


async def test_a_gateway_that_refuses_ends_the_run(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    gateway.faults.fail_rest("/trsrv/stocks", status=404, times=None)
    with pytest.raises(CpapiError, match="/trsrv/stocks returned status 404"):
        await Collector(client, options_of(client, tmp_path, symbols=("IBM",))).run()


# The command


def test_options_with_symbols(tmp_path: Path) -> None:
    assert CollectOptions(out=tmp_path, symbols=(" IBM ", "IBM")).symbols == ("IBM",)
    for wrong in ("IBM", ["A@@B"], [5]):
        with pytest.raises(SubscriptionError):
            CollectOptions(out=tmp_path, symbols=wrong)  # type: ignore[arg-type]


async def test_the_command(tmp_path: Path) -> None:
    result = await command(
        *("collect", "--simulate", "--speed", "10", "--out", tmp_path, "--duration", "40"),
        *("--symbols", "AAPL@NASDAQ,ESZ6", "--symbols", "EUR.USD"),
    )
    assert result.code == 0, result
    assert {row["conid"] for row in quoted(tmp_path)} == {AAPL, ESZ6, EURUSD}
    assert [row["symbol"] for row in metadata_of(tmp_path)[0]] == ["AAPL@NASDAQ", "ESZ6", "EUR.USD"]


@pytest.mark.gateway(tls=False, speed=1.0, ready_delay_s=0.0)
async def test_bad_symbols_of_the_command(gateway: SimulatedGateway, tmp_path: Path) -> None:
    source = ("collect", "--url", gateway.url, "--out", tmp_path / "out", "--give-up-after", "20")
    unknown = await command(*source, "--symbols", "IBM,XYZW,AAPL")
    check_bad_input(unknown, r"XYZW names no stock.*AAPL is ambiguous: AAPL@NASDAQ \(conid 265598.*--conids", 2)
    for wrong in ("A@@B", "", "IBM,,AAPL", "AAPL:usd"):
        refused = await command(*source, "--symbols", wrong)
        assert refused.code == 2
        assert "must be" in refused.err
    invented = await command("collect", "--simulate", "--out", tmp_path / "out", "--symbols", "IBM", "--contract-cache")
    check_bad_input(invented, "--contract-cache cannot be used with --simulate, whose contracts are invented", 2)
    nothing = await command(*source)
    check_bad_input(nothing, "at least one instrument to subscribe to, such as --conids 265598 or --symbols", 2)
    assert not list(tmp_path.glob("**/*.*"))


@pytest.mark.gateway(tls=False, speed=1.0, ready_delay_s=0.0)
async def test_the_cache_of_the_command(gateway: SimulatedGateway, tmp_path: Path) -> None:
    source = ("collect", "--url", gateway.url, "--give-up-after", "20", "--duration", "2", "--symbols", "ESZ6,IBM")
    about = ("/trsrv/", "/iserver/contract/")
    asked = []
    for run in ("first", "second"):
        result = await command(*source, "--out", tmp_path / run, "--contract-cache", tmp_path / "cache")
        assert (result.code, result.err) == (0, ""), result
        asked.append(sum(request.path.removeprefix("/v1/api").startswith(about) for request in gateway.requests))
    # ESZ6 could be a stock, which is asked for each time, because there is none.
    assert (asked[0], asked[1] - asked[0]) == (4, 1)
    assert metadata_of(tmp_path / "first")[0] == metadata_of(tmp_path / "second")[0]
    file = tmp_path / "file"
    file.write_text("")
    refused = await command(*source, "--out", tmp_path / "third", "--contract-cache", file)
    assert refused.code == 2
    assert "is a file; give the path of a folder" in refused.err


async def test_a_gateway_that_hangs_does_not_hold_up_the_end(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    gateway.faults.stall()
    running = asyncio.create_task(Collector(client, options_of(client, tmp_path, symbols=("IBM",))).run(stop))
    await until(lambda: any(request.path.endswith("/trsrv/stocks") for request in gateway.requests))
    stop.set()
    with pytest.raises(CpapiError, match=r"stopped before the symbols were resolved; nothing was collected$"):
        await running
    gateway.faults.resume()
