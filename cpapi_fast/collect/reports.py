"""Reports of a run: its status while it runs, its summary at the end, and how to open its files."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cpapi_fast.outputs.interface import Output, OutputCounts
from cpapi_fast.outputs.quotes import LatestQuote
from cpapi_fast.printable import printable

if TYPE_CHECKING:
    from cpapi_fast.delivery.stats import ConsumerStats
    from cpapi_fast.feed import FeedStats, SubscriptionStatus
    from cpapi_fast.ws.stats import WsStats


@dataclass(frozen=True)
class OutputSummary:
    """The result of one output.

    Attributes:
        name: `capture`, `quotes` or `events`.
        unit: what it counts: `frames`, `quotes` or `events`.
        counts: where its items went; received = written + dropped + pending.
        files: its finished files with their sizes in bytes, oldest first.
    """

    name: str
    unit: str
    counts: OutputCounts
    files: tuple[tuple[Path, int], ...]

    @classmethod
    def of(cls, output: Output) -> OutputSummary:
        """Return the result of an output that is closed."""
        sizes = []
        for path in output.files:
            with suppress(OSError):  # A finished file may have been moved already.
                sizes.append((path, path.stat().st_size))
        return cls(output.name, output.unit, output.counts, tuple(sizes))


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        reason: why it ended, as text.
        duration_s: its duration in seconds of the client's clock.
        feed: the counters of the feed. `feed.connection` has those of all its sockets.
        consumer: the counters of the queue between feed and files.
        gaps: the number of gaps by cause.
        outputs: the results of the capture, the quotes and the events, in this order.
    """

    reason: str
    duration_s: float
    feed: FeedStats
    consumer: ConsumerStats
    gaps: dict[str, int]
    outputs: tuple[OutputSummary, ...]


@dataclass(frozen=True)
class CollectStatus:
    """The status of a run, for programs that show it.

    Attributes:
        state: the state of the feed; `starting`, `finishing the files` or `ended` outside of its lifetime.
        elapsed_s: seconds of the client's clock since the start.
        connection: the counters of all connections together; None before the first.
        queued_bytes: how many bytes wait for the disk.
        outputs: name and counts of each output.
        latest: the latest quote of each instrument.
        subscriptions: the status of each subscription, by target (`265598`, `265598@NYSE`).
        gaps: the number of gaps so far.
        dropped: how many frames were dropped because the disk was slow.
        advice: what the user should do, while there is no data; otherwise empty.
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


def size_text(nbytes: float) -> str:
    """A number of bytes with a unit: `151 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def open_lines(summary: Summary) -> list[str]:
    """Python expressions that open the files of a run, for each library."""
    lines = []
    for output in summary.outputs:
        if not output.files:
            continue
        first = output.files[0][0].resolve().as_posix()
        if output.name == "capture":
            lines += [
                f"polars.read_ipc_stream({first!r})",
                f"cpapi_fast.read_capture({first!r}).read_all()",
            ]
        elif output.name == "events":
            lines += [f"pandas.read_json({first!r}, lines=True)"]
        else:
            every = f"{glob.escape(first.rpartition('-')[0])}-*.parquet"
            lines += [
                f"duckdb.read_parquet({every!r})",
                f"polars.read_parquet({every!r})",
                f"pandas.concat(map(pandas.read_parquet, sorted(glob.glob({every!r}))))",
            ]
    return lines


def summary_text(summary: Summary) -> str:
    """A summary as text of several lines."""
    connection, feed, consumer = summary.feed.connection, summary.feed, summary.consumer
    causes = ", ".join(f"{cause}: {count:,}" for cause, count in sorted(summary.gaps.items()))
    lines = [
        f"ended after {summary.duration_s:,.1f} s: {summary.reason}",
        f"  connection: {connection.frames_received:,} frames received = {connection.delivered:,} delivered + "
        f"{connection.dropped:,} dropped + {connection.pending:,} pending; {size_text(connection.bytes_received)}, "
        f"{connection.malformed:,} malformed",
        f"  feed: {feed.connections:,} connections, {feed.renewals:,} renewals, {feed.resubscribes:,} resubscribes, "
        f"{sum(summary.gaps.values()):,} gaps{f' ({causes})' if causes else ''}",
        f"  to the files: {consumer.received:,} frames received = {consumer.delivered:,} delivered + "
        f"{consumer.dropped:,} dropped + {consumer.pending:,} pending",
    ]
    for output in summary.outputs:
        lines.append(f"  {output.name}: {output.counts} {output.unit}")
        lines += [f"    {path}  {size_text(nbytes)}" for path, nbytes in output.files]
    openers = open_lines(summary)
    if openers:
        lines.append("  to open them:")
        lines += [f"    {line}" for line in openers]
    return "\n".join(map(printable, lines))
