"""What happened besides frames, one JSON object per line: changes of state, gaps, what was filled in, a slow disk."""

from __future__ import annotations

import enum
import io
import os
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from cpapi_fast.errors import OutputError
from cpapi_fast.events import Backfill, Bar, Gap, StateChange

from .contract import DiskChange, OutputCounts, RecordedEvent, output_error, sync, write_all

_TYPES: Final[dict[type, str]] = {
    StateChange: "state",
    Gap: "gap",
    Backfill: "backfill",
    DiskChange: "disk",
}

#: How long nothing is due for, in seconds: each line is in the file when it was written.
_NOTHING_DUE_S: Final = 60.0


class EventLog:
    """Writes events to a file of JSON lines, each in one write that reaches the operating system at once.

    The file is made with the first event. Every line has `type` (`state`, `gap`, `backfill`, `disk`), `row` (how many
    frames stand before it in the capture) and what the event has; times are ns since the Unix epoch, and `time` is the
    same for people. A line that a killed process has torn is the last one.

    Args:
        path: the file to make; by habit it ends in `.jsonl`.
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
        """The one file; none before the first event."""
        return [self.path] if self._whole_bytes else []

    def write_event(self, event: RecordedEvent, row: int) -> None:
        """Write one line.

        Args:
            event: what happened.
            row: how many frames stand before it in the capture.

        Raises:
            OutputError: the file cannot be made or written. It ends with its last whole line.
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
        """Nothing is ever due."""
        return _NOTHING_DUE_S

    def close(self) -> None:
        """Wait until the disk has it, and let go of the file; a second call does nothing."""
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
    """One event as a line of JSON."""
    at_ns = event.time_ns if isinstance(event, (StateChange, DiskChange)) else _end_of(event)
    line: dict[str, Any] = {"type": _TYPES[type(event)], "time": _time_text(at_ns), "row": row}
    return orjson.dumps({**line, **_plain(event)}) + b"\n"


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
