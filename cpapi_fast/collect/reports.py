"""Reports of a run: its status while it runs, its summary at the end, and how to open its files."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from cpapi_fast.errors import OutputError
from cpapi_fast.outputs.contract.queue_items import OutputQueueStats
from cpapi_fast.outputs.file_names import TIME_IN_NAME
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.outputs.tables.account_schema import ACCOUNT_TABLES
from cpapi_fast.outputs.tables.latest_quote import LatestQuote
from cpapi_fast.outputs.tables.schema import TableName
from cpapi_fast.printable import printable
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol
from cpapi_fast.redaction import repr_without_accounts

#: How many files of one output the summary lists.
_MAX_FILES: Final = 20
#: The outputs whose files are Parquet.
_TABLES: Final = frozenset((*get_args(TableName), *ACCOUNT_TABLES))
#: How many symbols the summary lists.
_MAX_SYMBOLS: Final = 20

if TYPE_CHECKING:
    from cpapi_fast.delivery.stats import ConsumerStats
    from cpapi_fast.feed import FeedStats, SubscriptionStatus
    from cpapi_fast.outputs.contract.runner import OutputRunner
    from cpapi_fast.ws.stats import WsStats


@repr_without_accounts
@dataclass(frozen=True)
class OutputSummary:
    """The result of one output.

    Attributes:
        name: `capture`, `events`, the name of a table: `quotes`, `orders`, or that of an output of the program.
        unit: what it counts: `frames`, `quotes`, `updates of orders`.
        counts: where its items went; received = written + taken_away + dropped + pending.
        queue: the counters of its queue.
        files: its finished files with their sizes in bytes, oldest first.
        mismatches: how many values were not of the kind of their column, such as a text in the place of a number, and
            are null; by column. Empty for outputs without such columns.
        left_out: how many updates of orders or executions have values that later rows do not have: without an id,
            without room for another one, or too large.
    """

    name: str
    unit: str
    counts: OutputCounts
    files: tuple[tuple[Path, int], ...]
    mismatches: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    queue: OutputQueueStats = field(default_factory=OutputQueueStats)

    @classmethod
    def of(cls, runner: OutputRunner) -> OutputSummary:
        """Return the result of an output that is closed."""
        sizes = []
        # Attributes of other outputs with these names mean something else.
        output = runner.output if runner.counts_itself else None
        files: Iterable[Path] = getattr(output, "files", ())
        for path in files:
            with suppress(OSError):  # A finished file may have been moved already.
                sizes.append((path, path.stat().st_size))
        mismatches, left_out = getattr(output, "mismatches", {}), getattr(output, "left_out", 0)
        return cls(runner.name, runner.unit, runner.counts, tuple(sizes), mismatches, left_out, runner.queue_stats)


@repr_without_accounts
@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        reason: why it ended, as text.
        duration_s: its duration in seconds of the client's clock.
        feed: the counters of the feed. `feed.connection` has those of all its sockets.
        consumer: the counters of the queue between the feed and the queues of the outputs.
        gaps: the number of gaps by cause.
        outputs: the results of the capture, the tables, the events and the outputs of the program, in this order. In a
            run of orders and accounts without instruments, a table of market data is among them only if it got a frame.
        symbols: the contracts of the instruments that were given by symbol.
    """

    reason: str
    duration_s: float
    feed: FeedStats
    consumer: ConsumerStats
    gaps: dict[str, int]
    outputs: tuple[OutputSummary, ...]
    symbols: tuple[ResolvedSymbol, ...] = ()


@repr_without_accounts
@dataclass(frozen=True)
class CollectStatus:
    """The status of a run, for programs that show it.

    Attributes:
        state: the state of the feed; `starting`, `finishing the files` or `ended` outside of its lifetime.
        elapsed_s: seconds of the client's clock since the start.
        connection: the counters of all connections together; None before the first.
        queued_bytes: how many bytes wait for the slowest output.
        outputs: name and counts of each output.
        queues: the counters of the queue of each output, by name.
        latest: the latest quote of each instrument.
        subscriptions: the status of each subscription, by target (`265598`, `265598@NYSE`).
        gaps: the number of gaps so far.
        dropped: how many frames were dropped from the queues of outputs, over all outputs.
        advice: what the user should do, while there is no data; otherwise empty.
        rows_unlisted: how many quotes are not in `latest`, because the gateway sent more than 1,000 targets that were
            not subscribed to. The files have them.
        symbols: the symbol of each instrument that was given by symbol, by target.
    """

    state: str
    elapsed_s: float
    connection: WsStats | None
    queued_bytes: int
    outputs: tuple[tuple[str, OutputCounts], ...]
    latest: tuple[LatestQuote, ...]
    subscriptions: Mapping[str, SubscriptionStatus] = field(default_factory=dict)
    gaps: int = 0
    dropped: int = 0
    advice: str = ""
    rows_unlisted: int = 0
    symbols: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, OutputQueueStats] = field(default_factory=dict)


