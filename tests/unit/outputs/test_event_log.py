"""The events file: each event is written immediately as one whole line, and write errors are reported."""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cpapi_fast.errors import OutputError
from cpapi_fast.events import (
    Backfill,
    Bar,
    Cause,
    Certainty,
    FeedState,
    Gap,
    Standstill,
    StandstillReason,
    StateChange,
)
from cpapi_fast.outputs import output_file as output_file_module
from cpapi_fast.outputs.event_log import EventLog, event_line
from cpapi_fast.outputs.run_events import (
    DiskChange,
    FileChange,
    InstrumentsChange,
    OutputFailure,
    OutputGap,
    RecordedEvent,
)
from tests.support.files import file_size_limit
from tests.support.hostile import HOSTILE_TEXTS, assert_harmless

NOON_NS = 1_767_268_800_123_456_789

CHANGE = StateChange(
    NOON_NS, FeedState.STALE, FeedState.STREAMING, Cause.SUBSCRIPTION_SILENT, "nothing to do", "smd+265598", "why"
)
GAP = Gap("smd+265598", NOON_NS - 5, NOON_NS, Cause.CONNECTION_LOST)
OPEN_GAP = Gap(None, NOON_NS, None, Cause.CONSUMER_OVERFLOW, 7, Certainty.CERTAIN)

LINES: list[tuple[RecordedEvent, dict[str, object]]] = [
    (
        CHANGE,
        {
            "type": "state",
            "time_ns": NOON_NS,
            "state": "stale",
            "previous": "streaming",
            "cause": "subscription_silent",
            "advice": "nothing to do",
            "subscription": "smd+265598",
            "detail": "why",
        },
    ),
    (
        GAP,
        {
            "type": "gap",
            "subscription": "smd+265598",
            "last_good_ns": NOON_NS - 5,
            "first_good_ns": NOON_NS,
            "cause": "connection_lost",
            "frames_dropped": None,
            "certainty": "possible",
        },
    ),
    (
        OPEN_GAP,
        {
            "type": "gap",
            "subscription": None,
            "last_good_ns": NOON_NS,
            "first_good_ns": None,
            "cause": "consumer_overflow",
            "frames_dropped": 7,
            "certainty": "certain",
        },
    ),
    (
        Backfill(GAP, (Bar(NOON_NS, 1.0, 2.0, 0.5, 1.5, 10.0),), "smh"),
        {
            "type": "backfill",
            "gap": {
                "subscription": "smd+265598",
                "last_good_ns": NOON_NS - 5,
                "first_good_ns": NOON_NS,
                "cause": "connection_lost",
                "frames_dropped": None,
                "certainty": "possible",
            },
            "bars": [{"start_ns": NOON_NS, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}],
            "source": "smh",
            "error": None,
        },
    ),
    (
        Standstill(NOON_NS - 3, 3, StandstillReason.PROCESS),
        {"type": "standstill", "start_ns": NOON_NS - 3, "length_ns": 3, "reason": "process"},
    ),
    (
        InstrumentsChange(NOON_NS, ("265598",), ("8314@NYSE",), ({"symbol": "AAPL", "conid": 265598},)),
        {
            "type": "instruments",
            "time_ns": NOON_NS,
            "added": ["265598"],
            "removed": ["8314@NYSE"],
            "symbols": [{"symbol": "AAPL", "conid": 265598}],
        },
    ),
    (
        DiskChange(NOON_NS, True, "block", output="quotes"),
        {
            "type": "disk",
            "time_ns": NOON_NS,
            "is_slow": True,
            "policy": "block",
            "duration_s": None,
            "output": "quotes",
        },
    ),
    (
        OutputGap(NOON_NS, "quotes", "queue full", 7, 5, 1, NOON_NS - 2, None),
        {
            "type": "output_gap",
            "time_ns": NOON_NS,
            "output": "quotes",
            "reason": "queue full",
            "first_row": 7,
            "frames_dropped": 5,
            "events_dropped": 1,
            "last_good_ns": NOON_NS - 2,
            "first_good_ns": None,
        },
    ),
    (
        OutputFailure(NOON_NS, "own", True, "retry", "OSError: U1234567 is away"),
        {
            "type": "output_failure",
            "time_ns": NOON_NS,
            "output": "own",
            "is_failing": True,
            "on_failure": "retry",
            "error": "OSError: [redacted] is away",
            "duration_s": None,
        },
    ),
    (
        FileChange(NOON_NS, "/data/a.arrows", "deleted", "frames", 7, "recreate"),
        {
            "type": "file",
            "time_ns": NOON_NS,
            "path": "/data/a.arrows",
            "change": "deleted",
            "unit": "frames",
            "lost": 7,
            "policy": "recreate",
        },
    ),
]


