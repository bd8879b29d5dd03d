"""MarketDataRequests: market data over REST, bars of history and snapshots of quotes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, SupportsIndex

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.messages.market_data import MarketDataMessage
from cpapi_fast.option_values import check_positive
from cpapi_fast.protocol.history import History, HistorySource, rest_query
from cpapi_fast.protocol.instruments import conid_target
from cpapi_fast.protocol.snapshot import SnapshotRows, check_fields
from cpapi_fast.protocol.topics import Fields
from cpapi_fast.rest.requests import Requests

#: The documented number of conids in one request.
MAX_SNAPSHOT_CONIDS: Final = 100

#: The time from the request that starts a snapshot to the next one, in seconds: the gateway conflates to 500 ms.
_SNAPSHOT_PAUSE_S: Final = 0.5


class MarketDataRequests(Requests):
    """A base of `Client`: history and snapshots."""

    async def history(
        self,
        conid: SupportsIndex,
        *,
        period: str,
        bar: str,
        exchange: str | None = None,
        outside_rth: bool = False,
        start_time: datetime | None = None,
        source: HistorySource = "trades",
    ) -> History:
        """Return bars of history, at most 1,000. At most five such requests run at once; others wait.

        If the gateway requires `/iserver/accounts` first, this requests it and then the history again, once.

        Args:
            conid: IB's contract id.
            period: the length of the history: `1min` to `30min`, `1h` to `8h`, `1d` to `1000d`, `1w` to `792w`, `1m` to
                `182m` (months), `1y` to `15y`.
            bar: the length of each bar: `1min 2min 3min 5min 10min 15min 30min 1h 2h 3h 4h 8h 1d 1w 1m` (a month).
            exchange: restricts the data to one exchange.
            outside_rth: whether to include bars outside the regular trading hours.
            start_time: the end of the period, which IB calls its start time; with a time zone. Now by default.
            source: the prices that the bars are made of.

        Raises:
            SubscriptionError: an argument is invalid. The gateway would silently use another value.
            CpapiError: like `tickle`. A contract without history raises StatusError with status 500.
        """
        target = conid_target(conid)
        conid_target(conid, exchange)
        query = rest_query(target, period, bar, exchange, outside_rth, start_time, source)
        path = "/iserver/marketdata/history"
        found = await self._get(path, query, History.parse)
        self._note_odd(path, found.odd)
        return found

    async def snapshot(
        self, conids: Iterable[SupportsIndex], fields: Fields | None = None, *, timeout_s: float = 5.0
    ) -> dict[int, MarketDataMessage]:
        """Return a quote of each conid, without a subscription of your own.

        The first request only starts the quotes at the gateway; the values follow later. So this sends two or three
        requests per 100 conids, until each conid has values and no new field arrives; and further ones, two per second
        until `timeout_s`, if a conid has no values. Each conid uses a market data
        line of the account for a while. IB documents that a derivative needs a `search` for its underlying before.

        Args:
            conids: IB's contract ids.
            fields: the fields to request, by key or code, at most 50; the L1 fields by default.
            timeout_s: how long to wait for values, in seconds of the clock. There are at least two requests, if the
                first has not all values.

        Returns:
            By conid, in the given order, what the gateway has sent: attributes by key, such as `bid_price`. A conid
            that the gateway does not know or has no data for has no values, or `N/A`.

        Raises:
            SubscriptionError: a conid or a field is invalid, or there are too many fields.
            ConfigError: `timeout_s` is not a finite number above zero.
            CpapiError: like `tickle`.
        """
        codes = check_fields(fields)
        check_positive("timeout_s", timeout_s, "seconds")
        if isinstance(conids, (str, bytes)) or not isinstance(conids, Iterable):
            raise SubscriptionError("conids must be a list such as [265598, 8314]")
        wanted = list(dict.fromkeys(int(conid_target(conid)) for conid in conids))
        found: dict[int, MarketDataMessage] = {}
        for start in range(0, len(wanted), MAX_SNAPSHOT_CONIDS):
            found |= await self._snapshot(wanted[start : start + MAX_SNAPSHOT_CONIDS], codes, timeout_s)
        return found

    async def _snapshot(
        self, conids: list[int], codes: tuple[str, ...], timeout_s: float
    ) -> dict[int, MarketDataMessage]:
        path = "/iserver/marketdata/snapshot"
        query = {"conids": ",".join(map(str, conids)), "fields": ",".join(codes)}
        end_s = self.clock.monotonic_s() + timeout_s
        rows = SnapshotRows(conids, codes)
        is_first = True
        while True:
            self._note_odd(path, await self._get(path, query, rows.add))
            # The first request only starts the quotes, however long it takes.
            is_over = self.clock.monotonic_s() >= end_s and not is_first
            if rows.are_complete or is_over:
                return {conid: MarketDataMessage(rows.by_conid[conid]) for conid in conids}
            is_first = False
            await self.clock.sleep(_SNAPSHOT_PAUSE_S)