def size_text(nbytes: float) -> str:
    """A number of bytes with a unit: `151 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def lost_error(outputs: Sequence[OutputSummary]) -> OutputError | None:
    """The error for what was lost because another program deleted or changed files; None if nothing was lost."""
    lost = [f"{output.counts.lost:,} {output.unit}" for output in outputs if output.counts.lost]
    if not lost:
        return None
    return OutputError(
        f"{' and '.join(lost)} were lost: another program has deleted or changed their files while they were written; "
        "the events file names them",
        path="",
    )


def open_lines(summary: Summary) -> list[str]:
    """Python expressions that open the files of a run, for each library.

    All values are exact: no time in ns becomes a float.
    """
    lines: list[str] = []
    for output in summary.outputs:
        if not output.files:
            continue
        paths = [path.resolve().as_posix() for path, _ in output.files]
        pattern = _pattern(paths[0])
        files = f"sorted(glob.glob({pattern!r}))"
        every = repr(pattern)
        if len(paths) == 1:
            every = repr(glob.escape(paths[0]))
        elif len(paths) <= _MAX_FILES and len(list(Path(paths[0]).parent.glob(Path(pattern).name))) > len(paths):
            # A file with such a name cannot be read, because another program has changed it.
            files = every = repr(paths)
        if output.name in _TABLES:
            lines += [
                f"duckdb.read_parquet({every})",
                f"polars.read_parquet({every})",
                _read_each("pandas.read_parquet", ", dtype_backend='pyarrow'", paths, files, "pandas.concat"),
            ]
        elif output.name not in ("capture", "events"):
            # Only the program knows how to open the files of its outputs.
            continue
        elif output.name == "capture":
            lines += [
                _read_each("polars.read_ipc_stream", "", paths, files, "polars.concat"),
                _read_each("cpapi_fast.read_capture", ").read_all(", paths, files, "pyarrow.concat_tables"),
            ]
        else:
            options = ", lines=True, engine='pyarrow', dtype_backend='pyarrow'"
            lines += [
                f"duckdb.read_json({every})",
                _read_each("pandas.read_json", options, paths, files, "pandas.concat"),
            ]
    return lines


def _symbol_lines(symbols: Sequence[ResolvedSymbol]) -> list[str]:
    """A line about the contracts of the symbols; none without symbols."""
    if not symbols:
        return []
    names = ", ".join(f"{one.text} is {one.conid}" for one in symbols[:_MAX_SYMBOLS])
    more = len(symbols) - _MAX_SYMBOLS
    return [f"  symbols: {names}{f' and {more:,} more' if more > 0 else ''}"]


def _lateness_lines(feed: FeedStats) -> list[str]:
    """A line about late frames and standstills; none if there were none."""
    if not feed.late_frames and not feed.standstills:
        return []
    return [
        f"  late: {feed.late_frames:,} quotes, by up to {feed.max_lateness_ns / 1e9:,.1f} s; "
        f"{feed.standstills:,} standstills"
    ]


def _queue_lines(queue: OutputQueueStats) -> list[str]:
    """Lines about what the queue of an output has dropped, and about its failures; none if there are none."""
    lines = []
    if queue.failures:
        lines.append(f"    {queue.failures:,} of its calls failed, {queue.retries:,} were retried")
    if queue.events_dropped:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(queue.events_dropped.items()))
        lines.append(f"    events dropped from its queue: {reasons}")
    if not queue.dropped:
        return lines
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(queue.dropped.items()))
    return [
        *lines,
        f"    its queue: {queue.received:,} frames received = {queue.delivered:,} delivered + "
        f"{queue.dropped_total:,} dropped ({reasons}) + {queue.pending:,} pending",
    ]


def _read_each(function: str, options: str, paths: list[str], files: str, concat: str) -> str:
    """An expression that reads one file, or puts several together in the order of time."""
    if len(paths) == 1:
        return f"{function}({paths[0]!r}{options})"
    return f"{concat}({function}(path{options}) for path in {files})"


def _pattern(path: str) -> str:
    """The glob pattern of all files of a run, from the path of one: the time in its name is replaced by `*`."""
    folder, _, name = path.rpartition("/")
    pattern = "*".join(map(glob.escape, TIME_IN_NAME.split(name, maxsplit=1)))
    return f"{glob.escape(folder)}/{pattern}"


def summary_text(summary: Summary) -> str:
    """A summary as text of several lines."""
    connection, feed, consumer = summary.feed.connection, summary.feed, summary.consumer
    causes = ", ".join(f"{cause}: {count:,}" for cause, count in sorted(summary.gaps.items()))
    lines = [
        f"ended after {summary.duration_s:,.1f} s: {summary.reason}",
        *_symbol_lines(summary.symbols),
        f"  connection: {connection.frames_received:,} frames received = {connection.delivered:,} delivered + "
        f"{connection.dropped:,} dropped + {connection.pending:,} pending; {size_text(connection.bytes_received)}, "
        f"{connection.malformed:,} malformed",
        f"  feed: {feed.connections:,} connections, {feed.renewals:,} renewals, {feed.resubscribes:,} resubscribes, "
        f"{sum(summary.gaps.values()):,} gaps{f' ({causes})' if causes else ''}",
        *_lateness_lines(feed),
        f"  to the outputs: {consumer.received:,} frames received = {consumer.delivered:,} delivered + "
        f"{consumer.dropped:,} dropped + {consumer.pending:,} pending",
    ]
    for output in summary.outputs:
        lines.append(f"  {output.name}: {output.counts} {output.unit}")
        lines += _queue_lines(output.queue)
        if output.mismatches:
            wrong = ", ".join(f"{name}: {count:,}" for name, count in sorted(output.mismatches.items()))
            lines.append(f"    values of another kind than their column, null in the files: {wrong}")
        if output.left_out:
            lines.append(f"    updates with values that later rows do not have: {output.left_out:,}")
        lines += [f"    {path}  {size_text(nbytes)}" for path, nbytes in output.files[:_MAX_FILES]]
        more = output.files[_MAX_FILES:]
        if more:
            size = size_text(sum(nbytes for _, nbytes in more))
            lines.append(f"    and {len(more):,} more up to {more[-1][0].name}  {size}")
    openers = open_lines(summary)
    if openers:
        lines.append("  to open them:")
        lines += [f"    {line}" for line in openers]
    return "\n".join(map(printable, lines))
