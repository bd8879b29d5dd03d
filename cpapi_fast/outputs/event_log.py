"""The events file: state changes, gaps, backfills and a slow disk, one JSON object per line."""

from __future__ import annotations

import enum
import io
import os
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cpapi_fast.errors import OutputError
from cpapi_fast.events import Backfill, Bar, Gap, StateChange
from cpapi_fast.printable import json_bytes

from .interface import DiskChange, OutputCounts, RecordedEvent, output_error, sync, write_all

_TYPES: Final[dict[type, str]] = {
    StateChange: "state",
    Gap: "gap",
    Backfill: "backfill",
    DiskChange: "disk",
}

#: The result of `poll`, in seconds. No work is ever due, because each line is written immediately.
_NOTHING_DUE_S: Final = 60.0


class EventLog:
    """Writes events to a file of JSON lines. Each line is immediately passed to the operating system in one write.

    The file is created with the first event. Each line has `type` (`state`, `gap`, `backfill`, `disk`), `time` (UTC,
    ISO 8601), `row` (the number of frames before the event in the capture) and the attributes of the event. `*_ns` are
    ns since the Unix epoch. If the process is killed, only the last line can be incomplete.

    Args:
        path: the file to create; the usual suffix is `.jsonl`.
    """

    name: str = "events"
    unit: str = "events"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self.counts: Final = OutputCounts()
        self._file: io.FileIO | None = None
        self._whole_bytes = 0
        self._error: OutputError | None = None

    @property
    def files(self) -> list[Path]:
        """The file, as a list; the list is empty before the first event."""
        return [self.path] if self._whole_bytes else []

    def write_event(self, event: RecordedEvent, row: int) -> None:
        """Write one line.

        Args:
            event: the event.
            row: the number of frames before the event in the capture.

        Raises:
            OutputError: the file cannot be created or written. The file then ends with its last complete line.
        """
        if self._error is not None:
            self.discard_event(event)
            raise self._error
        self.counts.received += 1
        line = event_line(event, row)
        try:
            if self._file is None:
                self._file = self.path.open("xb", buffering=0)
            write_all(self._file, line)
        except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path.
            self.counts.drop(1, "write error")
            self._error = output_error(exc, self.path)
            if self._file is not None:
                with suppress(OSError):
                    self._file.truncate(self._whole_bytes)
            self._release()
            raise self._error from exc
        self._whole_bytes += len(line)
        self.counts.written += 1

    def discard_event(self, _event: RecordedEvent) -> None:
        """Count an event as received and dropped, after a failure."""
        self.counts.received += 1
        self.counts.drop(1, "write error")

    def poll(self) -> float:
        """Return 60 s, because no work is ever due."""
        return _NOTHING_DUE_S

    def close(self) -> None:
        """Flush the file to the disk and close it. Idempotent.

        Raises:
            OutputError: the file could not be written.
        """
        if self._file is None:
            return
        try:
            sync(self._file)
        except OSError as exc:
            raise output_error(exc, self.path) from exc
        finally:
            self._release()

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def event_line(event: RecordedEvent, row: int) -> bytes:
    """Return an event as one line of JSON in ASCII, with a newline at its end. It can be shown on a terminal."""
    at_ns = event.time_ns if isinstance(event, (StateChange, DiskChange)) else _end_of(event)
    line: dict[str, Any] = {"type": _TYPES[type(event)], "time": _time_text(at_ns), "row": row}
    return json_bytes({**line, **_plain(event)}) + b"\n"


def _end_of(event: Gap | Backfill) -> int:
    gap = event.gap if isinstance(event, Backfill) else event
    return gap.last_good_ns if gap.first_good_ns is None else gap.first_good_ns


def _time_text(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (StateChange, Gap, Backfill, Bar, DiskChange)):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
