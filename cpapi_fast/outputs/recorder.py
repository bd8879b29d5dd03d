"""Recorder: passes batches and events to the outputs, each with a thread of its own, so that none blocks the event loop

Writing files blocks, and encoding Parquet takes time in Python; neither may delay the loop, or another output. Batches
are passed by reference to the queue of each output. `write` returns at once, unless an output that must not lose
anything is behind; its caller then bounds what waits (see `Consumer.chunks`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import CpapiError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.cost import batch_cost_bytes

from .contract.output import CheckedOutput, check_names
from .contract.queue_items import Entry
from .contract.runner import OutputRunner
from .interface import WriteMeter
from .run_events import DiskChange, RecordedEvent


class Recorder:
    """Passes batches and events to outputs, in the given order. Create it in a running loop.

    What happens to an output, such as a failure or a lost file, is an event that all outputs get. Outputs of events
    alone are closed after the others, so that they get what closing reports.

    Args:
        outputs: the outputs. The recorder owns and closes them.
        on_event: called in the loop with each event that an output causes.
        clock: the clock of all options.
        meter_of: returns what measures an output for batches, by its name, or None; not called without metrics.

    Raises:
        ConfigError: two outputs have the same name.
    """

    def __init__(
        self,
        outputs: Sequence[CheckedOutput],
        *,
        on_event: Callable[[RecordedEvent], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        meter_of: Callable[[str], WriteMeter | None] | None = None,
    ) -> None:
        check_names(list(outputs))
        self._clock: Final = clock
        self._on_event: Final = on_event
        self._rows = 0
        self._failed: Final = asyncio.Event()
        self._room: Final = asyncio.Event()
        #: The cost of what the current `write` has passed on while it waits for room; 0 without one.
        self.waiting_bytes = 0
        self._error: CpapiError | None = None
        self._is_released = False
        #: Which outputs get the events that outputs cause.
        self._open_runners: tuple[OutputRunner, ...] = ()
        self._closing: asyncio.Task[None] | None = None
        #: The outputs with their threads, in the given order.
        self.runners: Final = tuple(
            OutputRunner(
                output,
                clock,
                self._on_report,
                self._on_fail,
                self._room.set,
                meter_of(output.name) if meter_of is not None and output.write is not None else None,
            )
            for output in outputs
        )
        self._open_runners = self.runners
        self._batch_runners: Final = tuple(runner for runner in self.runners if runner.has_batches)
        self._event_runners: Final = tuple(runner for runner in self.runners if not runner.has_batches)

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait for the slowest output. The outputs share them."""
        return max((runner.pending_bytes for runner in self.runners), default=0)

    @property
    def dropped(self) -> int:
        """How many frames the queues have dropped, over all outputs."""
        return sum(runner.queue_stats.dropped_total for runner in self.runners)

    async def write(self, items: Sequence[Batch | RecordedEvent]) -> None:
        """Pass batches and events to all outputs. Wait while the queue of an output with the policy `block` is full.

        If the caller is cancelled, the items are still written. The items must not change.

        Raises:
            UsageError: the recorder is closed.
        """
        if self._closing is not None:
            raise UsageError("the recorder is closed")
        self.waiting_bytes = self._pass_on(items, self.runners)
        try:
            while not self._is_released:
                self._room.clear()
                self.check()
                if not any(runner.is_full() for runner in self.runners):
                    return
                await self._room.wait()
        finally:
            self.waiting_bytes = 0

    def put_event(self, event: RecordedEvent) -> None:
        """Pass an event on after everything that was passed to `write` before, without waiting.

        Raises:
            UsageError: the recorder is closed.
        """
        if self._closing is not None:
            raise UsageError("the recorder is closed")
        self._pass_on((event,), self.runners)

    def check(self) -> None:
        """Report each output that became slower than the data, or has caught up. Call it now and then."""
        for runner in self.runners:
            is_slow = runner.slow_since_s is not None
            if (runner.pending_bytes > runner.max_bytes // (8 if is_slow else 2)) != is_slow:
                self._change_speed(runner)

    async def failed(self) -> None:
        """Wait until an output fails whose failure ends the run, and raise its error."""
        await self._failed.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)

    def release(self) -> None:
        """Let `write` wait no more, because the run ends."""
        self._is_released = True
        self._room.set()

    async def close(self) -> None:
        """Write what was passed before, and close the outputs, each within its deadline. Idempotent.

        Raises:
            OutputError: an output failed whose failure ends the run, now or earlier.
        """
        if self._closing is None:
            self.release()
            self._closing = asyncio.create_task(self._close(), name="cpapi_fast outputs")
        await asyncio.shield(self._closing)
        if self._error is not None:
            raise self._error.with_traceback(None)

    async def _close(self) -> None:
        self._open_runners = self._event_runners
        await self._close_runners(self._batch_runners)
        for runner in self._batch_runners:
            if runner.slow_since_s is not None and not runner.pending_bytes:
                self._change_speed(runner)
        self._open_runners = ()
        await self._close_runners(self._event_runners)

    async def _close_runners(self, runners: Sequence[OutputRunner]) -> None:
        for runner in runners:
            runner.begin_close()
        await asyncio.gather(*(runner.wait_closed() for runner in runners))
        self._on_fail()

    def _pass_on(self, items: Sequence[Batch | RecordedEvent], runners: Sequence[OutputRunner]) -> int:
        row = self._rows
        frames = nbytes = 0
        events: list[tuple[RecordedEvent, int]] = []
        for item in items:
            if isinstance(item, Batch):
                frames += len(item)
                nbytes += batch_cost_bytes(item)
            else:
                events.append((item, row + frames))
        for runner in runners:
            if runner.has_batches:
                runner.put(Entry(items, row, frames, nbytes, len(events)))
            else:
                for event, event_row in events:
                    runner.put(Entry((event,), event_row, 0, 0, 1))
        self._rows = row + frames
        return nbytes

    def _change_speed(self, runner: OutputRunner) -> None:
        now_s, since_s = self._clock.monotonic_s(), runner.slow_since_s
        runner.slow_since_s = now_s if since_s is None else None
        duration_s = None if since_s is None else now_s - since_s
        self._on_report(DiskChange(time.time_ns(), since_s is None, runner.options.policy, duration_s, runner.name))

    def _on_report(self, event: RecordedEvent) -> None:
        """Pass an event of an output on, as far as there are outputs left, and report it."""
        self._pass_on((event,), self._open_runners)
        if self._on_event is not None:
            self._on_event(event)

    def _on_fail(self) -> None:
        for runner in self.runners:
            if self._error is None and runner.error is not None:
                self._error = runner.error
                self._failed.set()
                self._room.set()
