"""OutputRunner: runs one output in a thread of its own, with its retries, its deadline and its counts"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError, OutputError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.interface import OutputCounts, WriteMeter
from cpapi_fast.outputs.run_events import FileChange, OutputFailure, OutputGap, RecordedEvent

from .calls import calls_of
from .failures import FailurePhases, error_of
from .output import CheckedOutput
from .output_queue import OutputQueue
from .queue_items import FLUSH_DEADLINE, WRITE_ERROR, Entry, Missing, OutputQueueStats
from .write_times import WriteTimes

#: How long a thread without other work waits, in real seconds.
_IDLE_S: Final = 60.0

#: The time between two polls of an output that fails, in real seconds.
_CALM_S: Final = 1.0


class OutputRunner:
    """Runs one output. Create it in a running loop; its methods belong to the thread of the loop.

    Args:
        checked: the output.
        clock: the clock of its options.
        on_report: called in the loop with what happened to the output: `FileChange`, `OutputGap`, `OutputFailure`.
        on_fail: called in the loop after the first failure that ends the run.
        on_room: called in the loop when the queue has room again; see `is_full`.
        meter: measures when frames are written; None without metrics.
    """

    def __init__(
        self,
        checked: CheckedOutput,
        clock: Clock,
        on_report: Callable[[RecordedEvent], object],
        on_fail: Callable[[], object],
        on_room: Callable[[], object],
        meter: WriteMeter | None = None,
    ) -> None:
        self.output: Final = checked.output
        self.name: Final = checked.name
        self.unit: Final = checked.unit
        self.options: Final = checked.options
        #: Whether it counts its items, as the outputs of files do.
        self.counts_itself: Final = checked.own_counts is not None
        #: Whether it gets batches and events.
        self.has_batches: Final = checked.write is not None
        self.has_events: Final = checked.write_event is not None
        #: The error that ends the run; None without one.
        self.error: CpapiError | None = None
        #: Since when it is slower than the data, in seconds of the clock; None while it is not.
        self.slow_since_s: float | None = None
        self._checked: Final = checked
        self._clock: Final = clock
        self._on_report: Final = on_report
        self._on_fail: Final = on_fail
        self._on_room: Final = on_room
        self._times: Final = WriteTimes(meter, checked.own_counts)
        self._retries = 0
        self._queue: Final = OutputQueue(checked.options, clock.real_s, checked.units_of)
        self._published: OutputCounts = (checked.own_counts or OutputCounts()).copy()
        self._loop: Final = asyncio.get_running_loop()
        self._ended: Final = asyncio.Event()
        self._has_ended = False
        #: Whether its thread was left behind at the end of the run.
        self._is_left = False
        self._is_open = False
        self._phases: Final = FailurePhases(checked.name, checked.options, clock, self._report)
        # A daemon thread, so that a second Ctrl-C ends the process even if the output does not return.
        self._thread: Final = threading.Thread(target=self._run, name=f"cpapi_fast {self.name}", daemon=True)
        self._thread.start()

    # --- in the loop ------------------------------------------------------------------------------

    def put(self, entry: Entry) -> None:
        """Pass batches and events on."""
        self._queue.put(entry)

    def is_full(self) -> bool:
        """Whether the stream has to wait for this output. If so, `on_room` is called when half of the bound is free."""
        return self._queue.is_full(lambda: self._call_in_loop(self._on_room))

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait for the output or are being written."""
        return self._queue.pending_bytes

    @property
    def max_bytes(self) -> int:
        """The bound of the queue."""
        return self._queue.max_bytes

    @property
    def queue_stats(self) -> OutputQueueStats:
        """The counters of the queue. Safe to read from any thread."""
        return replace(self._queue.stats(), failures=self._phases.failures, retries=self._retries)

    @property
    def counts(self) -> OutputCounts:
        """The counts of the output in its unit, as a copy. Safe to read from any thread.

        An output that counts itself has received what its queue has delivered; what its queue dropped is added. For any
        other output, what waits in the queue is pending.
        """
        found = OutputCounts()

        def read(queue: OutputQueueStats, dropped_units: dict[str, int]) -> None:
            nonlocal found
            own = self._checked.own_counts
            if own is None and self.has_batches:
                found = OutputCounts(queue.received, queue.delivered, queue.pending, queue.dropped)
            elif own is None:
                found = OutputCounts(queue.events_received, queue.events_delivered, queue.events_pending)
                found.dropped = queue.events_dropped
            else:
                # A thread that has ended changes nothing any more, but a run may settle the counts.
                found = (own if self._has_ended and not self._is_left else self._published).copy()
                if self._is_left:
                    found.drop_pending(FLUSH_DEADLINE)
                for reason, count in (dropped_units if self.has_batches else queue.events_dropped).items():
                    found.drop(count, reason)
                    found.received += count

        self._queue.read(read)
        return found

    def begin_close(self) -> None:
        """Let the thread write what waits, and close the output. Idempotent."""
        self._queue.end()

    async def wait_closed(self) -> None:
        """Wait until the output is closed, at most for `flush_deadline_s`. Then what is pending counts as dropped."""
        limit_s = self.options.flush_deadline_s
        try:
            await asyncio.wait_for(self._ended.wait(), None if limit_s is None else self._clock.real_limit_s(limit_s))
        except TimeoutError:
            self._abandon(limit_s or 0.0)
        else:
            self._thread.join()

    def _abandon(self, limit_s: float) -> None:
        self._is_left = True
        text = f"the output {self.name!r} has not finished within {limit_s:g} s"
        missing = self._queue.abandon(FLUSH_DEADLINE)
        lost = f"; {missing.frames:,} frames and {missing.events:,} events are dropped" if missing else ""
        if missing is not None:
            self._on_report(self._gap_of(missing, None))
        if self.options.on_failure == "stop" and self.error is None:
            self.error = OutputError(f"{text}{lost}", path="")
        # Nothing is tried again after the end.
        follows = "stop" if self.options.on_failure == "stop" else "drop"
        self._on_report(OutputFailure(time.time_ns(), self.name, True, follows, text))

    def _call_in_loop(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop was closed before the runner, so no task waits.
            return

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._opens()
            while (taken := self._queue.take(self._poll())) is not None:
                if taken:
                    self._write(taken)
                    # The next wait must not keep the batches in memory.
                    taken.clear()
            if (missing := self._queue.take_missing()) is not None:
                self._report(self._gap_of(missing, None))
        except BaseException as exc:
            # Nobody must wait for a thread that has ended.
            self._queue.abandon(WRITE_ERROR)
            self._stop(UsageError(f"the thread of the output {self.name!r} has ended: {type(exc).__name__}"))
            raise
        finally:
            self._close()
            self._has_ended = True
            self._call_in_loop(self._ended.set)

    def _poll(self) -> float:
        """Let the output do what is due, and return the real seconds until the next time."""
        poll = self._checked.poll
        if poll is None or self.error is not None or not self._is_open:
            return _IDLE_S
        try:
            due_s = max(self._clock.real_s(poll()), 0.0)
        except BaseException as exc:  # noqa: BLE001 - an exit would end this thread only
            self._fail(exc)
            return _CALM_S
        self._times.settle()
        self._queue.finish(self._publish)
        self._report_changes()
        return min(due_s, _IDLE_S)

    def _write(self, taken: list[Entry]) -> None:
        """Pass what was taken to the output, and apply its failure policy."""
        if self.error is not None:
            self._discard(taken)
            return
        gaps: list[tuple[Missing, int]] = []
        if self._checked.own_counts is None:
            is_written = self._pass_until_written(taken, gaps)
            if is_written:
                self._times.note_written(taken)
        else:
            is_written = self._pass_once(taken, gaps)
        if not is_written:
            self._queue.drop_taken(WRITE_ERROR)
        elif self._queue.finish(self._publish):
            for missing, first_good_ns in gaps:
                self._report(self._gap_of(missing, first_good_ns))
            self._report_changes()
            if taken:
                self._phases.note_success()

    def _pass_until_written(self, taken: list[Entry], gaps: list[tuple[Missing, int]]) -> bool:
        """Pass entries to an output that does not count, all again after a failure. Returns whether it has them."""
        failures = 0
        while True:
            gaps.clear()
            try:
                self._ensure_open()
                for write, arguments in calls_of(self._checked, taken, gaps):
                    write(*arguments)
                if self._checked.flush is not None:
                    self._checked.flush()
            except BaseException as exc:  # noqa: BLE001 - an exit would end this thread only
                failures += 1
                self._fail(exc)
                self._recover(exc)
                if not self._waits_to_retry(failures):
                    return False
            else:
                return True

    def _pass_once(self, taken: list[Entry], gaps: list[tuple[Missing, int]]) -> bool:
        """Pass entries to an output that counts each batch and event, also one at which it raises an exception."""
        for write, arguments in calls_of(self._checked, taken, gaps):
            is_open = self.error is None and self._opens()
            if self._queue.is_abandoned:
                return False
            if not is_open:
                self._discard_item(arguments[0])
                continue
            try:
                write(*arguments)
            except BaseException as exc:  # noqa: BLE001 - an exit would end this thread only
                self._fail(exc)
                failures = 1
                while self._waits_to_retry(failures) and not self._recover(exc):
                    failures += 1
            self._times.note_passed(arguments[0])
        return True

    def _opens(self) -> bool:
        """Open the output unless it is open, with its retries. Returns whether it is open."""
        failures = 0
        while True:
            try:
                self._ensure_open()
            except BaseException as exc:  # noqa: BLE001 - an exit would end this thread only
                failures += 1
                self._fail(exc)
                if not self._waits_to_retry(failures):
                    return False
            else:
                return True

    def _ensure_open(self) -> None:
        if not self._is_open and self._checked.open is not None:
            self._checked.open()
        self._is_open = True

    def _fail(self, exc: BaseException) -> None:
        """Report a failure. With `stop`, it is the last one."""
        if self._queue.is_abandoned:
            return
        self._phases.note_failure(exc)
        if self.options.on_failure == "stop":
            self._stop(error_of(self.name, exc))

    def _waits_to_retry(self, failures: int) -> bool:
        """Wait before the next attempt. Returns False if there is none."""
        attempts = self.options.retry_attempts
        if self.options.on_failure != "retry" or (attempts is not None and failures >= attempts):
            return False
        self._queue.wait_abandoned(self._clock.real_s(self.options.delay_s(failures)))
        if self._queue.is_abandoned:
            return False
        self._retries += 1
        return True

    def _recover(self, exc: BaseException) -> bool:
        if self._checked.recover is None or not self._is_open:
            return True
        try:
            self._checked.recover(exc)
        except BaseException:  # noqa: BLE001 - an exit would end this thread only, and the failure is reported
            return False
        return True

    def _discard(self, taken: list[Entry]) -> None:
        """Count what was taken as dropped, after the failure that ends the run."""
        if self._checked.own_counts is None:
            self._queue.drop_taken(WRITE_ERROR)
            return
        for entry in taken:
            for item in entry.items:
                self._discard_item(item)
        self._queue.finish(self._publish)

    def _discard_item(self, item: Batch | RecordedEvent) -> None:
        discard, discard_event = self._checked.discard, self._checked.discard_event
        # The output has failed before, and its error is kept.
        with suppress(Exception):
            if not isinstance(item, Batch):
                if discard_event is not None:
                    discard_event(item)
            elif discard is not None:
                discard(item)
            elif self.has_batches:
                self._queue.count_dropped_units(WRITE_ERROR, self._checked.units_of(item))

    def _close(self) -> None:
        """Close the output, and publish its last counts."""
        try:
            # What `open` has not made cannot be closed.
            if self._checked.close is not None and (self._is_open or self._checked.open is None):
                self._checked.close()
        except BaseException as exc:  # noqa: BLE001 - an exit would end this thread only
            self._fail(exc)
        self._times.settle()
        if not self._queue.is_abandoned:
            self._queue.finish(self._publish)
            self._report_changes()

    def _stop(self, error: CpapiError) -> None:
        if self.error is None:
            self.error = error
            self._call_in_loop(self._on_fail)

    def _publish(self) -> None:
        own = self._checked.own_counts
        if own is not None:
            self._published = own.copy()

    def _report_changes(self) -> None:
        """Report what other programs did to the files of the output."""
        if not self.counts_itself:
            return
        changes: list[FileChange] | None = getattr(self.output, "changes", None)
        if changes:
            for change in changes:
                self._report(change)
            changes.clear()

    def _report(self, event: RecordedEvent) -> None:
        self._call_in_loop(self._on_report, event)

    def _gap_of(self, missing: Missing, first_good_ns: int | None) -> OutputGap:
        return OutputGap(
            time_ns=time.time_ns(),
            output=self.name,
            reason=missing.reason,
            first_row=missing.first_row,
            frames_dropped=missing.frames,
            events_dropped=missing.events,
            last_good_ns=missing.last_good_ns,
            first_good_ns=first_good_ns,
        )
