"""Texts of a report: times, durations and numbers, for people"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

#: A value that is not known, or that there is not.
NONE: Final = "-"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(time_ns: int | None, *, has_ms: bool = False) -> str:
    """A time in UTC: `2026-01-02 14:30:00`, with milliseconds if asked for; `NONE` for None."""
    if time_ns is None:
        return NONE
    moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    seconds = f"{moment:%H:%M:%S}" + (f".{moment.microsecond // 1000:03d}" if has_ms else "")
    return f"{moment.year:04d}-{moment:%m-%d} {seconds}"


def duration_text(duration_ns: float) -> str:
    """A duration with two units at most: `12 ms`, `3.2 s`, `5 min 3 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = duration_ns / 1e9
    if seconds < 0:
        return f"-{duration_text(-duration_ns)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size:,} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def percent_text(part: float) -> str:
    """A part of a whole in percent, never rounded up to 100 % and never down to 0 %."""
    percent = 100 * part
    if 99.99 <= percent < 100:
        return "99.99 %"
    if 0 < percent < 0.01:
        return "less than 0.01 %"
    text = f"{percent:.2f}".rstrip("0").rstrip(".")
    return f"{text} %"


def plural(number: int, singular: str, several: str = "") -> str:
    """A number with its noun: `1 gap`, `2 gaps`."""
    return f"{number:,} {singular if number == 1 else several or singular + 's'}"


def size_text(nbytes: float) -> str:
    """A number of bytes with a unit: `151 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"
