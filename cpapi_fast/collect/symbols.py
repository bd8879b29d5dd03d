"""Resolves symbols to contracts: asks the gateway for each, and never chooses between several"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from cpapi_fast.errors import (
    SessionError,
    StatusError,
    SubscriptionError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.contracts.candidates import Candidates, symbol_error
from cpapi_fast.protocol.contracts.info import ContractInfo
from cpapi_fast.protocol.contracts.listings import Listing
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol, SymbolQuery
from cpapi_fast.redaction import shown

if TYPE_CHECKING:
    from cpapi_fast.rest.client import Client

#: How many contracts of one symbol are narrowed by their terms, each with a request of its own.
_MAX_TERMS: Final = 50

#: The gateway does not know the terms of a contract that it lists.
_UNKNOWN: Final = frozenset({Meaning.REFUSED, Meaning.BAD_REQUEST})
#: The terms cannot be read. A contract that is the only one of its symbol can do without them.
_UNREADABLE: Final = frozenset({Meaning.SERVER_ERROR, Meaning.UNEXPECTED_BODY})


async def resolve_symbols(client: Client, symbols: Iterable[str]) -> tuple[ResolvedSymbol, ...]:
    """Resolve symbols to contracts.

    A symbol is that of a stock (`AAPL`), of a future that has not expired (`ESZ6`, `ESZ26`: the symbol of the
    underlying at IB, the letter of the month, the year), or of a currency pair (`EUR.USD`). An exchange and a currency
    narrow it: `AAPL@NASDAQ`, `AAPL:USD`, `AAPL@NASDAQ:USD`. Each needs a few requests, which are paced.

    Args:
        client: the client of the gateway, with an open brokerage session.
        symbols: the symbols. Duplicates count once.

    Returns:
        The contract of each symbol, in the given order.

    Raises:
        SymbolError: symbols name no contract, or several, or it is not certain that it is only one, because the gateway
            does not return the terms that decide. One error names all of them.
        SubscriptionError: a symbol is invalid.
        CpapiError: like `Client.stocks`.
    """
    if isinstance(symbols, (str, bytes)) or not isinstance(symbols, Iterable):
        raise SubscriptionError(f"symbols must be a list such as ['AAPL', 'ESZ6'], not {shown(symbols)}")
    queries = list({query.text: query for query in map(SymbolQuery.parse, symbols)}.values())
    lists = await _Lists.of(client, queries)
    found = {query.text: await lists.candidates(query) for query in queries}
    unresolved = {text: candidates for text, candidates in found.items() if not candidates.are_clear}
    if unresolved:
        raise symbol_error(unresolved)
    return tuple([await lists.completed(candidates.contracts[0]) for candidates in found.values()])


class _Lists:
    """What the gateway lists for all symbols together, and the terms of single contracts."""

    def __init__(self, client: Client) -> None:
        self._client: Final = client
        self._stocks: dict[str, Listing] = {}
        self._futures: dict[str, Listing] = {}
        self._pairs: dict[str, Listing] = {}
        self._infos: dict[int, ContractInfo | None] = {}

    @classmethod
    async def of(cls, client: Client, queries: list[SymbolQuery]) -> _Lists:
        """Request the lists. A symbol that looks like a future or a pair may be a stock as well."""
        lists = cls(client)
        lists._stocks = await client.listings("stocks", [query.symbol for query in queries])
        lists._futures = await client.listings("futures", [query.root for query in queries if query.root is not None])
        return lists

    async def candidates(self, query: SymbolQuery) -> Candidates:
        """Return the contracts that a symbol may name."""
        found = Candidates()
        stocks = self._stocks[query.symbol]
        found.add(ResolvedSymbol.of_stock(query, stock) for stock in stocks.contracts)
        await self._add_pair(query, found)
        await self._add_futures(query, found)
        if not stocks.is_whole:
            found.problems.append("the list of its stocks could not be read")
        if query.exchange is not None:
            await self._narrow(found, self._exchanges, query.exchange)
        if query.currency is not None:
            await self._narrow(found, self._currencies, query.currency)
        return found

    async def _add_futures(self, query: SymbolQuery, found: Candidates) -> None:
        if query.root is None:
            return
        listing = self._futures[query.root]
        infos: list[ContractInfo] = []
        for future in listing.contracts:
            if not query.may_be(future):
                continue
            info = await self._info(future.conid)
            is_future = None if info is None else query.is_future(info)
            if is_future is None:
                found.add_unknown(ResolvedSymbol.of_future(query, future))
            elif info is not None and is_future:
                infos.append(info)
        # An underlying may have several futures of a month, such as weekly ones. One of them has the symbol itself.
        exact = [info for info in infos if query.is_exact(info)]
        found.add(ResolvedSymbol.of_info(query, info) for info in exact or infos)
        if not listing.is_whole:
            found.problems.append("the list of its futures could not be read")

    async def _add_pair(self, query: SymbolQuery, found: Candidates) -> None:
        """Add the pair with exactly this symbol, from the list of either currency."""
        is_whole = True
        for currency in (query.quote, query.base):
            if currency is None:
                continue
            if currency not in self._pairs:
                self._pairs[currency] = await self._pairs_of(currency)
            listing = self._pairs[currency]
            is_whole = is_whole and listing.is_whole
            pairs = [pair for pair in listing.contracts if pair.symbol == query.symbol]
            if pairs:
                found.add(ResolvedSymbol.of_pair(query, pair) for pair in pairs)
                is_whole = listing.is_whole
                break
        if not is_whole:
            found.problems.append("the list of currency pairs could not be read")

    async def _pairs_of(self, currency: str) -> Listing:
        try:
            return await self._client.pair_listing(currency)
        except StatusError as error:
            # Of an unknown currency there are no pairs, which the gateway says with one of these.
            if error.meaning not in (*_UNKNOWN, Meaning.SERVER_ERROR):
                raise
            return Listing((), (), is_whole=error.meaning is not Meaning.SERVER_ERROR)

    async def _narrow(
        self,
        found: Candidates,
        values_of: Callable[[ResolvedSymbol], tuple[str, ...]],
        wanted: str,
    ) -> None:
        """Keep the contracts with this exchange or currency, and those of which it is not known."""
        contracts = found.contracts
        missing = [one for one in contracts if not values_of(one)]
        if len(missing) > _MAX_TERMS:
            found.problems.append(f"it has {len(missing)} contracts, more than are compared. Give the exchange as well")
            return
        terms = {one.conid: await self.with_terms(one) for one in missing}
        contracts = [terms.get(one.conid, one) for one in contracts]
        found.contracts = [one for one in contracts if wanted in values_of(one)]
        for one in contracts:
            values = values_of(one)
            if not values:
                found.add_unknown(one)
            elif wanted not in values:
                found.others.append(one)

    def _exchanges(self, one: ResolvedSymbol) -> tuple[str, ...]:
        """Return the exchanges that name a contract: of a stock only that of its listing, because all share venues."""
        info = self._infos.get(one.conid)
        venues = info.valid_exchanges if info is not None and one.sec_type != "STK" else ()
        return tuple(filter(None, (one.exchange, *venues)))

    def _currencies(self, one: ResolvedSymbol) -> tuple[str, ...]:
        return (one.currency,) if one.currency else ()

    async def with_terms(self, one: ResolvedSymbol) -> ResolvedSymbol:
        """Return a contract with its terms, as far as the gateway knows them."""
        info = await self._info(one.conid)
        return one if info is None else one.with_terms(info)

    async def completed(self, one: ResolvedSymbol) -> ResolvedSymbol:
        """Return the only contract of a symbol with its terms, or without those that cannot be read."""
        try:
            return await self.with_terms(one)
        except SessionError as error:
            if error.meaning not in _UNREADABLE:
                raise
            return one

    async def _info(self, conid: int) -> ContractInfo | None:
        if conid not in self._infos:
            try:
                self._infos[conid] = await self._client.contract_info(conid)
            except StatusError as error:
                if error.meaning not in _UNKNOWN:
                    raise
                # The gateway lists a contract whose terms it does not return.
                self._infos[conid] = None
        return self._infos[conid]
