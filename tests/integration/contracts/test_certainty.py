"""A symbol is resolved only if it is certain which contract it names, whatever the gateway returns."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cpapi_fast.collect.symbols import resolve_symbols
from cpapi_fast.errors import CpapiError, DecodeError, RedirectError, StatusError, SymbolError
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway

AAPL, IBM, ESZ6 = 265598, 8314, 649180695


async def resolved(client: Client, *symbols: str) -> list[int]:
    return [one.conid for one in await resolve_symbols(client, symbols)]


async def refusal(client: Client, symbol: str) -> SymbolError:
    with pytest.raises(SymbolError) as caught:
        await resolve_symbols(client, [symbol])
    return caught.value


def listed(*contracts: Any) -> dict[str, Any]:
    """The stocks of XYZ: listings on these exchanges, by conid."""
    rows = [{"conid": one[0], "exchange": one[1]} if isinstance(one, tuple) else one for one in contracts]
    return {"XYZ": [{"name": "XYZ CO", "assetClass": "STK", "contracts": rows}]}


def answer(gateway: SimulatedGateway, path: str, body: Any) -> None:
    gateway.faults.fail_rest(path, status=200, body=orjson.dumps(body), times=None)


def info_path(conid: int) -> str:
    return f"/iserver/contract/{conid}/info"


REFUSALS = [{"status": status, "body": b'{"error":"x"}'} for status in (404, 200)]
FAILURES: list[tuple[dict[str, Any], type[CpapiError]]] = [
    ({"status": 500}, StatusError),
    ({"status": 503}, StatusError),
    ({"status": 200, "body": b"[]"}, DecodeError),
    ({"status": 200, "body": b"{"}, DecodeError),
    ({"status": 302, "headers": {"Location": "/elsewhere"}}, RedirectError),
    ({"status": 403}, StatusError),
]


@pytest.mark.parametrize(("failure", "error"), FAILURES)
@pytest.mark.parametrize("symbol", ["ESZ6", "AAPL:USD"])
async def test_terms_that_decide_and_cannot_be_read_are_an_error(
    gateway: SimulatedGateway, client: Client, symbol: str, failure: dict[str, Any], error: type[CpapiError]
) -> None:
    conid = ESZ6 if symbol == "ESZ6" else 38708077
    gateway.faults.fail_rest(info_path(conid), **failure)
    with pytest.raises(error):
        await resolve_symbols(client, [symbol])
    assert len(await resolved(client, symbol)) == 1


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_contract_whose_terms_are_not_known_stays_a_candidate(
    gateway: SimulatedGateway, client: Client, refused: dict[str, Any]
) -> None:
    answer(gateway, "/trsrv/stocks", listed((AAPL, "NASDAQ"), (IBM, "NYSE")))
    assert "is ambiguous" in str(await refusal(client, "XYZ:USD"))
    gateway.faults.fail_rest(info_path(IBM), times=None, **refused)
    error = await refusal(client, "XYZ:USD")
    assert "XYZ:USD is not clear, because the terms of conid 8314 are not known: XYZ@NASDAQ" in str(error)
    assert [one.conid for one in error.candidates["XYZ:USD"]] == [AAPL, IBM]


@pytest.mark.parametrize("refused", REFUSALS)
async def test_the_only_contract_is_not_taken_for_one_with_the_currency(
    gateway: SimulatedGateway, client: Client, refused: dict[str, Any]
) -> None:
    gateway.faults.fail_rest(info_path(IBM), times=None, **refused)
    assert "the terms of conid 8314 are not known" in str(await refusal(client, "IBM:USD"))
    # Nothing depends on the terms here.
    assert await resolved(client, "IBM") == [IBM]
    gateway.faults.fail_rest(info_path(ESZ6), times=None, **refused)
    assert "the terms of conid 649180695 are not known: conid 649180695, FUT" in str(await refusal(client, "ESZ6"))


async def test_fifty_listings_are_compared(gateway: SimulatedGateway, client: Client) -> None:
    answer(gateway, "/trsrv/stocks", listed(*[(1_000 + number, f"X{number}") for number in range(49)], (IBM, "NYSE")))
    error = await refusal(client, "XYZ:CHF")
    assert "names no contract; there is XYZ@X0" in str(error)
    assert len([request for request in gateway.requests if request.path.endswith("/info")]) == 50


async def test_all_listings_are_compared_or_none(gateway: SimulatedGateway, client: Client) -> None:
    many = [(1_000 + number, f"X{number}") for number in range(60)]
    answer(gateway, "/trsrv/stocks", listed(*many))
    error = await refusal(client, "XYZ:USD")
    assert "it has 60 contracts, more than are compared. Give the exchange as well" in str(error)
    assert len(error.candidates["XYZ:USD"]) == 60
    assert not [request for request in gateway.requests if request.path.endswith("/info")]
    assert await resolved(client, "XYZ@X55:USD") == [1_055]


async def test_a_conid_that_is_listed_often_counts_once(gateway: SimulatedGateway, client: Client) -> None:
    answer(gateway, "/trsrv/stocks", listed((AAPL, "NASDAQ"), *[(38708077, "MEXI")] * 60, (IBM, "NYSE")))
    error = await refusal(client, "XYZ:USD")
    assert [one.conid for one in error.candidates["XYZ:USD"]] == [AAPL, IBM]
    assert await resolved(client, "XYZ:MXN") == [38708077]


async def test_a_conid_with_two_exchanges_is_one_contract(gateway: SimulatedGateway, client: Client) -> None:
    answer(gateway, "/trsrv/stocks", listed((IBM, "NYSE"), (IBM, "ARCA")))
    assert await resolved(client, "XYZ", "XYZ@NYSE", "XYZ@ARCA", "XYZ:USD") == [IBM] * 4
    (there,) = await resolve_symbols(client, ["XYZ@ARCA"])
    assert there.exchange == "ARCA"


async def test_terms_of_another_contract_are_refused(gateway: SimulatedGateway, client: Client) -> None:
    answer(gateway, info_path(ESZ6), {"con_id": 999, "symbol": "NQ", "contract_month": "202612"})
    with pytest.raises(DecodeError, match="con_id is that of another contract"):
        await client.contract_info(ESZ6)
    with pytest.raises(DecodeError, match="con_id is that of another contract"):
        await resolve_symbols(client, ["ESZ6"])


@pytest.mark.parametrize("conid", ["unreadable", None, 0, "0", -1, True, 1.5])
async def test_a_listing_without_a_readable_contract_id_is_not_forgotten(
    gateway: SimulatedGateway, client: Client, conid: Any
) -> None:
    answer(gateway, "/trsrv/stocks", listed({"conid": conid, "exchange": "LSE"}, (IBM, "NYSE")))
    for symbol in ("XYZ", "XYZ@NYSE", "XYZ:USD"):
        text = str(await refusal(client, symbol))
        assert f"{symbol} is not clear, because the list of its stocks could not be read: XYZ@NYSE" in text
    assert [one.conid for one in (await client.stocks(["XYZ"]))["XYZ"]] == [IBM]


@pytest.mark.parametrize(
    "value", [5, "x", {"name": "X"}, [None], [5], [{"name": "X"}], [{"name": "X", "contracts": 5}]]
)
async def test_a_list_of_another_shape_does_not_mean_that_there_is_no_contract(
    gateway: SimulatedGateway, client: Client, value: Any
) -> None:
    answer(gateway, "/trsrv/stocks", {"XYZ": value})
    assert str(await refusal(client, "XYZ")).startswith("XYZ is not clear: the list of its stocks could not be read.")


async def test_lists_of_futures_and_pairs_that_cannot_be_read(gateway: SimulatedGateway, client: Client) -> None:
    answer(gateway, "/trsrv/futures", {"ES": [{"symbol": "ES", "conid": 0}]})
    assert "the list of its futures could not be read" in str(await refusal(client, "ESZ6"))
    answer(gateway, "/iserver/currency/pairs", {"USD": [{"symbol": "EUR.USD", "conid": "x"}], "EUR": []})
    assert "the list of currency pairs could not be read" in str(await refusal(client, "EUR.USD"))


async def test_a_listing_with_an_unknown_exchange_may_be_the_one(gateway: SimulatedGateway, client: Client) -> None:
    gateway.faults.fail_rest(info_path(4711), status=200, body=b'{"con_id":4711,"symbol":"XYZ"}', times=None)
    answer(gateway, "/trsrv/stocks", listed((IBM, "NYSE"), {"conid": 4711, "exchange": 5}))
    assert "the terms of conid 4711 are not known" in str(await refusal(client, "XYZ@NYSE"))


@pytest.mark.parametrize("failure", [{"status": 500}, {"status": 200, "body": b"[]"}])
async def test_the_only_contract_does_without_terms_that_cannot_be_read(
    gateway: SimulatedGateway, client: Client, failure: dict[str, Any]
) -> None:
    gateway.faults.fail_rest(info_path(IBM), times=None, **failure)
    (ibm,) = await resolve_symbols(client, ["IBM"])
    assert (ibm.conid, ibm.exchange, ibm.currency) == (IBM, "NYSE", "")
