"""The texts to send, at a limited rate in bytes: bursts of thousands of texts have broken TLS connections.

There are several lanes, so that no kind of text delays another one much:

- texts of the connection such as `tic`, then renewals, which have a deadline: always first;
- unsubscribes, first subscribes, and repeated subscribes (probes, resubscribes): in turn, one each. An unsubscribe
  comes first, because the subscribe after it may need its market data line.

An entry that is discarded leaves its lane at once and takes no turn. Each lane has at most one entry per key, so the
queue is bounded by the number of subscriptions at the gateway and in the feed.
"""

from __future__ import annotations

import enum
import itertools
from collections import OrderedDict
from typing import Final, NamedTuple

#: What a text costs besides its bytes: the headers of frame and TLS record, and work of the gateway.
OVERHEAD_BYTES: Final = 40


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


class Lane(enum.IntEnum):
    """A part of the queue, whose entries are sent in order."""

    CONNECTION = 0
    RENEW = 1
    UNSUBSCRIBE = 2
    SUBSCRIBE = 3
    REPEAT = 4


#: The lanes that are always first, and those that take turns.
_FIRST: Final = (Lane.CONNECTION, Lane.RENEW)
_IN_TURN: Final = (Lane.UNSUBSCRIBE, Lane.SUBSCRIBE, Lane.REPEAT)

_LANE_OF: Final = {Purpose.SUBSCRIBE: Lane.SUBSCRIBE, Purpose.RENEW: Lane.RENEW}


class QueuedRequest(NamedTuple):
    """An entry of the queue.

    Attributes:
        key: identifies it in its lane: the topic, or the text of the connection.
        purpose: why a text for the subscription of this topic is sent; None to send `text` as it is.
        queued_s: when it was added.
        text: the text of an entry without a purpose.
    """

    key: str
    purpose: Purpose | None
    queued_s: float
    text: str = ""


class SendQueue:
    """A queue that releases texts at a rate in bytes, after a small burst.

    Args:
        bytes_per_s: the rate.
        burst_bytes: how many bytes may be sent at one moment after an idle time.
    """

    def __init__(self, bytes_per_s: float, burst_bytes: float) -> None:
        self._text_s = OVERHEAD_BYTES / bytes_per_s
        self._byte_s = 1.0 / bytes_per_s
        self._burst_s = burst_bytes / bytes_per_s
        self._lanes: Final = tuple(OrderedDict[str, QueuedRequest]() for _ in Lane)
        #: When the burst is available in full again.
        self._full_s = 0.0
        #: The lane whose turn it is.
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    @property
    def oldest_s(self) -> float | None:
        """When the entry that waits longest was added; None if the queue is empty."""
        return min((next(iter(lane.values())).queued_s for lane in self._lanes if lane), default=None)

    # --- entries ----------------------------------------------------------------------------------

    def put(self, item: QueuedRequest, lane: Lane | None = None) -> None:
        """Add an entry, unless its lane has one with its key.

        Args:
            item: the entry.
            lane: its lane; that of its purpose by default.
        """
        if lane is None:
            lane = Lane.CONNECTION if item.purpose is None else _LANE_OF.get(item.purpose, Lane.REPEAT)
        self._lanes[lane].setdefault(item.key, item)

    def hasten(self, item: QueuedRequest) -> None:
        """Move an entry for a subscription to the renewals, which have a deadline."""
        self.discard(item)
        self._lanes[Lane.RENEW].setdefault(item.key, item)

    def discard(self, item: QueuedRequest) -> None:
        """Remove an entry, if it is still queued."""
        for lane in self._lanes:
            if lane.get(item.key) is item:
                del lane[item.key]

    def take_unsubscribe(self, topic: str) -> QueuedRequest | None:
        """Remove and return the queued unsubscribe of a topic; None if there is none."""
        return self._lanes[Lane.UNSUBSCRIBE].pop(topic, None)

    def clear(self) -> None:
        """Remove all entries."""
        for lane in self._lanes:
            lane.clear()

    # --- the rate ---------------------------------------------------------------------------------

    @property
    def _free_s(self) -> float:
        """When the next text may be sent."""
        return self._full_s - self._burst_s

    @property
    def due_s(self) -> float | None:
        """When the next entry may be sent; None if the queue is empty."""
        return self._free_s if any(self._lanes) else None

    def topics_due(self, now_s: float) -> list[str]:
        """The topics of all entries that may be sent now, and perhaps a few more."""
        late_s = now_s - self._free_s
        if late_s < 0.0 or not any(self._lanes):
            return []
        count = 1 + int(min(late_s, self._burst_s) / self._text_s)
        return [
            item.key
            for lane in self._lanes
            for item in itertools.islice(lane.values(), count)
            if item.purpose is not None
        ]

    def take(self, now_s: float) -> QueuedRequest | None:
        """Remove and return the next entry; None if none may be sent now. Call `spend` with each text that is sent."""
        if now_s < self._free_s:
            return None
        for lane in _FIRST:
            if self._lanes[lane]:
                return self._lanes[lane].popitem(last=False)[1]
        for _ in _IN_TURN:
            lane = _IN_TURN[self._turn]
            self._turn = (self._turn + 1) % len(_IN_TURN)
            if self._lanes[lane]:
                return self._lanes[lane].popitem(last=False)[1]
        return None

    def spend(self, text: str, now_s: float) -> None:
        """Delay the next entry, because a text is sent now."""
        self._full_s = max(self._full_s, now_s) + self._text_s + len(text) * self._byte_s
