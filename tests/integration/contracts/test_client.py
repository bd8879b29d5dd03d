"""Contracts and snapshots of the client against the simulated gateway."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cpapi_fast.errors import ConfigError, NoSessionError, StatusError, SubscriptionError
from cpapi_fast.meaning import Meaning
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.pacing import RestPacer
from cpapi_fast.simulator import SimulatedGateway

SNAPSHOT = "/v1/api/iserver/marketdata/snapshot"


def paths(gateway: SimulatedGateway) -> list[str]:
    return [request.path.removeprefix("/v1/api") for request in gateway.requests]


@pytest.mark.each_loop
async def test_search(gateway: SimulatedGateway, client: Client) -> None:
    first, *others = await client.search("AAPL")
    assert (first.conid, first.symbol, first.description) == (265598, "AAPL", "NASDAQ")
    assert {one.description for one in others} == {"MEXI", "EBS", "LSEETF"}
    assert first.sections[0].sec_type == "STK"
    (index,) = await client.search("ES", sec_type="IND")
    assert index.sections[1].months == ("DEC26", "MAR27", "JUN27")
    assert [match.symbol for match in await client.search("microsoft", by_name=True)] == ["MSFT", "MSFT"]
    assert await client.search("XYZW") == ()
    assert dict(gateway.requests[1].query) == {"symbol": "ES", "secType": "IND"}
    assert client.stats.odd_members == {}


async def test_stocks_and_futures_by_symbol(gateway: SimulatedGateway, client: Client) -> None:
    found = await client.stocks(["AAPL", "IBM", "XYZW"])
    assert list(found) == ["AAPL", "IBM", "XYZW"]
    assert [one.exchange for one in found["AAPL"]] == ["NASDAQ", "MEXI", "EBS", "LSEETF"]
    assert [(one.conid, one.is_us) for one in found["IBM"]] == [(8314, True)]
    assert found["XYZW"] == ()
    futures = await client.futures(["ES", "AAPL"])
    assert [one.expiration for one in futures["ES"]] == [
        dt.date(2026, 12, 18),
        dt.date(2027, 3, 19),
        dt.date(2027, 6, 18),
    ]
    assert futures["AAPL"] == ()
    assert paths(gateway) == ["/trsrv/stocks", "/trsrv/futures"]


async def test_many_symbols_are_several_requests(gateway: SimulatedGateway, client: Client) -> None:
    symbols = [f"S{number}" for number in range(120)]
    assert list(await client.stocks(symbols)) == symbols
    assert len(gateway.requests) == 3
    assert await client.stocks([]) == {}


async def test_terms_pairs_and_schedule(client: Client) -> None:
    info = await client.contract_info(649180695)
    assert (info.local_symbol, info.contract_month, info.currency) == ("ESZ6", "202612", "USD")
    assert {pair.symbol: pair.conid for pair in await client.currency_pairs("USD")}["EUR.USD"] == 12087792
    schedule = await client.trading_schedule(265598)
    assert schedule.time_zone == "America/New_York"
    assert len(schedule.days) == 8
    assert all(bool(day.liquid) is (day.date.weekday() < 5) for day in schedule.days)
    # The simulated market moves at all times.
    assert schedule.hours() is None


@pytest.mark.gateway(inactive_conids=frozenset({7}))
async def test_an_unknown_contract_is_an_error_that_names_the_request(client: Client) -> None:
    with pytest.raises(StatusError, match="/iserver/contract/7/info returned status 404"):
        await client.contract_info(7)
    with pytest.raises(StatusError, match='returned an error: "Contract not found"') as caught:
        await client.trading_schedule(7)
    assert (caught.value.meaning, caught.value.status, caught.value.is_retryable) == (Meaning.REFUSED, 200, False)
    with pytest.raises(StatusError, match="Invalid currency"):
        await client.currency_pairs("XXX")


async def test_the_same_symbol_in_every_reply(client: Client) -> None:
    for conid in (265598, 649180695, 4711):
        info = await client.contract_info(conid)
        quotes = await client.snapshot([conid], ["symbol", "sec_type", "company_name", "listing_exchange"])
        quote = quotes[conid]
        assert (quote.symbol, quote.sec_type) == (info.symbol, info.sec_type)
        assert (quote.company_name, quote.listing_exchange) == (info.company_name, info.exchange)
        bars = await client.history(conid, period="1h", bar="1min")
        assert bars.payload["symbol"] == info.symbol


@pytest.mark.each_loop
async def test_a_snapshot_waits_for_its_values(gateway: SimulatedGateway, client: Client) -> None:
    quotes = await client.snapshot([265598, 8314], ["last_price", "84", "ask_price", "symbol"])
    assert list(quotes) == [265598, 8314]
    assert (quotes[265598].symbol, quotes[8314].symbol) == ("AAPL", "IBM")
    for quote in quotes.values():
        assert quote.bid_price is not None
        assert quote.ask_price is not None
        assert quote.bid_price < quote.ask_price
        assert quote.market_data_availability
        assert quote.problems == ()
    # The accounts come first, as the gateway requires.
    assert paths(gateway) == [
        "/iserver/marketdata/snapshot",
        "/iserver/accounts",
        "/iserver/marketdata/snapshot",
        "/iserver/marketdata/snapshot",
    ]
    assert dict(gateway.requests[0].query) == {"conids": "265598,8314", "fields": "31,84,86,55"}
    # The quotes run now, so that one request is enough.
    await client.snapshot([8314], ["31", "84"])
    assert len(gateway.requests) == 5


@pytest.mark.gateway(inactive_conids=frozenset({7}))
async def test_a_contract_without_data_ends_with_the_time_limit(gateway: SimulatedGateway, client: Client) -> None:
    quotes = await client.snapshot([7, 8314], ["84"], timeout_s=2.0)
    assert (quotes[7].conid, quotes[7].bid_price) == (7, None)
    assert quotes[8314].bid_price is not None
    dead = await client.snapshot([7], ["31", "55"])
    assert (dead[7].last_price, dead[7].raw["31"], dead[7].raw["55"]) == (None, "N/A", "-")


async def test_more_contracts_than_a_request_takes(gateway: SimulatedGateway, client: Client) -> None:
    quotes = await client.snapshot(range(1, 251), ["84"])
    assert list(quotes) == list(range(1, 251))
    assert all(quote.bid_price is not None for quote in quotes.values())
    asked = [request.query["conids"].count(",") + 1 for request in gateway.requests if request.path == SNAPSHOT]
    assert sorted(set(asked)) == [50, 100]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("265598",), {}, SubscriptionError),
        ((5,), {}, SubscriptionError),
        ((["265598"],), {}, SubscriptionError),
        (([-1],), {}, SubscriptionError),
        (([1], ["last_prise"]), {}, SubscriptionError),
        (([1], range(1, 60)), {}, SubscriptionError),
        (([1],), {"timeout_s": 0}, ConfigError),
    ],
)
async def test_bad_arguments_of_a_snapshot(
    gateway: SimulatedGateway, client: Client, arguments: Any, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await client.snapshot(*arguments, **options)
    assert len(gateway.requests) == 0


async def test_bad_arguments_are_refused_before_anything_is_sent(gateway: SimulatedGateway, client: Client) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.search(""),
        lambda: client.search("A,B"),
        lambda: client.search("A", sec_type="x\ny"),
        lambda: client.stocks("AAPL"),
        lambda: client.futures([5]),  # type: ignore[list-item]
        lambda: client.currency_pairs("usd"),
        lambda: client.contract_info("265598"),  # type: ignore[arg-type]
        lambda: client.trading_schedule(1, exchange="ny se"),
    ]
    for call in calls:
        with pytest.raises(SubscriptionError):
            await call()
    assert len(gateway.requests) == 0


@pytest.mark.gateway(has_brokerage=False)
async def test_which_requests_need_the_brokerage_session(client: Client) -> None:
    assert (await client.stocks(["IBM"]))["IBM"]
    assert (await client.futures(["ES"]))["ES"]
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.search("IBM"),
        lambda: client.contract_info(8314),
        lambda: client.snapshot([8314]),
    ]
    for call in calls:
        with pytest.raises(NoSessionError):
            await call()


@pytest.mark.gateway(enforce_pacing=True, speed=20.0)
async def test_many_requests_at_once_are_paced(gateway: SimulatedGateway) -> None:
    pacer = RestPacer(gateway.clock, max_wait_s=2_000.0)
    async with Client(gateway.url, clock=gateway.clock, pacer=pacer, total_timeout_s=2_000.0) as client:
        await asyncio.gather(*(client.contract_info(conid) for conid in range(1, 41)))
    assert {request.status for request in gateway.requests} == {200}
    # More than ten in one second would be refused with 429.
    times = sorted(request.time_ns for request in gateway.requests)
    assert all(later - earlier > 900_000_000 for earlier, later in zip(times, times[10:], strict=False))


async def test_the_definitions_of_futures_need_a_search_first(client: Client) -> None:
    query = {"conid": 11004968, "sectype": "FUT", "month": "DEC26"}
    with pytest.raises(StatusError, match="search for the underlying first"):
        await client.request("GET", "/iserver/secdef/info", params=query)
    await client.search("ES")
    found = await client.request("GET", "/iserver/secdef/info", params=query)
    assert [one["local_symbol"] for one in found] == ["ESZ6", "ESH7", "ESM7"]
    posted = await client.request("POST", "/iserver/secdef/search", json={"symbol": "apple", "name": True})
    assert {match["symbol"] for match in posted} == {"AAPL"}
