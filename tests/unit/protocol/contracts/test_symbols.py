"""Symbols of users: their forms, the futures that they may name, and the error for those that name none or several."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.protocol.contracts.candidates import Candidates, symbol_error
from cpapi_fast.protocol.contracts.info import ContractInfo
from cpapi_fast.protocol.contracts.listings import FutureContract
from cpapi_fast.protocol.contracts.symbols import (
    ResolvedSymbol,
    SymbolQuery,
    symbols_json,
    symbols_table,
)

from .bodies import INFO


def parts(text: str) -> tuple[object, ...]:
    query = SymbolQuery.parse(text)
    return query.symbol, query.exchange, query.currency, query.root, query.month, query.year, query.quote


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AAPL", ("AAPL", None, None, None, 0, "", None)),
        (" AAPL@NASDAQ ", ("AAPL", "NASDAQ", None, None, 0, "", None)),
        ("AAPL:USD", ("AAPL", None, "USD", None, 0, "", None)),
        ("AAPL@EBS:CHF", ("AAPL", "EBS", "CHF", None, 0, "", None)),
        ("BRK B@NYSE", ("BRK B", "NYSE", None, None, 0, "", None)),
        ("ESZ6", ("ESZ6", None, None, "ES", 12, "6", None)),
        ("ESZ26@CME", ("ESZ26", "CME", None, "ES", 12, "26", None)),
        ("6EF7", ("6EF7", None, None, "6E", 1, "7", None)),
        ("EUR.USD", ("EUR.USD", None, None, None, 0, "", "USD")),
        ("BRK.B", ("BRK.B", None, None, None, 0, "", None)),
        ("ESA6", ("ESA6", None, None, None, 0, "", None)),
    ],
)
def test_forms_of_symbols(text: str, expected: tuple[object, ...]) -> None:
    assert parts(text) == expected
    assert SymbolQuery.parse(text).text == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", " ", "@NASDAQ", "AAPL@", "AAPL@nasdaq", "AAPL:usd", "AAPL:", "A@B@C", "A:USD:EUR", "Ä", "A\nB", 5, None],
)
def test_texts_that_are_no_symbols(text: Any) -> None:
    with pytest.raises(SubscriptionError):
        SymbolQuery.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_symbol_or_refused(text: str) -> None:
    try:
        query = SymbolQuery.parse(text)
    except SubscriptionError:
        return
    assert SymbolQuery.parse(query.text) == query


@pytest.mark.parametrize("text", ["AAPL @NASDAQ:USD", " AAPL@ NASDAQ : USD", "AAPL@NASDAQ :USD "])
def test_spaces_make_no_other_symbol(text: str) -> None:
    assert SymbolQuery.parse(text) == SymbolQuery.parse("AAPL@NASDAQ:USD")


def a_future(expiration: dt.date | None) -> FutureContract:
    return FutureContract("ES", 1, None, expiration, None, {})


@pytest.mark.parametrize(
    ("text", "expiration", "expected"),
    [
        ("ESZ6", dt.date(2026, 12, 18), True),
        ("ESZ6", dt.date(2027, 3, 19), False),
        ("ESZ6", dt.date(2036, 12, 19), True),
        ("ESZ26", dt.date(2036, 12, 19), False),
        # Crude oil of January expires in December of the year before.
        ("CLF7", dt.date(2026, 12, 21), True),
        ("CLF6", dt.date(2026, 12, 21), False),
        ("CLZ6", dt.date(2027, 1, 10), True),
        ("ESZ6", None, True),
    ],
)
def test_which_futures_may_be_meant(text: str, expiration: dt.date | None, expected: bool) -> None:
    assert SymbolQuery.parse(text).may_be(a_future(expiration)) is expected


def test_the_terms_decide_which_future_it_is() -> None:
    query = SymbolQuery.parse("ESZ6")
    assert query.is_future(ContractInfo.parse(INFO))
    assert SymbolQuery.parse("ESZ26").is_future(ContractInfo.parse(INFO))
    assert not SymbolQuery.parse("ESH7").is_future(ContractInfo.parse(INFO))
    # Without a month, the symbol at the exchange decides; without both, it is not known.
    no_month = INFO | {"contract_month": None, "expiry_full": None}
    assert query.is_future(ContractInfo.parse(no_month))
    assert query.is_future(ContractInfo.parse(no_month | {"local_symbol": None})) is None
    # A month that contradicts the symbol decides.
    assert query.is_future(ContractInfo.parse(INFO | {"contract_month": "202703"})) is False


@pytest.mark.parametrize(
    ("month", "full", "expected"),
    [
        ("202612", None, "202612"),
        (202612, None, "202612"),
        ("DEC26", None, "202612"),
        ("dec26", None, "202612"),
        (None, "202612", "202612"),
        # A date may be that of the expiration, which may be in another month.
        ("20261218", None, ""),
        (None, "20261218", ""),
        (20261218, 202612, "202612"),
        ("202613", None, ""),
        ("DECEMBER", True, ""),
        (2**70, [], ""),
    ],
)
def test_forms_of_months(month: Any, full: Any, expected: str) -> None:
    info = ContractInfo.parse(INFO | {"contract_month": month, "expiry_full": full})
    assert info.contract_month == expected
    # The local symbol decides where there is no month.
    assert SymbolQuery.parse("ESZ6").is_future(info)
    assert not SymbolQuery.parse("ESH7").is_future(info)


def test_which_future_has_exactly_this_symbol() -> None:
    info = ContractInfo.parse(INFO)
    assert SymbolQuery.parse("ESZ6").is_exact(info)
    assert SymbolQuery.parse("ESZ26").is_exact(info)
    assert not SymbolQuery.parse("ESZ6").is_exact(ContractInfo.parse(INFO | {"local_symbol": "ES5Z6"}))


APPLE = [
    ResolvedSymbol("AAPL", 265598, "AAPL", "STK", "NASDAQ", name="APPLE INC"),
    ResolvedSymbol("AAPL", 273982664, "AAPL", "STK", "EBS", name="APPLE INC"),
]


def test_the_error_lists_what_tells_contracts_apart() -> None:
    error = symbol_error({"AAPL": Candidates(APPLE), "XYZW": Candidates()})
    assert str(error) == (
        "AAPL is ambiguous: AAPL@NASDAQ (conid 265598, STK, NASDAQ, APPLE INC); AAPL@EBS (conid 273982664, STK, EBS, "
        "APPLE INC). XYZW names no stock, future or currency pair. Give the exchange, as in AAPL@EBS; or the conid as "
        "conids=..."
    )
    assert error.candidates == {"AAPL": tuple(APPLE), "XYZW": ()}


def a_contract(text: str, conid: int, **terms: Any) -> ResolvedSymbol:
    return ResolvedSymbol(text, conid, "ES", "FUT", **({"exchange": "CME", "currency": "USD"} | terms))


@pytest.mark.parametrize(
    ("text", "terms", "advice"),
    [
        ("ESZ6", {"contract_month": ("202612", "203612")}, "the year with two digits, as in ESZ26; or the conid"),
        ("ESZ6", {"exchange": ("CME", "EUREX")}, "the exchange, as in ESZ6@CME; or the conid"),
        ("ESZ6@CME", {"exchange": ("CME", "EUREX")}, "the conid"),
        ("ESZ6", {"currency": ("USD", "EUR")}, "the currency, as in ESZ6:EUR; or the conid"),
        ("ESZ26", {"trading_class": ("6E", "E7"), "local_symbol": ("6EZ6", "E7Z6")}, "the conid"),
        ("ESZ6", {"multiplier": (50.0, 5.0)}, "the conid"),
    ],
)
def test_the_advice_follows_from_what_differs(text: str, terms: dict[str, tuple[Any, Any]], advice: str) -> None:
    contracts = [
        a_contract(text, 1 + index, **{name: values[index] for name, values in terms.items()}) for index in (0, 1)
    ]
    message = str(symbol_error({text: Candidates(contracts)}))
    assert f". Give {advice} as conids=..." in message
    for one in contracts:
        for name in terms:
            value = getattr(one, name)
            assert (f"multiplier {value:g}" if name == "multiplier" else value) in message


def test_contracts_of_another_exchange_are_named() -> None:
    message = str(symbol_error({"AAPL@NYSE": Candidates(others=list(APPLE))}))
    assert message.startswith(
        "AAPL@NYSE names no contract; there is AAPL@NASDAQ (conid 265598, STK, NASDAQ, APPLE INC); AAPL@EBS ("
    )
    assert message.endswith("Give one of these, or give the conid as conids=...")
    unread = str(symbol_error({"AAPL": Candidates(problems=["the list of its stocks could not be read"])}))
    assert unread.endswith("could not be read. Try again later, or give the conid as conids=...")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("265598", "265598 is no symbol; give a conid as conids=..."),
        ("ES", "A future has its month and year, as in ESZ6"),
        ("EUR/USD", "a currency pair a dot, as in EUR.USD"),
        ("VIX", "such as an index, is given by its conid"),
        ("XYZW", "Check its spelling and capitals"),
    ],
)
def test_a_symbol_without_a_contract_has_a_hint(text: str, hint: str) -> None:
    assert hint in str(symbol_error({text: Candidates()}))


def test_contracts_that_an_exchange_does_not_tell_apart_are_named_by_conid() -> None:
    twice = [APPLE[0], ResolvedSymbol("AAPL", 7, "AAPL", "FUT", "NASDAQ")]
    text = str(symbol_error({"AAPL": Candidates(twice)}))
    assert "AAPL@NASDAQ (" not in text
    assert "conid 7, FUT, NASDAQ" in text


def test_a_symbol_that_looks_like_an_account_is_still_named() -> None:
    message = str(symbol_error({"DAX20261218": Candidates(), "U1234567@NYSE": Candidates(), "ESZ26": Candidates()}))
    assert "DAX… (11 characters) names no stock" in message
    assert "U… (13 characters) names no stock" in message
    assert "ESZ26 names no stock" in message
    assert "1234567" not in message


def test_the_error_is_bounded() -> None:
    many = [ResolvedSymbol("A", conid, "A", "STK", f"X{conid}") for conid in range(1000)]
    text = str(symbol_error({f"S{number}": Candidates(many) for number in range(100)}))
    assert "and 992 more" in text
    assert "80 more symbols" in text
    assert len(text) < 20_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VODA \ud83d", "VODA \\ud83d"),
        ("a\x1b[31m\nb\u202e", "a\\x1b[31m\\nb\\u202e"),
        ("Nestlé", "Nestlé"),
        ("x" * 1_000_000, "x" * 63 + "…"),
        ("\x1b" * 64, ("\\x1b" * 16)[:63] + "…"),
    ],
)
def test_texts_of_the_gateway_are_printable_and_short(text: str, expected: str) -> None:
    info = ContractInfo.parse(INFO | dict.fromkeys(("company_name", "local_symbol", "currency", "exchange"), text))
    stock = ResolvedSymbol("AAPL", 5, text, text, text, name=text)
    future = ResolvedSymbol.of_info(SymbolQuery.parse("ESZ6"), info)
    assert {stock.symbol, stock.sec_type, stock.exchange, stock.name} == {expected}
    assert {future.name, future.local_symbol, future.currency, future.exchange} == {expected}
    assert orjson.loads(symbols_json([stock, future]))[1]["name"] == expected
    assert len(str(symbol_error({"AAPL": Candidates([stock, future])}))) < 1500


def test_a_multiplier_of_hundreds_of_digits_can_be_written() -> None:
    info = ContractInfo.parse(INFO | {"multiplier": 10**100})
    (row,) = orjson.loads(symbols_json([ResolvedSymbol.of_info(SymbolQuery.parse("ESZ6"), info)]))
    assert row["multiplier"] == 1e100


def test_terms_complete_a_contract_and_the_table_has_them() -> None:
    info = ContractInfo.parse(INFO)
    future = ResolvedSymbol.of_info(SymbolQuery.parse("ESZ6"), info)
    assert (future.symbol, future.sec_type, future.exchange, future.currency) == ("ES", "FUT", "CME", "USD")
    assert (future.local_symbol, future.contract_month, future.multiplier) == ("ESZ6", "202612", 50.0)
    assert APPLE[0].with_terms(info).exchange == "NASDAQ"
    (row,) = symbols_table([future])
    assert row == {
        "symbol": "ESZ6", "conid": 649180695, "contract_symbol": "ES", "sec_type": "FUT", "exchange": "CME",
        "currency": "USD", "name": "E-mini S&P 500", "local_symbol": "ESZ6", "contract_month": "202612",
        "trading_class": "ES", "multiplier": 50.0,
    }  # fmt: skip
    assert symbols_json([future]).startswith('[{"symbol":"ESZ6","conid":649180695,')
