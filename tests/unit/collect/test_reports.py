"""The summary of a run: its counts add up, and each of its lines that open a file works."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cpapi_fast
from cpapi_fast.collect.reports import OutputSummary, Summary, open_lines, size_text, summary_text
from cpapi_fast.delivery.stats import ConsumerStats
from cpapi_fast.events import Backfill, Bar, Cause, FeedState, Gap, StateChange
from cpapi_fast.feed import FeedStats
from cpapi_fast.outputs.capture import CaptureWriter
from cpapi_fast.outputs.contract.queue_items import OutputQueueStats
from cpapi_fast.outputs.event_log import EventLog, event_line
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.outputs.run_events import DiskChange, FileChange, RecordedEvent
from cpapi_fast.outputs.tables.market_data import QuotesWriter
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol
from cpapi_fast.ws.stats import WsStats
from tests.support.batches import batch_of
from tests.support.files import quote
from tests.support.hostile import HOSTILE_TEXTS, assert_harmless

STATS = WsStats(
    frames_received=1234, bytes_received=1_500_000, delivered=1230, dropped=3, pending=1, reads=9, malformed=2,
    payload_errors=0, payloads_repaired=0, callback_errors=0, pings=0, pongs=0, fragments=0, frames_after_end=0,
)  # fmt: skip

FEED = FeedStats(
    connection=STATS, connections=3, state_changes=9, gaps=4, renewals=5, probes=0, resubscribes=2, calls_failed=1,
    frames_untracked=0,
)  # fmt: skip
CONSUMER = ConsumerStats(
    received=1230, delivered=1200, conflated=0, dropped=30, pending=0, pending_bytes=0, events_received=13,
    events_delivered=13, events_dropped=0, events_pending=0, overflow_gaps=1, callback_errors=0,
)  # fmt: skip


#: Odd, so that no float64 is equal to it.
NOON_NS = 1_767_268_800_123_456_789

UPDATED_MS = [1_777_552_119_101, None, 1_777_552_119_103]

EVENTS: list[RecordedEvent] = [
    # The first one has other types in its fields than the last.
    Gap("smd+265598", NOON_NS, None, Cause.CONNECTION_LOST),
    Gap(None, NOON_NS, NOON_NS + 2, Cause.CONSUMER_OVERFLOW, 30),
    StateChange(NOON_NS + 4, FeedState.STALE, FeedState.STREAMING, Cause.SUBSCRIPTION_SILENT, "wait", "smd+1", "why"),
    Backfill(Gap("smd+1", NOON_NS, NOON_NS + 6, Cause.DATA), (Bar(NOON_NS + 8, 1, 2, 0.5, 1.5, 10),), "smh"),
    Backfill(Gap("smd+1", NOON_NS, NOON_NS + 6, Cause.DATA), (), "rest", "it was refused"),
    DiskChange(NOON_NS + 10, True, "hold"),
    DiskChange(NOON_NS + 12, False, "hold", 1.5),
    FileChange(NOON_NS + 14, "a", "deleted", "frames", 3, "recreate"),
]

#: The columns of tables with timestamps, and their units.
TIMES: dict[str, Literal["ns", "ms"]] = {"received": "ns", "updated": "ms"}

#: The columns with times in ns.
EVENT_TIMES = ("time_ns", "last_good_ns", "first_good_ns")


def collected(folder: Path, *, events: Sequence[RecordedEvent] = EVENTS, roll: int | None = None) -> Summary:
    """The summary of two quotes files, and of one file or many of captures and events."""
    outputs = []
    names = {kind: FileNames(folder, kind, suffix, run="abc123") for kind, suffix in KINDS.items()}
    # Another run in the same folder, whose files no line may open.
    with QuotesWriter(folder, run="def456") as other:
        other.write(batch_of([quote(7)]))
    capture = CaptureWriter(names["capture"], roll_bytes=roll)
    quotes = QuotesWriter(folder, run="abc123", roll_rows=2)
    for number, updated_ms in enumerate(UPDATED_MS):
        raw = orjson.dumps(orjson.loads(quote(number, _31="1.5")) | {"_updated": updated_ms})
        batch = batch_of([raw], NOON_NS + number)
        capture.write(batch)
        capture.flush()
        quotes.write(batch)
    log = EventLog(names["events"], roll_bytes=roll)
    for event in events:
        log.write_event(event, 0)
    for output in (capture, quotes, log):
        output.close()
        files = tuple((path, path.stat().st_size) for path in output.files)
        outputs.append(OutputSummary(output.name, output.unit, output.counts, files))
    gaps = {"consumer_overflow": 1, "connection_lost": 3}
    return Summary("the duration is over", 12.34, FEED, CONSUMER, gaps, tuple(outputs))


def test_the_summary_names_the_symbols() -> None:
    many = tuple(ResolvedSymbol(f"S{number}", number, "S") for number in range(25))
    text = summary_text(Summary("stopped", 0.0, FEED, CONSUMER, {}, (), many))
    assert "symbols: S0 is 0, S1 is 1, " in text
    assert "S19 is 19 and 5 more" in text
    assert "symbols" not in summary_text(Summary("stopped", 0.0, FEED, CONSUMER, {}, ()))


KINDS = {"capture": ".arrows", "events": ".jsonl"}

LIBRARIES = {"cpapi_fast": cpapi_fast, "duckdb": duckdb, "glob": glob, "pandas": pd, "polars": pl, "pyarrow": pa}


def column(table: Any, name: str) -> list[Any]:
    """The values of a column, times as int; missing ones as None."""
    unit = TIMES.get(name)
    if isinstance(table, duckdb.DuckDBPyRelation):
        column = f'"{name}"' if unit is None else f'epoch_{unit}("{name}")'
        return [row[0] for row in table.select(column).fetchall()]
    if isinstance(table, pa.Table):
        return table[name].to_pylist()
    if isinstance(table, pl.DataFrame):
        return (table[name] if unit is None else table[name].dt.epoch(unit)).to_list()
    if unit is not None:
        return pa.array(table[name]).cast(pa.int64()).to_pylist()
    return [None if value is pd.NA or value is None or value != value else value for value in table[name].tolist()]


@pytest.mark.parametrize("roll", [None, 1], ids=["one file each", "many files"])
@pytest.mark.parametrize("name", ["plain", 'o\'clock [1] and "more"'])
def test_every_line_gives_exact_values(tmp_path: Path, name: str, roll: int | None) -> None:
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:
        # Windows has no quotes in names.
        folder = tmp_path / "o'clock [1]"
        folder.mkdir()
    lines = open_lines(collected(folder, roll=roll))
    assert len(lines) == 7
    for line in lines:
        table = eval(line, LIBRARIES)
        if ".read_json(" in line:
            expected = [orjson.loads(event_line(event, 0)) for event in EVENTS]
            for key in EVENT_TIMES:
                assert column(table, key) == [event.get(key) for event in expected], (line, key)
            assert column(table, "type") == [event["type"] for event in expected]
        else:
            is_table = "quotes-" in line
            assert column(table, "received" if is_table else "received_ns") == [NOON_NS, NOON_NS + 1, NOON_NS + 2], line
            assert column(table, "conid") == [0, 1, 2]
            if is_table:
                assert column(table, "updated") == UPDATED_MS, line


def test_lines_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    """Another program has written over a file of the run, which is not among its files any more."""
    summary = collected(tmp_path, roll=1)
    for kind, suffix in ({"quotes": ".parquet"} | KINDS).items():
        (tmp_path / f"{kind}-20260101T120000.000000Z-abc123{suffix}").write_bytes(b"of another program")
    lines = open_lines(summary)
    assert len(lines) == 7
    for line in lines:
        assert len(column(eval(line, LIBRARIES), "type" if ".read_json(" in line else "conid")) >= 3


def test_events_of_more_than_one_block_are_exact(tmp_path: Path) -> None:
    """The reader of Arrow infers types per block of 1 MiB."""
    events = [Gap(None, NOON_NS + n, None if n < 6000 else NOON_NS + n + 1, Cause.DATA, n) for n in range(12_000)]
    for line in open_lines(collected(tmp_path, events=events)):
        if ".read_json(" in line:
            table = eval(line, LIBRARIES)
            assert column(table, "last_good_ns") == [event.last_good_ns for event in events]
            assert column(table, "first_good_ns") == [event.first_good_ns for event in events]


def test_summary_text(tmp_path: Path) -> None:
    summary = collected(tmp_path)
    text = summary_text(summary)
    assert text.startswith("ended after 12.3 s: the duration is over\n")
    assert "1,234 frames received = 1,230 delivered + 3 dropped + 1 pending; 1.5 MB, 2 malformed\n" in text
    assert "3 connections, 5 renewals, 2 resubscribes, 4 gaps (connection_lost: 3, consumer_overflow: 1)\n" in text
    assert "to the outputs: 1,230 frames received = 1,200 delivered + 30 dropped + 0 pending\n" in text
    assert "events: 8 received = 8 written + 0 dropped + 0 pending events\n" in text
    assert "capture: 3 received = 3 written + 0 dropped + 0 pending frames\n" in text
    assert "quotes: 3 received = 3 written + 0 dropped + 0 pending quotes\n" in text
    for output in summary.outputs:
        for path, size in output.files:
            assert f"    {path}  {size_text(size)}\n" in text
    for line in open_lines(summary):
        assert line in text


def test_no_files_nothing_to_open(tmp_path: Path) -> None:
    quotes = QuotesWriter(tmp_path)
    outputs = (OutputSummary(quotes.name, quotes.unit, quotes.counts, ()),)
    summary = Summary("stopped", 0.0, FEED, CONSUMER, {}, outputs)
    assert open_lines(summary) == []
    assert "to open them" not in summary_text(summary)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1.26e6, "1.3 MB"), (2e9, "2.0 GB"), (5e12, "5.0 TB")],
)
def test_size_text(nbytes: float, text: str) -> None:
    assert size_text(nbytes) == text


@pytest.mark.parametrize("text", [text.replace("\0", "").replace("/", "|") for text in HOSTILE_TEXTS])
def test_a_hostile_folder_forges_no_line(tmp_path: Path, text: str) -> None:
    folder = tmp_path / text
    folder.mkdir()
    summary = collected(folder)
    plain = tmp_path / "plain"
    plain.mkdir()
    shown = assert_harmless(summary_text(summary).encode())
    assert shown.count("\n") == summary_text(collected(plain)).count("\n")
    # The expressions still have the exact path.
    line = next(line for line in shown.splitlines() if "read_ipc_stream" in line)
    assert len(eval(line, {"polars": pl})) == 3


def test_the_summary_has_what_happened_to_a_queue() -> None:
    queue = OutputQueueStats(
        received=5, delivered=1, dropped={"queue full": 4}, events_dropped={"write error": 2}, failures=3, retries=1
    )
    own = OutputSummary("own", "frames", OutputCounts(5, 1, 0, {"queue full": 4}), (), queue=queue)
    text = summary_text(Summary("stopped", 0.0, FEED, CONSUMER, {}, (own,)))
    assert "    3 of its calls failed, 1 were retried\n    events dropped from its queue: write error: 2\n" in text
    assert "    its queue: 5 frames received = 1 delivered + 4 dropped (queue full: 4) + 0 pending" in text
