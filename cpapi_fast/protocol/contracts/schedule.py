"""TradingSchedule: the sessions of a contract on the next days, and the trading hours that follow from them"""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.members import Members, check_error, date_of
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import repr_without_accounts

#: Times from here on, in the year 5138, are no times.
_END_EPOCH_S: Final = 100_000_000_000

#: The longest session, and how far it may begin from its trading day.
_MOST_SESSION: Final = dt.timedelta(days=7)
#: How far a trading day may be from the one in the middle, in days.
_MOST_DAYS_APART: Final = 60
#: How many sessions of one list are read.
_MOST_SESSIONS: Final = 32

#: Names of time zones that many systems do not install any more, and their present names.
_PRESENT_NAMES: Final = {
    "US/Alaska": "America/Anchorage",
    "US/Arizona": "America/Phoenix",
    "US/Central": "America/Chicago",
    "US/Eastern": "America/New_York",
    "US/Hawaii": "Pacific/Honolulu",
    "US/Mountain": "America/Denver",
    "US/Pacific": "America/Los_Angeles",
    "Canada/Eastern": "America/Toronto",
    "Asia/Calcutta": "Asia/Kolkata",
    "GB": "Europe/London",
    "Hongkong": "Asia/Hong_Kong",
    "Japan": "Asia/Tokyo",
    "Singapore": "Asia/Singapore",
}

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
        is_whole: whether all sessions of the day could be read.
    """

    date: dt.date
    liquid: tuple[TradingSession, ...]
    extended: tuple[TradingSession, ...]
    is_whole: bool = True

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
        odd: the names of members that had an unexpected type or value. A session without a start or an end, one of more
            than seven days, and a day far from the others are left out.
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
            else:
                days.append(_day(date, Members(value, odd, "schedules")))
        days.sort(key=lambda day: day.date)
        if days:
            middle = days[len(days) // 2].date
            near = [day for day in days if abs((day.date - middle).days) <= _MOST_DAYS_APART]
            odd += ["schedules"] * (len(days) - len(near))
            days = near
        return cls(body.text("exchange_time_zone") or "", tuple(days), body.payload, tuple(odd))

    @property
    def is_zone_known(self) -> bool:
        """Whether this machine knows the time zone. Without a time zone in the schedule it is not."""
        return _known_zone(self.time_zone) is not None

    def is_open(self, at: dt.datetime, *, outside_rth: bool = True) -> bool | None:
        """Return whether a time is in a session; None if the schedule does not cover it, or could not be read there.

        Args:
            at: the time, with a time zone.
            outside_rth: whether sessions outside the regular trading hours count.

        Raises:
            ConfigError: the time has no time zone.
        """
        if not isinstance(at, dt.datetime) or at.utcoffset() is None:
            raise ConfigError("at must be a datetime with a time zone, such as datetime.now(UTC)")
        found = [session for day in self.days for session in (day.sessions if outside_rth else day.liquid)]
        if not found or not min(one.start for one in found) <= at < max(one.end for one in found):
            return None
        if any(one.start <= at < one.end for one in found):
            return True
        # What could not be read may be a session.
        return None if self.odd else False

    def hours(self) -> TradingHours | None:
        """Return the trading hours that follow from the schedule, for `Feed.subscribe_market_data(hours=...)`.

        They are the sessions of each weekday, regular and extended. A date from Monday to Friday without a session is a
        holiday, if all of the schedule could be read. A weekday that the schedule does not cover completely, or whose
        sessions could not all be read, counts as open, because a feed must not take a missing tick for a closed market.

        Returns:
            The hours; None if the instrument trades at all times, or if the schedule or its time zone is unknown.
        """
        name = _known_zone(self.time_zone)
        zone = zoneinfo.ZoneInfo(name) if name is not None else dt.UTC
        spans = sorted(span for day in self.days for one in day.sessions for span in _spans(one, zone))
        if name is None or not spans:
            return None
        by_date: dict[dt.date, list[tuple[int, int]]] = {}
        for date, first, last in spans:
            by_date.setdefault(date, []).append((first, last))
        covered = _covered(min(by_date), max(by_date), spans_midnight=any(last == _DAY for _, _, last in spans))
        known = {date.weekday() for date in covered if date in by_date}
        # A session of such a day may be on the dates beside it.
        damaged = [day.date.weekday() for day in self.days if not day.is_whole]
        known -= {(weekday + offset) % 7 for weekday in damaged for offset in (-1, 0, 1)}
        by_weekday: dict[int, list[tuple[int, int]]] = {weekday: [] for weekday in known}
        for date in by_date:
            if date.weekday() in known:
                by_weekday[date.weekday()] += by_date[date]
        # A date may be without a session only because its session could not be read.
        without = [] if self.odd else [date for date in covered if date not in by_date]
        holidays = {date for date in without if date.weekday() < _SATURDAY}
        closed = {date.weekday() for date in without if date.weekday() >= _SATURDAY} - by_weekday.keys()
        for weekday in set(range(7)) - by_weekday.keys() - closed:
            by_weekday[weekday] = [(0, _DAY)]
        joined = {weekday: _joined(of_day) for weekday, of_day in sorted(by_weekday.items())}
        if len(joined) == 7 and not holidays and all(of_day == [(0, _DAY)] for of_day in joined.values()):
            return None
        sessions = [
            (weekday, _clock(first), _clock(last)) for weekday, of_day in joined.items() for first, last in of_day
        ]
        return TradingHours(tuple(sessions), name, frozenset(holidays))


def _covered(first: dt.date, last: dt.date, *, spans_midnight: bool) -> list[dt.date]:
    """Return the dates whose sessions are all in a schedule with sessions from `first` to `last`.

    If sessions span midnight, the first and the last date may have further ones, of trading days beyond the schedule.
    """
    edge = 1 if spans_midnight else 0
    count = (last - first).days + 1
    return [first + dt.timedelta(days=index) for index in range(edge, count - edge)]


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _day(date: dt.date, day: Members) -> TradingDay:
    before = len(day.odd)
    liquid, extended = _sessions(date, day, "liquid_hours"), _sessions(date, day, "extended_hours")
    return TradingDay(date, liquid, extended, is_whole=len(day.odd) == before)


def _sessions(date: dt.date, day: Members, name: str) -> tuple[TradingSession, ...]:
    found = []
    for index, row in enumerate(day.rows(name)):
        start, end = _time(row.number("opening")), _time(row.number("closing"))
        is_valid = start is not None and end is not None and start < end <= start + _MOST_SESSION
        if start is None or end is None or not is_valid or index >= _MOST_SESSIONS:
            day.odd.append(f"schedules.{name}")
        elif abs(start.date() - date) > _MOST_SESSION:
            day.odd.append(f"schedules.{name}.opening")
        else:
            found.append(TradingSession(start, end))
        if index >= _MOST_SESSIONS:
            break
    return tuple(sorted(found, key=lambda session: session.start))


def _time(epoch: float | None) -> dt.datetime | None:
    if epoch is None or not 0 <= epoch < _END_EPOCH_S:
        return None
    return dt.datetime.fromtimestamp(math.floor(epoch), dt.UTC)


def _known_zone(name: str) -> str | None:
    """Return the name that this machine knows for a time zone; None if it knows none."""
    for one in (name, _PRESENT_NAMES.get(name)):
        try:
            if one:
                zoneinfo.ZoneInfo(one)
                return one
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return None


def _spans(session: TradingSession, zone: dt.tzinfo) -> Iterable[tuple[dt.date, int, int]]:
    """Yield the dates of a session with its first and last minute on each; split at midnight."""
    start, end = session.start.astimezone(zone), session.end.astimezone(zone)
    day = start.date()
    while day <= end.date():
        first = start.hour * 60 + start.minute if day == start.date() else 0
        # An end within a minute is that of the minute.
        last = math.ceil(end.hour * 60 + end.minute + end.second / 60) if day == end.date() else _DAY
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
