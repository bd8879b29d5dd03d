"""Takes the trading hours of a run's instruments from their schedules, so that a closed market is not stale"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpapi_fast.errors import CpapiError
from cpapi_fast.events import FeedState
from cpapi_fast.protocol.instruments import market_data_target
from cpapi_fast.protocol.topics import Fields

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.feed import Feed
    from cpapi_fast.protocol.hours import TradingHours
    from cpapi_fast.rest.client import Client

#: How often the schedules are requested, because they cover only the next days; and again after a failure. In seconds
#: of the clock.
_INTERVAL_S: Final = 86_400.0
_RETRY_S: Final = 3_600.0


async def follow_schedules(client: Client, feed: Feed, options: CollectOptions, fields: Fields) -> None:
    """Set the trading hours of each instrument as soon as data streams, and again each day. Runs until it is cancelled.

    One request per instrument, paced. An instrument whose schedule is not available, and a combination, is watched at
    all times. Nothing else depends on it, so no error is reported.

    Args:
        client: the client of the gateway.
        feed: the feed, with a subscription of each instrument.
        options: the options of the run, with all instruments.
        fields: the fields of the subscriptions.
    """
    if options.trading_hours != "schedule":
        return
    known: dict[str, TradingHours | None] = {}
    targets = [target for target in map(market_data_target, options.conids) if ";;;" not in target]
    while targets:
        try:
            await feed.wait_for(FeedState.STREAMING)
        except CpapiError:
            return
        has_failed = False
        for target in targets:
            conid, _, exchange = target.partition("@")
            try:
                schedule = await client.trading_schedule(int(conid), exchange=exchange or None)
                hours = schedule.hours()
                if hours != known.get(target):
                    await feed.subscribe_market_data(target, fields, hours=hours)
                known[target] = hours
            except CpapiError:
                has_failed = True
        await client.clock.sleep(_RETRY_S if has_failed else _INTERVAL_S)
