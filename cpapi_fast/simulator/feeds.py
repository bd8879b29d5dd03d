"""What every subscription but `smd` has in common: a first answer, and frames when their time has come."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol


class Moment(NamedTuple):
    """Now, on the gateway's clock: `s` runs evenly and is for timers, `ms` is the time of day and is for frames."""

    s: float
    ms: int


class Feed(Protocol):
    """A live subscription of one socket to anything but market data.

    Attributes:
        topic: how it is named among the live subscriptions.
        needs_brokerage: whether it ends with the brokerage session; the others need the outer session only.
    """

    topic: str
    needs_brokerage: bool

    def first(self, now: Moment) -> list[bytes]:
        """The answer to the subscribe."""
        ...

    def poll(self, now: Moment) -> list[bytes]:
        """Frames due since the last call; called on the 500 ms grid."""
        ...


class Timer:
    """Says when the next of a row of evenly spaced moments has come; moments slept through are not made up for."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_s = 0.0

    def start(self, now_s: float) -> None:
        """Count from now."""
        self._due_s = now_s + self._interval_s

    def is_due(self, now_s: float) -> bool:
        """Whether a moment has come; True once for each."""
        if now_s < self._due_s:
            return False
        self._due_s += self._interval_s
        if self._due_s <= now_s:
            self._due_s = now_s + self._interval_s
        return True


def parameters(text: str) -> dict[str, Any]:
    """The JSON object at the end of a subscribe; what is no object counts as `{}`, since bad parameters are ignored."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """The strings of a JSON array; anything else counts as none."""
    return [member for member in value if isinstance(member, str)] if isinstance(value, list) else []
