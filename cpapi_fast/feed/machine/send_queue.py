"""Texts that wait for their turn on the socket: paced, since a burst of thousands has brought down TLS writers."""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple


class Purpose(enum.Enum):
    """Why a subscription's text is sent."""

    #: For the first time on this connection.
    SUBSCRIBE = "subscribe"
    #: Again, before the gateway ends it.
    RENEW = "renew"
    #: Again, to hear whether it lives.
    PROBE = "probe"
    #: Ended and asked for anew, since it does not answer.
    REVIVE = "revive"


class Queued(NamedTuple):
    """One subscription that has something to send; or, without a topic, a text as it is."""

    topic: str | None
    purpose: Purpose
    text: str = ""


class SendQueue:
    """The queue. What is urgent goes first; one text leaves per `interval_s`.

    Args:
        interval_s: the pause between two texts.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._queue: deque[Queued] = deque()
        self._next_s = 0.0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: Queued, *, is_urgent: bool = False) -> None:
        """Add one."""
        if is_urgent:
            self._queue.appendleft(item)
        else:
            self._queue.append(item)

    def clear(self) -> None:
        """Forget all: the connection is gone."""
        self._queue.clear()

    @property
    def due_s(self) -> float | None:
        """When the next one may leave; None when none waits."""
        return self._next_s if self._queue else None

    def take(self, now_s: float, count: int = 1) -> Queued | None:
        """The next one, if its turn has come; it stands for `count` texts."""
        if not self._queue or now_s < self._next_s:
            return None
        self._next_s = max(self._next_s, now_s - self._interval_s) + count * self._interval_s
        return self._queue.popleft()

    def charge(self, count: int) -> None:
        """The one that was taken has sent `count` texts more than one."""
        self._next_s += count * self._interval_s
