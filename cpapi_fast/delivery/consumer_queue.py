"""The bounded queue of one consumer: frames and events in one order, every frame counted."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from cpapi_fast.errors import CpapiError
from cpapi_fast.events import Cause, Certainty, FeedEvent, Gap
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.cost import cost_bytes
from cpapi_fast.frames.frame import Frame

from .stats import ConsumerStats

#: Adjacent dropped frames: the receive time of the last frame before them, and their number.
OverflowGap = tuple[int, int]

#: Frames [start, stop) of a batch, their cost, the number of events before them, and the gap right before them.
Slice = tuple[Batch, int, int, int, int, "OverflowGap | None"]

#: Marks a slice whose gap has been reported. The gap names the first frame of the slice as the first good one, so this
#: frame is pinned: it must not be dropped.
REPORTED: Final[OverflowGap] = (0, 0)


def _joined(one: Gap, other: Gap) -> Gap:
    # Returns one gap from the earliest start to the latest end.
    first_good_ns = None
    if one.first_good_ns is not None and other.first_good_ns is not None:
        first_good_ns = max(one.first_good_ns, other.first_good_ns)
    return Gap(
        one.subscription if one.subscription == other.subscription else None,
        min(one.last_good_ns, other.last_good_ns),
        first_good_ns,
        one.cause if one.cause is other.cause else Cause.CONSUMER_OVERFLOW,
        certainty=one.certainty if other.certainty is Certainty.POSSIBLE else other.certainty,
    )


class ConsumerQueue(ABC):
    """The frames and events that are pending for one reader. Subclasses implement the overflow policy in `put`.

    Frames stay in their batches until they are read. Frames that are read one by one are counted when their slice is
    finished, or in `update_counts`.

    Args:
        max_frames: how many frames may be pending.
        max_bytes: the maximum cost of the pending frames. One frame of any size may always be pending.
        max_events: how many events may be pending. Beyond this bound, the oldest is dropped, and gaps are joined.
    """

    __slots__ = (
        "_chunk_bytes",
        "_chunk_frames",
        "_cost",
        "_first",
        "_last_ns",
        "_max_bytes",
        "_max_events",
        "_max_frames",
        "_open_gap",
        "_segment",
        "batch",
        "conflated",
        "cursor",
        "delivered",
        "dropped",
        "error",
        "events",
        "events_delivered",
        "events_dropped",
        "events_received",
        "gaps",
        "is_ended",
        "pending",
        "pending_bytes",
        "received",
        "slices",
        "stop",
        "waiter",
    )

    def __init__(self, max_frames: int, max_bytes: int, max_events: int) -> None:
        self.received = 0
        self.delivered = 0
        self.conflated = 0
        self.dropped = 0
        self.pending = 0
        self.pending_bytes = 0
        self.events_received = 0
        self.events_delivered = 0
        self.events_dropped = 0
        #: Reported gaps that this queue's own policy caused.
        self.gaps = 0
        #: Whether the queue accepts nothing more, and the error that the reader gets at the end, if any.
        self.is_ended = False
        self.error: CpapiError | None = None
        #: What the reader awaits while the queue is empty.
        self.waiter: asyncio.Future[None] | None = None
        self.slices: deque[Slice] = deque()
        #: Events with their numbers, starting at 1.
        self.events: deque[tuple[int, FeedEvent]] = deque()
        #: The slice that is being read frame by frame: its batch (None without one), the next frame, and its end.
        self.batch: Batch | None = None
        self.cursor = 0
        self.stop = 0
        # The first frame of that slice that is not counted yet, the cost from there on, and the events before the
        # slice.
        self._first = 0
        self._cost = 0
        self._segment = 0
        # The frames of the reader's current chunk and their cost. They still count as pending.
        self._chunk_frames = 0
        self._chunk_bytes = 0
        # The receive time of the last frame that was read; None before the first one.
        self._last_ns: int | None = None
        # The frames that are missing before the next frame that will be added.
        self._open_gap: OverflowGap | None = None
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_events = max_events

    @property
    def max_bytes(self) -> int:
        """The bound on the cost of the pending frames, in bytes."""
        return self._max_bytes

    # --- writing ----------------------------------------------------------------------------------

    @abstractmethod
    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Add frames [start, stop) of a batch, whose cost in bytes is `cost`, and enforce the bounds."""

    def put_event(self, event: FeedEvent) -> None:
        """Add an event, after all frames that were put before it."""
        if self.is_ended:
            return
        self.events_received += 1
        self.events.append((self.events_received, event))
        if len(self.events) > self._max_events:
            self._drop_event()
        self.wake()

    def end(self, error: CpapiError | None) -> None:
        """Accept nothing more. Pending items can still be read. Later calls have no effect."""
        if not self.is_ended:
            self.is_ended = True
            self.error = error
            self.wake()

    def wake(self) -> None:
        """Wake the reader if it is waiting."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _drop_event(self) -> None:
        # Drops the oldest event. A gap is never dropped: it is joined with the next gap, or replaces the next event.
        self.events_dropped += 1
        number, oldest = self.events.popleft()
        if isinstance(oldest, Gap):
            _, second = self.events[0]
            self.events[0] = (number, _joined(oldest, second) if isinstance(second, Gap) else oldest)

    def _append(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        self.slices.append((batch, start, stop, cost, self.events_received, self._open_gap))
        self._open_gap = None
        self.pending += stop - start
        self.pending_bytes += cost

    # --- reading ----------------------------------------------------------------------------------

    def next_item(self) -> Frame | FeedEvent | None:
        """Return the next frame or event; None if the queue is empty. Requires that `batch` is None."""
        self._finish_chunk()
        slices = self.slices
        if not slices or self.events or slices[0][5] is not None:
            event = self._next_event()
            if event is not None or not slices:
                return event
        batch, start, stop, cost, segment, _ = slices.popleft()
        frame = batch[start]
        self._first = start
        self._cost = cost
        if start + 1 == stop:
            self.stop = stop
            self.finish_slice(frame.received_ns)
        else:
            self.batch, self.cursor, self.stop, self._segment = batch, start + 1, stop, segment
        return frame

    def next_batch(self) -> Batch | FeedEvent | None:
        """Return the next batch or event; None if the queue is empty."""
        self._finish_chunk()
        if self.batch is not None:
            self.put_back_slice()
        item = self._pop()
        if isinstance(item, Batch):
            self._count_delivered(len(item), self._cost)
        return item

    def next_chunk(self, max_bytes: int, max_items: int) -> list[Batch | FeedEvent]:
        """Return the next batches and events; empty if the queue is empty.

        They are at most `max_items`, up to the batch that reaches `max_bytes`. The frames count as pending until the
        next read of any kind.
        """
        self._finish_chunk()
        if self.batch is not None:
            self.put_back_slice()
        items: list[Batch | FeedEvent] = []
        while self._chunk_bytes < max_bytes and len(items) < max_items and (item := self._pop()) is not None:
            items.append(item)
            if isinstance(item, Batch):
                self._chunk_frames += len(item)
                self._chunk_bytes += self._cost
        return items

    def _pop(self) -> Batch | FeedEvent | None:
        # Removes and returns the next batch or event, without counting a batch, and sets `_cost` to its cost.
        slices = self.slices
        if not slices or self.events or slices[0][5] is not None:
            event = self._next_event()
            if event is not None or not slices:
                return event
        batch, start, stop, self._cost, _, _ = slices.popleft()
        if stop - start != len(batch):
            batch = slice_of(batch, start, stop)
        self._last_ns = batch.received_ns[-1]
        return batch

    def _finish_chunk(self) -> None:
        if self._chunk_frames:
            frames, cost = self._chunk_frames, self._chunk_bytes
            self._chunk_frames = self._chunk_bytes = 0
            self._count_delivered(frames, cost)

    def _count_delivered(self, frames: int, cost: int) -> None:
        self.delivered += frames
        self.pending -= frames
        self.pending_bytes -= cost

    def finish_slice(self, received_ns: int) -> None:
        """Count the current slice as read; `received_ns` is the receive time of its last frame."""
        count = self.stop - self._first
        self.delivered += count
        self.pending -= count
        self.pending_bytes -= self._cost
        self._last_ns = received_ns
        self.batch = None

    def update_counts(self) -> None:
        """Count the frames of the current slice that have been read."""
        batch = self.batch
        if batch is None or self.cursor == self._first:
            return
        count = self.cursor - self._first
        cost = cost_bytes(batch, self.cursor, self.stop)
        self.delivered += count
        self.pending -= count
        self.pending_bytes -= self._cost - cost
        self._last_ns = batch.received_ns[self.cursor - 1]
        self._first, self._cost = self.cursor, cost

    def put_back_slice(self) -> None:
        """Return the unread rest of the current slice to the front of the queue."""
        self.update_counts()
        if self.batch is not None:
            self.slices.appendleft((self.batch, self._first, self.stop, self._cost, self._segment, None))
            self.batch = None

    def clear(self) -> None:
        """Accept nothing more, and count everything in the queue as dropped. The reader's chunk counts as delivered."""
        self.end(None)
        self.error = None
        self.update_counts()
        self._finish_chunk()
        self.dropped += self.pending
        self.events_dropped += len(self.events)
        self.pending = self.pending_bytes = 0
        self.batch = None
        self._open_gap = None
        self.slices.clear()
        self.events.clear()

    def stats(self) -> ConsumerStats:
        """Return the current counters."""
        self.update_counts()
        return ConsumerStats(
            received=self.received,
            delivered=self.delivered,
            conflated=self.conflated,
            dropped=self.dropped,
            pending=self.pending,
            pending_bytes=self.pending_bytes,
            events_received=self.events_received,
            events_delivered=self.events_delivered,
            events_dropped=self.events_dropped,
            events_pending=len(self.events),
            overflow_gaps=self.gaps,
            callback_errors=0,
        )

    def _next_event(self) -> FeedEvent | None:
        # Returns the event or gap before the next frame; None if there is none.
        slices = self.slices
        if self.events and (not slices or self.events[0][0] <= slices[0][4]):
            return self._take_event()
        if slices:
            batch, start, stop, cost, segment, gap = slices[0]
            if gap is None or gap is REPORTED:
                return None
            slices[0] = (batch, start, stop, cost, segment, REPORTED)
            return self._report_gap(gap, batch.received_ns[start])
        gap = self._open_gap
        if gap is None or not self.is_ended:
            return None
        # The missing frames are the last ones.
        self._open_gap = None
        return self._report_gap(gap, None)

    def _take_event(self) -> FeedEvent:
        self.events_delivered += 1
        return self.events.popleft()[1]

    def _report_gap(self, gap: OverflowGap, first_good_ns: int | None) -> Gap:
        self.gaps += 1
        last_good_ns, count = gap
        return Gap(None, last_good_ns, first_good_ns, Cause.CONSUMER_OVERFLOW, count, Certainty.CERTAIN)
