"""What a run of the main job tells about itself: where it stands, what it did, and how to open its files."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .outputs import OutputCounts
from .quotes import LatestQuote

if TYPE_CHECKING:
    from .stats import WsStats


@dataclass(frozen=True)
class OutputSummary:
    """What became of one output: its counts, and its finished files with their sizes in bytes."""

    name: str
    unit: str
    counts: OutputCounts
    files: tuple[tuple[Path, int], ...]


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        reason: why it ended, in words.
        duration_s: how many seconds of the clock it was connected.
        connection: what the socket brought.
        outputs: the capture and the quotes.
        renewals: how many subscriptions were renewed.
    """

    reason: str
    duration_s: float
    connection: WsStats
    outputs: tuple[OutputSummary, ...]
    renewals: int


@dataclass(frozen=True)
class Status:
    """Where a run stands, for those who show it. Cheap to make at any time, from any thread."""

    state: str
    elapsed_s: float
    connection: WsStats | None
    queued_bytes: int
    outputs: tuple[tuple[str, OutputCounts], ...]
    latest: tuple[LatestQuote, ...]


def size_text(nbytes: float) -> str:
    """A number of bytes for people: `151 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def open_lines(summary: Summary) -> list[str]:
    """Python expressions that open the files of a run, one per library."""
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
        else:
            every = f"{glob.escape(first.rpartition('-')[0])}-*.parquet"
            lines += [
                f"duckdb.read_parquet({every!r})",
                f"polars.read_parquet({every!r})",
                f"pandas.concat(map(pandas.read_parquet, sorted(glob.glob({every!r}))))",
            ]
    return lines


def summary_text(summary: Summary) -> str:
    """The closing summary, several lines."""
    connection = summary.connection
    lines = [
        f"ended after {summary.duration_s:,.1f} s: {summary.reason}",
        f"  connection: {connection.frames_received:,} frames received = {connection.delivered:,} delivered + "
        f"{connection.dropped:,} dropped + {connection.pending:,} pending; {size_text(connection.bytes_received)}, "
        f"{connection.malformed:,} malformed, {summary.renewals:,} renewals",
    ]
    for output in summary.outputs:
        lines.append(f"  {output.name}: {output.counts} {output.unit}")
        lines += [f"    {path}  {size_text(nbytes)}" for path, nbytes in output.files]
    openers = open_lines(summary)
    if openers:
        lines.append("  to open them:")
        lines += [f"    {line}" for line in openers]
    return "\n".join(lines)
