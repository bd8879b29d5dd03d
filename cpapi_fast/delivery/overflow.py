"""The overflow policies for frames beyond the bounds of a consumer's queue."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

from cpapi_fast.errors import ConsumerOverflowError
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.cost import cost_bytes

from .consumer_queue import REPORTED, ConsumerQueue, OverflowGap, Slice

#: The name of an overflow policy.
OverflowPolicy = Literal["drop_oldest", "drop_newest", "conflate", "halt", "block"]


def _count_within(batch: Batch, start: int, stop: int, max_bytes: int) -> int:
    # Returns how many frames from `start` on together cost at most `max_bytes`.
    counts = range(1, stop - start + 1)
    return bisect_right(counts, max_bytes, key=lambda count: cost_bytes(batch, start, start + count))


class _DroppingQueue(ConsumerQueue):
    # A queue that drops frames beyond its bounds.

    __slots__ = ()

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Add frames [start, stop) of a batch."""
        if self.is_ended:
            # A callback ended it while this read was being dispatched.
            return
        count = stop - start
        self.received += count
        if self.pending + count > self._max_frames or self.pending_bytes + cost > self._max_bytes:
            self.update_counts()
            if self.pending + count > self._max_frames or self.pending_bytes + cost > self._max_bytes:
                self._put_beyond_bounds(batch, start, stop)
                self.wake()
                return
        # `_append` and `wake` are inlined, because every read takes this path if the consumer is fast enough.
        self.slices.append((batch, start, stop, cost, self.events_received, self._open_gap))
        self._open_gap = None
        self.pending += count
        self.pending_bytes += cost
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @abstractmethod
    def _put_beyond_bounds(self, batch: Batch, start: int, stop: int) -> None:
        # Adds frames that exceed the bounds. The counts are up to date.
        ...


class DropNewest(_DroppingQueue):
    """Keeps the frames that fit and drops the others."""

    __slots__ = ()

    def _put_beyond_bounds(self, batch: Batch, start: int, stop: int) -> None:
        room = _count_within(batch, start, stop, self._max_bytes - self.pending_bytes)
        room = min(room, self._max_frames - self.pending)
        if room < 1 and self.pending == 0:
            room = 1
        if room > 0:
            self._keep(batch, start, start + room)
            start += room
        self.dropped += stop - start
        if self._open_gap is None and start < stop:
            self._open_gap = (self._newest_ns(batch.received_ns[start]), 0)
        if self._open_gap is not None:
            last_good_ns, count = self._open_gap
            self._open_gap = (last_good_ns, count + stop - start)

    def _keep(self, batch: Batch, start: int, stop: int) -> None:
        cost = cost_bytes(batch, start, stop)
        # Copied, so that a few frames do not keep the memory of a large batch. Otherwise each pending frame could keep
        # one.
        if 2 * cost < batch.nbytes:
            batch = slice_of(batch, start, stop)
            start, stop = 0, stop - start
        self._append(batch, start, stop, cost)

    def _newest_ns(self, otherwise_ns: int) -> int:
        # Returns the receive time of the last frame that was kept.
        if self.slices:
            batch, _, stop, _, _, _ = self.slices[-1]
            return int(batch.received_ns[stop - 1])
        if self.batch is not None:
            return int(self.batch.received_ns[self.stop - 1])
        return otherwise_ns if self._last_ns is None else self._last_ns


class Halt(DropNewest):
    """Keeps the frames that fit. The first frame that does not fit ends the consumer with an error.

    Args:
        name: the consumer's name.
        on_halt: called once, after the frames that did not fit were dropped.
    """

    __slots__ = ("_name", "_on_halt")

    def __init__(
        self, max_frames: int, max_bytes: int, max_events: int, name: str, on_halt: Callable[[], None]
    ) -> None:
        super().__init__(max_frames, max_bytes, max_events)
        self._name = name
        self._on_halt = on_halt

    def _put_beyond_bounds(self, batch: Batch, start: int, stop: int) -> None:
        super()._put_beyond_bounds(batch, start, stop)
        if self._open_gap is None:
            return
        # The error reports the missing frames. No gap is necessary, because no frame follows.
        self._open_gap = None
        error = ConsumerOverflowError(
            f"consumer {self._name!r} (policy halt) had {self.pending} frames of {self.pending_bytes} bytes pending "
            f"when more arrived than its bounds allow; it receives no more, and {self.dropped} frames of that read "
            "were dropped. Create a new consumer, and read faster, raise max_pending_frames and "
            "max_pending_bytes, or choose another policy (drop_oldest, conflate)",
            name=self._name,
            dropped=self.dropped,
        )
        self.end(error)
        self._on_halt()


