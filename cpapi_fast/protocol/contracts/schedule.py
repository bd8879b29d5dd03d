"""TradingSchedule: the sessions of a contract on the next days, and the trading hours that follow from them"""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.protocol.members import Members, check_error, date_of
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import repr_without_accounts

#: Times from here on, in the year 5138, are no times.
_END_EPOCH_S: Final = 100_000_000_000


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class TradingSession:
    """One session.

    Attributes:
        start: the start, in UTC.
        end: the end, in UTC.
    """

    start: dt.datetime
    end: dt.datetime


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class TradingDay:
    """The sessions of one trading day, oldest first.

    Attributes:
        date: the trading day. A session may begin on the day before.
        liquid: the sessions of the regular trading hours.
        extended: the sessions outside and inside of them.
    """

    date: dt.date
    liquid: tuple[TradingSession, ...]
    extended: tuple[TradingSession, ...]

    @property
    def sessions(self) -> tuple[TradingSession, ...]:
        """All sessions, regular and extended; they may overlap."""
        return (*self.extended, *self.liquid)


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class TradingSchedule:
    """The sessions of a contract on the days around now, of `Client.trading_schedule`.

    The gateway leaves out days without a session, such as weekends and holidays.

    Attributes:
        time_zone: the time zone of the exchange, an IANA name; empty if it is missing.
        days: the trading days, in order.
        raw: the decoded body.
        odd: the names of members that had an unexpected type. A session without a start or an end is left out.
    """

    time_zone: str
    days: tuple[TradingDay, ...]
    raw: dict[str, Any] = field(repr=False)
    odd: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, payload: object) -> TradingSchedule:
        """Parse the decoded body of `/contract/trading-schedule`.

        Raises:
            ShapeError: the body is not an object with `schedules`.
            ErrorBodyError: it is an error.
        """
        check_error(payload)
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        schedules = body.payload.get("schedules")
        if not isinstance(schedules, dict):
            raise ShapeError("schedules is not an object")
        days = []
        for name, value in schedules.items():
            date = date_of(name)
            if date is None or not isinstance(value, dict):
                odd.append("schedules")
                continue
            day = Members(value, odd, "schedules")
            liquid, extended = _sessions(day, "liquid_hours"), _sessions(day, "extended_hours")
            days.append(TradingDay(date, liquid, extended))
        days.sort(key=lambda day: day.date)
        return cls(body.text("exchange_time_zone") or "", tuple(days), body.payload, tuple(odd))

    def is_open(self, at: dt.datetime, *, outside_rth: bool = True) -> bool | None:
        """Return whether a time is in a session; None if the schedule does not cover it.

        Args:
            at: the time, with a time zone.
            outside_rth: whether sessions outside the regular trading hours count.
        """
        found = [session for day in self.days for session in (day.sessions if outside_rth else day.liquid)]
        if not found or not min(one.start for one in found) <= at < max(one.end for one in found):
            return None
        return any(one.start <= at < one.end for one in found)


def _sessions(day: Members, name: str) -> tuple[TradingSession, ...]:
    found = []
    for row in day.rows(name):
        start, end = _time(row.number("opening")), _time(row.number("closing"))
        if start is not None and end is not None and start < end:
            found.append(TradingSession(start, end))
    return tuple(sorted(found, key=lambda session: session.start))


def _time(epoch: float | None) -> dt.datetime | None:
    if epoch is None or not 0 <= epoch < _END_EPOCH_S:
        return None
    return dt.datetime.fromtimestamp(math.floor(epoch), dt.UTC)


def merged_minutes(sessions: Iterable[TradingSession], time_zone: str) -> dict[int, list[tuple[int, int]]]:
    """Return the sessions by weekday, as minutes of the day from and to, merged where they overlap.

    A session that spans midnight is split. A time zone that this machine does not know is taken for UTC.
    """
    try:
        zone: dt.tzinfo = zoneinfo.ZoneInfo(time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zone = dt.UTC
    by_day: dict[int, list[tuple[int, int]]] = {}
    for session in sessions:
        start, end = session.start.astimezone(zone), session.end.astimezone(zone)
        day = start.date()
        while day <= end.date():
            first = start.hour * 60 + start.minute if day == start.date() else 0
            last = end.hour * 60 + end.minute if day == end.date() else 24 * 60
            if first < last:
                by_day.setdefault(day.weekday(), []).append((first, last))
            day += dt.timedelta(days=1)
    return {weekday: _joined(spans) for weekday, spans in by_day.items()}


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
