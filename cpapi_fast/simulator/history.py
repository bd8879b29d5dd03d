"""Bars of the past: what `smh` answers on the socket, where it holds a slot until `umh`, and what REST answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from .wire import payload

_UNIT_S: Final = {"min": 60, "h": 3_600, "d": 86_400, "w": 604_800, "m": 2_592_000, "y": 31_536_000}
_PERIODS: Final = {"min": 30, "h": 8, "d": 1_000, "w": 792, "m": 182, "y": 15}
_BARS: Final = {"min": (1, 2, 3, 5, 10, 15, 30), "h": (1, 2, 3, 4, 8), "d": (1,), "w": (1,), "m": (1,)}
_DEFAULT_PERIOD: Final = "1d"
_DEFAULT_BAR: Final = "5min"
_LONGEST_ANSWER: Final = 1_000
_SHAPE: Final = re.compile(r"(\d{1,4})(min|[hdwmy])", re.ASCII)
_MINUTE_S: Final = 60
#: For how many traded minutes it is known what was traded; about two days.
_MOST_MINUTES: Final = 3_000
_TIME_FORMAT: Final = "%Y%m%d-%H:%M:%S"


def _split(text: Any) -> tuple[int, str] | None:
    match = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    return (int(match[1]), match[2]) if match else None


def period_s(text: Any) -> int:
    """Seconds of a `period`; a bad one is ignored and the default used."""
    count, unit = _split(text) or (0, "")
    if not 1 <= count <= _PERIODS.get(unit, 0):
        return period_s(_DEFAULT_PERIOD)
    return count * _UNIT_S[unit]


def bar_s(text: Any) -> int:
    """Seconds of a `bar`; a bad one is ignored and the default used."""
    count, unit = _split(text) or (0, "")
    if count not in _BARS.get(unit, ()):
        return bar_s(_DEFAULT_BAR)
    return count * _UNIT_S[unit]


class Tape:
    """What one instrument has traded, minute by minute; before its first trade, a smooth past that leads up to it.

    Args:
        name: decides the past.
        price: the price before the first trade, in units of the last decimal.
        decimals: how many decimals a price has.
        now_s: when it begins.
    """

    def __init__(self, name: str, price: int, decimals: int, now_s: float) -> None:
        self._name = name
        self._decimals = decimals
        self._start_s = now_s
        self._start_price = price
        # Minute to open, high, low, close and volume; prices in units of the last decimal.
        self._minutes: dict[int, tuple[int, int, int, int, int]] = {}
        random = Random(f"{name}/past")
        self._waves = [
            (random.uniform(0.0, 0.02), math.tau / (days * 86_400.0), random.uniform(0.0, math.tau))
            for days in (0.02, 0.3, 2.0, 30.0, 400.0)
        ]

    @property
    def price_factor(self) -> int:
        """How many units one is."""
        return int(10**self._decimals)

    def record(self, price: int, size: int, now_s: float) -> None:
        """A trade."""
        minute = int(now_s // _MINUTE_S)
        known = self._minutes.get(minute)
        if known is None:
            self._minutes[minute] = (price, price, price, price, size)
            if len(self._minutes) > _MOST_MINUTES:
                self._forget()
        else:
            opened, high, low, _, volume = known
            self._minutes[minute] = (opened, max(high, price), min(low, price), price, volume + size)

    def _forget(self) -> None:
        first = next(iter(self._minutes))
        _, _, _, self._start_price, _ = self._minutes.pop(first)
        self._start_s = (first + 1) * _MINUTE_S

    def _past(self, time_s: float) -> int:
        """The price before the first trade."""
        ago_s = time_s - self._start_s
        shift = sum(height * (math.sin(ago_s * pace + phase) - math.sin(phase)) for height, pace, phase in self._waves)
        return max(1, round(self._start_price * (1.0 + shift)))

    def bars(self, start_s: int, step_s: int, count: int) -> list[dict[str, Any]]:
        """Bars from `start_s` on; a time without a trade has a flat bar without volume."""
        by_bar: dict[int, list[tuple[int, int, int, int, int]]] = {}
        # The price that the time without trades goes on with.
        price = self._past(min(start_s, self._start_s))
        for minute, traded in sorted(self._minutes.items()):
            if minute * _MINUTE_S < start_s:
                price = traded[3]
            else:
                by_bar.setdefault((minute * _MINUTE_S - start_s) // step_s, []).append(traded)
        found = []
        for index in range(count):
            begin_s, known = start_s + index * step_s, by_bar.get(index, [])
            prices = [price]
            volume = 0
            if begin_s < self._start_s:
                random = Random(f"{self._name}/{begin_s}")
                prices.append(self._past(min(begin_s + step_s, self._start_s)))
                prices += [max(prices) + random.randrange(20), max(1, min(prices) - random.randrange(20)), prices[1]]
                volume = random.randrange(1, 90_000)
            elif known:
                prices = []
            for opened, high, low, closed, size in known:
                prices += [opened, high, low, closed]
                volume += size
            price = prices[-1]
            found.append(
                {
                    "o": self._number(prices[0]),
                    "c": self._number(price),
                    "h": self._number(max(prices)),
                    "l": self._number(min(prices)),
                    "v": volume,
                    "t": begin_s * 1000,
                }
            )
        return found

    def _number(self, price: int) -> float:
        return round(price / self.price_factor, self._decimals)


def answer(
    tape: Tape,
    server_id: str,
    parameters: Mapping[str, Any],
    *,
    end_ms: int,
    symbol: str,
    name: str,
    is_forward: bool = False,
) -> dict[str, Any]:
    """The bars of a period that ends, or begins, at a time; without the topic that an `smh` adds.

    What is asked for and cannot be right is ignored, and the default used, as documented.
    """
    length_s, step_s = period_s(parameters.get("period")), bar_s(parameters.get("bar"))
    count = max(1, min(length_s // step_s, _LONGEST_ANSWER))
    end_s = end_ms // 1000
    start_s = end_s - end_s % step_s - (0 if is_forward else (count - 1) * step_s)
    bars = tape.bars(start_s, step_s, count)

    def extreme(bar: dict[str, Any], member: str) -> str:
        # price x priceFactor / volume / volume outside regular trading hours
        return f"{round(bar[member] * tape.price_factor)}/{bar['v']}/0"

    return {
        "serverId": server_id,
        "symbol": symbol,
        "text": name,
        "priceFactor": tape.price_factor,
        "startTime": datetime.fromtimestamp(start_s, UTC).strftime(_TIME_FORMAT),
        "high": extreme(max(bars, key=lambda bar: bar["h"]), "h"),
        "low": extreme(min(bars, key=lambda bar: bar["l"]), "l"),
        "timePeriod": f"{length_s}s",
        "barLength": step_s,
        "mdAvailability": "S",
        "mktDataDelay": 0,
        "outsideRth": parameters.get("outsideRth") in (True, "true"),
        "volumeFactor": 1,
        "priceDisplayRule": 1,
        "priceDisplayValue": "2",
        "negativeCapable": False,
        "messageVersion": 2,
        "data": bars,
        "points": count,
    }


def socket_answer(found: dict[str, Any], target: str) -> bytes:
    """The only frame of an `smh`."""
    return payload(found | {"topic": f"smh+{target}"})


def rest_answer(found: dict[str, Any], period: str | None) -> dict[str, Any]:
    """The body over REST: the period as it was asked for, and a point fewer than there are bars, as in the samples."""
    return found | {
        "timePeriod": period or _DEFAULT_PERIOD,
        "points": found["points"] - 1,
        "travelTime": 7,
        "direction": -1,
        "chartPanStartTime": found["startTime"],
    }


def time_ms(text: str | None, now_ms: int) -> int:
    """A `startTime` such as `20260102-14:30:00` in milliseconds; one that cannot be right is now."""
    try:
        moment = datetime.strptime(text or "", _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return now_ms
    return int(moment.timestamp()) * 1000


def described(text: str | None) -> str:
    """The text of a field as it stands on the wire, decoded."""
    return str(json.loads(text)) if text is not None else ""
