"""The summary of a run: its counts add up, and each of its lines that open a file works."""

from __future__ import annotations

import glob
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

import cpapi_fast
from cpapi_fast.collect.reports import OutputSummary, Summary, open_lines, size_text, summary_text
from cpapi_fast.delivery.stats import ConsumerStats
from cpapi_fast.events import Cause, Gap
from cpapi_fast.feed import FeedStats
from cpapi_fast.outputs.capture import CaptureWriter
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.quotes import QuotesWriter
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


def collected(folder: Path) -> Summary:
    """The summary of two short quotes files, a capture and a few events."""
    outputs = []
    with CaptureWriter(folder / "capture-x.arrows") as capture, QuotesWriter(folder, "quotes-x", roll_rows=2) as quotes:
        for number in range(3):
            batch = batch_of([quote(number, _31="1.5")])
            capture.write(batch)
            quotes.write(batch)
    events = EventLog(folder / "events-x.jsonl")
    # The first one has other types in its fields than the last.
    events.write_event(Gap("smd+265598", 1, None, Cause.CONNECTION_LOST), 0)
    events.write_event(Gap(None, 1, 2, Cause.CONSUMER_OVERFLOW, 30), 1)
    events.close()
    for output in (capture, quotes, events):
        files = tuple((path, path.stat().st_size) for path in output.files)
        outputs.append(OutputSummary(output.name, output.unit, output.counts, files))
    gaps = {"consumer_overflow": 1, "connection_lost": 3}
    return Summary("the duration is over", 12.34, FEED, CONSUMER, gaps, tuple(outputs))


@pytest.mark.parametrize("name", ["plain", 'o\'clock [1] and "more"'])
def test_every_line_opens_the_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:
        # Windows has no quotes in names.
        folder = tmp_path / "o'clock [1]"
        folder.mkdir()
    lines = open_lines(collected(folder))
    libraries = {"cpapi_fast": cpapi_fast, "duckdb": duckdb, "glob": glob, "pandas": pd, "polars": pl}
    opened = {}
    for line in lines:
        table = eval(line, libraries)
        rows = table.num_rows if hasattr(table, "num_rows") else len(table)
        opened[line.partition("(")[0]] = rows
    assert opened == {
        "polars.read_ipc_stream": 3,
        "cpapi_fast.read_capture": 3,
        "duckdb.read_parquet": 3,
        "polars.read_parquet": 3,
        "pandas.concat": 3,
        "pandas.read_json": 2,
    }


def test_summary_text(tmp_path: Path) -> None:
    summary = collected(tmp_path)
    text = summary_text(summary)
    assert text.startswith("ended after 12.3 s: the duration is over\n")
    assert "1,234 frames received = 1,230 delivered + 3 dropped + 1 pending; 1.5 MB, 2 malformed\n" in text
    assert "3 connections, 5 renewals, 2 resubscribes, 4 gaps (connection_lost: 3, consumer_overflow: 1)\n" in text
    assert "to the files: 1,230 frames received = 1,200 delivered + 30 dropped + 0 pending\n" in text
    assert "events: 2 received = 2 written + 0 dropped + 0 pending events\n" in text
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
