"""The interface of every subscription except `smd`, and its timer and parameters."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Final, NamedTuple, Protocol

#: How many records a log keeps. A socket that is polled misses none.
_MOST_RECORDS: Final = 100


class Moment(NamedTuple):
    """A time on the gateway's clock: `s` is monotonic and for timers, `ms` is the time of day and for frames."""

    s: float
    ms: int


class TopicStream(Protocol):
    """An active subscription of one socket to a topic other than `smd`.

    Attributes:
        topic: its name among the active subscriptions.
        needs_brokerage: whether it ends with the brokerage session. If not, it only needs the login.
    """

    topic: str
    needs_brokerage: bool

    def first(self, now: Moment) -> list[bytes]:
        """The reply to the subscribe."""
        ...

    def poll(self, now: Moment) -> list[bytes]:
        """The frames due since the last call. Called on the 500 ms grid."""
        ...


class IntervalTimer:
    """Fires at fixed intervals. Intervals that were missed are skipped."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_s = 0.0

    def start(self, now_s: float) -> None:
        """Start the first interval now."""
        self._due_s = now_s + self._interval_s

    def is_due(self, now_s: float) -> bool:
        """Whether an interval has ended. True once for each."""
        if now_s < self._due_s:
            return False
        self._due_s += self._interval_s
        if self._due_s <= now_s:
            self._due_s = now_s + self._interval_s
        return True


class RecordLog:
    """The last records of something that several sockets see, each from its own position on."""

    def __init__(self) -> None:
        self._records: deque[dict[str, Any]] = deque(maxlen=_MOST_RECORDS)
        #: The position after the last record.
        self.end = 0

    def append(self, record: dict[str, Any]) -> None:
        """Add a record."""
        self._records.append(record)
        self.end += 1

    def since(self, position: int) -> tuple[list[dict[str, Any]], int]:
        """The records from a position on, and the position after them."""
        count = min(self.end - position, len(self._records))
        return list(self._records)[len(self._records) - count :], self.end


def parameters(text: str) -> dict[str, Any]:
    """The JSON object at the end of a subscribe. Anything else counts as `{}`, because bad parameters are ignored."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """The strings of a JSON array; an empty list for anything else."""
    return [member for member in value if isinstance(member, str)] if isinstance(value, list) else []
