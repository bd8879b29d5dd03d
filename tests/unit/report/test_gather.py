"""The data of a report equals that of a slow oracle, also of runs with holes, gaps and files that cannot be read."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import (
    Backfill,
    Cause,
    Certainty,
    FeedState,
    Gap,
    Standstill,
    StandstillReason,
    StateChange,
)
from cpapi_fast.outputs.run_events import (
    EVENT_KINDS,
    DiskChange,
    FileChange,
    InstrumentsChange,
    OrderList,
    OutputFailure,
    OutputGap,
    RecordedEvent,
)
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.report.findings import headline_of
from cpapi_fast.report.gather import gather
from cpapi_fast.report.model import Report
from cpapi_fast.report.sources.lateness import EDGES_NS, quantile_ns
from tests.oracles import report as oracle
from tests.support.report_runs import NEXT, RUN, at, two_runs
from tests.support.runs import S, changed, every, started, stopped, write_capture, write_events, write_ticks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs")
    (path / "more").mkdir()
    two_runs(path)
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return gather(folder)


def test_counts_by_run_and_kind(folder: Path, report: Report) -> None:
    frames = oracle.frames_of(folder)
    assert [run.run for run in report.runs] == [RUN, NEXT]
    for run in report.runs:
        own = Counter(FrameKind(kind).label for name, _, kind, _ in frames if name == run.run)
        assert (dict(run.by_kind), run.frames, run.source) == (own, own.total(), "capture")
    assert report.frames == len(frames)


def test_counts_by_instrument_and_time(folder: Path, report: Report) -> None:
    expected = oracle.binned(oracle.frames_of(folder), report.width_ns)
    conids = [*(one.conid for one in report.instruments), -1]
    found = {
        (conid, report.start_ns + place * report.width_ns): int(count)
        for conid, row in zip(conids, report.rates, strict=True)
        for place, count in enumerate(row)
        if count
    }
    assert found == expected
    assert report.width_ns == S


def test_instruments(folder: Path, report: Report) -> None:
    frames = oracle.frames_of(folder)
    assert [(one.conid, one.symbol) for one in report.instruments] == [(8314, ""), (265598, "AAPL")]
    for one in report.instruments:
        times = [received for _, received, _, conid in frames if conid == one.conid]
        assert (one.frames, one.first_ns, one.last_ns) == (len(times), min(times), max(times))


def test_missing_time(folder: Path, report: Report) -> None:
    spans = {run.run: (run.start_ns, run.end_ns) for run in report.runs}
    missing, steps = oracle.missing_steps(folder, 265598, spans, S // 2)
    apple, ibm = report.instruments[1], report.instruments[0]
    assert abs(apple.missing_ns - missing * S // 2) <= 4 * S // 2
    assert abs(apple.coverage - (1 - missing / steps)) < 0.01
    # The second run does not have it.
    missing, steps = oracle.missing_steps(folder, 8314, {RUN: spans[RUN]}, S // 2)
    assert ibm.span == spans[RUN]
    assert abs(ibm.missing_ns - missing * S // 2) <= 4 * S // 2
    assert (ibm.gaps, apple.gaps) == (2, 2)
    assert report.holes == ((at(600), at(1200)),)


def test_lateness(folder: Path, report: Report) -> None:
    values = oracle.lateness(folder)
    found = report.lateness
    assert found is not None
    expected = [0] * (len(EDGES_NS) + 1)
    for value in values:
        expected[sum(edge <= value for edge in EDGES_NS)] += 1
    assert list(found.counts) == expected
    assert found.over_time.sum() == len(values)
    assert found.over_time.shape[1] == report.rates.shape[1]
    for part in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = sorted(values)[max(0, -int(-part * len(values) // 1) - 1)]
        bound = quantile_ns(EDGES_NS, found.counts, part)
        assert bound is not None
        # The upper edge of its bucket.
        assert exact < bound <= max(1_000_000, exact * 1.26)
    ticks = [row for row in report.files if row.kind == "ticks"]
    assert found.without_time + len(values) == sum(file.rows or 0 for file in ticks)
    assert (found.max_late_ns, found.late_rows > 0) == (2 * S, True)


def test_gaps_states_and_standstills(report: Report) -> None:
    gaps = {(gap.run, gap.topic, gap.conid, gap.cause, gap.start_ns, gap.end_ns) for gap in report.gaps}
    assert gaps == {
        (RUN, "smd+265598", 265598, "connection_lost", at(100), at(160)),
        (RUN, "smd+8314", 8314, "connection_lost", at(100), at(160)),
        (RUN, "smd+8314", 8314, "subscription_silent", at(300), at(330.5)),
        (RUN, "spl+[redacted]", None, "connection_lost", at(100), at(160)),
        (NEXT, None, None, "consumer_overflow", at(1300), at(1310)),
    }
    assert [(one.start_ns, one.end_ns, one.reason) for one in report.standstills] == [(at(400), at(403), "process")]
    spans = [span for span in report.states if span.run == RUN]
    assert [span.state for span in spans] == [
        *("connecting", "open", "streaming", "disconnected", "open", "streaming", "disconnected"),
    ]
    assert (spans[3].start_ns, spans[3].end_ns, spans[3].detail) == (at(100), at(155), "reset by peer")
    assert [(run.connections, run.restarts, run.is_ended) for run in report.runs] == [(2, 1, True), (1, 0, False)]


def test_identities(report: Report) -> None:
    found = {(one.run, one.output): one for one in report.identities}
    for one in found.values():
        assert one.received is None or one.received == one.in_files + (one.missing or 0)
    capture, ticks = found[RUN, "capture"], found[RUN, "ticks"]
    assert (capture.missing, capture.is_loss) == (0, False)
    market_data = report.runs[0].by_kind["market_data"]
    assert ticks.received == market_data
    assert ticks.missing == market_data - ticks.in_files > 0


def test_the_answer(report: Report) -> None:
    assert headline_of(report).level == "missing"
    text = "\n".join(finding.text for finding in report.findings)
    for part in (
        "2026-01-02 14:40:00 to 2026-01-02 14:50:00 (10 min)",
        "12 frames were dropped",
        f"Run {NEXT} has no end",
        "1 standstill, 3.0 s in all",
        "connection_lost 3",
    ):
        assert part in text


def test_a_complete_run_is_complete(tmp_path: Path) -> None:
    write_capture(tmp_path, RUN, every(1.0, 0, 20, 265598))
    write_events(tmp_path, RUN, [*started(at(0)), stopped(at(20))], row=20)
    found = gather(tmp_path)
    assert headline_of(found).text == "Complete"
    assert {finding.level for finding in found.findings} == {"good"}
    assert found.instruments[0].coverage == 1.0


def test_runs_at_the_same_time_cover_each_other(tmp_path: Path) -> None:
    for run, gap in ((RUN, (10, 20)), (NEXT, (15, 30))):
        write_capture(tmp_path, run, every(1.0, 0, 60, 265598))
        events = [*started(at(0)), Gap("smd+265598", at(gap[0]), at(gap[1]), Cause.CONNECTION_LOST), stopped(at(60))]
        write_events(tmp_path, run, events)
    found = gather(tmp_path)
    assert found.instruments[0].missing == ((at(15), at(20)),)
    assert found.holes == ()


def test_a_run_without_data_now_has_a_gap(tmp_path: Path) -> None:
    write_capture(tmp_path, RUN, every(1.0, 0, 60, 265598), is_closed=False)
    write_events(
        tmp_path,
        RUN,
        [
            *started(at(0)),
            changed(at(60), FeedState.DISCONNECTED, Cause.SESSION_ENDED),
            changed(at(70), FeedState.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN),
        ],
    )
    found = gather(tmp_path)
    (gap,) = found.gaps
    assert (gap.start_ns, gap.end_ns, gap.cause, gap.is_open) == (at(60), at(70), "session_ended", True)
    assert found.findings[0].level == "missing"
    assert any("login_required" in finding.text and "Log in again." in finding.text for finding in found.findings)


def test_frames_of_a_run_without_captures_are_those_of_its_ticks(tmp_path: Path) -> None:
    rows = [{"received": at(second), "conid": 8314 + second % 2, "symbol": "IBM"} for second in range(50)]
    write_ticks(tmp_path, RUN, rows)
    found = gather(tmp_path)
    assert [(run.source, run.frames) for run in found.runs] == [("ticks", 50)]
    assert [(one.conid, one.frames, one.symbol) for one in found.instruments] == [(8314, 25, "IBM"), (8315, 25, "IBM")]
    assert found.rates.sum() == 50
    assert found.lateness is None


def test_frames_that_the_captures_lack_are_missing(tmp_path: Path) -> None:
    paths = write_capture(tmp_path, RUN, every(1.0, 0, 100, 265598), per_file=25)
    lost = FileChange(at(60), "data/capture-x.arrows", "deleted", "frames", 25, "recreate")
    disk = DiskChange(at(50), True, "hold")
    write_events(tmp_path, RUN, [*started(at(0)), disk, lost, stopped(at(100))], row=100)
    paths[1].unlink()
    found = gather(tmp_path)
    (capture,) = (one for one in found.identities if one.output == "capture")
    assert (capture.received, capture.in_files, capture.missing, capture.lost) == (100, 75, 25, 25)
    assert [notice.is_loss for notice in found.notices] == [False, True]
    assert headline_of(found).level == "missing"


def test_frames_that_an_output_dropped_are_explained(tmp_path: Path) -> None:
    write_capture(tmp_path, RUN, every(1.0, 0, 75, 265598), per_file=25)
    events = [
        DiskChange(at(50), True, "drop_oldest", output="capture"),
        OutputGap(at(60), "capture", "queue full", 40, 25, 2, at(40), at(65)),
        OutputFailure(at(70), "own", True, "retry", "OSError: away, session=s3cr3t-of-a-user"),
        OutputFailure(at(75), "own", False, "retry", duration_s=5.0),
    ]
    write_events(tmp_path, RUN, [*started(at(0)), *events, stopped(at(100))], row=100)
    found = gather(tmp_path)
    (capture,) = (one for one in found.identities if one.output == "capture")
    assert (capture.received, capture.in_files, capture.missing, capture.lost) == (100, 75, 25, 0)
    assert "slower than the data" in capture.note
    assert [notice.is_loss for notice in found.notices] == [False, True, True, False]
    texts = [notice.text for notice in found.notices]
    assert texts[0] == "capture was slower than the data (policy drop_oldest)"
    assert texts[1] == "capture does not have 25 frames and 2 events (queue full)"
    assert texts[2].startswith("own failed (retry): OSError: away")
    assert "s3cr3t" not in texts[2]
    assert texts[3] == "own works again after 5.0 s"


# --- files that cannot be read as a whole ---


def test_every_prefix_of_a_capture_gives_its_whole_messages(tmp_path: Path) -> None:
    (path,) = write_capture(tmp_path, RUN, every(1.0, 0, 30, 265598))
    data = path.read_bytes()
    counts = set()
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        expected = 0
        state = "damaged"
        try:
            expected = len(oracle.frames_of(tmp_path))
            state = "unfinished"
        except ConfigError:
            pass
        (file,) = gather(tmp_path).files
        assert (file.rows or 0, file.state) == (expected, state)
        assert file.note
        counts.add(file.rows)
    assert len(counts) > 3


def test_a_byte_of_a_capture_that_changed_is_no_error(tmp_path: Path) -> None:
    (path,) = write_capture(tmp_path, RUN, every(1.0, 0, 30, 265598))
    data = path.read_bytes()
    rng = random.Random(1)
    for _ in range(150):
        changed_data = bytearray(data)
        changed_data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(changed_data))
        (file,) = gather(tmp_path).files
        assert 0 <= (file.rows or 0) <= 30


def test_tables_that_are_unfinished_damaged_or_of_accounts(tmp_path: Path) -> None:
    path = write_ticks(tmp_path, RUN, [{"received": at(second), "conid": 8314} for second in range(500)])
    data = path.read_bytes()
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data[:1000])
    broken = path.with_name(path.name.replace("T1430", "T1431"))
    broken.write_bytes(data[:-10])
    orders = path.with_name(path.name.replace("ticks", "orders"))
    orders.write_bytes(data)
    found = {file.name: file for file in gather(tmp_path).files}
    assert (found[path.name].state, found[path.name].rows, found[path.name].first_ns) == ("finished", 500, at(0))
    assert (found[part.name].state, found[part.name].rows) == ("unfinished", None)
    assert (found[broken.name].state, found[broken.name].rows) == ("damaged", None)
    assert found[orders.name].rows == 500
    assert all(file.note for file in found.values() if file.state != "finished")


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[1]",
        b"null",
        b"{}",
        b'{"type":"gap","row":1}',
        b'{"type":"gap","row":1,"subscription":5,"last_good_ns":1,"first_good_ns":2,"cause":"x","frames_dropped":null}',
        b'{"type":"state","row":-1,"time_ns":1,"subscription":null,"state":"x","cause":"x","advice":"x","detail":"x"}',
        b'{"type":"standstill","row":1,"start_ns":"x","length_ns":1,"reason":"x"}',
        b'{"type":"standstill","row":1,"start_ns":9223372036854775807,"length_ns":9223372036854775807,"reason":"x"}',
        b'{"type":"symbols","symbols":[{"conid":"x"}]}',
        b'{"type":"file","row":1,"time_ns":1,"path":"x","change":"x","unit":"x","lost":-5,"policy":"x"}',
    ],
)
def test_a_line_that_is_no_event_is_counted(tmp_path: Path, line: bytes) -> None:
    path = write_events(tmp_path, RUN, [*started(at(0)), stopped(at(20))])
    path.write_bytes(path.read_bytes() + line + b"\n" + b'{"type":"state","ti')
    (file,) = gather(tmp_path).files
    assert (file.state, file.rows) == ("damaged", 4)
    assert file.note == "1 lines are no events; its last line is incomplete"


def test_every_kind_of_event_is_known(tmp_path: Path) -> None:
    gap = Gap("smd+8314", at(1), at(2), Cause.CONNECTION_LOST, None, Certainty.CERTAIN)
    events: list[RecordedEvent] = [
        StateChange(at(1), FeedState.STREAMING, FeedState.AUTHENTICATED, Cause.DATA, "none", None),
        gap,
        Standstill(at(3), 1_000, StandstillReason.SUSPEND),
        Backfill(gap, (), "rest", "no bars"),
        DiskChange(at(4), True, "block", output="quotes"),
        FileChange(at(5), "/data/capture.arrows", "deleted", "frames", 0, "recreate"),
        OrderList(at(6), ()),
        InstrumentsChange(at(7), ("8314",), ("1@NYSE", "2"), ({"symbol": "IBM", "conid": 8314},)),
        OutputGap(at(8), "quotes", "queue full", 0, 1, 0, at(7), None),
        OutputFailure(at(9), "own", True, "retry", "OSError: away"),
    ]
    assert {type(event) for event in events} == set(EVENT_KINDS)
    write_events(tmp_path, RUN, events)
    found = gather(tmp_path)
    assert (found.unknown_events, found.files[0].state, found.files[0].rows) == (0, "finished", len(events))
    assert "8314 joined the run; 1@NYSE 2 left the run" in [notice.text for notice in found.notices]


def test_events_of_a_newer_version_are_counted(tmp_path: Path) -> None:
    path = write_events(tmp_path, RUN, [*started(at(0)), stopped(at(20))])
    path.write_bytes(path.read_bytes() + b'{"type":"new","time":"","row":0,"what":1}\n')
    found = gather(tmp_path)
    assert (found.unknown_events, found.files[0].state) == (1, "finished")


# --- what is no folder of runs ---


@pytest.mark.parametrize("what", ["missing", "empty", "foreign", "foreign file", "NUL"])
def test_what_is_no_run_is_an_error_that_says_what_to_give(tmp_path: Path, what: str) -> None:
    path: Any = tmp_path
    if what == "missing":
        path = tmp_path / "none"
    elif what.startswith("foreign"):
        (tmp_path / "notes.txt").write_text("x")
        path = tmp_path / "notes.txt" if what == "foreign file" else tmp_path
    elif what == "NUL":
        path = "a\0b"
    with pytest.raises(ConfigError, match=r"give the folder of `collect --out`, or one of its files"):
        gather(path)


def test_one_file_stands_for_its_run(folder: Path, tmp_path: Path) -> None:
    path = next(folder.glob("capture-*.arrows"))
    assert [run.run for run in gather(path).runs] == [RUN]
    capture = tmp_path / "mine.arrows"
    capture.write_bytes(path.read_bytes())
    assert [(run.run, run.source) for run in gather(capture).runs] == [("", "capture")]
    other = tmp_path / "other.arrows"
    other.write_bytes(b"text")
    assert [(file.name, file.state) for file in gather(other).files] == [("other.arrows", "damaged")]
