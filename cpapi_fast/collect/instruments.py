"""Instruments: what a run is subscribed to, which may change while it runs, and the trading hours of each"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cpapi_fast.errors import LimitError
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol
from cpapi_fast.protocol.instruments import market_data_target
from cpapi_fast.protocol.topics import Fields

from .preparation import Preparation
from .symbols import resolve_symbols
from .trading_hours import KnownHours, follow_schedules

if TYPE_CHECKING:
    from cpapi_fast.feed import Feed, FeedSubscription
    from cpapi_fast.rest.client import Client


class InstrumentChange(NamedTuple):
    """What `Collector.set_instruments` has changed.

    Attributes:
        added: the instruments that joined, as in the topics: `265598`, `265598@NYSE`.
        removed: those that left.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]


class Instruments:
    """The instruments of one run.

    Args:
        client: the client of the gateway.
        feed: the feed of the run.
        prepared: the options of the run, and its contracts.
        fields: the fields to subscribe to.
        report: called with a line of text about schedules that are not available.

    Attributes:
        symbols: the contracts of all symbols of the run, also of those that have left.
        left: the instruments that have left and are not subscribed to.
    """

    def __init__(
        self, client: Client, feed: Feed, prepared: Preparation, fields: Fields, report: Callable[[str], None]
    ) -> None:
        self.symbols: tuple[ResolvedSymbol, ...] = prepared.symbols
        self.left: frozenset[str] = frozenset()
        self._client: Final = client
        self._feed: Final = feed
        self._options = prepared.options
        self._fields: Final = fields
        self._report: Final = report
        self._subscriptions: Final[dict[str, FeedSubscription]] = {}
        self._hours: Final = KnownHours()
        self._has_changed: Final = asyncio.Event()
        self._lock: Final = asyncio.Lock()

    @property
    def subscriptions(self) -> tuple[FeedSubscription, ...]:
        """The subscriptions, in the order in which the instruments joined."""
        return tuple(self._subscriptions.values())

    async def subscribe(self) -> None:
        """Subscribe to the instruments of the options.

        Raises:
            LimitError: there are more instruments than market data lines.
        """
        for conid in self._options.conids:
            await self._join(conid)

    async def follow_hours(self) -> None:
        """Set the trading hours of each instrument; see `follow_schedules`. Runs until it is cancelled."""
        while True:
            self._has_changed.clear()
            following = asyncio.create_task(
                follow_schedules(self._client, self._feed, self._options, self._fields, self._report, known=self._hours)
            )
            try:
                await self._has_changed.wait()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def change(self, conids: Iterable[int | str], symbols: Iterable[str]) -> InstrumentChange:
        """Subscribe to what is new, unsubscribe what is not listed any more, and leave the others as they are.

        Nothing is changed if there is an error.

        Args:
            conids: all instruments from now on, as `CollectOptions.conids`.
            symbols: further ones, as `CollectOptions.symbols`. Only those that are new are resolved.

        Raises:
            LimitError: there are more instruments than market data lines.
            SymbolError: symbols name no contract, or several.
            SubscriptionError: an instrument or a symbol is invalid.
            CpapiError: the gateway did not resolve the symbols.
        """
        async with self._lock:
            return await self._change(conids, symbols)

    async def _change(self, conids: Iterable[int | str], symbols: Iterable[str]) -> InstrumentChange:
        given = replace(self._options, conids=_listed(conids), symbols=_listed(symbols))
        known = {one.text: one for one in self.symbols}
        new = [text for text in given.symbols if text not in known]
        resolved = await resolve_symbols(self._client, new) if new else ()
        known |= {one.text: one for one in resolved}
        wanted = {market_data_target(conid): conid for conid in given.conids}
        for text in given.symbols:
            wanted.setdefault(str(known[text].conid), known[text].conid)
        most = given.feed.market_data_lines
        if len(wanted) > most:
            raise LimitError(
                "market data lines",
                most=most,
                in_use=most,
                advice=f"Collect at most {most} instead of {len(wanted)} instruments, or raise market_data_lines if "
                "the account has more.",
            )
        removed = tuple(target for target in self._subscriptions if target not in wanted)
        added = tuple(target for target in wanted if target not in self._subscriptions)
        by_conid = {one.conid: one for one in self.symbols}
        for one in resolved:
            by_conid.setdefault(one.conid, one)
        self.symbols = tuple(by_conid.values())
        self._options = replace(given, conids=tuple(wanted.values()), symbols=())
        for target in removed:
            # First, so that there are lines for the others.
            await self._subscriptions.pop(target).cancel()
            self._hours.hours.pop(target, None)
        for target in added:
            await self._join(wanted[target])
        self.left = (self.left | set(removed)) - set(added)
        if added or removed:
            self._has_changed.set()
        return InstrumentChange(added, removed)

    async def _join(self, conid: int | str) -> None:
        hours = self._options.given_hours
        subscription = await self._feed.subscribe_market_data(conid, self._fields, hours=hours)
        self._subscriptions[market_data_target(conid)] = subscription


def _listed(values: Any) -> Any:
    # The options refuse a single text.
    return values if isinstance(values, str) else tuple(values)
