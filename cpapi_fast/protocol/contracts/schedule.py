"""TradingSchedule: the sessions of a contract on the next days, and the trading hours that follow from them"""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.members import Members, check_error, date_of
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import repr_without_accounts

#: Times from here on, in the year 5138, are no times.
_END_EPOCH_S: Final = 100_000_000_000

#: The minutes of a day.
_DAY: Final = 24 * 60
_SATURDAY: Final = 5


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

    def hours(self) -> TradingHours | None:
        """Return the trading hours that follow from the schedule, for `Feed.subscribe_market_data(hours=...)`.

        They are the sessions of each weekday, regular and extended. A date from Monday to Friday without a session is a
        holiday. A weekday that the schedule does not cover completely counts as open, because a feed must not take a
        missing tick for a closed market.

        Returns:
            The hours; None if the instrument trades at all times, or if the schedule or its time zone is unknown.
        """
        zone = _zone(self.time_zone)
        spans = sorted(span for day in self.days for one in day.sessions for span in _spans(one, zone or dt.UTC))
        if zone is None or not spans:
            return None
        by_date: dict[dt.date, list[tuple[int, int]]] = {}
        for date, first, last in spans:
            by_date.setdefault(date, []).append((first, last))
        covered = _covered(min(by_date), max(by_date), spans_midnight=any(last == _DAY for _, _, last in spans))
        known = {date.weekday() for date in covered if date in by_date}
        by_weekday: dict[int, list[tuple[int, int]]] = {weekday: [] for weekday in known}
        for date in by_date:
            if date.weekday() in known:
                by_weekday[date.weekday()] += by_date[date]
        holidays = {date for date in covered if date not in by_date and date.weekday() < _SATURDAY}
        closed = {date.weekday() for date in covered if date.weekday() >= _SATURDAY} - by_weekday.keys()
        for weekday in set(range(7)) - by_weekday.keys() - closed:
            by_weekday[weekday] = [(0, _DAY)]
        joined = {weekday: _joined(of_day) for weekday, of_day in sorted(by_weekday.items())}
        if len(joined) == 7 and not holidays and all(of_day == [(0, _DAY)] for of_day in joined.values()):
            return None
        sessions = [
            (weekday, _clock(first), _clock(last)) for weekday, of_day in joined.items() for first, last in of_day
        ]
        return TradingHours(tuple(sessions), self.time_zone, frozenset(holidays))


def _covered(first: dt.date, last: dt.date, *, spans_midnight: bool) -> list[dt.date]:
    """Return the dates whose sessions are all in a schedule with sessions from `first` to `last`.

    If sessions span midnight, the first and the last date may have further ones, of trading days beyond the schedule.
    """
    edge = 1 if spans_midnight else 0
    count = (last - first).days + 1
    return [first + dt.timedelta(days=index) for index in range(edge, count - edge)]


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


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


def _zone(name: str) -> dt.tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _spans(session: TradingSession, zone: dt.tzinfo) -> Iterable[tuple[dt.date, int, int]]:
    """Yield the dates of a session with its first and last minute on each; split at midnight."""
    start, end = session.start.astimezone(zone), session.end.astimezone(zone)
    day = start.date()
    while day <= end.date():
        first = start.hour * 60 + start.minute if day == start.date() else 0
        last = end.hour * 60 + end.minute if day == end.date() else _DAY
        if first < last:
            yield day, first, last
        day += dt.timedelta(days=1)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
