"""ContractRequests: contracts by symbol, the terms of a contract, and its trading schedule"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, SupportsIndex, TypeVar
from urllib.parse import urlencode

from cpapi_fast.clock import Clock
from cpapi_fast.contract_cache import ContractCache
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
from cpapi_fast.rest.requests import Requests

T = TypeVar("T")

#: The number of symbols in one request; IB documents no limit, and a URL must not become too long.
_MAX_SYMBOLS: Final = 50


class ContractRequests(Requests):
    """A base of `Client`: contracts.

    Args:
        clock: the clock of all timers.
        cache: keeps the responses; None keeps nothing.
    """

    def __init__(self, clock: Clock, cache: ContractCache | None) -> None:
        super().__init__(clock)
        #: Keeps what the gateway tells about contracts; None without one.
        self.contract_cache: Final = cache

    async def search(
        self, symbol: str, *, by_name: bool = False, sec_type: str | None = None
    ) -> tuple[ContractMatch, ...]:
        """Search for contracts by symbol or by the name of a company.

        Args:
            symbol: the symbol of a contract or underlying, or the beginning of a name; printable ASCII.
            by_name: whether `symbol` is a name.
            sec_type: restricts the matches to one type: `STK`, `IND` or `BOND`.

        Returns:
            The matches, in the order of the gateway; empty without one.

        Raises:
            SubscriptionError: an argument is invalid.
            CpapiError: like `tickle`.
        """
        query = {"symbol": check_symbol(symbol, "a name" if by_name else "a symbol", may_have_commas=by_name)}
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
        return _contracts(await self.listings("stocks", symbols))

    async def futures(self, symbols: Iterable[str]) -> dict[str, tuple[FutureContract, ...]]:
        """Return the futures that have not expired, by the symbol of the underlying, such as `ES`.

        Raises:
            SubscriptionError: a symbol is invalid.
            CpapiError: like `tickle`.
        """
        return _contracts(await self.listings("futures", symbols))

    async def listings(self, kind: Literal["stocks", "futures"], symbols: Iterable[str]) -> dict[str, Listing]:
        """Return what `stocks` or `futures` return, and of each symbol whether all of its list could be read.

        Args:
            kind: which lists.
            symbols: the symbols.

        Raises:
            SubscriptionError: a symbol is invalid.
            CpapiError: like `tickle`.
        """
        return await self._by_symbol(f"/trsrv/{kind}", symbols, parse_stocks if kind == "stocks" else parse_futures)

    async def currency_pairs(self, currency: str) -> tuple[CurrencyPair, ...]:
        """Return the pairs that contain a currency, such as `USD`.

        Raises:
            SubscriptionError: the currency is invalid.
            CpapiError: like `tickle`.
        """
        return (await self.pair_listing(currency)).contracts

    async def pair_listing(self, currency: str) -> Listing:
        """Return what `currency_pairs` returns, and whether all of the list could be read. Raises like it."""
        currency = check_currency(currency)
        path = "/iserver/currency/pairs"
        return await self._found(path, {"currency": currency}, lambda body: parse_pairs(body, currency))

    async def contract_info(self, conid: SupportsIndex) -> ContractInfo:
        """Return the terms of one contract: symbols, type, currency, exchanges, month, multiplier.

        Raises:
            SubscriptionError: the conid is invalid.
            CpapiError: like `tickle`. An unknown conid raises StatusError.
        """
        target = conid_target(conid)
        path = f"/iserver/contract/{target}/info"
        found = await self._kept(path, {}, lambda body: ContractInfo.parse(body, int(target)))
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
        found = await self._kept(path, query, TradingSchedule.parse)
        self._note_odd(path, found.odd)
        return found

    async def _by_symbol(
        self, path: str, symbols: Iterable[str], parse: Callable[[Any, str], Listing]
    ) -> dict[str, Listing]:
        wanted = check_symbols(symbols)
        found = await self._known({symbol: self._key(path, {"symbols": symbol}) for symbol in wanted}, parse)
        missing = [symbol for symbol in wanted if symbol not in found]
        for start in range(0, len(missing), _MAX_SYMBOLS):
            part = missing[start : start + _MAX_SYMBOLS]
            body = await self._get(path, {"symbols": ",".join(part)}, _object)
            listings = {symbol: parse(body, symbol) for symbol in part}
            found |= listings
            # A symbol without a contract may get one.
            await self._keep(
                {
                    self._key(path, {"symbols": symbol}): {symbol: body[symbol]}
                    for symbol, listing in listings.items()
                    if listing.contracts and listing.is_whole
                }
            )
        for listing in found.values():
            self._note_odd(path, listing.odd)
        return {symbol: found[symbol] for symbol in wanted}

    async def _found(self, path: str, query: Mapping[str, str], parse: Callable[[Any], Listing]) -> Listing:
        listing = await self._kept(
            path, query, parse, is_kept=lambda listing: bool(listing.contracts) and listing.is_whole
        )
        self._note_odd(path, listing.odd)
        return listing

    async def _kept(
        self,
        path: str,
        query: Mapping[str, str],
        parse: Callable[[Any], T],
        *,
        is_kept: Callable[[T], bool] = lambda _found: True,
    ) -> T:
        """Return the parsed response of the cache, or of the gateway, which is kept then."""
        key = self._key(path, query)
        known = await self._known({"": key}, lambda body, _name: parse(body))
        if known:
            return known[""]
        bodies: list[Any] = []

        def parse_and_keep(body: Any) -> T:
            parsed = parse(body)
            bodies.append(body)
            return parsed

        found = await self._get(path, query or None, parse_and_keep)
        if is_kept(found):
            await self._keep({key: bodies[-1]})
        return found

    def _key(self, path: str, query: Mapping[str, str]) -> str:
        # With the gateway: the contracts of a simulated one are invented.
        return f"{self.base_url}{path}?{urlencode(query)}"

    async def _known(self, keys: Mapping[str, str], parse: Callable[[Any, str], T]) -> dict[str, T]:
        """Return the parsed responses of the cache, by name."""
        cache = self.contract_cache
        if cache is None or not keys:
            return {}
        bodies = await asyncio.to_thread(cache.get, list(keys.values()))
        found: dict[str, T] = {}
        for name, key in keys.items():
            if key in bodies:
                try:
                    found[name] = parse(bodies[key], name)
                except ShapeError:
                    cache.discard(key)
        return found

    async def _keep(self, bodies: dict[str, Any]) -> None:
        if self.contract_cache is not None and bodies:
            await asyncio.to_thread(self.contract_cache.put, bodies)


def _contracts(listings: Mapping[str, Listing]) -> dict[str, tuple[Any, ...]]:
    return {symbol: listing.contracts for symbol, listing in listings.items()}


def _object(payload: Any) -> dict[str, Any]:
    check_error(payload)
    if not isinstance(payload, dict):
        raise ShapeError("the body is not a JSON object")
    return payload
