"""What the gateway tells about contracts: read as documented, and as far as it is clear if it is not."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.protocol.contracts.info import ContractInfo
from cpapi_fast.protocol.contracts.listings import (
    ContractSection,
    check_currency,
    check_symbol,
    check_symbols,
    parse_futures,
    parse_matches,
    parse_pairs,
    parse_stocks,
)
from cpapi_fast.protocol.contracts.schedule import TradingSchedule
from cpapi_fast.protocol.shape import ErrorBodyError, ShapeError

from .bodies import FUTURES, INFO, MATCHES, PAIRS, SCHEDULE, STOCKS, changed

PARSERS: list[tuple[Any, Callable[[Any], Any]]] = [
    (MATCHES, parse_matches),
    (STOCKS, lambda body: parse_stocks(body, "AAPL")),
    (FUTURES, lambda body: parse_futures(body, "ES")),
    (PAIRS, lambda body: parse_pairs(body, "USD")),
    (INFO, ContractInfo.parse),
    (SCHEDULE, TradingSchedule.parse),
]


def test_matches_of_a_search() -> None:
    listing = parse_matches(MATCHES)
    apple, bonds = listing.contracts
    assert listing.odd == ()
    assert (apple.conid, apple.symbol, apple.company_name) == (265598, "AAPL", "APPLE INC")
    assert (apple.header, apple.description) == ("APPLE INC - NASDAQ", "NASDAQ")
    assert apple.sections == (
        ContractSection("STK"),
        ContractSection("OPT", ("DEC26", "JAN27"), ("SMART", "AMEX", "CBOE")),
        ContractSection("IOPT", conid=123),
    )
    assert apple.raw is MATCHES[0]
    assert (bonds.conid, bonds.symbol, bonds.company_name) == (None, "", "")


NO_MATCHES: list[Any] = [
    [],
    *({"error": text} for text in ("No symbol found", "no contracts found for XYZ", "No matches", "Symbol not found.")),
    {"error": "The security with this name was not found"},
]


@pytest.mark.parametrize("body", NO_MATCHES)
def test_a_search_without_a_match(body: Any) -> None:
    assert parse_matches(body).contracts == ()


@pytest.mark.parametrize(
    "text",
    [
        "Account not found",
        "Session not found, please log in",
        "No contracts permission: market data not found",
        "No security definition service",
        "contract server down: host not found",
    ],
)
def test_another_error_of_a_search_is_not_the_lack_of_a_match(text: str) -> None:
    with pytest.raises(ErrorBodyError):
        parse_matches({"error": text})


def test_stocks_keep_what_tells_their_listings_apart() -> None:
    found = parse_stocks(STOCKS, "AAPL").contracts
    assert [(one.conid, one.name, one.exchange, one.is_us, one.sec_type) for one in found] == [
        (265598, "APPLE INC", "NASDAQ", True, "STK"),
        (38708077, "APPLE INC", "MEXI", False, "STK"),
        (493546048, "LS 1X AAPL", "LSEETF", False, "STK"),
    ]
    assert {one.symbol for one in found} == {"AAPL"}
    assert found[0].raw == {"conid": 265598, "exchange": "NASDAQ", "isUS": True}


@pytest.mark.parametrize("body", [{"XYZW": []}, {"XYZW": None}, {}])
def test_a_symbol_without_a_stock(body: Any) -> None:
    listing = parse_stocks(body, "XYZW")
    assert (listing.contracts, listing.odd) == ((), ())


def test_futures_and_pairs() -> None:
    (future,) = parse_futures(FUTURES, "ES").contracts
    assert (future.symbol, future.conid, future.underlying_conid) == ("ES", 649180695, 11004968)
    assert (future.expiration, future.last_trading_day) == (dt.date(2026, 12, 18), dt.date(2026, 12, 17))
    as_text = {"ES": [FUTURES["ES"][0] | {"conid": "649180695", "expirationDate": "20261218"}]}
    (again,) = parse_futures(as_text, "ES").contracts
    assert (again.conid, again.expiration) == (future.conid, future.expiration)
    (pair,) = parse_pairs(PAIRS, "USD").contracts
    assert (pair.symbol, pair.conid) == ("EUR.USD", 12087792)


def test_the_terms_of_a_contract() -> None:
    info = ContractInfo.parse(INFO)
    assert (info.conid, info.symbol, info.local_symbol, info.sec_type) == (649180695, "ES", "ESZ6", "FUT")
    assert (info.currency, info.exchange, info.valid_exchanges) == ("USD", "CME", ("CME", "QBALGO"))
    assert (info.contract_month, info.maturity, info.multiplier) == ("202612", dt.date(2026, 12, 18), 50.0)
    assert (info.strike, info.right, info.underlying_conid, info.odd) == (None, "", 11004968, ())
    assert info.raw is INFO


def test_terms_need_not_repeat_the_contract_id() -> None:
    body = {name: value for name, value in INFO.items() if name != "con_id"}
    assert ContractInfo.parse(body, 649180695).conid == 649180695
    odd = ContractInfo.parse(body | {"con_id": "x"}, 649180695)
    assert (odd.conid, odd.odd) == (649180695, ("con_id",))
    for wrong, conid in ((body, None), ({}, 5), ({"con_id": None}, 5)):
        with pytest.raises(ShapeError):
            ContractInfo.parse(wrong, conid)


def test_odd_members_are_counted_by_names_of_this_library() -> None:
    body = INFO | {"currency": 5, "maturity_date": "soon", "underlying_con_id": [], "symbol": None}
    info = ContractInfo.parse(body)
    assert (info.currency, info.maturity, info.underlying_conid, info.symbol) == ("", None, None, "")
    assert sorted(info.odd) == ["currency", "maturity_date", "underlying_con_id"]
    changed_stocks = copy.deepcopy(STOCKS)
    changed_stocks["AAPL"][0]["contracts"][0]["isUS"] = "yes"
    changed_stocks["AAPL"][0]["contracts"][1]["conid"] = 1.5
    changed_stocks["AAPL"].append("x")
    listing = parse_stocks(changed_stocks, "AAPL")
    assert [(one.conid, one.is_us) for one in listing.contracts] == [(265598, None), (493546048, False)]
    assert sorted(listing.odd) == ["rows", "rows.contracts.conid", "rows.contracts.isUS"]


def test_a_schedule_is_in_order_and_in_utc() -> None:
    schedule = TradingSchedule.parse(SCHEDULE)
    assert schedule.time_zone == "US/Eastern"
    assert [day.date for day in schedule.days] == [dt.date(2026, 11, 30), dt.date(2026, 12, 1)]
    (liquid,) = schedule.days[0].liquid
    assert liquid.start == dt.datetime(2026, 11, 30, 14, 30, tzinfo=dt.UTC)
    assert liquid.end == dt.datetime(2026, 11, 30, 21, 0, tzinfo=dt.UTC)
    noon, morning = (dt.datetime(2026, 11, 30, hour, tzinfo=dt.UTC) for hour in (17, 10))
    assert (schedule.is_open(noon), schedule.is_open(morning)) == (True, True)
    assert (schedule.is_open(noon, outside_rth=False), schedule.is_open(morning, outside_rth=False)) == (True, None)
    assert schedule.is_open(dt.datetime(2026, 12, 1, 3, tzinfo=dt.UTC)) is False
    assert schedule.is_open(dt.datetime(2027, 1, 1, tzinfo=dt.UTC)) is None


@pytest.mark.parametrize(("body", "parse"), PARSERS)
def test_an_error_in_place_of_a_result(body: Any, parse: Callable[[Any], Any]) -> None:
    with pytest.raises(ErrorBodyError):
        parse({"error": "Something went wrong"})
    for wrong in (None, 5, "x", {} if isinstance(body, list) else [], True):
        with pytest.raises(ShapeError):
            parse(wrong)


@given(st.data())
def test_any_change_of_a_body_is_read_or_refused_with_one_error(data: st.DataObject) -> None:
    body, parse = data.draw(st.sampled_from(PARSERS))
    value = data.draw(changed(body))
    try:
        found = parse(value)
    except ShapeError:
        return
    assert all(isinstance(name, str) for name in found.odd)
    for one in getattr(found, "contracts", [found]):
        assert type(getattr(one, "conid", 1)) in (int, type(None))
        assert isinstance(one.raw, dict)
        assert isinstance(repr(one), str)
    for day in getattr(found, "days", ()):
        assert all(session.start < session.end for session in day.sessions)


@pytest.mark.parametrize("symbol", ["AAPL", "BRK B", "EUR.USD", " IBM ", "^SPX", "A" * 64])
def test_valid_symbols(symbol: str) -> None:
    assert check_symbol(symbol) == symbol.strip()


@pytest.mark.parametrize("symbol", ["", " ", "A,B", "A" * 65, "Ä", "A\nB", "A\x00", 5, None, b"A"])
def test_invalid_symbols(symbol: Any) -> None:
    with pytest.raises(SubscriptionError, match=r"a symbol must be a text .* printable ASCII .* without commas"):
        check_symbol(symbol)


def test_a_name_may_have_a_comma() -> None:
    assert check_symbol("Berkshire Hathaway, Inc", "a name", may_have_commas=True) == "Berkshire Hathaway, Inc"
    with pytest.raises(SubscriptionError, match=r"a name must be a text .* printable ASCII characters, not 'Nestlé'"):
        check_symbol("Nestlé", "a name", may_have_commas=True)


def test_lists_of_symbols() -> None:
    assert check_symbols(["AAPL", "IBM", "AAPL"]) == ["AAPL", "IBM"]
    for wrong in ("AAPL", b"AAPL", None, 5):
        with pytest.raises(SubscriptionError, match="must be a list"):
            check_symbols(wrong)  # type: ignore[arg-type]
    for currency in ("usd", "US", "USDT", 5, None):
        with pytest.raises(SubscriptionError, match="three capital letters"):
            check_currency(currency)
