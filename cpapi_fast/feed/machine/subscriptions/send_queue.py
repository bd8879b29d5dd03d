"""The texts to send, at a limited rate: bursts of thousands of texts have broken TLS connections."""

from __future__ import annotations

import enum
import itertools
from collections import deque
from typing import Final, NamedTuple

#: How many entries may be sent at one moment: the one that is due, and one more after an idle time.
_BURST: Final = 2


class Purpose(enum.Enum):
    """Why a subscription's text is sent."""

    #: The first subscribe on this connection.
    SUBSCRIBE = "subscribe"
    #: A repeated subscribe before the gateway ends the subscription.
    RENEW = "renew"
    #: A repeated subscribe that checks whether a quiet subscription still streams.
    PROBE = "probe"
    #: An unsubscribe and a subscribe, because there was no reply.
    RESUBSCRIBE = "resubscribe"
    #: The same, because the replies had no newer data.
    REVIVE = "revive"


class QueuedRequest(NamedTuple):
    """A request for the subscription of `topic`; without a topic, `text` as it is."""

    topic: str | None
    purpose: Purpose
    text: str = ""


class SendQueue:
    """A queue that releases one text per `interval_s`; urgent entries go first.

    Args:
        interval_s: the pause between two texts.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._queue: deque[QueuedRequest] = deque()
        self._next_s = 0.0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: QueuedRequest, *, is_urgent: bool = False) -> None:
        """Add an entry."""
        if is_urgent:
            self._queue.appendleft(item)
        else:
            self._queue.append(item)

    def clear(self) -> None:
        """Remove all entries."""
        self._queue.clear()

    @property
    def due_s(self) -> float | None:
        """When the next entry may be sent; None if the queue is empty."""
        return self._next_s if self._queue else None

    def topics_due(self, now_s: float) -> list[str]:
        """The topics of the entries that may be sent now."""
        if not self._queue or now_s < self._next_s:
            return []
        return [item.topic for item in itertools.islice(self._queue, _BURST) if item.topic is not None]

    def take(self, now_s: float) -> QueuedRequest | None:
        """Remove and return the next entry; None if none may be sent now."""
        if not self._queue or now_s < self._next_s:
            return None
        self._next_s = max(self._next_s, now_s - self._interval_s) + self._interval_s
        return self._queue.popleft()

    def charge(self, count: int) -> None:
        """Delay the next entry, because the last one sent `count` texts more than one."""
        self._next_s += count * self._interval_s
