"""The outputs of a run, which write its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.event_log import EventLog, symbols_line
from cpapi_fast.outputs.file_names import FileNames, new_run
from cpapi_fast.outputs.quotes import QuotesWriter
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol, symbols_json, symbols_table
from cpapi_fast.protocol.instruments import market_data_target

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock


def open_outputs(
    options: CollectOptions, clock: Clock, symbols: Sequence[ResolvedSymbol] = (), resolved_ns: int = 0
) -> tuple[CaptureWriter, QuotesWriter, EventLog]:
    """Return the outputs of a new run. The names of all their files contain the same six digits.

    Args:
        options: the options of the run, with all instruments.
        clock: the clock of the intervals.
        symbols: the resolved symbols, for the metadata of the files.
        resolved_ns: when they were resolved, in ns since the Unix epoch.

    Raises:
        OutputError: the first file of the capture cannot be created.
        MissingDependencyError: pyarrow is not installed.
    """
    metadata = {"cpapi_fast.symbols": symbols_json(symbols)} if symbols else {}
    folder, run = options.out, new_run(options.out)
    capture = CaptureWriter(
        FileNames(folder, "capture", CAPTURE_SUFFIX, run=run),
        flush_interval_s=options.flush_interval_s,
        roll_interval_s=options.roll_interval_s,
        roll_bytes=options.roll_bytes,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
        redact=options.redact_captures,
        metadata=metadata,
        clock=clock,
    )
    quotes = QuotesWriter(
        folder,
        targets=map(market_data_target, options.conids),
        fields=options.fields,
        run=run,
        roll_interval_s=options.roll_interval_s,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
        metadata=metadata,
        clock=clock,
    )
    events = EventLog(
        FileNames(folder, "events", ".jsonl", run=run),
        roll_bytes=options.roll_bytes,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
        header=symbols_line(symbols_table(symbols), resolved_ns) if symbols else b"",
    )
    return capture, quotes, events
