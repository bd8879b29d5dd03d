"""Resolves symbols to contracts: asks the gateway for each, and never chooses between several"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.errors import (
    CompetingSessionError,
    CpapiError,
    NoSessionError,
    NotAuthenticatedError,
    SessionError,
    StatusError,
    SubscriptionError,
    TransportError,
)
from cpapi_fast.limited_reporter import LimitedReporter
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.contracts.info import ContractInfo
from cpapi_fast.protocol.contracts.listings import Listing
from cpapi_fast.protocol.contracts.symbols import Candidates, ResolvedSymbol, SymbolQuery, symbol_error
from cpapi_fast.redaction import shown

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.rest.client import Client

#: How many contracts of one symbol are narrowed by their terms, each with a request of its own.
_MAX_TERMS: Final = 50

#: The gateway does not know the terms of a contract that it lists.
_UNKNOWN: Final = frozenset({Meaning.REFUSED, Meaning.BAD_REQUEST})
#: The terms cannot be read. A contract that is the only one of its symbol can do without them.
_UNREADABLE: Final = frozenset({Meaning.SERVER_ERROR, Meaning.UNEXPECTED_BODY})

#: The pause between two tries while the gateway cannot answer, in seconds of the clock.
_RETRY_S: Final = 15.0


async def resolve_symbols(client: Client, symbols: Iterable[str]) -> tuple[ResolvedSymbol, ...]:
    """Resolve symbols to contracts.

    A symbol is that of a stock (`AAPL`), the local symbol of a future that has not expired (`ESZ6`, `ESZ26`), or a
    currency pair (`EUR.USD`). An exchange and a currency narrow it: `AAPL@NASDAQ`, `AAPL:USD`, `AAPL@NASDAQ:USD`. Each
    needs a few requests, which are paced.

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
        for future in listing.contracts:
            if not query.may_be(future):
                continue
            info = await self._info(future.conid)
            if info is None:
                found.add_unknown(ResolvedSymbol.of_future(query, future))
            elif query.is_future(info):
                found.add([ResolvedSymbol.of_info(query, info)])
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
                break
        if not is_whole:
            found.problems.append("the list of currency pairs could not be read")

    async def _pairs_of(self, currency: str) -> Listing:
        try:
            return await self._client.pair_listing(currency)
        except StatusError as error:
            # Of an unknown currency there are no pairs.
            if error.meaning is not Meaning.REFUSED:
                raise
            return Listing((), ())

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


async def resolve_when_possible(
    client: Client, options: CollectOptions, report: Callable[[str], None], stop: asyncio.Event | None
) -> tuple[ResolvedSymbol, ...]:
    """Resolve the symbols of a run, as soon as the gateway can answer.

    Without a login, or while the gateway is not reachable, it tries again, as a feed does.

    Args:
        client: the client of the gateway.
        options: the options of the run.
        report: called with a line of text about what it waits for.
        stop: ends the waiting.

    Raises:
        CpapiError: the gateway refuses the request; or `stop` was set, the duration is over, or there was no answer for
            `give_up_after_s`.
    """
    clock, notices = client.clock, LimitedReporter(report, client.clock)
    limits = (options.duration_s, options.give_up_after_s or options.feed.give_up_after_s)
    limit_s = min((limit for limit in limits if limit is not None), default=None)
    ends: dict[asyncio.Task[object], str] = {asyncio.create_task((stop or asyncio.Event()).wait()): "stopped"}
    if limit_s is not None:
        ends[asyncio.create_task(clock.sleep(limit_s))] = "the time was over"
    error: CpapiError | None = None
    try:
        while True:
            trying = asyncio.create_task(_resolved(client, options))
            if await _first(trying, ends):
                try:
                    return trying.result()
                except CpapiError as exc:
                    if not (exc.is_retryable or isinstance(exc, (NotAuthenticatedError, CompetingSessionError))):
                        raise
                    error = exc
                retry_s = getattr(error, "retry_after_s", _RETRY_S)
                notices(f"the symbols are not resolved yet, next try in {retry_s:.0f} s: {error}")
                if await _first(asyncio.create_task(clock.sleep(retry_s)), ends):
                    continue
            raise _ended(next(why for task, why in ends.items() if task.done()), error)
    finally:
        notices.close()
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def _first(task: asyncio.Task[Any], ends: Iterable[asyncio.Task[object]]) -> bool:
    """Wait for a task, or for the end of the run, which cancels it. Returns whether the task has ended first."""
    try:
        await asyncio.wait((task, *ends), return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _resolved(client: Client, options: CollectOptions) -> tuple[ResolvedSymbol, ...]:
    """Resolve the symbols, and open the brokerage session before if that is necessary and allowed."""
    reclaims = options.feed.competing == "reclaim"
    try:
        return await resolve_symbols(client, options.symbols)
    except CompetingSessionError:
        if not reclaims:
            raise
    except NoSessionError:
        pass
    await client.init_brokerage_session(compete=reclaims)
    return await resolve_symbols(client, options.symbols)


def _ended(why: str, error: CpapiError | None) -> CpapiError:
    """Return the error of a run that ended before its symbols were resolved, of the kind that fits the last error."""
    text = f"{why} before the symbols were resolved; nothing was collected{f': {error}' if error else ''}"
    if isinstance(error, (NotAuthenticatedError, CompetingSessionError)):
        return type(error)(text)
    return TransportError(text)
