"""The thread that writes: takes batches from the loop in order, bounded, so that a slow disk holds back the socket.

Files are written with blocking calls and Parquet costs Python time, and neither may stop the loop. What waits for the
thread is bounded by bytes: past the bound `put` waits, its caller reads no further batch, and the connection stops
reading the socket. Nothing is dropped for being late.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from typing import Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import UsageError
from cpapi_fast.frames.batch import Batch

from .contract import BatchOutput, EventOutput, Output, RecordedEvent

#: What a queued batch weighs besides its payload: the object itself, and the columns per frame.
_BATCH_BYTES: Final = 256
_FRAME_BYTES: Final = 29
_EVENT_BYTES: Final = 512


class Recorder:
    """Feeds batches and events to outputs in a thread of its own, in the order given. Made and used in a running loop.

    After the first failure of an output nothing more is written to any: batches are counted as dropped, and the error
    comes out of `put`, `failed` and `close`.

    Args:
        outputs: what to feed, in this order. They belong to the recorder from here on, which also closes them.
        events: what takes the events; it belongs to the recorder too.
        max_queue_bytes: how many bytes of batches may wait for the thread.
        clock: for the flushes that are due when no batch comes.
    """

    def __init__(
        self,
        outputs: Sequence[BatchOutput],
        *,
        events: EventOutput | None = None,
        max_queue_bytes: int = 64 * 1024 * 1024,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.outputs: Final[tuple[Output, ...]] = (*outputs, *(() if events is None else (events,)))
        self._batch_outputs: Final = tuple(outputs)
        self._event_output: Final = events
        self._rows = 0
        self._max_queue_bytes = max_queue_bytes
        self._clock = clock
        self._queue: Final[queue.SimpleQueue[tuple[Batch | RecordedEvent, int] | None]] = queue.SimpleQueue()
        self._queued_bytes = 0
        self._lock: Final = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._room: Final = asyncio.Event()
        self._failed: Final = asyncio.Event()
        self._ended: Final = asyncio.Event()
        self._error: Exception | None = None
        self._is_closing = False
        # A daemon, so that a second Ctrl-C while a disk hangs still ends the process.
        self._thread: Final = threading.Thread(target=self._run, name="cpapi_fast recorder", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait for the thread."""
        return self._queued_bytes

    @property
    def is_full(self) -> bool:
        """Whether `put` waits for the thread."""
        return self._queued_bytes > self._max_queue_bytes

    async def put(self, batch: Batch) -> None:
        """Hand over a batch, and wait for room when too much waits already. Once handed over it is accounted for.

        Raises:
            OutputError: an output has failed. The batch counts as dropped there.
            UsageError: the recorder is closed.
        """
        self.hand_over(batch)
        await self.wait_for_room()

    def hand_over(self, batch: Batch) -> None:
        """Hand over a batch without waiting; whoever does that looks at `is_full` or calls `wait_for_room`.

        Raises:
            UsageError: the recorder is closed.
        """
        self._hand_over(batch, batch.nbytes + _FRAME_BYTES * len(batch) + _BATCH_BYTES)

    def put_event(self, event: RecordedEvent) -> None:
        """Hand over an event, after all batches that were put before it.

        Raises:
            UsageError: the recorder is closed.
        """
        self._hand_over(event, _EVENT_BYTES)

    async def wait_for_room(self) -> None:
        """Wait until no more than may wait does.

        Raises:
            OutputError: an output has failed.
        """
        while self.is_full and self._error is None:
            self._room.clear()
            # Between these two lines the thread may have made room: then its call to set the event is still to come.
            if self.is_full:
                await self._room.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _hand_over(self, item: Batch | RecordedEvent, cost: int) -> None:
        if self._is_closing:
            raise UsageError("the recorder is closed")
        with self._lock:
            self._queued_bytes += cost
        self._queue.put((item, cost))

    async def failed(self) -> None:
        """Wait until an output fails, and raise its error."""
        await self._failed.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)

    async def close(self) -> None:
        """Have everything that waits written, close the outputs, and wait for that. A second call waits too.

        Raises:
            OutputError: an output failed, now or before.
        """
        if not self._is_closing:
            self._is_closing = True
            self._queue.put(None)
        await self._ended.wait()
        self._thread.join()
        if self._error is not None:
            raise self._error.with_traceback(None)

    # In the thread

    def _run(self) -> None:
        try:
            while True:
                try:
                    item = self._queue.get(timeout=self._clock.real_s(self._poll()))
                except queue.Empty:
                    continue
                if item is None:
                    break
                what, cost = item
                if isinstance(what, Batch):
                    self._write(what)
                else:
                    self._write_event(what)
                self._take_off(cost)
        finally:
            for output in self.outputs:
                self._close(output)
            self._tell(self._ended)

    def _poll(self) -> float:
        """Let the outputs do what is due; the seconds until the next thing is."""
        due_s = 60.0
        if self._error is None:
            try:
                due_s = min([due_s, *(output.poll() for output in self.outputs)])
            except Exception as exc:  # noqa: BLE001 - kept, and raised in the loop
                self._fail(exc)
        return due_s

    def _write_event(self, event: RecordedEvent) -> None:
        output = self._event_output
        if output is None:
            return
        if self._error is None:
            try:
                output.write_event(event, self._rows)
            except Exception as exc:  # noqa: BLE001 - kept, and raised in the loop
                self._fail(exc)
        else:
            output.discard_event(event)

    def _write(self, batch: Batch) -> None:
        self._rows += len(batch)
        for output in self._batch_outputs:
            if self._error is None:
                try:
                    output.write(batch)
                except Exception as exc:  # noqa: BLE001 - kept, and raised in the loop
                    self._fail(exc)
            else:
                output.discard(batch)

    def _close(self, output: Output) -> None:
        try:
            output.close()
        except Exception as exc:  # noqa: BLE001 - kept, and raised in the loop
            self._fail(exc)

    def _take_off(self, cost: int) -> None:
        with self._lock:
            was_full = self.is_full
            self._queued_bytes -= cost
            has_room_again = was_full and not self.is_full
        if has_room_again:
            self._tell(self._room)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._tell(self._failed)
            self._tell(self._room)

    def _tell(self, event: asyncio.Event) -> None:
        try:
            self._loop.call_soon_threadsafe(event.set)
        except RuntimeError:
            # The loop was closed without `close` having been awaited: nobody is left to be told.
            return
