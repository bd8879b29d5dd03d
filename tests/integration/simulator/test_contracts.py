"""The simulated gateway's contracts and snapshots, and their quirks, as a plain HTTP client sees them."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import StartGateway

from .plain_client import http


async def get(gateway: SimulatedGateway, path: str, **query: str) -> tuple[int, Any]:
    async with http() as session, session.get(gateway.url + path, params=query) as response:
        return response.status, await response.json()


async def test_a_search_has_texts_as_conids_and_an_error_for_no_match(gateway: SimulatedGateway) -> None:
    status, found = await get(gateway, "/iserver/secdef/search", symbol="AAPL")
    assert status == 200
    assert [match["conid"] for match in found] == ["265598", "38708077", "273982664", "493546048"]
    assert [section["secType"] for section in found[0]["sections"]] == ["STK", "OPT"]
    assert await get(gateway, "/iserver/secdef/search", symbol="XYZW") == (200, {"error": "No symbol found"})
    assert (await get(gateway, "/iserver/secdef/search"))[0] == 400


async def test_a_symbol_is_listed_on_several_exchanges(gateway: SimulatedGateway) -> None:
    status, found = await get(gateway, "/trsrv/stocks", symbols="AAPL,XYZW")
    assert status == 200
    assert [len(company["contracts"]) for company in found["AAPL"]] == [3, 1]
    assert found["XYZW"] == []
    assert (await get(gateway, "/trsrv/futures", symbols="XYZW"))[1] == {"XYZW": []}
    assert (await get(gateway, "/trsrv/futures"))[0] == 400


async def test_terms_agree_with_the_lists(gateway: SimulatedGateway) -> None:
    futures = (await get(gateway, "/trsrv/futures", symbols="ES,CL"))[1]
    for symbol, listed in futures.items():
        for future in listed:
            status, info = await get(gateway, f"/iserver/contract/{future['conid']}/info")
            assert (status, info["con_id"], info["symbol"]) == (200, future["conid"], symbol)
            assert info["maturity_date"] == str(future["expirationDate"])
            assert info["local_symbol"].startswith(symbol)
    # Crude oil expires in the month before.
    assert (info["contract_month"], info["maturity_date"]) == ("202702", "20270120")
    assert (await get(gateway, "/iserver/currency/pairs", currency="JPY"))[1] == {
        "JPY": [{"symbol": "USD.JPY", "conid": 15016059, "ccyPair": "USD"}]
    }


async def test_invented_contracts_are_found_by_the_options(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(conids=(4711,))
    symbol = (await get(gateway, "/iserver/contract/4711/info"))[1]["symbol"]
    found = (await get(gateway, "/trsrv/stocks", symbols=symbol))[1]
    assert [row["conid"] for company in found[symbol] for row in company["contracts"]] == [4711]


async def test_the_first_snapshot_has_no_values(gateway: SimulatedGateway) -> None:
    path, query = "/iserver/marketdata/snapshot", {"conids": "265598,8314", "fields": "84,86"}
    assert await get(gateway, path, **query) == (400, {"error": "Please query /accounts first", "statusCode": 400})
    await get(gateway, "/iserver/accounts")
    first, second = [(await get(gateway, path, **query))[1] for _ in range(2)]
    assert [row["conid"] for row in first] == [265598, 8314]
    assert all("84" not in row and "86" not in row for row in first)
    assert all(float(row["84"]) < float(row["86"]) for row in second)
    # Another field is started by another request.
    assert "31" not in (await get(gateway, path, conids="8314", fields="31"))[1][0]
    too_many = ",".join(map(str, range(101)))
    assert (await get(gateway, path, conids=too_many, fields="84"))[0] == 400
    assert (await get(gateway, path, conids="AAPL", fields="84"))[0] == 400


async def test_a_schedule_has_the_sessions_of_the_next_days(gateway: SimulatedGateway) -> None:
    schedule = (await get(gateway, "/contract/trading-schedule", conid="265598"))[1]
    assert schedule["exchange_time_zone"] == "America/New_York"
    assert len(schedule["schedules"]) == 8
    for day in schedule["schedules"].values():
        assert all(liquid["closing"] - liquid["opening"] == 23_400 for liquid in day["liquid_hours"])
        # A day when the clocks change has an hour more or less.
        assert 23 <= (day["extended_hours"][0]["closing"] - day["extended_hours"][0]["opening"]) / 3600 <= 25


@pytest.mark.parametrize("path", ["/iserver/secdef/search", "/iserver/contract/8314/info", "/iserver/currency/pairs"])
async def test_without_a_brokerage_session(start_gateway: StartGateway, path: str) -> None:
    gateway = await start_gateway(has_brokerage=False)
    assert await get(gateway, path) == (400, {"error": "Bad Request: no bridge", "statusCode": 400})
    assert (await get(gateway, "/trsrv/stocks", symbols="IBM"))[0] == 200


async def test_other_methods_are_not_found(gateway: SimulatedGateway) -> None:
    async with http() as session, session.delete(gateway.url + "/trsrv/stocks") as response:
        assert response.status == 404
