"""ContractRequests: contracts by symbol, the terms of a contract, and its trading schedule"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, SupportsIndex, TypeVar

from cpapi_fast.protocol.contracts.info import ContractInfo
from cpapi_fast.protocol.contracts.listings import (
    ContractMatch,
    CurrencyPair,
    FutureContract,
    Listing,
    StockContract,
    check_currency,
    check_symbol,
    check_symbols,
    parse_futures,
    parse_matches,
    parse_pairs,
    parse_stocks,
)
from cpapi_fast.protocol.contracts.schedule import TradingSchedule
from cpapi_fast.protocol.instruments import check_exchange, conid_target
from cpapi_fast.protocol.members import check_error
from cpapi_fast.protocol.shape import ShapeError

from .requests import Requests

T = TypeVar("T")

#: The number of symbols in one request; IB documents no limit, and a URL must not become too long.
_MAX_SYMBOLS: Final = 50


class ContractRequests(Requests):
    """A base of `Client`: contracts."""

    async def search(
        self, symbol: str, *, by_name: bool = False, sec_type: str | None = None
    ) -> tuple[ContractMatch, ...]:
        """Search for contracts by symbol or by the name of a company.

        Args:
            symbol: the symbol of a contract or underlying, or the beginning of a name.
            by_name: whether `symbol` is a name.
            sec_type: restricts the matches to one type: `STK`, `IND` or `BOND`.

        Returns:
            The matches, in the order of the gateway; empty without one.

        Raises:
            SubscriptionError: an argument is invalid.
            CpapiError: like `tickle`.
        """
        query = {"symbol": check_symbol(symbol)}
        if by_name:
            query["name"] = "true"
        if sec_type is not None:
            query["secType"] = check_symbol(sec_type, "a type")
        return (await self._found("/iserver/secdef/search", query, parse_matches)).contracts

    async def stocks(self, symbols: Iterable[str]) -> dict[str, tuple[StockContract, ...]]:
        """Return the listings of stocks on all exchanges, by symbol. A symbol without a stock has no listings.

        Raises:
            SubscriptionError: a symbol is invalid.
            CpapiError: like `tickle`.
        """
        return await self._by_symbol("/trsrv/stocks", symbols, parse_stocks)

    async def futures(self, symbols: Iterable[str]) -> dict[str, tuple[FutureContract, ...]]:
        """Return the futures that have not expired, by the symbol of the underlying, such as `ES`.

        Raises:
            SubscriptionError: a symbol is invalid.
            CpapiError: like `tickle`.
        """
        return await self._by_symbol("/trsrv/futures", symbols, parse_futures)

    async def currency_pairs(self, currency: str) -> tuple[CurrencyPair, ...]:
        """Return the pairs that contain a currency, such as `USD`.

        Raises:
            SubscriptionError: the currency is invalid.
            CpapiError: like `tickle`.
        """
        currency = check_currency(currency)
        path = "/iserver/currency/pairs"
        return (await self._found(path, {"currency": currency}, lambda body: parse_pairs(body, currency))).contracts

    async def contract_info(self, conid: SupportsIndex) -> ContractInfo:
        """Return the terms of one contract: symbols, type, currency, exchanges, month, multiplier.

        Raises:
            SubscriptionError: the conid is invalid.
            CpapiError: like `tickle`. An unknown conid raises StatusError.
        """
        found = await self._get(f"/iserver/contract/{conid_target(conid)}/info", None, ContractInfo.parse)
        self._note_odd("/iserver/contract/info", found.odd)
        return found

    async def trading_schedule(self, conid: SupportsIndex, *, exchange: str | None = None) -> TradingSchedule:
        """Return the trading sessions of a contract on the days around now. Days without a session are left out.

        Args:
            conid: IB's contract id.
            exchange: the exchange whose sessions are returned; by default the gateway chooses one.

        Raises:
            SubscriptionError: an argument is invalid.
            CpapiError: like `tickle`.
        """
        query = {"conid": conid_target(conid)}
        if exchange is not None:
            query["exchange"] = check_exchange(exchange)
        path = "/contract/trading-schedule"
        found = await self._get(path, query, TradingSchedule.parse)
        self._note_odd(path, found.odd)
        return found

    async def _by_symbol(
        self, path: str, symbols: Iterable[str], parse: Callable[[Any, str], Listing]
    ) -> dict[str, tuple[Any, ...]]:
        wanted = check_symbols(symbols)
        found: dict[str, tuple[Any, ...]] = {}
        for start in range(0, len(wanted), _MAX_SYMBOLS):
            part = wanted[start : start + _MAX_SYMBOLS]
            body = await self._get(path, {"symbols": ",".join(part)}, _object)
            for symbol in part:
                listing = parse(body, symbol)
                self._note_odd(path, listing.odd)
                found[symbol] = listing.contracts
        return found

    async def _found(self, path: str, query: Mapping[str, str], parse: Callable[[Any], Listing]) -> Listing:
        listing = await self._get(path, query, parse)
        self._note_odd(path, listing.odd)
        return listing


def _object(payload: Any) -> dict[str, Any]:
    check_error(payload)
    if not isinstance(payload, dict):
        raise ShapeError("the body is not a JSON object")
    return payload
