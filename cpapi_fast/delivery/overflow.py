"""What becomes of frames that a consumer is too slow for: one end dropped, a halt, or the socket held back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from cpapi_fast.errors import ConsumerOverflowError
from cpapi_fast.frames.batch import Batch, slice_of

from .consumer_queue import TOLD, ConsumerQueue, Hole, Slice, cost_bytes


def _count_within(batch: Batch, start: int, stop: int, max_bytes: int) -> int:
    # How many frames from `start` on cost at most `max_bytes` together.
    counts = range(1, stop - start + 1)
    return bisect_right(counts, max_bytes, key=lambda count: cost_bytes(batch, start, start + count))


class DropNewest(ConsumerQueue):
    """Keeps what fits and drops what comes beyond it."""

    __slots__ = ()

    def _put_beyond(self, batch: Batch, start: int, stop: int) -> None:
        room = _count_within(batch, start, stop, self._max_bytes - self.pending_bytes)
        room = min(room, self._max_frames - self.pending)
        if room < 1 and self.pending == 0:
            room = 1
        if room > 0:
            self._keep(batch, start, start + room)
            start += room
        self.dropped += stop - start
        if self._open_hole is None and start < stop:
            self._open_hole = (self._newest_ns(batch.received_ns[start]), 0)
        if self._open_hole is not None:
            last_good_ns, count = self._open_hole
            self._open_hole = (last_good_ns, count + stop - start)

    def _keep(self, batch: Batch, start: int, stop: int) -> None:
        cost = cost_bytes(batch, start, stop)
        # A few frames must not hold the memory of a large batch: there could be one such batch for each frame.
        if 2 * cost < batch.nbytes:
            batch = slice_of(batch, start, stop)
            start, stop = 0, stop - start
        self._append(batch, start, stop, cost)

    def _newest_ns(self, otherwise_ns: int) -> int:
        # When the last frame that was kept was received.
        if self.slices:
            batch, _, stop, _, _, _ = self.slices[-1]
            return int(batch.received_ns[stop - 1])
        if self.batch is not None:
            return int(self.batch.received_ns[self.stop - 1])
        return otherwise_ns if self._last_ns is None else self._last_ns


class Halt(DropNewest):
    """Keeps what fits, then wants nothing more and says so.

    Args:
        name: what the consumer is called.
        on_halt: called once, after what did not fit was dropped.
    """

    __slots__ = ("_name", "_on_halt")

    def __init__(
        self, max_frames: int, max_bytes: int, max_events: int, name: str, on_halt: Callable[[], None]
    ) -> None:
        super().__init__(max_frames, max_bytes, max_events)
        self._name = name
        self._on_halt = on_halt

    def _put_beyond(self, batch: Batch, start: int, stop: int) -> None:
        super()._put_beyond(batch, start, stop)
        if self._open_hole is None:
            return
        # The error tells of it, and no gap: no frame will come after it.
        self._open_hole = None
        error = ConsumerOverflowError(
            f"consumer {self._name!r} (policy halt) had {self.pending} frames of {self.pending_bytes} bytes waiting "
            f"when more came than may wait; it gets no more, and {self.dropped} frames of that read were dropped. Make "
            "a new consumer to go on, and read faster, let more wait (max_pending_frames, max_pending_bytes), or "
            "choose another policy (drop_oldest, conflate)",
            name=self._name,
            dropped=self.dropped,
        )
        self.end(error)
        self._on_halt()


class DropOldest(ConsumerQueue):
    """Makes room by dropping what has waited longest."""

    __slots__ = ()

    def _put_beyond(self, batch: Batch, start: int, stop: int) -> None:
        self.give_back()
        self._append(batch, start, stop, cost_bytes(batch, start, stop))
        slices = self.slices
        promised: Slice | None = None
        if slices[0][5] is TOLD:
            promised = self._take_promised()
        hole = self._trim(is_one_kept=promised is None)
        if hole is not None and slices:
            slices[0] = (*slices[0][:5], hole)
        elif hole is not None:
            self._open_hole = hole
        if promised is not None:
            slices.appendleft(promised)

    def _take_promised(self) -> Slice:
        # The one frame that a gap has already named as the first good one.
        batch, start, stop, cost, segment, _ = self.slices.popleft()
        own = cost_bytes(batch, start, start + 1)
        if start + 1 < stop:
            # Frames after it go on from it, should the next be dropped.
            self.slices.appendleft((batch, start + 1, stop, cost - own, segment, None))
        self._last_ns = batch.received_ns[start]
        return (batch, start, start + 1, own, segment, TOLD)

    def _trim(self, *, is_one_kept: bool) -> Hole | None:
        # Drop from the front what is too much, and no frame more; what is missing before the first one left.
        slices = self.slices
        hole: Hole | None = None
        while slices and (self.pending > self._max_frames or self.pending_bytes > self._max_bytes):
            batch, start, stop, cost, segment, before = slices.popleft()
            middle = self._first_to_keep(batch, start, stop, cost)
            if is_one_kept and not slices:
                middle = min(middle, stop - 1)
            if hole is None:
                hole = before or (batch.received_ns[start] if self._last_ns is None else self._last_ns, 0)
            hole = (hole[0], hole[1] + middle - start)
            rest = cost_bytes(batch, middle, stop)
            self.dropped += middle - start
            self.pending -= middle - start
            self.pending_bytes -= cost - rest
            if middle < stop:
                slices.appendleft((batch, middle, stop, rest, segment, None))
                break
        return hole if hole is None or hole[1] else None

    def _first_to_keep(self, batch: Batch, start: int, stop: int, cost: int) -> int:
        count = max(0, self.pending - self._max_frames)
        bytes_too_many = self.pending_bytes - self._max_bytes
        if bytes_too_many >= cost:
            return stop
        if bytes_too_many > 0:
            count = max(count, 1 + _count_within(batch, start, stop, bytes_too_many - 1))
        return min(start + count, stop)


class Block(ConsumerQueue):
    """Drops nothing: asks for the socket to be held back when full, and tells when it is read from meanwhile.

    Args:
        on_full: called when a bound is reached and `is_watched` is not set.
        on_less: called after a slice was read, as long as `is_watched` is set.
    """

    __slots__ = ("_on_full", "_on_less", "is_watched")

    def __init__(
        self,
        max_frames: int,
        max_bytes: int,
        max_events: int,
        on_full: Callable[[], None],
        on_less: Callable[[], None],
    ) -> None:
        super().__init__(max_frames, max_bytes, max_events)
        #: Whether the socket is held back, by this consumer or another one.
        self.is_watched = False
        self._on_full = on_full
        self._on_less = on_less

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Take in frames [start, stop) of a batch."""
        if self.is_ended:
            return
        self.received += stop - start
        self._append(batch, start, stop, cost)
        if not self.is_watched and self._is_full():
            self.settle()
            if self._is_full():
                self._on_full()
        self.wake()

    def finish(self, received_ns: int) -> None:
        """Count the slice that is being read as read up; `received_ns` is the time of its last frame."""
        super().finish(received_ns)
        if self.is_watched:
            self._on_less()

    def is_at_half(self) -> bool:
        """Whether at most half of either bound is used."""
        self.settle()
        return 2 * self.pending <= self._max_frames and 2 * self.pending_bytes <= self._max_bytes

    def _is_full(self) -> bool:
        return self.pending >= self._max_frames or self.pending_bytes >= self._max_bytes
