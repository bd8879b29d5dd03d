"""The outputs of a run, which write its files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.contract.output import CheckedOutput, check_names
from cpapi_fast.outputs.event_log import EventLog, symbols_line
from cpapi_fast.outputs.file_names import FileNames, new_run
from cpapi_fast.outputs.kafka.output import KafkaOutput
from cpapi_fast.outputs.run_events import InstrumentsChange
from cpapi_fast.outputs.tables.accounts import AccountWriter
from cpapi_fast.outputs.tables.market_data import MarketDataWriter
from cpapi_fast.outputs.tables.writers import ACCOUNT_WRITERS, MARKET_DATA_WRITERS
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol, symbols_json, symbols_table
from cpapi_fast.protocol.instruments import market_data_target

from .options import FILE_OUTPUTS, CollectOptions

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.outputs.recorder import Recorder


class RunOutputs(NamedTuple):
    """The outputs of a run that write its files.

    Attributes:
        capture: every frame.
        tables: the tables of market data.
        account_tables: the tables of orders, executions, profit and loss and accounts.
        events: the events.
        kafka: the output for Kafka; None without one.
    """

    capture: CaptureWriter
    tables: tuple[MarketDataWriter, ...]
    account_tables: tuple[AccountWriter, ...]
    events: EventLog
    kafka: KafkaOutput | None = None

    def checked(self, options: CollectOptions) -> list[CheckedOutput]:
        """The outputs with their options, in the order of the summary."""
        kafka = () if self.kafka is None else (self.kafka,)
        found = (self.capture, *self.tables, *self.account_tables, *kafka, self.events)
        return [CheckedOutput(output, options.options_of(output.name)) for output in found]

    def remove_empty_capture(self) -> None:
        """Remove the capture if it is closed without a frame, which is of no use."""
        if self.capture.counts.received == 0:
            with suppress(OSError):
                self.capture.path.unlink()

    def record_change(
        self,
        recorder: Recorder,
        joined: tuple[str, ...],
        left: tuple[str, ...],
        before: Collection[ResolvedSymbol],
        symbols: Sequence[ResolvedSymbol],
    ) -> None:
        """Write that instruments joined or left, and name all symbols of the run so far in the files that follow.

        Args:
            recorder: writes the event.
            joined: the instruments that joined.
            left: those that left.
            before: the symbols before the change.
            symbols: the symbols after it.
        """
        time_ns = time.time_ns()
        new = [one for one in symbols if one not in before]
        if new:
            metadata, header = _named(symbols, time_ns)
            tables: tuple[MarketDataWriter | AccountWriter, ...] = (*self.tables, *self.account_tables)
            for output in (self.capture, *tables):
                output.set_metadata(metadata)
            self.events.set_header(header)
        if joined or left or new:
            recorder.put_event(InstrumentsChange(time_ns, joined, left, tuple(symbols_table(new))))


def _named(symbols: Sequence[ResolvedSymbol], time_ns: int) -> tuple[dict[str, str], bytes]:
    """The metadata and the first line of files with these symbols."""
    if not symbols:
        return {}, b""
    return {"cpapi_fast.symbols": symbols_json(symbols)}, symbols_line(symbols_table(symbols), time_ns)


def check_outputs(outputs: Sequence[object], options: CollectOptions) -> tuple[CheckedOutput, ...]:
    """Return the outputs of a program with their options.

    Raises:
        ConfigError: one is no output, two have one name, a name is that of a file of the run, or `output_options` has
            the name of no output.
    """
    if isinstance(outputs, (str, bytes)) or not isinstance(outputs, Sequence):
        raise ConfigError(f"outputs must be a list of outputs, not an object of the type {type(outputs).__name__}")
    found = []
    for output in outputs:
        name = getattr(output, "name", None)
        if name in FILE_OUTPUTS:
            raise ConfigError(f"the name {name!r} is that of a file of the run; give the output another one")
        found.append(CheckedOutput(output, options.options_of(name) if isinstance(name, str) else None))
    check_names(found)
    known = {*FILE_OUTPUTS, *([] if options.kafka is None else [KafkaOutput.name]), *(one.name for one in found)}
    for name in options.output_options:
        if name not in known:
            raise ConfigError(f"there is no output {name!r} to set options of, only {', '.join(sorted(known))}")
    return tuple(found)


async def open_run_outputs(
    options: CollectOptions,
    clock: Clock,
    on_notice: Callable[[str], object],
    symbols: Sequence[ResolvedSymbol] = (),
    resolved_ns: int = 0,
) -> RunOutputs:
    """Return the outputs of a new run: those of `open_outputs` and `open_kafka`, or none of them after an error.

    Args:
        options: the options of the run, with all instruments.
        clock: the clock of the intervals.
        on_notice: called in the loop with a line of text about Kafka.
        symbols: the resolved symbols, for the metadata of the files.
        resolved_ns: when they were resolved, in ns since the Unix epoch.

    Raises:
        ConfigError, OutputError, MissingDependencyError: as these functions.
    """
    # First, so that a wrong set-up leaves no files.
    kafka = await open_kafka(options, clock, on_notice)
    try:
        return open_outputs(options, clock, symbols, resolved_ns)._replace(kafka=kafka)
    except BaseException:
        if kafka is not None:
            await asyncio.to_thread(kafka.close)
        raise


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
    metadata, header = _named(symbols, resolved_ns)
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
        header=header,
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
