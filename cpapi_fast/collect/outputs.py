"""The outputs of a run, which write its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.file_names import FileNames, new_run
from cpapi_fast.outputs.tables import QuotesWriter, TableWriter, TicksWriter
from cpapi_fast.protocol.instruments import market_data_target

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.outputs.table_schema import TableName

_WRITERS: Final[dict[TableName, type[TableWriter]]] = {"ticks": TicksWriter, "quotes": QuotesWriter}


def open_outputs(options: CollectOptions, clock: Clock) -> tuple[CaptureWriter, tuple[TableWriter, ...], EventLog]:
    """Return the outputs of a new run: the capture, the tables and the events.

    The names of all their files contain the same six digits.

    Raises:
        OutputError: the first file of the capture cannot be created.
        MissingDependencyError: pyarrow is not installed.
    """
    folder, run = options.out, new_run(options.out)
    capture = CaptureWriter(
        FileNames(folder, "capture", CAPTURE_SUFFIX, run=run),
        flush_interval_s=options.flush_interval_s,
        roll_interval_s=options.roll_interval_s,
        roll_bytes=options.roll_bytes,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
        redact=options.redact_captures,
        clock=clock,
    )
    targets = [market_data_target(conid) for conid in options.conids]
    tables = tuple(
        _WRITERS[name](
            folder,
            targets=targets,
            fields=options.fields,
            run=run,
            roll_interval_s=options.roll_interval_s,
            lost_files=options.lost_files,
            file_mode=options.file_mode,
            clock=clock,
        )
        for name in options.tables
    )
    events = EventLog(
        FileNames(folder, "events", ".jsonl", run=run),
        roll_bytes=options.roll_bytes,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
    )
    return capture, tables, events
