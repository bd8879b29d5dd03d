"""Files of runs as `collect` writes them, from frames, events and rows that a test chooses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.outputs.capture import CaptureWriter
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.run_events import RecordedEvent
from tests.support.batches import batch_of
from tests.support.files import quote

#: A start of runs: 2026-01-02 14:30:00 UTC.
START_NS: Final = 1_767_364_200_000_000_000
S: Final = 1_000_000_000


def changed(
    time_ns: int, state: FeedState, cause: Cause, *, previous: FeedState = FeedState.STREAMING, detail: str = ""
) -> StateChange:
    return StateChange(time_ns, state, previous, cause, "Log in again.", None, detail)


def started(time_ns: int) -> list[StateChange]:
    """The changes of a run from its start to its data."""
    return [
        changed(time_ns, FeedState.CONNECTING, Cause.STARTED, previous=FeedState.DISCONNECTED),
        changed(time_ns, FeedState.OPEN, Cause.SOCKET_OPENED, previous=FeedState.CONNECTING),
        changed(time_ns, FeedState.STREAMING, Cause.DATA, previous=FeedState.OPEN),
    ]


def stopped(time_ns: int) -> StateChange:
    return changed(time_ns, FeedState.DISCONNECTED, Cause.STOPPED)


def every(seconds: float, start_s: float, end_s: float, conid: int) -> list[tuple[int, bytes]]:
    """A frame of an instrument every few seconds."""
    count = int((end_s - start_s) / seconds)
    return [(START_NS + int((start_s + at * seconds) * S), quote(conid, _31="1.5")) for at in range(count)]


def write_capture(
    folder: Path, run: str, frames: Iterable[tuple[int, bytes]], *, per_file: int = 10_000, is_closed: bool = True
) -> list[Path]:
    """Write frames, each with its receive time, to captures of at most `per_file` frames, in messages of seven."""
    rows = sorted(frames, key=lambda row: row[0])
    paths = []
    for at in range(0, len(rows), per_file):
        chunk = rows[at : at + per_file]
        names = FileNames(folder, "capture", ".arrows", run=run, clock_ns=lambda time_ns=chunk[0][0]: time_ns)
        writer = CaptureWriter(names)
        for index, (received_ns, raw) in enumerate(chunk):
            writer.write(batch_of([raw], received_ns))
            if index % 7 == 6:
                writer.flush()
        writer.flush()
        data = writer.path.read_bytes()
        writer.close()
        if not is_closed:
            # What a killed run leaves.
            writer.path.write_bytes(data)
        paths.append(writer.path)
    return paths


def write_events(folder: Path, run: str, events: Sequence[RecordedEvent], *, row: int = 0, header: bytes = b"") -> Path:
    log = EventLog(FileNames(folder, "events", ".jsonl", run=run, clock_ns=lambda: START_NS), header=header)
    for event in events:
        log.write_event(event, row)
    log.close()
    (path,) = log.files
    return path


def write_ticks(folder: Path, run: str, rows: Sequence[dict[str, Any]], *, time_ns: int = START_NS) -> Path:
    """Write rows of `ticks`; a column that a row does not have is null, or zero for `late_ns`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cpapi_fast.outputs.tables.schema import ticks_schema

    schema = ticks_schema()
    columns = []
    for field in schema:
        values = [row.get(field.name, 0 if field.name == "late_ns" else None) for row in rows]
        kind = pa.int64() if pa.types.is_timestamp(field.type) else field.type
        columns.append(pa.array(values, kind).cast(field.type))
    path = FileNames(folder, "ticks", ".parquet", run=run, clock_ns=lambda: time_ns).next()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path, row_group_size=100)
    return path
