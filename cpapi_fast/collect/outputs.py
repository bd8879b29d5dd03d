"""The outputs of a run, which write its files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.event_log import EventLog, symbols_line
from cpapi_fast.outputs.file_names import FileNames, new_run
from cpapi_fast.outputs.kafka.output import KafkaOutput
from cpapi_fast.outputs.tables.accounts import (
    AccountSummaryWriter,
    AccountWriter,
    ExecutionsWriter,
    LedgerWriter,
    OrdersWriter,
    PnlWriter,
)
from cpapi_fast.outputs.tables.market_data import MarketDataWriter, QuotesWriter, TicksWriter
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol, symbols_json, symbols_table
from cpapi_fast.protocol.instruments import market_data_target

from .options import CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.outputs.tables.account_schema import AccountTableName
    from cpapi_fast.outputs.tables.schema import TableName

_WRITERS: Final[dict[TableName, type[MarketDataWriter]]] = {"ticks": TicksWriter, "quotes": QuotesWriter}

_ACCOUNT_WRITERS: Final[dict[AccountTableName, type[AccountWriter]]] = {
    "orders": OrdersWriter,
    "executions": ExecutionsWriter,
    "pnl": PnlWriter,
    "account_summary": AccountSummaryWriter,
    "ledger": LedgerWriter,
}


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


async def open_kafka(options: CollectOptions, clock: Clock, on_notice: Callable[[str], object]) -> KafkaOutput | None:
    """Return the output for Kafka of a new run; None without one. It checks the cluster, in another thread.

    Args:
        options: the options of the run, with all instruments.
        clock: the clock of the intervals.
        on_notice: called in the loop with a line of text.

    Raises:
        ConfigError: the cluster, its topics or the credentials are not as the options say. The message states the fix.
        OutputError: no broker can be reached, or the folder cannot be written.
        MissingDependencyError: confluent-kafka is not installed.
    """
    kafka = options.kafka
    if kafka is None:
        return None
    loop = asyncio.get_running_loop()

    def notice(text: str) -> None:
        with suppress(RuntimeError):  # The loop is closed.
            loop.call_soon_threadsafe(on_notice, text)

    return await asyncio.to_thread(
        KafkaOutput,
        options.out,
        kafka,
        fields=options.fields,
        targets=[market_data_target(conid) for conid in options.conids],
        file_mode=options.file_mode,
        on_notice=notice,
        clock=clock,
    )


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
        metadata=metadata,
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
    tables = tuple(_WRITERS[name](folder, targets=targets, fields=options.fields, **common) for name in options.tables)
    account_tables = tuple(_ACCOUNT_WRITERS[name](folder, **common) for name in options.account_tables)
    events = EventLog(
        FileNames(folder, "events", ".jsonl", run=run),
        roll_bytes=options.roll_bytes,
        lost_files=options.lost_files,
        file_mode=options.file_mode,
        header=symbols_line(symbols_table(symbols), resolved_ns) if symbols else b"",
    )
    return RunOutputs(capture, tables, account_tables, events)
