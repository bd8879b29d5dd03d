"""The outputs of a run, which write its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.event_log import EventLog, symbols_line
from cpapi_fast.outputs.file_names import FileNames, new_run
from cpapi_fast.outputs.tables.accounts import AccountWriter
from cpapi_fast.outputs.tables.market_data import MarketDataWriter
from cpapi_fast.outputs.tables.writers import ACCOUNT_WRITERS, MARKET_DATA_WRITERS
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol, symbols_json, symbols_table
from cpapi_fast.protocol.instruments import market_data_target

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock


class RunOutputs(NamedTuple):
    """The outputs of a run.

    Attributes:
        capture: every frame.
        tables: the tables of market data.
        account_tables: the tables of orders, executions, profit and loss and accounts.
        events: the events.
    """

    capture: CaptureWriter
    tables: tuple[MarketDataWriter, ...]
    account_tables: tuple[AccountWriter, ...]
    events: EventLog


def open_outputs(
    options: CollectOptions, clock: Clock, symbols: Sequence[ResolvedSymbol] = (), resolved_ns: int = 0
) -> RunOutputs:
    """Return the outputs of a new run: the capture, the tables and the events.

    The names of all their files contain the same six digits.

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
        compression=options.capture_compression,
        redact=options.redact_captures,
        metadata={**metadata, "cpapi_fast.run": run, **_subscribed(options)},
        clock=clock,
    )
    common: dict[str, Any] = {
        "run": run,
        "roll_interval_s": options.roll_interval_s,
        "lost_files": options.lost_files,
        "file_mode": options.file_mode,
        "metadata": metadata,
        "clock": clock,
    }
    targets = [market_data_target(conid) for conid in options.conids]
    tables = tuple(
        MARKET_DATA_WRITERS[name](folder, targets=targets, fields=options.fields, **common) for name in options.tables
    )
    account_tables = tuple(ACCOUNT_WRITERS[name](folder, **common) for name in options.account_tables)
    events = EventLog(
        FileNames(folder, "events", ".jsonl", run=run),
        roll_bytes=options.roll_bytes,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
        header=symbols_line(symbols_table(symbols), resolved_ns) if symbols else b"",
    )
    return RunOutputs(capture, tables, account_tables, events)


def _subscribed(options: CollectOptions) -> dict[str, str]:
    """What the run subscribes to, for the metadata of the capture: it is needed to make the tables again."""
    targets = [market_data_target(conid) for conid in options.conids]
    return {
        "cpapi_fast.tables": orjson.dumps([*options.tables, *options.account_tables]).decode(),
        "cpapi_fast.fields": orjson.dumps(list(options.fields)).decode(),
        "cpapi_fast.targets": orjson.dumps(targets).decode(),
    }
