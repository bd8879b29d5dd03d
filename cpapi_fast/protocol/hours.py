"""Trading hours of an instrument and the reset window of the gateway, as times of day in a time zone."""

from __future__ import annotations

import bisect
import datetime as dt
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.redaction import repr_without_accounts

_MINUTES_A_DAY: Final = 24 * 60
_NS_A_SECOND: Final = 1_000_000_000


def _zone(name: str) -> dt.tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"no time zone {name!r} on this machine. Use a name such as 'America/New_York'. If the system has no time "
            "zones, install them: pip install tzdata"
        ) from None


def _minute(text: str, *, may_end_the_day: bool = False) -> int:
    hour, colon, minute = text.partition(":")
    if colon and hour.isdigit() and minute.isdigit() and len(minute) == 2 and int(minute) < 60:
        value = int(hour) * 60 + int(minute)
        if value < _MINUTES_A_DAY or (may_end_the_day and value == _MINUTES_A_DAY):
            return value
    raise ConfigError(f"a time of day must be written like '09:30', not {text!r}")


@repr_without_accounts
@dataclass(frozen=True)
class DailyWindow:
    """A daily time window, such as that of the gateway's reset. It may span midnight.

    Args:
        start: the start, `HH:MM`.
        end: the end, `HH:MM`; not part of the window.
        time_zone: an IANA name such as `America/New_York`.

    Raises:
        ConfigError: a time or the time zone is invalid.
    """

    start: str
    end: str
    time_zone: str

    def __post_init__(self) -> None:
        _minute(self.start)
        _minute(self.end)
        _zone(self.time_zone)

    @classmethod
    def us_reset(cls) -> DailyWindow | None:
        """Return the reset window of US logins, around midnight in New York; None on a machine without time zones."""
        try:
            return cls("23:40", "00:45", "America/New_York")
        except ConfigError:
            return None

    def holds(self, time_ns: int) -> bool:
        """Return whether a time, in ns since the Unix epoch, is in the window."""
        moment = dt.datetime.fromtimestamp(time_ns // _NS_A_SECOND, _zone(self.time_zone))
        minute = moment.hour * 60 + moment.minute
        start, end = _minute(self.start), _minute(self.end)
        return start <= minute < end if start <= end else minute >= start or minute < end


@repr_without_accounts
@dataclass(frozen=True)
class TradingHours:
    """The trading hours of an instrument: the sessions of a week in its exchange's time zone, without holidays.

    Outside its trading hours a subscription does not become stale.

    Args:
        sessions: weekday (0 is Monday), start and end of each session, `(0, "09:30", "16:00")`. An end of `24:00` is
            midnight. Split a session that spans midnight into two.
        time_zone: an IANA name.
        holidays: dates without a session, in the exchange's time zone.

    Raises:
        ConfigError: a weekday, time or time zone is invalid, or there is no session.
    """

    sessions: tuple[tuple[int, str, str], ...]
    time_zone: str
    holidays: frozenset[dt.date] = frozenset()
    _edges: list[tuple[int, int]] = field(init=False, repr=False, compare=False)
    #: The last minute that `is_open` checked, and its result. It is called much more often than once a minute.
    _latest: tuple[int, bool] = field(init=False, repr=False, compare=False, default=(-1, False))

    def __post_init__(self) -> None:
        _zone(self.time_zone)
        edges = []
        for day, start, end in self.sessions:
            first, last = _minute(start), _minute(end, may_end_the_day=True)
            if day not in range(7) or first >= last:
                raise ConfigError(
                    f"a session must be a weekday from 0 (Monday) to 6, a start and a later end, not "
                    f"{(day, start, end)!r}. Split a session that spans midnight into two."
                )
            edges.append((day * _MINUTES_A_DAY + first, day * _MINUTES_A_DAY + last))
        if not edges:
            raise ConfigError("trading hours need at least one session")
        merged: list[tuple[int, int]] = []
        for start_minute, end_minute in sorted(edges):
            if merged and start_minute <= merged[-1][1]:
                start_minute, end_minute = merged[-1][0], max(merged.pop()[1], end_minute)
            merged.append((start_minute, end_minute))
        object.__setattr__(self, "_edges", merged)

    @classmethod
    def weekdays(cls, start: str, end: str, time_zone: str, *, holidays: Iterable[dt.date] = ()) -> TradingHours:
        """Return hours with the same session from Monday to Friday: `("09:30", "16:00", "America/New_York")`."""
        return cls(tuple((day, start, end) for day in range(5)), time_zone, frozenset(holidays))

    def is_open(self, time_ns: int) -> bool:
        """Return whether the instrument trades at a time, in ns since the Unix epoch."""
        minute = time_ns // (60 * _NS_A_SECOND)
        latest = self._latest
        if latest[0] != minute:
            latest = (minute, self._holds(minute * 60))
            object.__setattr__(self, "_latest", latest)
        return latest[1]

    def _holds(self, time_s: int) -> bool:
        moment = dt.datetime.fromtimestamp(time_s, _zone(self.time_zone))
        if moment.date() in self.holidays:
            return False
        minute = moment.weekday() * _MINUTES_A_DAY + moment.hour * 60 + moment.minute
        index = bisect.bisect_right(self._edges, (minute, 10 * _MINUTES_A_DAY)) - 1
        return index >= 0 and minute < self._edges[index][1]
