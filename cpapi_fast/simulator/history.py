"""Historical bars, as the socket (`smh`, which holds a slot until `umh`) and REST return them."""

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
_MAX_BARS: Final = 1_000
_SHAPE: Final = re.compile(r"(\d{1,4})(min|[hdwmy])", re.ASCII)
_MINUTE_S: Final = 60
#: How many minutes with trades are kept; about two days.
_MAX_MINUTES: Final = 3_000
_TIME_FORMAT: Final = "%Y%m%d-%H:%M:%S"


def _split(text: Any) -> tuple[int, str] | None:
    match = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    return (int(match[1]), match[2]) if match else None


def period_s(text: Any) -> int:
    """A `period` in seconds. An invalid one is replaced by the default."""
    count, unit = _split(text) or (0, "")
    if not 1 <= count <= _PERIODS.get(unit, 0):
        return period_s(_DEFAULT_PERIOD)
    return count * _UNIT_S[unit]


def bar_s(text: Any) -> int:
    """A `bar` in seconds. An invalid one is replaced by the default."""
    count, unit = _split(text) or (0, "")
    if count not in _BARS.get(unit, ()):
        return bar_s(_DEFAULT_BAR)
    return count * _UNIT_S[unit]


class TradeHistory:
    """The trades of one instrument by minute, and a generated smooth past before the first trade.

    Args:
        name: the seed of the past.
        price: the price before the first trade, in units of the last decimal.
        decimals: how many decimals a price has.
        now_s: the start of the recorded trades.
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
        """The number of price units per 1.0."""
        return int(10**self._decimals)

    def record(self, price: int, size: int, now_s: float) -> None:
        """Add a trade."""
        minute = int(now_s // _MINUTE_S)
        known = self._minutes.get(minute)
        if known is None:
            self._minutes[minute] = (price, price, price, price, size)
            if len(self._minutes) > _MAX_MINUTES:
                self._forget()
        else:
            opened, high, low, _, volume = known
            self._minutes[minute] = (opened, max(high, price), min(low, price), price, volume + size)

    def _forget(self) -> None:
        first = next(iter(self._minutes))
        _, _, _, self._start_price, _ = self._minutes.pop(first)
        self._start_s = (first + 1) * _MINUTE_S

    def _past(self, time_s: float) -> int:
        """The generated price at a time before the first trade."""
        ago_s = time_s - self._start_s
        shift = sum(height * (math.sin(ago_s * pace + phase) - math.sin(phase)) for height, pace, phase in self._waves)
        return max(1, round(self._start_price * (1.0 + shift)))

    def bars(self, start_s: int, step_s: int, count: int) -> list[dict[str, Any]]:
        """`count` bars from `start_s` on. Without a trade, a bar is flat and has no volume."""
        by_bar: dict[int, list[tuple[int, int, int, int, int]]] = {}
        # The price of bars without trades.
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


def history_response(
    trade_history: TradeHistory,
    server_id: str,
    parameters: Mapping[str, Any],
    *,
    end_ms: int,
    symbol: str,
    name: str,
    is_forward: bool = False,
) -> dict[str, Any]:
    """The bars of a period that ends, or starts, at a given time, without the topic that an `smh` adds.

    As documented, invalid parameters are replaced by their defaults.
    """
    length_s, step_s = period_s(parameters.get("period")), bar_s(parameters.get("bar"))
    count = max(1, min(length_s // step_s, _MAX_BARS))
    end_s = end_ms // 1000
    start_s = end_s - end_s % step_s - (0 if is_forward else (count - 1) * step_s)
    bars = trade_history.bars(start_s, step_s, count)

    def extreme(bar: dict[str, Any], member: str) -> str:
        # price x priceFactor / volume / volume outside regular trading hours
        return f"{round(bar[member] * trade_history.price_factor)}/{bar['v']}/0"

    return {
        "serverId": server_id,
        "symbol": symbol,
        "text": name,
        "priceFactor": trade_history.price_factor,
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


def history_frame(found: dict[str, Any], target: str) -> bytes:
    """The one frame that replies to an `smh`."""
    return payload(found | {"topic": f"smh+{target}"})


def rest_response(found: dict[str, Any], period: str | None) -> dict[str, Any]:
    """The REST response: the period as requested, and `points` one below the number of bars, as in the samples."""
    return found | {
        "timePeriod": period or _DEFAULT_PERIOD,
        "points": found["points"] - 1,
        "travelTime": 7,
        "direction": -1,
        "chartPanStartTime": found["startTime"],
    }


def time_ms(text: str | None, now_ms: int) -> int:
    """A `startTime` such as `20260102-14:30:00` in ms since the Unix epoch; `now_ms` if it is invalid."""
    try:
        moment = datetime.strptime(text or "", _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return now_ms
    return int(moment.timestamp()) * 1000


def decoded(text: str | None) -> str:
    """The value of a field's JSON text as a string; empty for None."""
    return str(json.loads(text)) if text is not None else ""
