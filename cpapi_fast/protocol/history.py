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

from .members import Members
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
#: Times from here on, in the year 5138, are no times.
_END_EPOCH_MS: Final = 100_000_000_000_000


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


def rest_query(
    target: str,
    period: str,
    bar: str,
    exchange: str | None,
    outside_rth: bool,
    start_time: datetime | None,
    source: HistorySource,
) -> dict[str, str]:
    """Return the query of a request for history over REST.

    Raises:
        SubscriptionError: the period, the bar, the source or the time is invalid.
    """
    bar_length_s(bar)
    query = {
        "conid": target,
        "period": check_period(period),
        "bar": bar,
        "outsideRth": "true" if outside_rth else "false",
        "source": rest_source(source),
    }
    if exchange is not None:
        query["exchange"] = exchange
    if start_time is not None:
        query["startTime"] = start_time_text(start_time)
    return query


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
        odd: the names of members that had an unexpected type. A bar without a time or a price is left out.
    """

    bars: tuple[Bar, ...]
    bar_s: float | None
    server_id: str | None
    availability: str
    payload: dict[str, Any] = field(repr=False)
    odd: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, payload: object) -> History:
        """Parse the decoded REST response or the decoded `smh` frame, which have the same members.

        Raises:
            ShapeError: the payload has an unexpected shape.
        """
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        rows = body.payload.get("data")
        if not isinstance(rows, list):
            raise ShapeError("data is not a list")
        # The reported volume times this factor is the traded volume.
        factor = _volume_factor(body)
        bars = [bar for row in rows if (bar := _bar(Members(row, odd, "data"), factor)) is not None]
        if rows and not bars:
            raise ShapeError("no bar has a time and four prices")
        length_s = body.number("barLength") or 0.0
        return cls(
            bars=tuple(sorted(bars, key=lambda bar: bar.start_ns)),
            bar_s=length_s if length_s > 0.0 else None,
            server_id=body.text("serverId") or None,
            availability=body.text("mdAvailability") or "",
            payload=body.payload,
            odd=tuple(odd),
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


def _volume_factor(body: Members) -> float:
    factor = body.number("volumeFactor")
    if factor is not None:
        return factor
    # With a factor that cannot be read, the volumes are unknown, not wrong.
    return 1.0 if body.payload.get("volumeFactor") is None else math.nan


def _bar(row: Members, factor: float) -> Bar | None:
    """Return a bar; None if its time or a price cannot be read."""
    epoch, *prices = (row.number(name) for name in ("t", "o", "h", "l", "c"))
    if epoch is None or not 0 <= epoch < _END_EPOCH_MS or any(price is None for price in prices):
        return None
    opening, high, low, close = (price or 0.0 for price in prices)
    volume = row.number("v")
    if volume is None:
        # Bars of midpoints have no volume. One that cannot be read is unknown.
        volume = 0.0 if row.payload.get("v") is None else math.nan
    start_ns = int(epoch) * (1_000_000 if epoch >= _LEAST_EPOCH_MS else 1_000_000_000)
    return Bar(start_ns, opening, high, low, close, volume * factor)