@pytest.mark.parametrize(("event", "expected"), LINES)
def test_every_event_is_a_line(tmp_path: Path, event: RecordedEvent, expected: dict[str, object]) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write_event(event, 42)
    # At once, and not when it is closed.
    line = path.read_bytes()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert orjson.loads(line) == {"time": "2026-01-01T12:00:00.123+00:00", "row": 42, **expected}
    log.close()


def test_lines_in_order_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    assert log.files == []
    assert not path.exists()
    for row, (event, _) in enumerate(LINES):
        log.write_event(event, row)
    assert log.files == [path]
    assert log.poll() > 0
    log.close()
    log.close()
    assert [orjson.loads(line)["row"] for line in path.read_bytes().splitlines()] == list(range(len(LINES)))
    assert (log.counts.received, log.counts.written, log.counts.pending, log.counts.dropped) == (
        len(LINES),
        len(LINES),
        0,
        {},
    )


def test_a_disk_that_fails_at_the_end_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "events.jsonl", roll_bytes=1)

    def fsync(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError):
        log.write_event(DiskChange(1, True, "hold"), 0)
    counts = log.counts
    assert (counts.received, counts.written, counts.dropped_total) == (1, 1, 0)


def test_events_are_written_before_their_file_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fsync = os.fsync

    def observed(descriptor: int) -> None:
        # A disk can be slow here, and other threads read the counts.
        seen.append((log.counts.received, log.counts.written, log.counts.pending))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", observed)
    log = EventLog(tmp_path / "events.jsonl", roll_bytes=1)
    log.write_event(CHANGE, 1)
    assert seen == [(1, 1, 0)]
    log.close()


def test_any_error_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all(file, data) -> None:
        file.write(memoryview(data)[:10])
        raise MemoryError

    log = EventLog(tmp_path / "events.jsonl")
    log.write_event(CHANGE, 1)
    with monkeypatch.context() as patch:
        patch.setattr(output_file_module, "write_all", write_all)
        with pytest.raises(MemoryError):
            log.write_event(GAP, 2)
    log.write_event(OPEN_GAP, 3)
    log.close()
    counts = log.counts
    assert (counts.received, counts.written, counts.pending, counts.dropped) == (3, 2, 0, {"write error": 1})
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [1, 3]


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"mine\n")
    log = EventLog(path)
    with pytest.raises(OutputError, match="choose another name"):
        log.write_event(GAP, 0)
    with pytest.raises(OutputError):
        log.write_event(GAP, 0)
    log.discard_event(GAP)
    log.close()
    assert path.read_bytes() == b"mine\n"
    assert (log.counts.received, log.counts.written, log.counts.dropped_total) == (3, 0, 3)
    assert log.files == []


if sys.platform != "win32":

    def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        log = EventLog(path)
        line_bytes = len(event_line(CHANGE, 0))
        with file_size_limit(3 * line_bytes + 10):
            for _ in range(3):
                log.write_event(CHANGE, 0)
            with pytest.raises(OutputError, match="free some space"):
                log.write_event(CHANGE, 0)
        assert path.read_bytes() == 3 * event_line(CHANGE, 0)
        assert (log.counts.received, log.counts.written, log.counts.dropped_total) == (4, 3, 1)


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, "lone \udcff"])
def test_lines_can_be_shown_on_a_terminal_and_are_exact(text: str) -> None:
    changes = [replace(CHANGE, detail=text, advice=text, subscription=text)]
    for event in (
        *changes,
        replace(GAP, subscription=text),
        Backfill(replace(GAP, subscription=text), (), "smh", text),
    ):
        line = event_line(event, 1)
        assert_harmless(line)
        shown = json.loads(line)
        assert text in (shown.get("detail"), shown.get("subscription"), shown.get("error"))
