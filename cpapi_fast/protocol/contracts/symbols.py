"""Symbols of users, such as `AAPL@NASDAQ`, `ESZ6` and `EUR.USD`: what they ask for, and the contracts that they name"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.printable import printable
from cpapi_fast.protocol.instruments import check_exchange
from cpapi_fast.redaction import repr_without_accounts, shown

from .info import ContractInfo
from .listings import CurrencyPair, FutureContract, StockContract, check_currency, check_symbol

#: The letters of the months in the symbols of futures.
_MONTHS: Final = "FGHJKMNQUVXZ"
#: A symbol with an exchange and a currency, both optional.
_FORM: Final = re.compile(r"(?P<symbol>[^@:]+)(?:@(?P<exchange>[^@:]+))?(?::(?P<currency>[^@:]+))?")
_FUTURE: Final = re.compile(rf"(?P<root>[A-Z0-9]{{1,6}})(?P<month>[{_MONTHS}])(?P<year>[0-9]{{1,2}})")
_PAIR: Final = re.compile(r"(?P<base>[A-Z]{3})\.(?P<quote>[A-Z]{3})")

#: A future may expire before or after the month of its contract, by at most so many days.
_MOST_DAYS_APART: Final = 75

#: How long a text of the gateway is in it, and in the metadata of files, in characters.
_MAX_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class SymbolQuery:
    """What a symbol of a user asks for.

    Attributes:
        text: the symbol as given, without spaces around its parts.
        symbol: without exchange and currency.
        exchange: the exchange that it must be listed on; None for any.
        currency: the currency that it must trade in; None for any.
        root: the symbol of the underlying at IB, if it may be a future.
        month: the month of the future, 1 to 12.
        year: the last one or two digits of the year of the future.
        base, quote: the two currencies, if it may be a pair.
    """

    text: str
    symbol: str
    exchange: str | None = None
    currency: str | None = None
    root: str | None = None
    month: int = 0
    year: str = ""
    base: str | None = None
    quote: str | None = None

    @classmethod
    def parse(cls, text: str) -> SymbolQuery:
        """Parse a symbol.

        Raises:
            SubscriptionError: it has another form.
        """
        match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise SubscriptionError(
                "a symbol must be a text such as 'AAPL', 'AAPL@NASDAQ', 'AAPL:USD', 'ESZ6' or 'EUR.USD', not "
                f"{shown(text)}"
            )
        symbol, exchange, currency = check_symbol(match["symbol"]), match["exchange"], match["currency"]
        canonical = symbol
        if exchange is not None:
            exchange = check_exchange(exchange.strip())
            canonical += f"@{exchange}"
        if currency is not None:
            currency = check_currency(currency.strip())
            canonical += f":{currency}"
        future, pair = _FUTURE.fullmatch(symbol), _PAIR.fullmatch(symbol)
        return cls(
            text=canonical,
            symbol=symbol,
            exchange=exchange,
            currency=currency,
            root=future["root"] if future else None,
            month=_MONTHS.index(future["month"]) + 1 if future else 0,
            year=future["year"] if future else "",
            base=pair["base"] if pair else None,
            quote=pair["quote"] if pair else None,
        )

    def may_be(self, future: FutureContract) -> bool:
        """Return whether a future may be the one that is asked for, by its expiration. Its terms decide."""
        expiration = future.expiration
        if expiration is None:
            return True
        for year in (expiration.year - 1, expiration.year, expiration.year + 1):
            if str(year).endswith(self.year):
                middle = dt.date(year, self.month, 15)
                if abs((expiration - middle).days) <= _MOST_DAYS_APART:
                    return True
        return False

    def is_future(self, info: ContractInfo) -> bool | None:
        """Return whether these are the terms of the future that is asked for: by its month, or by its local symbol.

        None if the terms have neither.
        """
        month = info.contract_month
        if month:
            return len(month) == 6 and month[:4].endswith(self.year) and month[4:] == f"{self.month:02}"
        return info.local_symbol == self.symbol if info.local_symbol else None

    def is_exact(self, info: ContractInfo) -> bool:
        """Return whether the future has this symbol at the exchange, where the year has one digit or two."""
        return info.local_symbol in (self.symbol, self.symbol[: -len(self.year)] + self.year[-1:])


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class ResolvedSymbol:
    """The contract of a symbol. What the gateway does not report is empty.

    Texts of the gateway are printable, and cut at 64 characters.

    Attributes:
        text: the symbol as given, such as `AAPL@NASDAQ`.
        conid: the contract id.
        symbol: the symbol of the contract, or of its underlying.
        sec_type: the type: `STK`, `FUT`, `CASH`.
        exchange: the listing exchange.
        currency: the currency in which it trades.
        name: the name of the company or product.
        local_symbol: the symbol at the exchange.
        contract_month: the month of a future, such as `202612`.
        trading_class: the trading class, which tells a future with weekly contracts or of another size apart.
        multiplier: the value of one point of the price; None without one.
    """

    text: str
    conid: int
    symbol: str
    sec_type: str = ""
    exchange: str = ""
    currency: str = ""
    name: str = ""
    local_symbol: str = ""
    contract_month: str = ""
    trading_class: str = ""
    multiplier: float | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            object.__setattr__(self, name, _short(getattr(self, name)))
        if self.multiplier is not None:
            object.__setattr__(self, "multiplier", float(self.multiplier))

    @classmethod
    def of_stock(cls, query: SymbolQuery, stock: StockContract) -> ResolvedSymbol:
        """Return the candidate for a listing."""
        return cls(query.text, stock.conid, query.symbol, stock.sec_type, stock.exchange, name=stock.name)

    @classmethod
    def of_future(cls, query: SymbolQuery, future: FutureContract) -> ResolvedSymbol:
        """Return the candidate for a future whose terms are not known."""
        return cls(query.text, future.conid, future.symbol, "FUT")

    @classmethod
    def of_pair(cls, query: SymbolQuery, pair: CurrencyPair) -> ResolvedSymbol:
        """Return the candidate for a currency pair."""
        return cls(query.text, pair.conid, pair.symbol, "CASH", currency=query.quote or "")

    @classmethod
    def of_info(cls, query: SymbolQuery, info: ContractInfo) -> ResolvedSymbol:
        """Return the candidate for a contract whose terms are known."""
        empty = cls(query.text, info.conid, info.symbol or query.symbol)
        return empty.with_terms(info)

    def with_terms(self, info: ContractInfo) -> ResolvedSymbol:
        """Return this contract with its terms. What is known from the lists stays."""
        return ResolvedSymbol(
            text=self.text,
            conid=self.conid,
            symbol=self.symbol,
            sec_type=self.sec_type or info.sec_type,
            exchange=self.exchange or info.exchange,
            currency=info.currency or self.currency,
            name=self.name or info.company_name,
            local_symbol=info.local_symbol,
            contract_month=info.contract_month,
            trading_class=info.trading_class,
            multiplier=info.multiplier,
        )


#: The attributes that have texts of the gateway.
_TEXTS: Final = (
    "symbol",
    "sec_type",
    "exchange",
    "currency",
    "name",
    "local_symbol",
    "contract_month",
    "trading_class",
)


def _short(text: str) -> str:
    # Cut before and after, because each escape is several characters.
    line = printable(text[: _MAX_LENGTH + 1])
    return line if len(line) <= _MAX_LENGTH else f"{line[: _MAX_LENGTH - 1]}…"


def symbols_table(resolved: Iterable[ResolvedSymbol]) -> list[dict[str, str | int | float | None]]:
    """Return one row per symbol, for the metadata of files."""
    return [
        {
            "symbol": one.text,
            "conid": one.conid,
            "contract_symbol": one.symbol,
            "sec_type": one.sec_type,
            "exchange": one.exchange,
            "currency": one.currency,
            "name": one.name,
            "local_symbol": one.local_symbol,
            "contract_month": one.contract_month,
            "trading_class": one.trading_class,
            "multiplier": one.multiplier,
        }
        for one in resolved
    ]


def symbols_json(resolved: Iterable[ResolvedSymbol]) -> str:
    """Return the table as JSON."""
    return orjson.dumps(symbols_table(resolved)).decode()
