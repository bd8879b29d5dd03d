"""What waits in the queue of an output, what was dropped from it, and its counters"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.cost import batch_cost_bytes
from cpapi_fast.outputs.interface import RecordedEvent

#: Why frames and events are dropped.
QUEUE_FULL: Final = "queue full"
FLUSH_DEADLINE: Final = "flush deadline"
WRITE_ERROR: Final = "write error"


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

    @property
    def dropped_total(self) -> int:
        """How many frames were dropped, over all reasons."""
        return sum(self.dropped.values())


class Missing:
    """Frames and events that were dropped one after the other, before the next frame of the output.

    Args:
        reason: why.
        first_row: the number of frames in the stream before them.
        last_good_ns: the receive time of the last frame before them, in ns since the Unix epoch.
    """

    __slots__ = ("events", "first_row", "frames", "last_good_ns", "reasons")

    def __init__(self, reason: str, first_row: int, last_good_ns: int) -> None:
        self.reasons: Final = {reason: None}
        self.first_row: Final = first_row
        self.last_good_ns: Final = last_good_ns
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
