"""A slow and simple model of a consumer: one list of all items, searched from the start each time.

It uses nothing of `cpapi_fast.delivery`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cpapi_fast.events import Cause, Certainty, FeedEvent, Gap

#: What a pending frame costs besides its bytes.
OVERHEAD = 64


@dataclass
class Entry:
    """A frame that arrived, or several that were merged."""

    raw: bytes
    received_ns: int
    topic: str | None = None
    fields: dict[str, Any] | None = None
    first_ns: int = 0
    is_dropped: bool = False
    is_pinned: bool = False

    def __post_init__(self) -> None:
        self.first_ns = self.received_ns

    @property
    def cost(self) -> int:
        return len(self.raw) + OVERHEAD


@dataclass
class Model:
    """One consumer. `log` has what it has not read yet, in order; `chunk` the frames that its reader works on."""

    policy: str
    max_frames: int
    max_bytes: int
    max_events: int
    log: list[Entry | FeedEvent] = field(default_factory=list)
    chunk: list[Entry] = field(default_factory=list)
    last_ns: int | None = None
    is_ended: bool = False
    has_overflowed: bool = False
    received: int = 0
    delivered: int = 0
    dropped: int = 0
    events_received: int = 0
    events_dropped: int = 0

    def waiting(self) -> list[Entry]:
        """The frames that can still be read."""
        return [item for item in self.log if isinstance(item, Entry) and not item.is_dropped]

    def pending(self) -> list[Entry]:
        """The frames that count as pending: those of the chunk too."""
        return [*self.chunk, *self.waiting()]

    def events(self) -> list[FeedEvent]:
        return [item for item in self.log if not isinstance(item, Entry)]

    def is_over(self, more: tuple[Entry, ...] = ()) -> bool:
        pending = [*self.pending(), *more]
        return len(pending) > self.max_frames or sum(entry.cost for entry in pending) > self.max_bytes

    def put(self, entries: list[Entry]) -> None:
        if self.is_ended:
            return
        self.received += len(entries)
        if self.policy in ("drop_newest", "halt"):
            is_full = False
            for entry in entries:
                is_full = is_full or (bool(self.pending()) and self.is_over((entry,)))
                entry.is_dropped = is_full
                self.dropped += is_full
                self.log.append(entry)
            if is_full and self.policy == "halt":
                self.log = [item for item in self.log if not (isinstance(item, Entry) and item.is_dropped)]
                self.is_ended = self.has_overflowed = True
            return
        for entry in entries:
            if self.policy != "conflate" or not self.merge(entry):
                self.log.append(entry)
        if self.policy == "block":
            return
        while self.is_over() and len(self.waiting()) > 1:
            oldest = next(entry for entry in self.waiting() if not entry.is_pinned)
            oldest.is_dropped = True
            self.dropped += 1

    def merge(self, entry: Entry) -> bool:
        for item in reversed(self.log):
            if not isinstance(item, Entry):
                return False
            if item.topic is not None and item.topic == entry.topic and not item.is_dropped and not item.is_pinned:
                if item.fields is None or entry.fields is None:
                    return False
                item.fields = {**item.fields, **entry.fields}
                item.fields["topic"] = item.fields.pop("topic")
                item.raw = json.dumps(item.fields, separators=(",", ":")).encode()
                item.received_ns = entry.received_ns
                return True
        return False

    def put_event(self, event: FeedEvent) -> None:
        if self.is_ended:
            return
        self.events_received += 1
        self.log.append(event)
        if len(self.events()) > self.max_events:
            self.log.remove(self.events()[0])
            self.events_dropped += 1

    def next(self) -> Entry | FeedEvent | None:
        """What the reader gets next; None when nothing is left."""
        for index, item in enumerate(self.log):
            if isinstance(item, Entry) and not item.is_dropped:
                lost = [other for other in self.log[:index] if isinstance(other, Entry)]
                if lost:
                    self.log = self.log[index:]
                    item.is_pinned = True
                    return self.gap(lost, item)
                self.delivered += 1
                self.last_ns = item.received_ns
                del self.log[index]
                return item
            if not isinstance(item, Entry):
                del self.log[index]
                return item
        lost = [item for item in self.log if isinstance(item, Entry)]
        if lost and self.is_ended:
            self.log = []
            return self.gap(lost, None)
        return None

    def gap(self, lost: list[Entry], good: Entry | None) -> Gap:
        last_good_ns = lost[0].first_ns if self.last_ns is None else self.last_ns
        first_good_ns = None if good is None else good.received_ns
        if self.policy == "conflate":
            # Merged frames are not in order of time.
            last_good_ns = min(last_good_ns, *(entry.first_ns for entry in lost), last_good_ns)
            if good is not None:
                first_good_ns = max(good.received_ns, *(entry.received_ns for entry in lost), good.received_ns)
        return Gap(None, last_good_ns, first_good_ns, Cause.CONSUMER_OVERFLOW, len(lost), Certainty.CERTAIN)

    def finish_chunk(self) -> None:
        self.delivered += len(self.chunk)
        self.chunk = []

    def close(self) -> None:
        self.finish_chunk()
        self.dropped += len(self.waiting())
        self.events_dropped += len(self.events())
        self.log = []
        self.is_ended = True
        self.has_overflowed = False
