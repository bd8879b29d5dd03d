"""`smh`: one answer with bars, and a slot that stays taken until `umh`."""

from __future__ import annotations

import re
from datetime import datetime, timezone
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


def answer(target: str, server_id: str, parameters: dict[str, Any], *, seed: int, now_ms: int) -> bytes:
    """The only frame of an `smh`."""
    random = Random(f"{seed}/smh/{target}")
    length_s, step_s = period_s(parameters.get("period")), bar_s(parameters.get("bar"))
    count = max(1, min(length_s // step_s, _LONGEST_ANSWER))
    now_s = now_ms // 1000
    start_s = now_s - now_s % step_s - (count - 1) * step_s
    bars, cents = [], random.randrange(2_000, 30_000)
    for index in range(count):
        opened, cents = cents, max(100, cents + random.randrange(-40, 41))
        bars.append(
            {
                "o": opened / 100,
                "c": cents / 100,
                "h": (max(opened, cents) + random.randrange(20)) / 100,
                "l": (min(opened, cents) - random.randrange(20)) / 100,
                "v": random.randrange(1, 90_000),
                "t": (start_s + index * step_s) * 1000,
            }
        )
    highest = max(range(count), key=lambda index: bars[index]["h"])
    lowest = min(range(count), key=lambda index: bars[index]["l"])

    def extreme(index: int, name: str) -> str:
        # price x priceFactor / volume / volume outside regular trading hours
        return f"{round(bars[index][name] * 100)}/{bars[index]['v']}/0"

    return payload(
        {
            "serverId": server_id,
            "symbol": "SIM",
            "text": "SIMULATED INC",
            "priceFactor": 100,
            "startTime": datetime.fromtimestamp(start_s, timezone.utc).strftime("%Y%m%d-%H:%M:%S"),
            "high": extreme(highest, "h"),
            "low": extreme(lowest, "l"),
            "timePeriod": f"{length_s}s",
            "barLength": step_s,
            "mdAvailability": "S",
            "mktDataDelay": 0,
            "outsideRth": parameters.get("outsideRth") is True,
            "volumeFactor": 1,
            "priceDisplayRule": 1,
            "priceDisplayValue": "2",
            "negativeCapable": False,
            "messageVersion": 2,
            "data": bars,
            "points": count,
            "topic": f"smh+{target}",
        }
    )
