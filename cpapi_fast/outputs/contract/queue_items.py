"""What waits in the queue of an output, what was dropped from it, and its counters"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.cost import batch_cost_bytes
from cpapi_fast.outputs.run_events import RecordedEvent
from cpapi_fast.redaction import repr_without_accounts

#: Why frames and events are dropped.
QUEUE_FULL: Final = "queue full"
FLUSH_DEADLINE: Final = "flush deadline"
WRITE_ERROR: Final = "write error"


@repr_without_accounts
@dataclass(frozen=True)
class OutputQueueStats:
    """The counters of the queue of one output at one time.

    At all times: received = delivered + dropped + pending, and events_received = events_delivered + events_dropped +
    events_pending, where `dropped` is the sum over all reasons. What the output is working on counts as pending.
    """

    #: Frames passed to the queue.
    received: int = 0
    #: Frames that the output has taken over. An output without counts of its own has written them.
    delivered: int = 0
    #: Frames that were dropped, by reason: `queue full`, `write error`, `flush deadline`.
    dropped: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    #: The cost of the pending frames: their bytes, and 64 more for each.
    pending_bytes: int = 0
    events_received: int = 0
    events_delivered: int = 0
    #: Events that were dropped, by reason.
    events_dropped: dict[str, int] = field(default_factory=dict)
    events_pending: int = 0
    #: How many calls of the output have failed, and how often the same was passed again.
    failures: int = 0
    retries: int = 0

    @property
    def dropped_total(self) -> int:
        """How many frames were dropped, over all reasons."""
        return sum(self.dropped.values())


class Missing:
    """Frames and events that were dropped one after the other, before the next frame of the output.

    Args:
        reason: why.
        first_row: the number of frames in the stream before them.
        last_good_ns: the receive time of the last frame before them, in ns since the Unix epoch; None if there is none.
    """

    __slots__ = ("events", "first_row", "frames", "last_good_ns", "reasons")

    def __init__(self, reason: str, first_row: int, last_good_ns: int | None) -> None:
        self.reasons: Final = {reason: None}
        self.first_row: Final = first_row
        self.last_good_ns = last_good_ns
        self.frames = 0
        self.events = 0

    @property
    def reason(self) -> str:
        """All reasons, as text."""
        return ", ".join(self.reasons)

    def add(self, other: Missing | None) -> Missing:
        """Add what was dropped after it, and return it."""
        if other is not None:
            self.frames += other.frames
            self.events += other.events
            self.reasons.update(other.reasons)
            if self.last_good_ns is None:
                self.last_good_ns = other.last_good_ns
        return self


class Entry:
    """Batches and events in stream order. The items are shared by the queues of all outputs and never change.

    Args:
        items: the batches and events.
        row: the number of frames in the stream before them.
        frames: how many frames they have.
        nbytes: the cost of the frames.
        events: how many events they have.
    """

    __slots__ = ("events", "frames", "items", "missing", "nbytes", "row")

    def __init__(self, items: Sequence[Batch | RecordedEvent], row: int, frames: int, nbytes: int, events: int) -> None:
        self.items: Final = items
        self.row: Final = row
        self.frames: Final = frames
        self.nbytes: Final = nbytes
        self.events: Final = events
        #: What was dropped right before the first frame of the entry.
        self.missing: Missing | None = None

    @classmethod
    def of(cls, items: Sequence[Batch | RecordedEvent], row: int) -> Entry:
        """Return an entry with its numbers."""
        batches = [item for item in items if isinstance(item, Batch)]
        nbytes = sum(map(batch_cost_bytes, batches))
        return cls(items, row, sum(map(len, batches)), nbytes, len(items) - len(batches))

    def last_ns(self) -> int | None:
        """The receive time of the last frame; None without one."""
        for item in reversed(self.items):
            if isinstance(item, Batch):
                return int(item.received_ns[-1])
        return None

    def around_first_batch(self) -> tuple[Entry | None, Batch, Entry | None]:
        """The first batch, with what comes before and after it; None for nothing. There must be a batch."""
        items = self.items
        number, batch = next((number, item) for number, item in enumerate(items) if isinstance(item, Batch))
        before = Entry(items[:number], self.row, 0, 0, number) if number else None
        after: Entry | None = None
        if rest := items[number + 1 :]:
            frames, nbytes = self.frames - len(batch), self.nbytes - batch_cost_bytes(batch)
            after = Entry(rest, self.row + len(batch), frames, nbytes, self.events - number)
        return before, batch, after

    def without_first_event(self) -> list[Entry]:
        """What comes before and after the first event, as far as there is something. There must be an event."""
        number = next(number for number, item in enumerate(self.items) if not isinstance(item, Batch))
        before = Entry.of(self.items[:number], self.row)
        after = Entry.of(self.items[number + 1 :], self.row + before.frames)
        (before if before.frames else after).missing = self.missing
        return [part for part in (before, after) if part.items]


def missing_of(entries: Sequence[Entry], reason: str, last_good_ns: int | None) -> Missing | None:
    """Return entries as dropped, with what was dropped before them; None without entries.

    Args:
        entries: the entries, oldest first.
        reason: why they are dropped.
        last_good_ns: the receive time of the last frame before them; None if there was none.
    """
    missing: Missing | None = None
    for entry in entries:
        first_ns = next((int(item.received_ns[0]) for item in entry.items if isinstance(item, Batch)), None)
        found = Missing(reason, entry.row, first_ns if last_good_ns is None else last_good_ns)
        found.frames, found.events = entry.frames, entry.events
        if entry.missing is not None:
            found = entry.missing.add(found)
        missing = found if missing is None else missing.add(found)
    return missing
