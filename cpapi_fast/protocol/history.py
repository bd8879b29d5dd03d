"""What history is asked for and what it answers: periods, bars, and the JSON of `smh` and REST alike. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.events import Bar
from cpapi_fast.redaction import shown

from .shape import ShapeError

#: Which counts each unit takes, as documented.
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

#: What the bars are made of: trades, the middle of bid and ask, or both.
HistorySource = Literal["trades", "midpoint", "bid_ask"]

#: How REST calls them; the first is its default.
_REST_SOURCES: Final[Mapping[str, str]] = {"trades": "Last", "midpoint": "Midpoint", "bid_ask": "Bid_Ask"}

#: More bars than this no answer has.
MAX_BARS: Final = 1_000

#: An epoch below this is in seconds, since in milliseconds it would be in 1973; both have been seen.
_LEAST_EPOCH_MS: Final = 10**11


def check_period(text: str) -> str:
    """A period such as `30min`, `8h`, `5d`, as it is sent.

    Raises:
        SubscriptionError: the gateway knows no such period; it would silently use another.
    """
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) not in _PERIODS[match[2]]:
        raise SubscriptionError(
            "a period is 1min to 30min, 1h to 8h, 1d to 1000d, 1w to 792w, 1m to 182m (months) or 1y to 15y, not "
            f"{shown(text)}"
        )
    return text


def bar_length_s(text: str) -> int:
    """How many seconds a bar such as `1min`, `2h`, `1d` is long; a month (`1m`) counts as 30 days.

    Raises:
        SubscriptionError: the gateway knows no such bar; it would silently use another.
    """
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) not in _BARS.get(match[2], ()):
        raise SubscriptionError(
            "a bar is one of 1min 2min 3min 5min 10min 15min 30min 1h 2h 3h 4h 8h 1d 1w 1m (a month), not "
            f"{shown(text)}"
        )
    return int(match[1]) * _UNIT_S[match[2]]


def rest_source(source: str) -> str:
    """What REST calls a source: `Last`, `Midpoint`, `Bid_Ask`.

    Raises:
        SubscriptionError: there is no such source.
    """
    if not isinstance(source, str) or source not in _REST_SOURCES:
        raise SubscriptionError(f"a source is one of {', '.join(_REST_SOURCES)}, not {shown(source)}")
    return _REST_SOURCES[source]


def span_back(seconds: float) -> tuple[str, str]:
    """The shortest period that reaches this far back from now, and the finest bar that fits into one answer."""
    # One more, since a bar begins before what lies in it.
    minutes = math.ceil(max(seconds, 0.0) / 60.0) + 1
    if minutes <= 30:
        return f"{minutes}min", "1min"
    hours = math.ceil(minutes / 60)
    if hours <= 8:
        return f"{hours}h", "1min"
    # A day of history may be the day's session only, so the one before is asked for too.
    days = min(math.ceil(minutes / 1440) + 1, 1000)
    for unit in ("min", "h"):
        for count in _BARS[unit]:
            if days * 86_400 <= MAX_BARS * count * _UNIT_S[unit]:
                return f"{days}d", f"{count}{unit}"
    return f"{days}d", "1d"


def start_time_text(start_time: datetime) -> str:
    """A time as the gateway takes it, in UTC: `20260102-14:30:00`.

    Raises:
        SubscriptionError: the time does not say its zone.
    """
    if not isinstance(start_time, datetime) or start_time.utcoffset() is None:
        raise SubscriptionError("start_time must be a datetime with a time zone, such as datetime.now(timezone.utc)")
    return start_time.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """One answer of the gateway with bars.

    Attributes:
        bars: oldest first; the last one may still be under way.
        bar_s: how many seconds each is long; None when the answer does not say.
        server_id: the request's id at the gateway, which `umh` gives back; None when the answer has none.
        availability: the gateway's letters for what kind of data this is (`S`, `R`, `D` ...); empty when it has none.
        payload: the whole answer decoded.
    """

    bars: tuple[Bar, ...]
    bar_s: float | None
    server_id: str | None
    availability: str
    payload: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, payload: object) -> History:
        """Read the decoded answer of REST or the decoded frame of an `smh`; they have the same members.

        Raises:
            ShapeError: it has another shape.
        """
        if not isinstance(payload, dict):
            raise ShapeError("the body is not an object")
        rows = payload.get("data")
        if not isinstance(rows, list):
            raise ShapeError("data is not a list")
        # "Reported volume" times this is what was traded.
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
        """The bars in which a time from `first_ns` to `last_ns` lies; `bar_s` where the answer gives no length."""
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
        # What is no trade, such as a midpoint, has none.
        volume=_number(row, "v", 0.0) * factor,
    )


def _number(row: dict[str, Any], member: str, default: float | None = None) -> float:
    value = row.get(member, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShapeError(f"{member} is not a number")
    return value
