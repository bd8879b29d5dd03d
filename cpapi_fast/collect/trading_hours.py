"""Takes the trading hours of a run's instruments from their schedules, so that a closed market is not stale"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.errors import CpapiError
from cpapi_fast.events import FeedState
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.instruments import market_data_target
from cpapi_fast.protocol.topics import Fields
from cpapi_fast.redaction import shown

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.feed import Feed
    from cpapi_fast.protocol.hours import TradingHours
    from cpapi_fast.rest.client import Client

#: How often the schedules are requested, because they cover only the next days; and again after a failure. In seconds
#: of the clock.
_INTERVAL_S: Final = 86_400.0
_RETRY_S: Final = 3_600.0


#: The gateway has no schedule for the instrument, so that another request soon is of no use.
_NONE: Final = frozenset({Meaning.REFUSED, Meaning.BAD_REQUEST})

#: How many instruments one report names.
_MAX_NAMES: Final = 3


async def follow_schedules(
    client: Client,
    feed: Feed,
    options: CollectOptions,
    fields: Fields,
    report: Callable[[str], None],
    *,
    interval_s: float = _INTERVAL_S,
    retry_s: float = _RETRY_S,
    current: Callable[[], Collection[str]] | None = None,
    has_changed: asyncio.Event | None = None,
) -> None:
    """Set the trading hours of each instrument as soon as data streams, and again each day. Runs until it is cancelled.

    One request per instrument, paced. An instrument whose schedule is not available is watched at all times; it is
    reported once, and requested again after an hour, unless the gateway refuses it. A combination has no schedule.

    Args:
        client: the client of the gateway.
        feed: the feed, with a subscription of each instrument.
        options: the options of the run.
        fields: the fields of the subscriptions.
        report: called with a line of text about schedules that are not available.
        interval_s: how often all schedules are requested, in seconds of the clock.
        retry_s: when those that failed are requested again.
        current: returns the instruments that are subscribed to now; None for those of the options, which stay.
        has_changed: set when `current` has changed; cleared here.
    """
    if options.trading_hours != "schedule":
        return
    if current is None:
        fixed = tuple(map(market_data_target, options.conids))
        current = lambda: fixed  # noqa: E731 - a function of the same type
    changes = asyncio.Event() if has_changed is None else has_changed
    schedules = _Schedules(client, feed, fields, current)
    while has_changed is not None or schedules.wanted():
        try:
            await feed.wait_for(FeedState.STREAMING)
        except CpapiError:
            return
        changes.clear()
        problems = await schedules.request_due(interval_s, retry_s)
        if problems:
            report(_text(problems))
        await _first_of(client.clock.sleep(schedules.wait_s(interval_s)), changes.wait())


class _Schedules:
    """When the schedule of each instrument is requested, and what is known of it."""

    def __init__(self, client: Client, feed: Feed, fields: Fields, current: Callable[[], Collection[str]]) -> None:
        self._client: Final = client
        self._feed: Final = feed
        self._fields: Final = fields
        self._current: Final = current
        #: The next request of each instrument, in seconds of the clock.
        self._due_s: Final[dict[str, float]] = {}
        self._hours: Final[dict[str, TradingHours | None]] = {}
        self._reported: Final[set[str]] = set()

    def wanted(self) -> list[str]:
        """The instruments that may have a schedule."""
        return [target for target in self._current() if ";;;" not in target]

    async def request_due(self, interval_s: float, retry_s: float) -> dict[str, str]:
        """Request what is due. Returns why instruments have no trading hours, each reported once."""
        wanted = self.wanted()
        for target in self._due_s.keys() - set(wanted):
            # It is a new instrument if it returns.
            del self._due_s[target]
            self._hours.pop(target, None)
            self._reported.discard(target)
        now_s = self._client.clock.monotonic_s()
        problems: dict[str, str] = {}
        for target in wanted:
            if self._due_s.get(target, -math.inf) > now_s or target not in self._current():
                continue
            due_s = now_s + interval_s
            try:
                problem = await self._request(target)
            except CpapiError as error:
                problem = str(error)
                if getattr(error, "meaning", None) not in _NONE:
                    due_s = min(due_s, self._client.clock.monotonic_s() + retry_s)
            self._due_s[target] = due_s
            if problem and target not in self._reported:
                problems[target] = problem
        self._reported.update(problems)
        return problems

    def wait_s(self, interval_s: float) -> float:
        """The time until the next request, in seconds of the clock."""
        due_s = min(self._due_s.values(), default=math.inf)
        return max(0.0, min(due_s - self._client.clock.monotonic_s(), interval_s))

    async def _request(self, target: str) -> str:
        """Set the trading hours of one instrument. Returns why it has none, as text; empty for no problem."""
        conid, _, exchange = target.partition("@")
        schedule = await self._client.trading_schedule(int(conid), exchange=exchange or None)
        hours = schedule.hours()
        # It may have left while the request was in progress. A subscribe would bring it back.
        if target not in self._current():
            return ""
        if hours != self._hours.get(target):
            await self._feed.subscribe_market_data(target, self._fields, hours=hours)
        self._hours[target] = hours
        if schedule.days and not schedule.is_zone_known:
            return (
                f"this machine does not know the time zone {shown(schedule.time_zone)} of the exchange. Install the "
                "package tzdata, or give trading_hours=..."
            )
        return ""


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them ends, and cancel the others."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _text(problems: Mapping[str, str]) -> str:
    names = list(problems)
    more = len(names) - _MAX_NAMES
    listed = ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"no trading hours of {listed}, so a missing tick counts at all times: {problems[names[0]]}"
