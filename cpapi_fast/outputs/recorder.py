"""Recorder: the thread that writes batches and events to outputs, so that files never block the event loop.

Writing files blocks, and encoding Parquet takes time in Python; neither may delay the loop. The recorder's own queue
does not grow: `write` returns when the thread has written everything, and its caller bounds the pending frames (see
`Consumer.chunks`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import UsageError
from cpapi_fast.frames.batch import Batch

from .interface import BatchOutput, EventObserver, EventOutput, FileChange, Output, RecordedEvent, WriteMeter

P = ParamSpec("P")
T = TypeVar("T")

#: Items for the thread, and the future that gets the error, or None, after the thread has written them.
_Job = tuple[Sequence[Batch | RecordedEvent], "asyncio.Future[Exception | None] | None"]


class Recorder:
    """Passes batches and events to outputs in its own thread, in the given order. Create it in a running loop.

    After the first failure of an output, nothing more is written to any output. Later batches count as dropped, and
    `write`, `failed` and `close` raise the error.

    Outputs that are `EventObserver` get the events too, in the order of the stream.

    What other programs did to the files is written to `events` and passed to `on_change`.

    Args:
        outputs: the outputs for batches, in this order. The recorder owns and closes them.
        events: the output for events. The recorder owns and closes it.
        on_change: called in the loop when another program has deleted, moved or changed a file.
        clock: the clock of flushes that are due while no batch arrives.
        meter_of: returns what measures an output for batches, or None; not called without metrics.
    """

    def __init__(
        self,
        outputs: Sequence[BatchOutput],
        *,
        events: EventOutput | None = None,
        on_change: Callable[[FileChange], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        meter_of: Callable[[BatchOutput], WriteMeter | None] | None = None,
    ) -> None:
        self.outputs: Final[tuple[Output, ...]] = (*outputs, *(() if events is None else (events,)))
        self._batch_outputs: Final = tuple((output, meter_of(output) if meter_of else None) for output in outputs)
        self._event_output: Final = events
        # Outputs that depend on events between the batches, such as gaps.
        self._observers: Final = [output for output in outputs if isinstance(output, EventObserver)]
        self._on_change: Final = on_change
        self._rows = 0
        self._clock = clock
        self._jobs: Final[queue.SimpleQueue[_Job | None]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._failed: Final = asyncio.Event()
        self._ended: Final = asyncio.Event()
        self._error: Exception | None = None
        self._is_closing = False
        self._has_thread_ended = False
        # A daemon thread, so that a second Ctrl-C ends the process even if the disk does not respond.
        self._thread: Final = threading.Thread(target=self._run, name="cpapi_fast recorder", daemon=True)
        self._thread.start()

    async def write(self, items: Sequence[Batch | RecordedEvent]) -> None:
        """Write batches and events, and wait until the thread has written them.

        If the caller is cancelled, the items are still written.

        Raises:
            OutputError: an output has failed. Items that were not written count as dropped.
            UsageError: the recorder is closed.
        """
        written: asyncio.Future[Exception | None] = self._loop.create_future()
        self._pass_on(items, written)
        if self._has_thread_ended:
            # The thread may have ended before it could take the items.
            _resolve(written, self._error)
        error = await written
        if error is not None:
            raise error.with_traceback(None)

    def put_event(self, event: RecordedEvent) -> None:
        """Write an event after everything that was passed to `write` before, without waiting.

        Raises:
            UsageError: the recorder is closed.
        """
        self._pass_on((event,), None)

    async def failed(self) -> None:
        """Wait until an output fails, and raise its error."""
        await self._failed.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)

    async def close(self) -> None:
        """Write all items that were passed before, close the outputs, and wait for the end of the thread. Idempotent.

        Raises:
            OutputError: an output failed, now or earlier.
        """
        if not self._is_closing:
            self._is_closing = True
            self._jobs.put(None)
        await self._ended.wait()
        self._thread.join()
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _pass_on(
        self, items: Sequence[Batch | RecordedEvent], written: asyncio.Future[Exception | None] | None
    ) -> None:
        if self._is_closing:
            raise UsageError("the recorder is closed")
        self._jobs.put((items, written))

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                try:
                    job = self._jobs.get(timeout=self._clock.real_s(self._poll()))
                except queue.Empty:
                    continue
                if job is None:
                    break
                items, written = job
                try:
                    for item in items:
                        if isinstance(item, Batch):
                            self._write(item)
                        else:
                            self._write_event(item)
                    self._pass_on_changes()
                finally:
                    if written is not None:
                        self._call_in_loop(_resolve, written, self._error)
        except BaseException as exc:
            # Nobody must wait for a thread that has ended.
            self._fail(UsageError(f"the thread of the recorder has ended: {type(exc).__name__}"))
            raise
        finally:
            for output in self.outputs:
                self._close(output)
            self._settle()
            self._has_thread_ended = True
            while not self._jobs.empty():
                job = self._jobs.get()
                if job is not None and job[1] is not None:
                    self._call_in_loop(_resolve, job[1], self._error)
            self._call_in_loop(self._ended.set)

    def _poll(self) -> float:
        """Poll the outputs, and return the seconds until the next poll is due."""
        due_s = 60.0
        if self._error is None:
            for output in self.outputs:
                output_due_s = self._try(output.poll)
                if output_due_s is not None:
                    due_s = min(due_s, output_due_s)
            self._settle()
            self._pass_on_changes()
        return due_s

    def _write_event(self, event: RecordedEvent) -> None:
        for observer in self._observers:
            if self._error is None:
                self._try(observer.observe_event, event)
        output = self._event_output
        if output is not None:
            if self._error is None:
                self._try(output.write_event, event, self._rows)
            else:
                self._try(output.discard_event, event)

    def _write(self, batch: Batch) -> None:
        self._rows += len(batch)
        for output, meter in self._batch_outputs:
            if self._error is None:
                self._try(output.write, batch)
            else:
                self._try(output.discard, batch)
            if meter is not None:
                meter.on_batch(batch, output.counts)

    def _settle(self) -> None:
        for output, meter in self._batch_outputs:
            if meter is not None:
                meter.settle(output.counts)

    def _close(self, output: Output) -> None:
        self._try(output.close)
        if output is not self._event_output:
            self._pass_on_changes()
        else:
            # No event can be written any more.
            for change in self._take_changes():
                self._report(change)

    def _try(self, action: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T | None:
        """Call a method of an output. Its error is kept, and raised in the loop; then the result is None."""
        try:
            return action(*arguments, **options)
        except Exception as exc:  # noqa: BLE001 - kept, and raised in the loop
            self._fail(exc)
        except BaseException as exc:  # noqa: BLE001 - an exit would end this thread only, and leave others waiting
            self._fail(UsageError(f"an output raised {type(exc).__name__}; an output cannot end the program"))
        return None

    def _pass_on_changes(self) -> None:
        """Write and report what other programs did to the files."""
        for change in self._take_changes():
            self._write_event(change)
            self._report(change)

    def _take_changes(self) -> list[FileChange]:
        taken: list[FileChange] = []
        for output in self.outputs:
            # An output that writes no files may have none.
            changes: list[FileChange] | None = getattr(output, "changes", None)
            if changes:
                taken += changes
                changes.clear()
        return taken

    def _report(self, change: FileChange) -> None:
        if self._on_change is not None:
            self._call_in_loop(self._on_change, change)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._call_in_loop(self._failed.set)

    def _call_in_loop(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop was closed before `close` was awaited, so no task waits.
            return


def _resolve(written: asyncio.Future[Exception | None], error: Exception | None) -> None:
    # Errors are set as results, because asyncio logs an exception that a cancelled task does not retrieve.
    if not written.done():
        written.set_result(error)
