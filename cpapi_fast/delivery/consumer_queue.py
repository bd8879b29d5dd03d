"""What waits for one consumer: frames and events in one order, bounded, and counted to the frame."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from cpapi_fast.errors import CpapiError
from cpapi_fast.events import Cause, FeedEvent, Gap
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.frame import Frame

#: What a waiting frame costs besides its bytes: its entry in the columns, and most of the object it becomes. Without
#: it a flood of empty frames would wait for free.
FRAME_OVERHEAD_BYTES: Final = 64

#: Where frames are missing: when the last frame before them was received, and how many there are.
Hole = tuple[int, int]

#: Frames [start, stop) of a batch, what they cost, how many events came before them, and the hole right before them.
Slice = tuple[Batch, int, int, int, int, "Hole | None"]

#: In the place of a hole that the reader was told of: its gap names the next frame as the first good one, so that frame
#: may not be dropped any more.
TOLD: Final[Hole] = (0, 0)


def cost_bytes(batch: Batch, start: int, stop: int) -> int:
    """What frames [start, stop) of a batch count for."""
    if stop - start == len(batch):
        return batch.nbytes + FRAME_OVERHEAD_BYTES * (stop - start)
    offsets = batch.offsets
    return int(offsets[stop]) - int(offsets[start]) + FRAME_OVERHEAD_BYTES * (stop - start)


def _joined(one: Gap, other: Gap) -> Gap:
    # The earlier end is nobody's: what was missing in either is missing up to the later one.
    first_good_ns = None
    if one.first_good_ns is not None and other.first_good_ns is not None:
        first_good_ns = max(one.first_good_ns, other.first_good_ns)
    return Gap(
        one.subscription if one.subscription == other.subscription else None,
        min(one.last_good_ns, other.last_good_ns),
        first_good_ns,
        one.cause if one.cause is other.cause else Cause.CONSUMER_OVERFLOW,
    )


class ConsumerQueue:
    """Frames and events on their way to one reader; what to do beyond the bounds is up to the classes below.

    Frames stay in their batches until they are asked for. What is read frame by frame is counted when its slice is
    read up, or when somebody wants to know (`settle`).

    Args:
        max_frames: how many frames may wait.
        max_bytes: how much they may cost together. One frame may always wait, however large.
        max_events: how many events may wait; beyond it the oldest is dropped, and gaps are joined.
    """

    __slots__ = (
        "_cost",
        "_first",
        "_last_ns",
        "_max_bytes",
        "_max_events",
        "_max_frames",
        "_open_hole",
        "_segment",
        "batch",
        "callback_errors",
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
        #: Gaps of our own making that were told.
        self.gaps = 0
        #: How often a callback raised, where there is one.
        self.callback_errors = 0
        #: Whether nothing more will come, and why, when that is to be told.
        self.is_ended = False
        self.error: CpapiError | None = None
        #: What a reader waits for.
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
        # The receive time of the last frame that was read; None before the first.
        self._last_ns: int | None = None
        # Frames that are missing before the next one to come.
        self._open_hole: Hole | None = None
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_events = max_events

    # In

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Take in frames [start, stop) of a batch."""
        if self.is_ended:
            # By somebody's callback, while this read is being delivered.
            return
        count = stop - start
        self.received += count
        if self.pending + count > self._max_frames or self.pending_bytes + cost > self._max_bytes:
            self.settle()
            if self.pending + count > self._max_frames or self.pending_bytes + cost > self._max_bytes:
                self._put_beyond(batch, start, stop)
                self.wake()
                return
        # As `_append` and `wake` do, without the calls: this is the way of every read of a consumer that keeps up.
        self.slices.append((batch, start, stop, cost, self.events_received, self._open_hole))
        self._open_hole = None
        self.pending += count
        self.pending_bytes += cost
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def put_event(self, event: FeedEvent) -> None:
        """Take in an event, after all frames that came before it."""
        if self.is_ended:
            return
        self.events_received += 1
        self.events.append((self.events_received, event))
        if len(self.events) > self._max_events:
            self._drop_event()
        self.wake()

    def end(self, error: CpapiError | None) -> None:
        """Take in nothing more; what waits can still be read. The first call counts."""
        if not self.is_ended:
            self.is_ended = True
            self.error = error
            self.wake()

    def wake(self) -> None:
        """Let a reader that waits look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _drop_event(self) -> None:
        # The oldest; but that data is missing is told in any case: of two gaps one is made that spans both.
        self.events_dropped += 1
        number, oldest = self.events.popleft()
        if isinstance(oldest, Gap):
            _, second = self.events[0]
            self.events[0] = (number, _joined(oldest, second) if isinstance(second, Gap) else oldest)

    def _put_beyond(self, batch: Batch, start: int, stop: int) -> None:
        # The same with less room than that takes; everything is settled.
        raise NotImplementedError

    def _append(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        self.slices.append((batch, start, stop, cost, self.events_received, self._open_hole))
        self._open_hole = None
        self.pending += stop - start
        self.pending_bytes += cost

    # Out

    def next_item(self) -> Frame | FeedEvent | None:
        """The next frame or event when no slice is being read; None when nothing waits."""
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
            self.finish(frame.received_ns)
        else:
            self.batch, self.cursor, self.stop, self._segment = batch, start + 1, stop, segment
        return frame

    def next_batch(self) -> Batch | FeedEvent | None:
        """The next frames that came together, or the next event; None when nothing waits."""
        if self.batch is not None:
            self.give_back()
        slices = self.slices
        if not slices or self.events or slices[0][5] is not None:
            event = self._next_event()
            if event is not None or not slices:
                return event
        batch, start, stop, cost, _, _ = slices.popleft()
        self._first, self._cost, self.stop = start, cost, stop
        if stop - start != len(batch):
            batch = slice_of(batch, start, stop)
        self.finish(batch.received_ns[-1])
        return batch

    def finish(self, received_ns: int) -> None:
        """Count the slice that is being read as read up; `received_ns` is the time of its last frame."""
        count = self.stop - self._first
        self.delivered += count
        self.pending -= count
        self.pending_bytes -= self._cost
        self._last_ns = received_ns
        self.batch = None

    def settle(self) -> None:
        """Count what was read of the slice that is being read."""
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

    def give_back(self) -> None:
        """Put what is left of the slice that is being read back in its place."""
        self.settle()
        if self.batch is not None:
            self.slices.appendleft((self.batch, self._first, self.stop, self._cost, self._segment, None))
            self.batch = None

    def clear(self) -> None:
        """Take in nothing more, and count everything that waits as dropped."""
        self.end(None)
        self.error = None
        self.settle()
        self.dropped += self.pending
        self.events_dropped += len(self.events)
        self.pending = self.pending_bytes = 0
        self.batch = None
        self._open_hole = None
        self.slices.clear()
        self.events.clear()

    def _next_event(self) -> FeedEvent | None:
        # What is to be told before the next frame, if anything.
        slices = self.slices
        if self.events and (not slices or self.events[0][0] <= slices[0][4]):
            return self._take_event()
        if slices:
            batch, start, stop, cost, segment, hole = slices[0]
            if hole is None or hole is TOLD:
                return None
            slices[0] = (batch, start, stop, cost, segment, TOLD)
            return self._gap(hole, batch.received_ns[start])
        hole = self._open_hole
        if hole is None or not self.is_ended:
            return None
        # Frames are missing at the very end.
        self._open_hole = None
        return self._gap(hole, None)

    def _take_event(self) -> FeedEvent:
        self.events_delivered += 1
        return self.events.popleft()[1]

    def _gap(self, hole: Hole, first_good_ns: int | None) -> Gap:
        self.gaps += 1
        last_good_ns, count = hole
        return Gap(None, last_good_ns, first_good_ns, Cause.CONSUMER_OVERFLOW, count)
