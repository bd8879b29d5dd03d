"""Simulated instruments: when each ticks, without a step per tick."""

from __future__ import annotations

import bisect
import datetime as dt
import math
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from cpapi_fast.protocol.hours import TradingHours

NEVER = math.inf
_GOLDEN = 0.6180339887498949
#: A regular instrument ticks up to this part of its period late.
_JITTER = 0.1

#: The virtual year begins on a Monday, at midnight UTC.
FIRST_DAY = dt.date(2026, 1, 5)
EPOCH_NS = 1_767_571_200 * 1_000_000_000
DAY_S = 86_400.0
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")


def local_s(day: int, hour: float) -> float:
    """Seconds of virtual time at an hour in New York on a day of the virtual year."""
    date = FIRST_DAY + dt.timedelta(days=day)
    moment = dt.datetime.combine(date, dt.time(), NEW_YORK) + dt.timedelta(hours=hour)
    return moment.timestamp() - EPOCH_NS / 1e9


def weekday_sessions(days: int, start_hour: float, end_hour: float) -> list[tuple[float, float]]:
    """From Monday to Friday, from and to."""
    return [(local_s(day, start_hour), local_s(day, end_hour)) for day in range(days) if day % 7 < 5]


@dataclass
class Instrument:
    """One instrument: its ticks are a process in time, regular or Poisson, inside of its sessions.

    Attributes:
        topic: of its frames.
        period_s: regular: the time between two ticks; else the mean of it.
        is_regular: ticks every period, up to a tenth of it late; else it is a Poisson process.
        sessions: when it trades; None for always.
        hours: the same as its user knows it; None for unknown.
    """

    topic: str
    period_s: float
    is_regular: bool = True
    sessions: list[tuple[float, float]] | None = None
    hours: TradingHours | None = None
    random: Random = field(default_factory=lambda: Random(1), repr=False)
    _planned_s: float | None = None
    _starts: list[float] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._starts = [start for start, _ in self.sessions or ()]
        self._phase_s = self.random.uniform(0.0, self.period_s)

    def is_open(self, at_s: float) -> bool:
        """Whether it trades."""
        return bool(list(self._open_parts(at_s, at_s + 1e-6)))

    def ticks(self, from_s: float, to_s: float) -> tuple[int, float]:
        """How many ticks come in `(from_s, to_s]`, and when the last of them does."""
        count, last_s = 0, 0.0
        if self._planned_s is not None:
            if self._planned_s > to_s:
                return 0, 0.0
            count, last_s, from_s = 1, self._planned_s, self._planned_s
            self._planned_s = None
        for start_s, end_s in self._open_parts(from_s, to_s):
            more, at_s = self._regular(start_s, end_s) if self.is_regular else self._poisson(start_s, end_s)
            if more:
                count, last_s = count + more, at_s
        return count, last_s

    def next_s(self, after_s: float) -> float:
        """The first tick after a moment; `ticks` will count it then."""
        if self._planned_s is None:
            self._planned_s = self._draw(after_s)
        return self._planned_s

    def _draw(self, after_s: float) -> float:
        for start_s, end_s in self._open_parts(after_s, NEVER):
            if self.is_regular:
                at_s = self._at(self._index(start_s) + 1)
            else:
                at_s = start_s + self.random.expovariate(1.0 / self.period_s)
            if at_s <= end_s:
                return at_s
        return NEVER

    def _open_parts(self, from_s: float, to_s: float) -> Iterable[tuple[float, float]]:
        if self.sessions is None:
            yield from_s, to_s
            return
        index = max(bisect.bisect_right(self._starts, from_s) - 1, 0)
        while index < len(self.sessions):
            start_s, end_s = self.sessions[index]
            if start_s >= to_s:
                return
            if end_s > from_s:
                yield max(start_s, from_s), min(end_s, to_s)
            index += 1

    def _at(self, index: int) -> float:
        late = index * _GOLDEN
        return self._phase_s + self.period_s * (index + _JITTER * (late - math.floor(late)))

    def _index(self, at_s: float) -> int:
        """The last tick at or before a moment, had it always traded."""
        index = math.floor((at_s - self._phase_s) / self.period_s)
        return index if self._at(index) <= at_s else index - 1

    def _regular(self, from_s: float, to_s: float) -> tuple[int, float]:
        last = self._index(to_s)
        return max(last - self._index(from_s), 0), self._at(last)

    def _poisson(self, from_s: float, to_s: float) -> tuple[int, float]:
        # Seen backwards in time it is a Poisson process too.
        last_s = to_s - self.random.expovariate(1.0 / self.period_s)
        if last_s <= from_s:
            return 0, 0.0
        mean = (last_s - from_s) / self.period_s
        if mean > 30.0:
            return 1 + max(round(self.random.gauss(mean, math.sqrt(mean))), 0), last_s
        count, rest = 1, self.random.expovariate(1.0)
        while rest < mean:
            count, rest = count + 1, rest + self.random.expovariate(1.0)
        return count, last_s
