"""The bounded queue of one consumer: frames and events in one order, every frame counted."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from cpapi_fast.errors import CpapiError
from cpapi_fast.events import Cause, FeedEvent, Gap
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.cost import cost_bytes
from cpapi_fast.frames.frame import Frame

from .stats import ConsumerStats

#: Frames dropped at one place: the receive time of the last frame before them, and how many they are.
OverflowGap = tuple[int, int]

#: Frames [start, stop) of a batch, what they cost, how many events came before them, and the gap right before them.
Slice = tuple[Batch, int, int, int, int, "OverflowGap | None"]

#: Marks a slice whose gap has been reported. The gap names the first frame of the slice as the first good one, so that
#: frame must not be dropped any more: it is pinned.
REPORTED: Final[OverflowGap] = (0, 0)


def _joined(one: Gap, other: Gap) -> Gap:
    # The end of the earlier gap is lost: data may be missing up to the end of the later one.
    first_good_ns = None
    if one.first_good_ns is not None and other.first_good_ns is not None:
        first_good_ns = max(one.first_good_ns, other.first_good_ns)
    return Gap(
        one.subscription if one.subscription == other.subscription else None,
        min(one.last_good_ns, other.last_good_ns),
        first_good_ns,
        one.cause if one.cause is other.cause else Cause.CONSUMER_OVERFLOW,
    )


class ConsumerQueue(ABC):
    """Frames and events on their way to one reader. Subclasses decide what happens beyond the bounds, in `put`.

    Frames stay in their batches until they are read. Frames that are read one by one are counted when their slice is
    finished, or when somebody needs the counts (`update_counts`).

    Args:
        max_frames: how many frames may be pending.
        max_bytes: how much they may cost together. One frame may always be pending, however large it is.
        max_events: how many events may be pending. Beyond it the oldest is dropped, and gaps are joined.
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
        #: Gaps of this queue's own making that were reported.
        self.gaps = 0
        #: Whether nothing more will come, and the error that the reader gets at the end, if any.
        self.is_ended = False
        self.error: CpapiError | None = None
        #: What the reader awaits while the queue is empty.
        self.waiter: asyncio.Future[None] | None = None
        self.slices: deque[Slice] = deque()
        #: Events with their number, from 1.
        self.events: deque[tuple[int, FeedEvent]] = deque()
        #: The slice that is being read frame by frame: its batch (None when there is none), the next frame, its end.
        self.batch: Batch | None = None
        self.cursor = 0
        self.stop = 0
        # Its first frame that is not counted as delivered yet, what it costs from there, and the events before it.
        self._first = 0
        self._cost = 0
        self._segment = 0
        # What the reader's current chunk holds; it still counts as pending.
        self._chunk_frames = 0
        self._chunk_bytes = 0
        # The receive time of the last frame that was read; None before the first.
        self._last_ns: int | None = None
        # Frames that are missing before the next one to come.
        self._open_gap: OverflowGap | None = None
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_events = max_events

    # --- writing ----------------------------------------------------------------------------------

    @abstractmethod
    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Add frames [start, stop) of a batch; beyond the bounds the overflow policy decides."""

    def put_event(self, event: FeedEvent) -> None:
        """Add an event, after all frames that came before it."""
        if self.is_ended:
            return
        self.events_received += 1
        self.events.append((self.events_received, event))
        if len(self.events) > self._max_events:
            self._drop_event()
        self.wake()

    def end(self, error: CpapiError | None) -> None:
        """Accept nothing more; what is pending can still be read. Later calls have no effect."""
        if not self.is_ended:
            self.is_ended = True
            self.error = error
            self.wake()

    def wake(self) -> None:
        """Wake the reader, if it waits."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _drop_event(self) -> None:
        # The oldest one goes. That data is missing is reported in any case: two gaps become one that spans both.
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
        """The next frame or event when no slice is being read; None when the queue is empty."""
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
        """The next frames that came together, or the next event; None when the queue is empty."""
        self._finish_chunk()
        if self.batch is not None:
            self.put_back_slice()
        item = self._pop()
        if isinstance(item, Batch):
            self._count_delivered(len(item), self._cost)
        return item

    def next_chunk(self, max_bytes: int) -> list[Batch | FeedEvent]:
        """The next batches and events, up to the batch that reaches `max_bytes`; empty when the queue is empty.

        The frames count as pending until the next read of any kind.
        """
        self._finish_chunk()
        if self.batch is not None:
            self.put_back_slice()
        items: list[Batch | FeedEvent] = []
        while self._chunk_bytes < max_bytes and (item := self._pop()) is not None:
            items.append(item)
            if isinstance(item, Batch):
                self._chunk_frames += len(item)
                self._chunk_bytes += self._cost
        return items

    def _pop(self) -> Batch | FeedEvent | None:
        # Take the next batch, without counting it, or event. What the batch costs is left in `_cost`.
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
        """Count what was read of the current slice."""
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
        """Put the unread rest of the current slice back to the front of the queue."""
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
        """The counters, now."""
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
        # What has to be reported before the next frame, if anything.
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
        # Frames are missing at the very end.
        self._open_gap = None
        return self._report_gap(gap, None)

    def _take_event(self) -> FeedEvent:
        self.events_delivered += 1
        return self.events.popleft()[1]

    def _report_gap(self, gap: OverflowGap, first_good_ns: int | None) -> Gap:
        self.gaps += 1
        last_good_ns, count = gap
        return Gap(None, last_good_ns, first_good_ns, Cause.CONSUMER_OVERFLOW, count)
