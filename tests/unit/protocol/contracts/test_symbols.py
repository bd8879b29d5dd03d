"""Symbols of users: their forms, the futures that they may name, and the error for those that name none or several."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.protocol.contracts.info import ContractInfo
from cpapi_fast.protocol.contracts.listings import FutureContract
from cpapi_fast.protocol.contracts.symbols import (
    Candidates,
    ResolvedSymbol,
    SymbolQuery,
    symbol_error,
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
    assert query.text == text.strip()


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
    # Without a month, the symbol at the exchange decides; without both, it is not guessed.
    no_month = INFO | {"contract_month": None, "expiry_full": None}
    assert query.is_future(ContractInfo.parse(no_month))
    assert not query.is_future(ContractInfo.parse(no_month | {"local_symbol": None}))
    # A month that contradicts the symbol decides.
    assert not query.is_future(ContractInfo.parse(INFO | {"contract_month": "202703"}))


APPLE = [
    ResolvedSymbol("AAPL", 265598, "AAPL", "STK", "NASDAQ", name="APPLE INC"),
    ResolvedSymbol("AAPL", 273982664, "AAPL", "STK", "EBS", name="APPLE INC"),
]


def test_the_error_lists_what_tells_contracts_apart() -> None:
    error = symbol_error({"AAPL": Candidates(APPLE), "XYZW": Candidates()})
    assert str(error) == (
        "AAPL is ambiguous: AAPL@NASDAQ (conid 265598, STK, NASDAQ, APPLE INC); AAPL@EBS (conid 273982664, STK, EBS, "
        "APPLE INC). XYZW names no stock, future or currency pair. Give the exchange or the currency, as in "
        "AAPL@NASDAQ or AAPL:USD; or the conid as conids=..."
    )
    assert error.candidates == {"AAPL": tuple(APPLE), "XYZW": ()}
    assert "spelling" in str(symbol_error({"XYZW": Candidates()}))


def test_contracts_that_an_exchange_does_not_tell_apart_are_named_by_conid() -> None:
    twice = [APPLE[0], ResolvedSymbol("AAPL", 7, "AAPL", "FUT", "NASDAQ")]
    text = str(symbol_error({"AAPL": Candidates(twice)}))
    assert "AAPL@NASDAQ (" not in text
    assert "conid 7, FUT, NASDAQ" in text


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
        "multiplier": 50.0,
    }  # fmt: skip
    assert symbols_json([future]).startswith('[{"symbol":"ESZ6","conid":649180695,')
