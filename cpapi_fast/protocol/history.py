"""Requests and responses of history: periods, bars, and the JSON of `smh` and REST. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.events import Bar
from cpapi_fast.redaction import repr_without_accounts, shown

from .shape import ShapeError

#: The documented counts of each unit.
_PERIODS: Final[Mapping[str, range]] = {
    "min": range(1, 31),
    "h": range(1, 9),
    "d": range(1, 1001),
    "w": range(1, 793),
    "m": range(1, 183),
    "y": range(1, 16),
}
_BARS: Final[Mapping[str, tuple[int, ...]]] = {
    "min": (1, 2, 3, 5, 10, 15, 30),
    "h": (1, 2, 3, 4, 8),
    "d": (1,),
    "w": (1,),
    "m": (1,),
}
_UNIT_S: Final[Mapping[str, int]] = {"min": 60, "h": 3_600, "d": 86_400, "w": 604_800, "m": 2_592_000, "y": 31_536_000}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,3})(min|[hdwmy])", re.ASCII)

#: The prices that the bars are made of: trades, the midpoint of bid and ask, or bid and ask.
HistorySource = Literal["trades", "midpoint", "bid_ask"]

#: Their names in REST. The first one is the default of the gateway.
_REST_SOURCES: Final[Mapping[str, str]] = {"trades": "Last", "midpoint": "Midpoint", "bid_ask": "Bid_Ask"}

#: The maximum number of bars in one response.
MAX_BARS: Final = 1_000

#: The gateway sends times in seconds or in milliseconds. A smaller number is in seconds: in milliseconds it would be a
#: time before 1974.
_LEAST_EPOCH_MS: Final = 10**11


def check_period(text: str) -> str:
    """Return a valid period such as `30min`, `8h`, `5d` unchanged.

    Raises:
        SubscriptionError: the period is invalid. The gateway would silently use another one.
    """
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) not in _PERIODS[match[2]]:
        raise SubscriptionError(
            "a period must be 1min to 30min, 1h to 8h, 1d to 1000d, 1w to 792w, 1m to 182m (months) or 1y to 15y, not "
            f"{shown(text)}"
        )
    return text


def bar_length_s(text: str) -> int:
    """Return the length of a bar such as `1min`, `2h`, `1d` in seconds; a month (`1m`) counts as 30 days.

    Raises:
        SubscriptionError: the bar is invalid. The gateway would silently use another one.
    """
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) not in _BARS.get(match[2], ()):
        raise SubscriptionError(
            "a bar must be one of 1min 2min 3min 5min 10min 15min 30min 1h 2h 3h 4h 8h 1d 1w 1m (a month), not "
            f"{shown(text)}"
        )
    return int(match[1]) * _UNIT_S[match[2]]


def rest_source(source: str) -> str:
    """Return the REST name of a source: `Last`, `Midpoint` or `Bid_Ask`.

    Raises:
        SubscriptionError: the source is invalid.
    """
    if not isinstance(source, str) or source not in _REST_SOURCES:
        raise SubscriptionError(f"a source must be one of {', '.join(_REST_SOURCES)}, not {shown(source)}")
    return _REST_SOURCES[source]


def span_back(seconds: float) -> tuple[str, str]:
    """Return a short period that covers the last `seconds`, and the finest bar that fits in one response.

    Returns:
        The period and the bar in the gateway's format: `("30min", "1min")`.
    """
    # One minute more, because a bar starts before the times that it covers.
    minutes = math.ceil(max(seconds, 0.0) / 60.0) + 1
    if minutes <= 30:
        return f"{minutes}min", "1min"
    hours = math.ceil(minutes / 60)
    if hours <= 8:
        return f"{hours}h", "1min"
    # A day of history may contain only that day's session, so the day before is requested as well.
    days = min(math.ceil(minutes / 1440) + 1, 1000)
    for unit in ("min", "h"):
        for count in _BARS[unit]:
            if days * 86_400 <= MAX_BARS * count * _UNIT_S[unit]:
                return f"{days}d", f"{count}{unit}"
    return f"{days}d", "1d"


def start_time_text(start_time: datetime) -> str:
    """Return a time in the gateway's format, in UTC: `20260102-14:30:00`.

    Raises:
        SubscriptionError: the time has no time zone.
    """
    if not isinstance(start_time, datetime) or start_time.utcoffset() is None:
        raise SubscriptionError("start_time must be a datetime with a time zone, such as datetime.now(timezone.utc)")
    return start_time.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Bars of history.

    Attributes:
        bars: the bars, oldest first; the last one may be incomplete.
        bar_s: the length of a bar in seconds; None when the response does not contain it.
        server_id: the gateway's id of the request, for `umh`; None when the response does not contain it.
        availability: the letters of the availability (`S`, `R`, `D` ...); empty without them.
        payload: the decoded response.
    """

    bars: tuple[Bar, ...]
    bar_s: float | None
    server_id: str | None
    availability: str
    payload: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, payload: object) -> History:
        """Parse the decoded REST response or the decoded `smh` frame, which have the same members.

        Raises:
            ShapeError: the payload has an unexpected shape.
        """
        if not isinstance(payload, dict):
            raise ShapeError("the body is not an object")
        rows = payload.get("data")
        if not isinstance(rows, list):
            raise ShapeError("data is not a list")
        # The reported volume times this factor is the traded volume.
        factor = _number(payload, "volumeFactor", 1.0)
        bars = [_bar(row, factor) for row in rows]
        length_s = _number(payload, "barLength", 0.0)
        server_id = payload.get("serverId")
        availability = payload.get("mdAvailability")
        return cls(
            bars=tuple(sorted(bars, key=lambda bar: bar.start_ns)),
            bar_s=length_s if length_s > 0.0 else None,
            server_id=server_id if isinstance(server_id, str) and server_id else None,
            availability=availability if isinstance(availability, str) else "",
            payload=payload,
        )

    def covering(self, first_ns: int, last_ns: int, *, bar_s: float) -> tuple[Bar, ...]:
        """Return the bars that overlap a period.

        Args:
            first_ns: the start of the period, in ns since the Unix epoch.
            last_ns: the end of the period, in ns since the Unix epoch.
            bar_s: the length of a bar in seconds, if the response does not contain it.
        """
        length_ns = int((bar_s if self.bar_s is None else self.bar_s) * 1e9)
        return tuple(bar for bar in self.bars if bar.start_ns + length_ns > first_ns and bar.start_ns <= last_ns)


def _bar(row: object, factor: float) -> Bar:
    if not isinstance(row, dict):
        raise ShapeError("a bar is not an object")
    epoch = _number(row, "t")
    return Bar(
        start_ns=int(epoch) * (1_000_000 if epoch >= _LEAST_EPOCH_MS else 1_000_000_000),
        open=_number(row, "o"),
        high=_number(row, "h"),
        low=_number(row, "l"),
        close=_number(row, "c"),
        # Bars of midpoints have no volume.
        volume=_number(row, "v", 0.0) * factor,
    )


def _number(row: dict[str, Any], member: str, default: float | None = None) -> float:
    value = row.get(member, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShapeError(f"{member} is not a number")
    return value
