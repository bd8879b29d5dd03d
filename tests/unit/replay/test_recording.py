"""Recording and its files: order, places of events, times, and what is torn, damaged or foreign."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import (
    Backfill,
    Bar,
    Cause,
    Certainty,
    FeedEvent,
    FeedState,
    Gap,
    Standstill,
    StandstillReason,
    StateChange,
)
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.capture import CaptureWriter
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.run_events import InstrumentsChange, OutputGap, RecordedEvent
from cpapi_fast.replay.capture_file import CaptureFile
from cpapi_fast.replay.recording import Recording, find_runs
from tests.support.batches import batch_of

GAP = Gap("smd+1", 1_000, 5_000, Cause.CONNECTION_LOST, None, Certainty.CERTAIN)
EVENTS: tuple[FeedEvent, ...] = (
    StateChange(1_000, FeedState.STREAMING, FeedState.AUTHENTICATED, Cause.DATA, "none", None, "\u00e4"),
    StateChange(2_000, FeedState.STALE, FeedState.STREAMING, Cause.SUBSCRIPTION_SILENT, "none", "smd+1"),
    GAP,
    Gap(None, 1_000, None, Cause.CONSUMER_OVERFLOW, 7),
    Standstill(1_000, 3_000, StandstillReason.SUSPEND),
    Backfill(GAP, (Bar(1, 2.0, 3.0, 4.0, 5.0, 6.0),), "smh"),
    Backfill(GAP, (), "rest", "no bars"),
)

Item = tuple[str, object]


def write_capture(path: Path, reads: Sequence[tuple[int, Sequence[bytes]]], *, per_message: int = 2) -> None:
    """A capture of reads, each with its time; a message has so many reads."""
    with CaptureWriter(path, flush_interval_s=1e6) as writer:
        for number, (time_ns, frames) in enumerate(reads, 1):
            writer.write(batch_of(frames, time_ns))
            if number % per_message == 0:
                writer.flush()


def write_events(path: Path, events: Sequence[tuple[int, RecordedEvent]]) -> None:
    log = EventLog(path)
    for row, event in events:
        log.write_event(event, row)
    log.close()


def items(recording: Recording) -> list[Item]:
    """Everything in order: the frames of each batch, and the events."""
    found: list[Item] = []
    for piece in recording:
        for index, event in (*piece.events, (piece.stop, None)):
            while piece.reads is not None and (batch := piece.reads.take(min(index, piece.stop))) is not None:
                found.append(("batch", content(batch)))
            if event is not None:
                found.append(("event", event))
    return found


def content(batch: Batch) -> tuple[int, list[bytes]]:
    return batch.received_ns[0], [frame.raw for frame in batch]


def replayed(path: Path, start_ns: int | None = None, end_ns: int | None = None) -> list[Item]:
    return items(Recording(find_runs(path), start_ns, end_ns))


def test_events_are_at_their_place_and_equal(tmp_path: Path) -> None:
    write_capture(tmp_path / "c.arrows", [(1_000, [b"a", b"b"]), (2_000, [b"c"]), (3_000, [b"d"])])
    rows = (0, 1, 2, 2, 3, 4, 4)
    write_events(tmp_path / "events.jsonl", list(zip(rows, EVENTS, strict=True)))
    assert replayed(tmp_path) == [
        ("event", EVENTS[0]),
        ("batch", (1_000, [b"a"])),
        ("event", EVENTS[1]),
        ("batch", (1_000, [b"b"])),
        ("event", EVENTS[2]),
        ("event", EVENTS[3]),
        ("batch", (2_000, [b"c"])),
        ("event", EVENTS[4]),
        ("batch", (3_000, [b"d"])),
        ("event", EVENTS[5]),
        ("event", EVENTS[6]),
    ]
    # A file without a run in its name is alone.
    assert [kind for kind, _ in replayed(tmp_path / "c.arrows")] == ["batch"] * 3


def test_frames_that_the_capture_dropped_are_a_gap_and_the_events_after_them_have_the_right_place(
    tmp_path: Path,
) -> None:
    write_capture(tmp_path / "c.arrows", [(1_000, [b"a"]), (2_000, [b"e"]), (3_000, [b"g"])])
    # The stream was a b c d e f g; of another output, nothing matters.
    events: list[tuple[int, RecordedEvent]] = [
        (1, EVENTS[0]),
        (2, EVENTS[1]),
        (5, OutputGap(2_000, "capture", "queue full", 1, 3, 0, 1_000, 2_000)),
        (5, OutputGap(2_000, "quotes", "queue full", 0, 2, 0, 1_000, 2_000)),
        (5, InstrumentsChange(2_000, ("1",), ())),
        (5, EVENTS[2]),
        (7, OutputGap(3_000, "capture", "write error", 5, 1, 1, 2_000, None)),
        (7, EVENTS[4]),
    ]
    write_events(tmp_path / "events.jsonl", events)
    assert replayed(tmp_path) == [
        ("batch", (1_000, [b"a"])),
        ("event", EVENTS[0]),
        ("event", EVENTS[1]),
        ("event", Gap(None, 1_000, 2_000, Cause.CONSUMER_OVERFLOW, 3)),
        ("batch", (2_000, [b"e"])),
        ("event", EVENTS[2]),
        ("event", Gap(None, 2_000, None, Cause.CONSUMER_OVERFLOW, 1)),
        ("batch", (3_000, [b"g"])),
        ("event", EVENTS[4]),
    ]


def run_files(folder: Path) -> list[Path]:
    """Two runs; the first one has two captures and two events files, in folders of days."""
    names = [
        "date=2026-01-01/capture-20260101T230000.000000Z-0a0a0a.arrows",
        "date=2026-01-02/capture-20260102T000000.000000Z-0a0a0a.arrows",
        "capture-20260103T000000.000000Z-1b1b1b.arrows",
    ]
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        write_capture(path, [(10 * number + 1, [b"%d" % number]), (10 * number + 2, [b"%d+" % number, b"x"])])
    write_events(folder / "date=2026-01-01/events-20260101T230000.000000Z-0a0a0a.jsonl", [(1, EVENTS[0])])
    write_events(folder / "date=2026-01-02/events-20260102T000000.000000Z-0a0a0a.jsonl", [(4, EVENTS[1])])
    write_events(folder / "events-20260103T000000.000000Z-1b1b1b.jsonl", [(0, EVENTS[2])])
    return paths


def test_runs_follow_each_other_and_rows_count_the_frames_of_their_run(tmp_path: Path) -> None:
    paths = run_files(tmp_path)
    assert [run.name for run in find_runs(tmp_path)] == ["0a0a0a", "1b1b1b"]
    whole = replayed(tmp_path)
    assert [item if kind == "event" else item[1] for kind, item in whole] == [  # type: ignore[index]
        [b"0"], EVENTS[0], [b"0+", b"x"],
        [b"1"], EVENTS[1], [b"1+", b"x"],
        EVENTS[2], [b"2"], [b"2+", b"x"],
    ]  # fmt: skip
    # One file of a run has its events, at the same place.
    assert replayed(paths[1]) == whole[3:6]
    assert replayed(paths[2]) == whole[6:]
    assert items(Recording(find_runs(tmp_path, "0a0a0a"))) == whole[:6]
    with pytest.raises(ConfigError, match=r"of the run 2c2c2c in .*, but of 0a0a0a, 1b1b1b"):
        find_runs(tmp_path, "2c2c2c")
    with pytest.raises(ConfigError, match="is not a file of the run 1b1b1b"):
        find_runs(paths[0], "1b1b1b")


def test_runs_that_overlap_are_refused(tmp_path: Path) -> None:
    paths = run_files(tmp_path)
    paths[2].rename(tmp_path / "capture-20260101T233000.000000Z-1b1b1b.arrows")
    with pytest.raises(ConfigError, match="overlap in time; give one of them, such as only_run='0a0a0a'"):
        find_runs(tmp_path)
    assert [run.name for run in find_runs(tmp_path, "1b1b1b")] == ["1b1b1b"]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_start_and_end_select_the_frames_of_a_time(
    tmp_path_factory: pytest.TempPathFactory, start_ns: int, end_ns: int, per_message: int
) -> None:
    folder = tmp_path_factory.mktemp("times")
    for number in range(3):
        reads = [(20 * number + 3 * index, [b"%d" % index, b"y"]) for index in range(6)]
        name = f"capture-2026010{number + 1}T000000.000000Z-0a0a0a.arrows"
        write_capture(folder / name, reads, per_message=per_message)
    events = [
        (
            row,
            StateChange(20 * (row // 12) + 3 * (row % 12 // 2), FeedState.OPEN, FeedState.OPEN, Cause.RETRY, str(row)),
        )
        for row in range(0, 36, 2)
    ]
    write_events(folder / "events-20260101T000000.000000Z-0a0a0a.jsonl", list(events))

    def time_of(item: Item) -> int:
        return item[1].time_ns if isinstance(item[1], StateChange) else item[1][0]  # type: ignore[index, return-value]

    whole = replayed(folder)
    assert len(whole) == 36
    assert replayed(folder, start_ns, end_ns) == [item for item in whole if start_ns <= time_of(item) < end_ns]


def test_the_events_before_the_start_are_known(tmp_path: Path) -> None:
    write_capture(tmp_path / "c.arrows", [(10, [b"a"]), (20, [b"b"]), (30, [b"c"])], per_message=1)
    write_events(tmp_path / "events.jsonl", [(0, EVENTS[0]), (1, EVENTS[1]), (3, EVENTS[2])])
    first = next(iter(Recording(find_runs(tmp_path), start_ns=30)))
    assert first.is_start
    assert list(first.before) == [EVENTS[0], EVENTS[1]]


# --- bad files -------------------------------------------------------------------------------------------------------


def test_a_capture_is_read_up_to_its_last_whole_message_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "c.arrows"
    write_capture(path, [(1, [b"a"]), (2, [b"b"]), (3, [b"c"])], per_message=1)
    whole = path.read_bytes()
    torn = tmp_path / "torn.arrows.part"
    lengths: list[int] = []
    refusals: list[str] = []
    for size in range(len(whole) + 1):
        torn.write_bytes(whole[:size])
        recording = Recording(find_runs(torn))
        try:
            found = items(recording)
        except ConfigError as error:
            refusals.append(str(error))
            assert not lengths
            continue
        lengths.append(len(found))
        assert [item for _, item in found] == [(1, [b"a"]), (2, [b"b"]), (3, [b"c"])][: len(found)]
    assert all(str(torn) in text and ("is empty" in text or "ends in its header" in text) for text in refusals)
    assert sorted(set(lengths)) == [0, 1, 2, 3]
    assert lengths == sorted(lengths)
    assert not recording.torn
    # After a power loss, the end of a file may be zeros.
    torn.write_bytes(whole[:-8] + bytes(5_000))
    recording = Recording(find_runs(torn))
    assert len(items(recording)) == 3
    assert recording.torn == {torn: 5_000}


def test_a_message_that_is_damaged_is_an_error_with_its_place(tmp_path: Path) -> None:
    """Any byte may be wrong. Either there are frames, or the error names the file."""
    path = tmp_path / "c.arrows"
    write_capture(path, [(1, [b"aaaa" * 9, b"b"]), (2, [b"c"])], per_message=1)
    whole = path.read_bytes()
    damaged = tmp_path / "damaged.arrows"
    refusals: list[str] = []
    for position in range(len(whole)):
        changed = whole[position] ^ (0x01, 0x80, 0xFF)[position % 3]
        damaged.write_bytes(whole[:position] + bytes([changed]) + whole[position + 1 :])
        try:
            # Arrow has no check sums, so frames may differ.
            items(Recording(find_runs(damaged)))
        except ConfigError as error:
            refusals.append(str(error))
    assert len(refusals) > 30
    assert all(str(damaged) in text for text in refusals)


def plain_stream(count: int) -> bytes:
    """A capture that is not compressed, with so many messages of two frames."""
    schema = pa.schema([_TIME, _RAW], _CAPTURE)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for number in range(1, count + 1):
            rows = [{"received_ns": 10 * number + one, "raw": b"abcd"} for one in (0, 1)]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return bytes(sink.getvalue())


def test_damaged_sizes_are_errors_and_never_lose_frames_in_silence(tmp_path: Path) -> None:
    """Lengths and offsets of Arrow, which are not protected by compression, may have any value."""
    path = tmp_path / "c.arrows"
    whole = plain_stream(3)
    path.write_bytes(whole)
    with CaptureFile(path) as file:
        message = file.messages[1]
    refused = 0
    # Behind its length, which decides where the next message begins.
    for position in range(message.offset + 8, message.offset + message.size - 7, 4):
        for value in (0, 100, 1 << 62, (1 << 64) - 1):
            content = bytearray(whole)
            content[position : position + 8] = value.to_bytes(8, "little")
            path.write_bytes(content)
            for start_ns in (None, 21):
                recording = Recording(find_runs(path), start_ns)
                try:
                    found = items(recording)
                except ConfigError as error:
                    refused += str(path) in str(error)
                    continue
                if start_ns is None and not recording.torn:
                    frames = sum(len(item[1]) for kind, item in found if kind == "batch")  # type: ignore[arg-type, index, misc]
                    assert frames == 6, (position - message.offset, value)
    assert refused > 100


def test_a_read_that_an_event_and_the_end_of_a_message_split_is_read_whole(tmp_path: Path) -> None:
    """Quotes change once per read, live and replayed."""
    path = tmp_path / "c.arrows"
    reads: list[tuple[int, list[bytes]]] = [(1, [b"a"]), (2, [b"b", b"c"]), (2, [b"d"]), (2, [b"e"]), (3, [b"f"])]
    write_capture(path, reads, per_message=1)
    write_events(tmp_path / "events.jsonl", [(3, EVENTS[0])])
    with CaptureFile(path) as file:
        assert len(file.messages) == 5
        assert [len(one) for one in file.reads()] == [1, 4, 1]
        assert [len(one) for one in file.reads(3)] == [1, 1]
    pieces = list(Recording(find_runs(tmp_path)))
    assert [[index for index, _ in piece.events] for piece in pieces] == [[], [2], [], []]
    # What is before a damaged message comes.
    content = bytearray(path.read_bytes())
    with CaptureFile(path) as file:
        damaged = file.messages[4]
    content[damaged.offset + damaged.size - 40 : damaged.offset + damaged.size] = bytes(40)
    path.write_bytes(content)
    found = []
    with pytest.raises(ConfigError, match="is damaged"):  # noqa: PT012 - what comes before the error matters
        for piece in Recording(find_runs(path)):
            assert piece.reads is not None
            found.append(len(piece.reads))
    assert found == [1, 4]


def test_what_follows_the_end_of_a_capture_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c.arrows"
    write_capture(path, [(1, [b"a"])])
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(ConfigError, match="it is the end, but bytes follow"):
        replayed(path)


def test_a_file_that_ends_in_its_header_is_left_out_beside_others(tmp_path: Path) -> None:
    """A power loss can leave a part of the header, or zeros."""
    paths = run_files(tmp_path)
    whole = paths[1].read_bytes()
    for content in (whole[:3], whole[:8], whole[:100], bytes(5), bytes(5_000)):
        paths[1].write_bytes(content)
        recording = Recording(find_runs(tmp_path))
        assert sum(kind == "batch" for kind, _ in items(recording)) == 4
        assert recording.torn == {paths[1]: len(content)}
    # One that is foreign is not.
    for content in (b"PAR1" + bytes(100), bytes(20) + b"x"):
        paths[1].write_bytes(content)
        with pytest.raises(ConfigError, match="is no capture"):
            items(Recording(find_runs(tmp_path)))


def test_an_event_before_the_start_at_the_first_frame_is_not_replayed(tmp_path: Path) -> None:
    write_capture(tmp_path / "c.arrows", [(1, [b"a"]), (100, [b"b"])])
    states = (FeedState.DISCONNECTED, FeedState.STREAMING)
    events = [
        StateChange(time_ns, state, FeedState.CONNECTING, Cause.DATA, "none")
        for time_ns, state in zip((5, 99), states, strict=True)
    ]
    write_events(tmp_path / "events.jsonl", [(1, event) for event in events])
    recording = Recording(find_runs(tmp_path), 50)
    first, _ = recording
    assert list(first.before) == events[:1]
    assert [event for _, event in first.events] == events[1:]


def test_runs_that_overlap_in_their_frames_are_refused(tmp_path: Path) -> None:
    """Two collectors that write to one folder at the same time may have one capture each."""
    for second, run, times in ((0, "aaaaaa", (1, 9)), (1, "bbbbbb", (5, 20))):
        write_capture(
            tmp_path / f"capture-20260102T14300{second}Z-{run}.arrows", [(time_ns, [b"x"]) for time_ns in times]
        )
    with pytest.raises(ConfigError, match=r"the runs aaaaaa and bbbbbb in .* overlap in time; give one"):
        replayed(tmp_path)
    assert len(items(Recording(find_runs(tmp_path, "bbbbbb")))) == 2


def test_an_empty_file_beside_others_is_left_out(tmp_path: Path) -> None:
    paths = run_files(tmp_path)
    paths[1].write_bytes(b"")
    recording = Recording(find_runs(tmp_path))
    assert sum(kind == "batch" for kind, _ in items(recording)) == 4
    assert recording.torn == {paths[1]: 0}
    # The event at frame 4 has no place any more.
    assert [run.name for run in recording.misplaced] == ["0a0a0a"]


def stream_of(schema: pa.Schema, rows: list[dict[str, object]]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return bytes(sink.getvalue())


_CAPTURE = {"cpapi_fast.format": "capture"}
_TIME, _RAW = pa.field("received_ns", pa.int64()), pa.field("raw", pa.binary())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"hello\n", "is no capture"),
        (b"\xff\xff\xff\xff\x10\0\0\0" + bytes(16), "is no capture"),
        (b"PAR1" + bytes(100), "is no capture"),
        (stream_of(pa.schema([_TIME]), []), "is an Arrow IPC stream, but no capture"),
        (stream_of(pa.schema([_TIME], _CAPTURE), []), "its column raw is not binary"),
        (stream_of(pa.schema([_TIME, pa.field("raw", pa.string())], _CAPTURE), []), "its column raw is not binary"),
        (stream_of(pa.schema([_TIME, _RAW, _RAW], _CAPTURE), []), "its column raw is not binary"),
        (stream_of(pa.schema([_TIME, _RAW], _CAPTURE), [{"received_ns": None, "raw": b"x"}]), "it has nulls"),
        (stream_of(pa.schema([_TIME, _RAW], _CAPTURE), [{"received_ns": 1, "raw": None}]), "it has nulls"),
    ],
)
def test_what_is_no_capture_is_refused_with_its_path(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "c.arrows"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=match) as caught:
        items(Recording(find_runs(path)))
    assert str(path) in str(caught.value)


def test_a_path_without_a_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a device or a pipe"):
        find_runs(Path(os.devnull))
    with pytest.raises(ConfigError, match="there is no capture in"):
        find_runs(tmp_path)
    for path in (tmp_path / "missing", tmp_path / "nul\0"):
        with pytest.raises(ConfigError, match=r"there is no file or folder|cannot read"):
            find_runs(path)


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON\n",
        b"[]\n",
        b'{"type":"state","row":0}\n',
        b'{"type":"state","row":-1}\n',
        b'{"type":"gap","row":0,"subscription":null,"last_good_ns":1,"first_good_ns":1,"cause":"x","certainty":"certain"}\n',
        b'{"type":[],"row":0}\n',
        *(
            b'{"type":"state","row":0,"time_ns":%s,"state":"streaming","previous":"streaming","cause":"data",'
            b'"advice":"","subscription":null}\n' % time_ns
            for time_ns in (b"1e308", b"-1", b"9223372036854775808", b'"5"', b"true")
        ),
    ],
)
def test_a_damaged_events_file_is_refused_with_its_line(tmp_path: Path, line: bytes) -> None:
    write_capture(tmp_path / "c.arrows", [(1, [b"a"])])
    path = tmp_path / "events.jsonl"
    write_events(path, [(0, EVENTS[0])])
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ConfigError, match="line 2 of ") as caught:
        replayed(tmp_path)
    assert str(path) in str(caught.value)


def test_other_lines_and_an_incomplete_last_one_are_left_out(tmp_path: Path) -> None:
    write_capture(tmp_path / "c.arrows", [(1, [b"a"])])
    path = tmp_path / "events.jsonl"
    write_events(path, [(0, EVENTS[0])])
    path.write_bytes(
        b'{"type":"symbols","row":0,"symbols":[]}\n' + path.read_bytes() + b'{"type":"disk","row":1}\n{"ty'
    )
    assert replayed(tmp_path) == [("event", EVENTS[0]), ("batch", (1, [b"a"]))]
