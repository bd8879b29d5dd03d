"""The events file: state changes, gaps, standstills, backfills and a slow disk, one JSON object per line."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cpapi_fast.clock import SYSTEM_CLOCK
from cpapi_fast.events import Backfill, Bar, Gap, Standstill, StateChange
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.printable import json_bytes
from cpapi_fast.redaction import redact_accounts

from .file_names import FileNames, NamesAfter
from .interface import OutputCounts
from .message_files import MessageFiles
from .output_file import LossPolicy, LostFiles
from .run_events import (
    EVENT_KINDS,
    SYMBOLS_KIND,
    DiskChange,
    FileChange,
    InstrumentsChange,
    OrderList,
    OutputFailure,
    OutputGap,
    RecordedEvent,
)

#: The start of a header.
_HEADER_START: Final = b'{"type":"%s"' % SYMBOLS_KIND.encode()

#: The events with a time of their own.
_TIMED: Final = (StateChange, DiskChange, FileChange, InstrumentsChange, OutputGap, OutputFailure)

#: The time between two checks of the file, in seconds.
_CHECK_INTERVAL_S: Final = 1.0


class EventLog:
    """Writes events to a file of JSON lines. Each line is immediately passed to the operating system in one write.

    The file is created with the first event. Each line has `type` (`state`, `gap`, `standstill`, `backfill`, `disk`,
    `file`, `order_list`, `instruments`, `output_gap`, `output_failure`), `time` (UTC, ISO 8601), `row` (the number of
    frames before the event in the stream) and the attributes of the event; of a list of orders, their number. `*_ns`
    are ns since the Unix epoch. Accounts in topics are redacted. If the process is killed, only the last line can be
    incomplete.

    Args:
        path: the file to create; the usual suffix is `.jsonl`. Or the names of all files.
        roll_bytes: a file is finished when it has this many bytes, and the next event begins a new one; None for never.
        lost_files: what to do when another program deletes, moves or changes the file: `recreate` continues in a new
            file, `fail` ends the writer with an error. The events that cannot be read any more count as dropped.
        file_mode: the permissions of the files; by default, only their owner can read them.
        header: the first line of each file, which is no event; empty for none. See `symbols_line`.

    Raises:
        ConfigError: `lost_files` is unknown.
    """

    name: str = "events"
    unit: str = "events"

    def __init__(
        self,
        path: str | os.PathLike[str] | FileNames,
        *,
        roll_bytes: int | None = None,
        lost_files: LostFiles = "recreate",
        file_mode: int = PRIVATE_MODE,
        header: bytes = b"",
    ) -> None:
        self.counts: Final = OutputCounts()
        self._losses: Final = LossPolicy(self.counts, self.unit, lost_files)
        self._files: Final = MessageFiles(
            path if isinstance(path, FileNames) else NamesAfter(Path(path)),
            self.counts,
            self._losses,
            _lines_of,
            header=lambda: header,
            mode=file_mode,
            roll_bytes=roll_bytes,
            clock=SYSTEM_CLOCK,
        )

    @property
    def files(self) -> list[Path]:
        """The files that can be read, oldest first; empty before the first event."""
        return self._files.paths

    @property
    def changes(self) -> list[FileChange]:
        """What other programs did to the files. The reader removes what it has read."""
        return self._losses.changes

    def set_header(self, header: bytes) -> None:
        """Set the first line of the files that follow. Safe to call from any thread."""
        self._files.header = lambda: header

    def write_event(self, event: RecordedEvent, row: int) -> None:
        """Write one line.

        Args:
            event: the event.
            row: the number of frames before the event in the stream.

        Raises:
            OutputError: the file cannot be created or written. The file then ends with its last complete line.
        """
        if self._files.error is not None:
            self.discard_event(event)
            raise self._files.error
        self.counts.received += 1
        self.counts.pending += 1
        try:
            self._files.append(event_line(event, row), 1)
        except BaseException:
            # It is not pending if it was written and only its file cannot be finished.
            self.counts.drop_pending("write error")
            raise

    def discard_event(self, _event: RecordedEvent) -> None:
        """Count an event as received and dropped, after a failure."""
        self.counts.received += 1
        self.counts.drop(1, "write error")

    def poll(self) -> float:
        """Check the current file, and return the seconds until the next check. Raises like `write_event`."""
        return min(_CHECK_INTERVAL_S, self._files.poll())

    def close(self) -> None:
        """Flush the file to the disk and close it. Idempotent.

        Raises:
            OutputError: the file could not be written.
        """
        self._files.close()


def event_line(event: RecordedEvent, row: int) -> bytes:
    """Return an event as one line of JSON in ASCII, with a newline at its end. It can be shown on a terminal."""
    at_ns = event_time_ns(event)
    line: dict[str, Any] = {"type": EVENT_KINDS[type(event)], "time": _time_text(at_ns), "row": row}
    return json_bytes({**line, **_plain(event)}) + b"\n"


def event_time_ns(event: RecordedEvent) -> int:
    """Return the time of an event, in ns since the Unix epoch."""
    if isinstance(event, _TIMED):
        return event.time_ns
    if isinstance(event, OrderList):
        return event.received_ns
    if isinstance(event, Standstill):
        return event.start_ns + event.length_ns
    gap = event.gap if isinstance(event, Backfill) else event
    return gap.last_good_ns if gap.first_good_ns is None else gap.first_good_ns


def _time_text(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    if isinstance(value, OrderList):
        # The orders are in their table.
        return {"received_ns": value.received_ns, "orders": len(value.orders)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (Gap, Standstill, Backfill, Bar, *_TIMED)):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        # A path is needed as it is.
        return plain | {"path": value.path} if isinstance(value, FileChange) else plain
    if isinstance(value, str):
        return redact_accounts(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def symbols_line(table: Sequence[Mapping[str, Any]], time_ns: int) -> bytes:
    """Return the first line of the files of a run with symbols: `type` is `symbols`, and `symbols` has their contracts.

    Args:
        table: one object per symbol.
        time_ns: when they were resolved, in ns since the Unix epoch.
    """
    return json_bytes({"type": SYMBOLS_KIND, "time": _time_text(time_ns), "row": 0, "symbols": list(table)}) + b"\n"


def _lines_of(path: Path) -> int:
    """How many complete lines of events a file has: without its header, which may be another one in each file."""
    try:
        with path.open("rb") as file:
            return sum(
                line.endswith(b"\n") and not (number == 0 and line.startswith(_HEADER_START))
                for number, line in enumerate(file)
            )
    except OSError:
        return 0