class DropOldest(_DroppingQueue):
    """Drops the oldest frames, only as many as necessary."""

    __slots__ = ()

    def _put_beyond_bounds(self, batch: Batch, start: int, stop: int) -> None:
        self.put_back_slice()
        self._append(batch, start, stop, cost_bytes(batch, start, stop))
        slices = self.slices
        pinned: Slice | None = None
        if slices[0][5] is REPORTED:
            pinned = self._take_pinned()
        gap = self._trim(is_one_kept=pinned is None)
        if gap is not None and slices:
            slices[0] = (*slices[0][:5], gap)
        elif gap is not None:
            self._open_gap = gap
        if pinned is not None:
            slices.appendleft(pinned)

    def _take_pinned(self) -> Slice:
        # Removes and returns the frame that a reported gap names as its first good one, as a slice.
        batch, start, stop, cost, segment, _ = self.slices.popleft()
        own = cost_bytes(batch, start, start + 1)
        if start + 1 < stop:
            # A gap right after the pinned frame begins with that frame.
            self.slices.appendleft((batch, start + 1, stop, cost - own, segment, None))
        self._last_ns = batch.received_ns[start]
        return (batch, start, start + 1, own, segment, REPORTED)

    def _trim(self, *, is_one_kept: bool) -> OverflowGap | None:
        # Drops frames from the front until the rest fits. Returns the gap before the first remaining frame.
        slices = self.slices
        gap: OverflowGap | None = None
        while slices and (self.pending > self._max_frames or self.pending_bytes > self._max_bytes):
            batch, start, stop, cost, segment, before = slices.popleft()
            middle = self._first_to_keep(batch, start, stop, cost)
            if is_one_kept and not slices:
                middle = min(middle, stop - 1)
            if gap is None:
                gap = before or (batch.received_ns[start] if self._last_ns is None else self._last_ns, 0)
            gap = (gap[0], gap[1] + middle - start)
            rest = cost_bytes(batch, middle, stop)
            self.dropped += middle - start
            self.pending -= middle - start
            self.pending_bytes -= cost - rest
            if middle < stop:
                slices.appendleft((batch, middle, stop, rest, segment, None))
                break
        return gap if gap is None or gap[1] else None

    def _first_to_keep(self, batch: Batch, start: int, stop: int, cost: int) -> int:
        count = max(0, self.pending - self._max_frames)
        excess_bytes = self.pending_bytes - self._max_bytes
        if excess_bytes >= cost:
            return stop
        if excess_bytes > 0:
            count = max(count, 1 + _count_within(batch, start, stop, excess_bytes - 1))
        return min(start + count, stop)


class Block(ConsumerQueue):
    """Drops no frames. Instead it requests that the socket is not read while the queue is full.

    Args:
        on_full: called when a bound is reached and the socket is not held.
        on_read: called after the consumer has read frames while the socket is held.
    """

    __slots__ = ("_on_full", "_on_read", "is_socket_held")

    def __init__(
        self,
        max_frames: int,
        max_bytes: int,
        max_events: int,
        on_full: Callable[[], None],
        on_read: Callable[[], None],
    ) -> None:
        super().__init__(max_frames, max_bytes, max_events)
        #: Whether the socket is held (not read), because of this consumer or another one.
        self.is_socket_held = False
        self._on_full = on_full
        self._on_read = on_read

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Add frames [start, stop) of a batch."""
        if self.is_ended:
            return
        self.received += stop - start
        self._append(batch, start, stop, cost)
        if not self.is_socket_held and self._is_full():
            self.update_counts()
            if self._is_full():
                self._on_full()
        self.wake()

    def finish_slice(self, received_ns: int) -> None:
        """Count the current slice as read; `received_ns` is the receive time of its last frame."""
        super().finish_slice(received_ns)
        if self.is_socket_held:
            self._on_read()

    def _count_delivered(self, frames: int, cost: int) -> None:
        super()._count_delivered(frames, cost)
        if self.is_socket_held:
            self._on_read()

    def is_at_half(self) -> bool:
        """Return whether the pending frames use at most half of each bound."""
        self.update_counts()
        return 2 * self.pending <= self._max_frames and 2 * self.pending_bytes <= self._max_bytes

    def _is_full(self) -> bool:
        return self.pending >= self._max_frames or self.pending_bytes >= self._max_bytes
