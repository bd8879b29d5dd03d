"""Lists of contracts by symbol: matches of a search, stocks, futures and currency pairs"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.protocol.members import Members, check_error, rows_of
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.protocol.words import error_text
from cpapi_fast.redaction import repr_without_accounts, shown

T = TypeVar("T")

#: A symbol or a name in a query.
_TEXT: Final = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")

#: The gateway's words for a search without a match, which it sends as an error.
_NO_MATCH: Final = re.compile(
    r"(?i)\s*(?:"
    r"no (?:symbols?|securit(?:y|ies)|contracts?|match(?:es)?|results?)(?: (?:was |were )?found)?(?: for\b.*)?"
    r"|(?:the )?(?:symbol|security|contract|instrument)s?\b[^:;]{0,40}\bnot found)[.! ]*"
)


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class ContractSection:
    """One type of contracts that exist for a match of a search.

    Attributes:
        sec_type: the type, such as `STK`, `OPT`, `FUT`.
        months: its months, such as `DEC26`.
        exchanges: its exchanges.
        conid: its contract id, if it is another one than that of the match.
    """

    sec_type: str
    months: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    conid: int | None = None


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class ContractMatch:
    """One match of `Client.search`.

    Attributes:
        conid: the contract id; None for a match without one, such as the issuer of bonds.
        symbol: the symbol of the contract, or of the underlying.
        company_name: the name of the company; empty without one.
        header: the name and the exchange, as the gateway shows them.
        description: what tells this match apart from the others; for stocks, the listing exchange.
        sections: the types of contracts that exist for it.
        raw: the decoded match.
    """

    conid: int | None
    symbol: str
    company_name: str
    header: str
    description: str
    sections: tuple[ContractSection, ...]
    raw: dict[str, Any] = field(repr=False)


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class StockContract:
    """One listing of a stock, of `Client.stocks`.

    Attributes:
        symbol: the symbol that was asked for.
        conid: the contract id.
        name: the name of the company.
        exchange: the listing exchange; empty if it is missing.
        is_us: whether it is listed in the United States; None if that is missing.
        sec_type: the type, such as `STK`.
        raw: the decoded listing.
    """

    symbol: str
    conid: int
    name: str
    exchange: str
    is_us: bool | None
    sec_type: str
    raw: dict[str, Any] = field(repr=False)


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class FutureContract:
    """One future that has not expired, of `Client.futures`.

    Attributes:
        symbol: the symbol of the underlying, such as `ES`.
        conid: the contract id.
        underlying_conid: the contract id of the underlying.
        expiration: the date of the expiration, which may be in another month than that of the contract.
        last_trading_day: the last day on which it trades.
        raw: the decoded contract.
    """

    symbol: str
    conid: int
    underlying_conid: int | None
    expiration: dt.date | None
    last_trading_day: dt.date | None
    raw: dict[str, Any] = field(repr=False)


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class CurrencyPair:
    """One pair of currencies, of `Client.currency_pairs`.

    Attributes:
        symbol: the pair, such as `EUR.USD`.
        conid: the contract id.
        raw: the decoded pair.
    """

    symbol: str
    conid: int
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """The parsed contracts of one response.

    Attributes:
        contracts: the contracts.
        odd: the names of members with an unexpected type.
        is_whole: whether each contract of the response is in `contracts`; False if one has no readable contract id, or
            if a list of the response is something else.
    """

    contracts: tuple[Any, ...]
    odd: tuple[str, ...]
    is_whole: bool = True


def check_symbol(symbol: object, what: str = "a symbol", *, may_have_commas: bool = False) -> str:
    """Return a symbol or a name for a query.

    Raises:
        SubscriptionError: it is not a printable ASCII text of at most 64 characters; or it has a comma, which separates
            several symbols.
    """
    text = symbol.strip() if isinstance(symbol, str) else ""
    if _TEXT.fullmatch(text) is None or ("," in text and not may_have_commas):
        commas = "" if may_have_commas else " without commas"
        raise SubscriptionError(
            f"{what} must be a text such as 'AAPL' of at most 64 printable ASCII characters{commas}, "
            f"not {shown(symbol)}"
        )
    return text


def check_symbols(symbols: Iterable[str]) -> list[str]:
    """Return the symbols of a query, each once.

    Raises:
        SubscriptionError: one of them is invalid, or they are one text instead of a list.
    """
    if isinstance(symbols, (str, bytes)) or not isinstance(symbols, Iterable):
        raise SubscriptionError(f"symbols must be a list such as ['AAPL', 'IBM'], not {shown(symbols)}")
    return list(dict.fromkeys(map(check_symbol, symbols)))


def check_currency(currency: object) -> str:
    """Return a currency for a query.

    Raises:
        SubscriptionError: it is not three capital letters.
    """
    if not isinstance(currency, str) or _CURRENCY.fullmatch(currency) is None:
        raise SubscriptionError(f"a currency must be three capital letters such as 'USD', not {shown(currency)}")
    return currency


def parse_matches(payload: object) -> Listing:
    """Parse the decoded body of `/iserver/secdef/search`. No match is an empty array, or an error that says so.

    Raises:
        ShapeError: the body has another shape.
        ErrorBodyError: it is another error.
    """
    if _NO_MATCH.fullmatch(error_text(payload)) is not None:
        return Listing((), ())
    check_error(payload)
    if not isinstance(payload, list):
        raise ShapeError("the body is not a JSON array")
    odd: list[str] = []
    return Listing(tuple(_match(row) for row in rows_of(payload, odd, "matches")), tuple(odd))


def _match(row: Members) -> ContractMatch:
    sections = [
        ContractSection(sec_type, section.parts("months", ";"), section.parts("exchange", ";"), section.id("conid"))
        for section in row.rows("sections")
        if (sec_type := section.text("secType"))
    ]
    # Without a contract, the gateway sends a negative number or -1.
    conid = row.payload.get("conid")
    return ContractMatch(
        conid=None if conid in (-1, "-1", "") else row.id("conid") or None,
        symbol=row.text("symbol") or "",
        company_name=row.text("companyName") or "",
        header=row.text("companyHeader") or "",
        description=row.text("description") or "",
        sections=tuple(sections),
        raw=row.payload,
    )


def parse_stocks(payload: object, symbol: str) -> Listing:
    """Parse the listings of one symbol in the decoded body of `/trsrv/stocks`.

    Raises:
        ShapeError: the body is not an object.
        ErrorBodyError: it is an error.
    """

    def listings(company: Members) -> Iterable[StockContract | None]:
        name, sec_type = company.text("name") or "", company.text("assetClass") or ""
        yield from _left_out(company.payload.get("contracts"))
        for row in company.rows("contracts"):
            conid, exchange, is_us = row.id("conid"), row.text("exchange") or "", row.flag("isUS")
            yield StockContract(symbol, conid, name, exchange, is_us, sec_type, row.payload) if conid else None

    return _of_key(payload, symbol, listings)


def parse_futures(payload: object, symbol: str) -> Listing:
    """Parse the futures of one symbol in the decoded body of `/trsrv/futures`. Raises like `parse_stocks`."""

    def futures(row: Members) -> Iterable[FutureContract | None]:
        conid, underlying = row.id("conid"), row.id("underlyingConid") or None
        expiration, last_day = row.date("expirationDate"), row.date("ltd")
        name = row.text("symbol") or symbol
        yield FutureContract(name, conid, underlying, expiration, last_day, row.payload) if conid else None

    return _of_key(payload, symbol, futures)


def parse_pairs(payload: object, currency: str) -> Listing:
    """Parse the pairs of one currency in the decoded body of `/iserver/currency/pairs`. Raises like `parse_stocks`."""

    def pairs(row: Members) -> Iterable[CurrencyPair | None]:
        conid, symbol = row.id("conid"), row.text("symbol")
        yield CurrencyPair(symbol, conid, row.payload) if conid and symbol else None

    return _of_key(payload, currency, pairs)


def _of_key(payload: object, key: str, parse: Callable[[Members], Iterable[Any]]) -> Listing:
    """Parse the rows of the array with this name. It may be missing, null or empty: then there is no contract.

    Args:
        payload: the decoded body.
        key: the name of the array.
        parse: returns the contracts of a row, with None for one that cannot be read.
    """
    check_error(payload)
    odd: list[str] = []
    body = Members.of_body(payload, odd)
    value = body.payload.get(key)
    # The names of members in `odd` are names in this library, and not the symbol.
    rows = Members({"rows": value}, odd).rows("rows")
    found = [] if value is None else list(_left_out(value))
    found += [one for row in rows for one in parse(row)]
    contracts = tuple(one for one in found if one is not None)
    return Listing(contracts, tuple(odd), is_whole=len(contracts) == len(found))


def _left_out(value: object) -> Iterable[None]:
    """Yield None for each entry of a list that is no object, and for something else in place of the list."""
    if not isinstance(value, list):
        yield None
        return
    for entry in value:
        if not isinstance(entry, dict):
            yield None
