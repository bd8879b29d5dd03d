"""Runs in a folder without a gateway: a capture, tables and events that the outputs write, finished or killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.outputs.capture import CaptureWriter
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.run_events import OutputGap
from cpapi_fast.outputs.tables.accounts import OrdersWriter
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from tests.support.batches import batch_of
from tests.support.files import quote

#: When the first batch of a run is received, in ns since the Unix epoch.
START_NS: Final = 1_767_225_600_000_000_000
SECOND_NS: Final = 1_000_000_000


class WrittenRun:
    """The outputs of a run, as `collect` opens them, which a test writes to."""

    def __init__(
        self, folder: Path, run: str = "1abcde", *, roll_rows: int = 25, group_rows: int = 5, roll_bytes: int = 4000
    ) -> None:
        self.folder = folder
        self.frames = 0
        metadata = {
            "cpapi_fast.run": run,
            "cpapi_fast.tables": '["ticks", "quotes", "orders"]',
            "cpapi_fast.fields": '["31", "84", "86"]',
            "cpapi_fast.targets": '["1"]',
        }
        self.capture = CaptureWriter(
            FileNames(folder, "capture", ".arrows", run=run),
            metadata=metadata,
            roll_bytes=roll_bytes,
            flush_interval_s=1000,
        )
        common: dict[str, Any] = {"run": run, "roll_rows": roll_rows, "roll_interval_s": 1000.0}
        fields = ("31", "84", "86")
        self.tables = (
            TicksWriter(folder, fields=fields, group_rows=group_rows, **common),
            QuotesWriter(folder, fields=fields, group_rows=group_rows, **common),
        )
        self.orders = OrdersWriter(folder, **common)
        self.events = EventLog(FileNames(folder, "events", ".jsonl", run=run))

    def write(self, count: int, *, flushes: bool = True) -> None:
        """Write one batch of `count` frames, and what comes between batches now and then."""
        number = self.frames
        frames = [self._frame(number + index) for index in range(count)]
        batch = batch_of(frames, START_NS + number * SECOND_NS)
        for output in (self.capture, *self.tables, self.orders):
            output.write(batch)
        self.frames += count
        if flushes:
            self.capture.flush()

    def drop(self, count: int, *outputs: CaptureWriter | TicksWriter | QuotesWriter) -> None:
        """Write one batch that some outputs do not get, as their queues drop it, and one that all of them get."""
        number, time_ns = self.frames, START_NS + self.frames * SECOND_NS
        batch = batch_of([self._frame(number + index) for index in range(count)], time_ns)
        for output in (self.capture, *self.tables, self.orders):
            if output not in outputs:
                output.write(batch)
        self.frames += count
        for output in outputs:
            last_ns, next_ns = time_ns - SECOND_NS, START_NS + self.frames * SECOND_NS
            if not isinstance(output, CaptureWriter):
                output.observe_event(Gap(None, last_ns, next_ns, Cause.CONSUMER_OVERFLOW, count))
            lost = OutputGap(next_ns, output.name, "queue full", number, count, 0, last_ns, next_ns)
            self.events.write_event(lost, self.frames)
        self.write(5)

    @staticmethod
    def _frame(number: int) -> bytes:
        if number % 11 == 3:
            return b'{"topic":"system","hb":%d}' % number
        if number % 13 == 4:
            return b'{"server_id":"q1","conid":1,"_updated":1,"31":"1",,"topic":"smd+1"}'
        if number % 17 == 6:
            return b'{"topic":"sor","args":[{"orderId":%d,"status":"Filled","totalSize":5}]}' % (number % 3)
        values: dict[str, object] = {"_6509": "RpB"} if number % 7 == 0 else {}
        values |= {"_31": f"{100 + number}"} if number % 2 else {"_84": f"{99 + number}"}
        return quote(1 + number % 3, **values)

    def observe(self, event: Gap | StateChange) -> None:
        for table in (*self.tables, self.orders):
            table.observe_event(event)
        self.events.write_event(event, self.frames)

    def lose_connection(self) -> None:
        """Write the events of a lost connection."""
        now_ns = START_NS + self.frames * SECOND_NS
        lost = StateChange(
            now_ns - 5, FeedState.DISCONNECTED, FeedState.STREAMING, Cause.CONNECTION_LOST, "It reconnects."
        )
        self.observe(lost)
        for conid in (1, 2):
            self.observe(Gap(f"smd+{conid}", now_ns - 7, now_ns, Cause.CONNECTION_LOST))

    def close(self) -> None:
        for output in (self.capture, *self.tables, self.orders, self.events):
            output.close()

    def copied(self, to: Path) -> Path:
        """The files as a kill at this moment leaves them, in another folder."""
        return Path(shutil.copytree(self.folder, to))


@contextmanager
def written_run(folder: Path, **options: Any) -> Iterator[WrittenRun]:
    """A run with batches of several sizes, two lost connections, malformed frames, and frames of several kinds."""
    folder.mkdir(exist_ok=True)
    run = WrittenRun(folder, **options)
    try:
        for count in (1, 30, 2, 7):
            run.write(count)
        run.lose_connection()
        for count in (11, 1, 60):
            run.write(count)
        run.lose_connection()
        run.write(4)
        yield run
    finally:
        run.close()
