"""Takes the trading hours of a run's instruments from their schedules, so that a closed market is not stale"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

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


@dataclass
class KnownHours:
    """What is known of the schedules of a run, so that following them can begin again.

    Attributes:
        hours: the trading hours by instrument; None for those without a schedule.
        all_due_s: when all schedules are requested again, in seconds of the clock.
    """

    hours: dict[str, TradingHours | None] = field(default_factory=dict)
    all_due_s: float = -math.inf


async def follow_schedules(
    client: Client,
    feed: Feed,
    options: CollectOptions,
    fields: Fields,
    report: Callable[[str], None],
    *,
    interval_s: float = _INTERVAL_S,
    retry_s: float = _RETRY_S,
    known: KnownHours | None = None,
) -> None:
    """Set the trading hours of each instrument as soon as data streams, and again each day. Runs until it is cancelled.

    One request per instrument, paced. An instrument whose schedule is not available is watched at all times; it is
    reported once, and requested again after an hour, unless the gateway refuses it. A combination has no schedule.

    Args:
        client: the client of the gateway.
        feed: the feed, with a subscription of each instrument.
        options: the options of the run, with all instruments.
        fields: the fields of the subscriptions.
        report: called with a line of text about schedules that are not available.
        interval_s: how often all schedules are requested, in seconds of the clock.
        retry_s: when those that failed are requested again.
        known: what an earlier call has found out; changed. Only the schedules of other instruments are requested at
            once.
    """
    if options.trading_hours != "schedule":
        return
    targets = [target for target in map(market_data_target, options.conids) if ";;;" not in target]
    known = KnownHours() if known is None else known
    reported: set[str] = set()
    due = [target for target in targets if target not in known.hours]
    while targets:
        try:
            await feed.wait_for(FeedState.STREAMING)
        except CpapiError:
            return
        now_s = client.clock.monotonic_s()
        if now_s >= known.all_due_s:
            due, known.all_due_s = targets, now_s + interval_s
        failed: list[str] = []
        problems: dict[str, str] = {}
        for target in due:
            try:
                problem = await _follow(client, feed, target, fields, known.hours)
            except CpapiError as error:
                problem = str(error)
                if getattr(error, "meaning", None) not in _NONE:
                    failed.append(target)
            if problem and target not in reported:
                problems[target] = problem
        if problems:
            reported |= problems.keys()
            report(_text(problems))
        due = failed
        wait_s = known.all_due_s - client.clock.monotonic_s()
        await client.clock.sleep(max(0.0, min(wait_s, retry_s) if due else wait_s))


async def _follow(
    client: Client, feed: Feed, target: str, fields: Fields, known: dict[str, TradingHours | None]
) -> str:
    """Set the trading hours of one instrument. Returns why it has none, as text; empty if there is no problem."""
    conid, _, exchange = target.partition("@")
    schedule = await client.trading_schedule(int(conid), exchange=exchange or None)
    hours = schedule.hours()
    if hours != known.get(target):
        await feed.subscribe_market_data(target, fields, hours=hours)
    known[target] = hours
    if schedule.days and not schedule.is_zone_known:
        return (
            f"this machine does not know the time zone {shown(schedule.time_zone)} of the exchange. Install the "
            "package tzdata, or give trading_hours=..."
        )
    return ""


def _text(problems: Mapping[str, str]) -> str:
    names = list(problems)
    more = len(names) - _MAX_NAMES
    listed = ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"no trading hours of {listed}, so a missing tick counts at all times: {problems[names[0]]}"
