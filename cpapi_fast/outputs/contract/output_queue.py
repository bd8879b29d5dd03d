"""OutputQueue: the bounded queue between the event loop and the thread of one output, every frame and event counted"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.cost import batch_cost_bytes
from cpapi_fast.outputs.run_events import RecordedEvent

from .options import OutputOptions
from .queue_items import QUEUE_FULL, Entry, Missing, OutputQueueStats, missing_of

#: How many events may wait. Beyond them, `block` holds the stream, and the other policies drop the oldest.
MAX_EVENTS: Final = 10_000


class OutputQueue:
    """The queue of one output. The event loop puts entries, and the thread of the output takes them.

    Args:
        options: the bound, the policy, and how much is taken at a time.
        real_s: converts seconds of the clock of the options to real seconds.
        units_of: how many units of the output a batch has, for `dropped_units`.
    """

    def __init__(
        self, options: OutputOptions, real_s: Callable[[float], float], units_of: Callable[[Batch], int] = len
    ) -> None:
        self._policy: Final = options.policy
        self.max_bytes: Final = options.max_queue_bytes
        self._batch_bytes: Final = options.batch_bytes
        # A full queue never waits for more.
        self._enough_bytes: Final = min(options.batch_bytes, options.max_queue_bytes // 2 + 1)
        self._batch_delay_s: Final = real_s(options.batch_delay_s)
        self._units_of: Final = units_of
        self._entries: deque[Entry] = deque()
        # The events of entries whose frames were dropped. They come before `_entries`.
        self._kept: deque[Entry] = deque()
        self._changed: Final = threading.Condition(threading.Lock())
        self._received = self._delivered = self._pending = 0
        self._events_received = self._events_delivered = self._events_pending = 0
        self._events_dropped: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        #: The same in units of the output.
        self._dropped_units: dict[str, int] = {}
        #: The cost of what waits or is being written. Other threads may read it without the lock.
        self.pending_bytes = 0
        # What the thread is working on.
        self._taken: list[Entry] = []
        # The receive times of the last frames that were taken and delivered.
        self._taken_ns: int | None = None
        self._delivered_ns: int | None = None
        # What was dropped after the last entry, or before the first one that the thread takes next.
        self._back: Missing | None = None
        self._oldest_s = 0.0
        # How many bytes the thread waits for; 0 if it does not wait.
        self._awaited_bytes = 0
        self._on_room: Callable[[], object] | None = None
        self._is_ending = False
        #: The reason why nothing is accepted or taken any more.
        self._abandoned: str | None = None

    # --- the event loop -----------------------------------------------------------------------------

    def put(self, entry: Entry) -> None:
        """Add an entry, and apply the policy."""
        with self._changed:
            self._received += entry.frames
            self._events_received += entry.events
            self._pending += entry.frames
            self._events_pending += entry.events
            self.pending_bytes += entry.nbytes
            if self._abandoned is not None:
                self._count_dropped(entry, self._abandoned)
                return
            if not self._entries and not self._kept:
                self._oldest_s = time.monotonic()
            if self._policy == "drop_newest" and entry.frames and self.pending_bytes > self.max_bytes:
                self._put_what_fits(entry)
            else:
                if entry.frames and self._back is not None:
                    entry.missing, self._back = self._back, None
                self._entries.append(entry)
                if self._policy != "block" and (
                    self.pending_bytes > self.max_bytes or self._events_pending > MAX_EVENTS
                ):
                    self._trim()
            if self._awaited_bytes and self.pending_bytes >= self._awaited_bytes:
                self._changed.notify()

    def is_full(self, on_room: Callable[[], object]) -> bool:
        """Whether the stream has to wait for this output. If so, `on_room` is called once when half is free.

        It is called in the thread of the output.
        """
        if self._policy != "block":
            return False
        with self._changed:
            is_full = self._abandoned is None and (
                self.pending_bytes >= self.max_bytes or self._events_pending >= MAX_EVENTS
            )
            if is_full:
                self._on_room = on_room
            return is_full

    def end(self) -> None:
        """Let the thread take all that waits without delay, and then end."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()

    def abandon(self, reason: str) -> Missing | None:
        """Count everything that waits or is being written as dropped, and accept nothing more. Idempotent.

        Returns:
            What was dropped; None if nothing was.
        """
        with self._changed:
            if self._abandoned is not None:
                return None
            self._abandoned = reason
            entries = [*self._taken, *self._kept, *self._entries]
            missing = missing_of(entries, reason, self._delivered_ns)
            missing, self._back = self._back if missing is None else missing.add(self._back), None
            for entry in entries:
                self._count_dropped(entry, reason)
            self._taken = []
            self._kept.clear()
            self._entries.clear()
            self._give_room()
            self._changed.notify()
            return missing

    # --- the thread ---------------------------------------------------------------------------------

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing more is taken."""
        return self._abandoned is not None

    def take(self, timeout_s: float) -> list[Entry] | None:
        """Wait for as much as the options say, and take it.

        Args:
            timeout_s: the longest time to wait, in real seconds.

        Returns:
            Entries of about `batch_bytes`, oldest first; empty if there was nothing to take in this time; None if
            nothing will come any more. They count as pending until `finish`.
        """
        end_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._abandoned is not None:
                    return None
                now_s = time.monotonic()
                if self._entries or self._kept:
                    due_s = self._oldest_s + self._batch_delay_s
                    if self._is_ending or now_s >= due_s or self.pending_bytes >= self._enough_bytes:
                        return self._take()
                    self._awaited_bytes = self._enough_bytes
                elif self._is_ending:
                    return None
                else:
                    due_s = end_s
                    # The first item ends this wait, and begins the delay.
                    self._awaited_bytes = -1
                left_s = min(due_s, end_s) - now_s
                if left_s <= 0:
                    self._awaited_bytes = 0
                    return []
                self._changed.wait(left_s)
                self._awaited_bytes = 0

    def take_missing(self) -> Missing | None:
        """Return what was dropped after the last frame, when no frame follows any more."""
        with self._changed:
            missing, self._back = self._back, None
            return missing

    def finish(self, publish: Callable[[], object] | None = None) -> bool:
        """Count what was taken as delivered.

        Args:
            publish: called together with that for other threads, which never see one without the other.

        Returns:
            Whether it was still pending: after `abandon` it counts as dropped.
        """
        with self._changed:
            if self._abandoned is not None:
                return False
            for entry in self._taken:
                self._delivered += entry.frames
                self._events_delivered += entry.events
                self._pending -= entry.frames
                self._events_pending -= entry.events
                self.pending_bytes -= entry.nbytes
            self._taken = []
            self._delivered_ns = self._taken_ns
            if publish is not None:
                publish()
            if 2 * self.pending_bytes <= self.max_bytes and 2 * self._events_pending <= MAX_EVENTS:
                self._give_room()
            return True

    def drop_taken(self, reason: str) -> None:
        """Count what was taken as dropped. The next frame follows a gap."""
        with self._changed:
            if self._abandoned is not None:
                return
            missing = missing_of(self._taken, reason, self._delivered_ns)
            for entry in self._taken:
                self._count_dropped(entry, reason)
            self._taken = []
            self._put_before(missing)
            self._give_room()

    def wait_abandoned(self, timeout_s: float) -> None:
        """Wait, at most until the queue is abandoned."""
        end_s = time.monotonic() + timeout_s
        with self._changed:
            while self._abandoned is None and (left_s := end_s - time.monotonic()) > 0:
                self._changed.wait(left_s)

    def count_dropped_units(self, reason: str, units: int) -> None:
        """Count units that an output with own counts was passed and has not counted."""
        with self._changed:
            self._dropped_units[reason] = self._dropped_units.get(reason, 0) + units

    # --- any thread ---------------------------------------------------------------------------------

    def stats(self) -> OutputQueueStats:
        """Return the current counters."""
        with self._changed:
            return self._stats()

    def read(self, read: Callable[[OutputQueueStats, dict[str, int]], None]) -> None:
        """Call `read` with the counters and with what was dropped in units of the output, while nothing changes."""
        with self._changed:
            read(self._stats(), dict(self._dropped_units))

    def _stats(self) -> OutputQueueStats:
        return OutputQueueStats(
            received=self._received,
            delivered=self._delivered,
            dropped=dict(self._dropped),
            pending=self._pending,
            pending_bytes=self.pending_bytes,
            events_received=self._events_received,
            events_delivered=self._events_delivered,
            events_dropped=dict(self._events_dropped),
            events_pending=self._events_pending,
        )

    # --- with the lock ------------------------------------------------------------------------------

    def _take(self) -> list[Entry]:
        taken = self._taken
        nbytes = 0
        while (self._kept or self._entries) and (not taken or nbytes < self._batch_bytes):
            entry = (self._kept or self._entries).popleft()
            nbytes += entry.nbytes
            taken.append(entry)
            last_ns = entry.last_ns()
            if last_ns is not None:
                self._taken_ns = last_ns
        self._oldest_s = time.monotonic()
        return list(taken)

    def _give_room(self) -> None:
        on_room, self._on_room = self._on_room, None
        if on_room is not None:
            on_room()

    def _put_what_fits(self, entry: Entry) -> None:
        """Add the events of an entry, and the first batches that fit; at least one if no frame waits."""
        room = self.max_bytes - (self.pending_bytes - entry.nbytes)
        is_first = self._pending == entry.frames
        is_dropping = False
        kept: list[Batch | RecordedEvent] = []
        start = row = entry.row
        for item in entry.items:
            if isinstance(item, Batch):
                cost = batch_cost_bytes(item)
                is_dropping = is_dropping or not (cost <= room or is_first)
                row += len(item)
                if is_dropping:
                    self._append(kept, start)
                    kept, start = [], row
                    self._drop_batch(item, row - len(item), QUEUE_FULL)
                    continue
                room -= cost
                is_first = False
            kept.append(item)
        self._append(kept, start)

    def _append(self, items: list[Batch | RecordedEvent], row: int) -> None:
        if not items:
            return
        entry = Entry.of(items, row)
        if entry.frames and self._back is not None:
            entry.missing, self._back = self._back, None
        self._entries.append(entry)

    def _drop_batch(self, batch: Batch, row: int, reason: str) -> None:
        """Drop a batch at the end of the queue."""
        if self._back is None:
            last_ns = next((ns for entry in reversed(self._entries) if (ns := entry.last_ns()) is not None), None)
            last_ns = self._taken_ns if last_ns is None else last_ns
            # The first frame of all has none before it.
            self._back = Missing(reason, row, int(batch.received_ns[0]) if last_ns is None else last_ns)
        self._back.frames += len(batch)
        self._uncount(batch, reason)

    def _uncount(self, batch: Batch, reason: str) -> None:
        frames = len(batch)
        self._pending -= frames
        self.pending_bytes -= batch_cost_bytes(batch)
        self._dropped[reason] = self._dropped.get(reason, 0) + frames
        self._dropped_units[reason] = self._dropped_units.get(reason, 0) + self._units_of(batch)

    def _uncount_events(self, count: int, reason: str) -> None:
        if count:
            self._events_pending -= count
            self._events_dropped[reason] = self._events_dropped.get(reason, 0) + count

    def _trim(self) -> None:
        """Drop the oldest batches until the rest fits or one is left, and the oldest events beyond their bound."""
        missing: Missing | None = None
        while self.pending_bytes > self.max_bytes and (found := self._drop_oldest()) is not None:
            missing = found if missing is None else missing.add(found)
        while self._events_pending > MAX_EVENTS and (found := self._drop_oldest_event()) is not None:
            missing = found if missing is None else missing.add(found)
        self._put_before(missing)

    def _put_before(self, missing: Missing | None) -> None:
        """Put what was dropped before the next frame that will be taken."""
        if missing is None:
            return
        for entry in self._entries if self._pending else ():
            if entry.frames:
                entry.missing = missing.add(entry.missing)
                return
        self._back = missing.add(self._back)

    def _drop_oldest(self) -> Missing | None:
        """Drop the oldest batch, unless it is the last one. Its events stay."""
        while self._entries and not self._entries[0].frames:
            self._kept.append(self._entries.popleft())
        if not self._entries:
            return None
        entry = self._entries[0]
        before, batch, after = entry.around_first_batch()
        # This ends at the next frames, so dropping costs the same whatever waits.
        if entry.frames == len(batch) and not any(one.frames for one in islice(self._entries, 1, None)):
            return None
        self._entries.popleft()
        if before is not None:
            self._kept.append(before)
        if after is not None:
            self._entries.appendleft(after)
        first_ns = int(batch.received_ns[0])
        missing = Missing(QUEUE_FULL, entry.row, first_ns if self._taken_ns is None else self._taken_ns)
        missing.frames = len(batch)
        self._uncount(batch, QUEUE_FULL)
        return missing if entry.missing is None else entry.missing.add(missing)

    def _drop_oldest_event(self) -> Missing | None:
        """Drop the oldest event; None if none waits."""
        for entries in (self._kept, self._entries):
            for number, entry in enumerate(entries):
                if entry.events:
                    del entries[number]
                    for part in reversed(entry.without_first_event()):
                        entries.insert(number, part)
                    missing = Missing(QUEUE_FULL, entry.row, self._taken_ns)
                    missing.events = 1
                    self._uncount_events(1, QUEUE_FULL)
                    return missing
        return None

    def _count_dropped(self, entry: Entry, reason: str) -> None:
        for item in entry.items:
            if isinstance(item, Batch):
                self._uncount(item, reason)
        self._uncount_events(entry.events, reason)
