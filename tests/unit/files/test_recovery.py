"""The files of killed runs are finished at the next start: nothing that the capture has is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.files.capture_walk import CaptureWalk, End
from cpapi_fast.files.rebuild import span_of
from cpapi_fast.files.recorded_events import event_line
from cpapi_fast.files.recovery import last_frame_ns, recover
from cpapi_fast.files.repair import repair
from cpapi_fast.files.verify import verify
from cpapi_fast.outputs.capture import capture_schema, read_capture
from cpapi_fast.outputs.interface import publish
from tests.support.files import table_rows
from tests.support.written_runs import SECOND_NS, START_NS, WrittenRun, written_run

TABLES = ("ticks", "quotes", "orders")


@pytest.fixture(params=[25, 7, 1000], ids="roll_rows={}".format)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WrittenRun]:
    with written_run(tmp_path / "live", roll_rows=request.param) as found:
        yield found


def recovered(folder: Path) -> list[str]:
    reports: list[str] = []
    recover(folder, reports.append)
    return reports


def rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: table_rows(folder, f"{name}-*.parquet") for name in TABLES}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def frames_of(folder: Path) -> list[bytes]:
    return [
        raw
        for path in sorted(folder.glob("capture-*.arrows"))
        for raw in read_capture(path).read_all()["raw"].to_pylist()
    ]


def test_a_killed_run_loses_no_row_that_its_capture_has(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    before = rows(killed)
    recovered(killed)
    run.close()
    assert before != rows(run.folder), "there is something to recover"
    assert rows(killed) == rows(run.folder)
    assert all(rows(killed).values())
    assert frames_of(killed) == frames_of(run.folder)
    assert not list(killed.glob("*.part"))
    assert not list(killed.glob(".*"))
    assert all(read_capture(path).read_all() and is_finished(path) for path in killed.glob("capture-*"))


def is_finished(path: Path) -> bool:
    reader = read_capture(path)
    reader.read_all()
    return reader.is_finished and not reader.torn_bytes


def test_a_second_recovery_changes_nothing(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    assert recovered(killed)
    first = contents(killed)
    assert recovered(killed) == []
    assert contents(killed) == first


def test_the_files_of_a_run_that_writes_stay_as_they_are(run: WrittenRun) -> None:
    before = contents(run.folder)
    assert recovered(run.folder) == []
    assert contents(run.folder) == before
    assert last_frame_ns(run.folder) is None
    run.write(3)
    run.close()
    assert not list(run.folder.glob("*.part"))


def test_frames_that_an_output_has_dropped_move_no_row_to_another_place(run: WrittenRun, tmp_path: Path) -> None:
    ticks, quotes = run.tables
    for outputs in ((run.capture,), (ticks,), (quotes, run.capture)):
        run.drop(13, *outputs)
        run.lose_connection()
        run.write(9)
    killed = run.copied(tmp_path / "killed")
    before = times(killed)
    recovered(killed)
    run.close()
    captured = Counter(
        time
        for path in sorted(killed.glob("capture-*.arrows"))
        for time in read_capture(path).read_all()["received_ns"].to_pylist()
    )
    for name, found in times(killed).items():
        assert found == sorted(found)
        live = Counter(times(run.folder)[name])
        rows_at = Counter(found)
        for time in live.keys() | rows_at.keys():
            if time in live and time in captured:
                assert rows_at[time] == live[time], f"rows of {name} are there twice, or not at all"
            else:
                # What the table wrote itself, or what it has dropped and the capture has.
                assert before[name].count(time) <= rows_at[time] <= max(live[time], captured[time])
    for folder in (killed, run.folder):
        result = verify([folder])
        assert result.is_proven, (result.problems, [one for one in result.files if one.problems])


def times(folder: Path) -> dict[str, list[int]]:
    """The receive times of the rows of each table, in ns since the Unix epoch."""
    return {name: [row["received"] for row in table_rows(folder, f"{name}-*.parquet")] for name in ("ticks", "quotes")}


def test_rows_whose_frames_are_not_in_the_capture_are_not_invented(run: WrittenRun, tmp_path: Path) -> None:
    run.write(40, flushes=False)
    killed = run.copied(tmp_path / "killed")
    recovered(killed)
    frames = len(frames_of(killed))
    assert frames < run.frames
    run.close()
    expected, found = rows(run.folder), rows(killed)
    for name in TABLES:
        assert found[name] == expected[name][: len(found[name])]


@pytest.mark.parametrize("cut_bytes", [1, 7, 8, 9, 100, 400])
def test_an_incomplete_message_is_cut_from_the_capture(run: WrittenRun, tmp_path: Path, cut_bytes: int) -> None:
    killed = run.copied(tmp_path / "killed")
    before = frames_of(killed)
    last = max(killed.glob("capture-*"))
    with last.open("r+b") as file:
        file.truncate(last.stat().st_size - cut_bytes)
    reports = recovered(killed)
    assert any("of an incomplete message at its end were cut" in text for text in reports)
    assert is_finished(last)
    after = frames_of(killed)
    assert before[: len(after)] == after
    assert len(after) < len(before)


def test_an_incomplete_line_is_cut_from_the_events(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    (events,) = killed.glob("events-*")
    whole = events.read_bytes()
    events.write_bytes(whole + b'{"type":"gap","time"')
    assert any(str(events) in text for text in recovered(killed))
    assert events.read_bytes() == whole


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


# The writer that was stopped is freed without being closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", range(1, 8))
def test_a_recovery_that_is_killed_in_the_middle_is_done_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """A kill is an exception at the n-th change of a file, whose folder is copied at that moment."""
    with written_run(tmp_path / "live") as run:
        killed = run.copied(tmp_path / "killed")
    moments: list[Path] = []

    def changing(action: Any) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            moments.append(Path(shutil.copytree(killed, tmp_path / f"moment{len(moments)}")))
            if len(moments) == at:
                raise KilledError
            return action(*arguments, **options)

        return change

    for name in ("rebuild.publish", "earlier_files.publish", "rebuild.shutil.rmtree"):
        monkeypatch.setattr(f"cpapi_fast.files.{name}", changing(publish if "publish" in name else shutil.rmtree))
    monkeypatch.setattr(Path, "unlink", changing(Path.unlink))
    with contextlib.suppress(KilledError):
        recover(killed, lambda _text: None)
    monkeypatch.undo()
    assert moments
    for folder in (killed, *moments):
        recovered(folder)
        assert rows(folder) == rows(run.folder)
        assert not list(folder.glob("*.part"))
        assert not list(folder.glob(".recovery*"))


def test_a_complete_table_gets_its_name(run: WrittenRun, tmp_path: Path) -> None:
    run.close()
    done = Path(shutil.copytree(run.folder, tmp_path / "done"))
    for path in done.glob("*.parquet"):
        path.rename(path.with_name(path.name + ".part"))
    recovered(done)
    assert names(done) == names(run.folder)
    assert rows(done) == rows(run.folder)


def test_what_cannot_be_rebuilt_stays_unchanged_and_is_reported(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    for path in killed.glob("capture-*"):
        path.unlink()
    parts = {path: path.read_bytes() for path in killed.glob("*.part")}
    odd = killed / "mine.parquet.part"
    odd.write_bytes(b"half")
    reports = recovered(killed)
    for path, content in parts.items():
        assert path.read_bytes() == content
        assert any(str(path) in text and "has no capture" in text for text in reports)
    assert odd.read_bytes() == b"half"
    assert any(str(odd) in text for text in reports)


def test_missing_first_captures_are_reported(tmp_path: Path) -> None:
    with written_run(tmp_path / "live", roll_bytes=2500) as run:
        killed = run.copied(tmp_path / "killed")
    captures = sorted(killed.glob("capture-*"))
    assert len(captures) > 1
    captures[0].unlink()
    assert any("the first captures of the run are not there" in text for text in recovered(killed))
    assert (
        table_rows(killed, "ticks-*.parquet")[-1]["received"]
        == table_rows(run.folder, "ticks-*.parquet")[-1]["received"]
    )


def test_a_damaged_capture_is_not_changed(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    last = max(killed.glob("capture-*"))
    content = last.read_bytes() + bytes(64)
    last.write_bytes(content)
    assert any(str(last) in text and "verify --repair" in text for text in recovered(killed))
    assert last.read_bytes() == content


def test_damage_in_the_middle_of_a_killed_capture_costs_its_message_only(tmp_path: Path) -> None:
    """A damaged length looks like an incomplete message, but whole ones follow. Nothing is cut then."""
    with written_run(tmp_path / "live", roll_bytes=1_000_000) as run:
        killed = run.copied(tmp_path / "killed")
    (path,) = killed.glob("capture-*")
    before, events = frames_of(killed), [file.read_bytes() for file in killed.glob("events-*")]
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xff\xff\xff", len(content) // 2)
    lost = next(message for message in CaptureWalk(path) if message.start == place)
    content[place + 6] ^= 1  # The length of the metadata: more than the rest of the file.
    path.write_bytes(content)
    reports = recovered(killed)
    assert any("1 damaged messages stay in it" in text for text in reports)
    assert path.read_bytes()[: len(content)] == content
    (message,) = [one for one in CaptureWalk(path) if one.damage]
    assert (message.start, message.end) == (lost.start, lost.end)
    assert last_frame_ns(killed) == START_NS + (run.frames - 4) * SECOND_NS
    assert "repaired" in repair(path)
    assert len(frames_of(killed)) == len(before) - lost.batch.num_rows
    assert [file.read_bytes() for file in killed.glob("events-*")] == events


def test_rows_after_a_damaged_message_are_rebuilt(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    path = min(killed.glob("capture-*"))
    large = max(CaptureWalk(path), key=lambda message: message.end - message.start)
    content = bytearray(path.read_bytes())
    content[large.end - 9] ^= 1
    path.write_bytes(content)
    recovered(killed)
    run.close()
    lost_ns = set(large.batch["received_ns"].to_pylist())
    for name in ("ticks", "orders"):
        # Every row has the last availability, also that of frames before.
        expected, found = (
            [
                {key: value for key, value in row.items() if key != "availability"}
                for row in table_rows(folder, f"{name}-*.parquet")
                if row["received"] not in lost_ns
            ]
            for folder in (run.folder, killed)
        )
        assert found == expected


def test_no_value_is_carried_over_missing_frames(tmp_path: Path) -> None:
    """Each frame has one of two fields, so the first quote of each contract behind the damage has one value."""
    with written_run(tmp_path / "live", roll_bytes=1_000_000) as run:
        killed = run.copied(tmp_path / "killed")
    for path in killed.glob("*.part"):
        path.unlink()
    for path in killed.glob("quotes-*"):
        path.unlink()
    (path,) = killed.glob("capture-*")
    message = [*CaptureWalk(path)][1]
    content = bytearray(path.read_bytes())
    content[message.end - 9] ^= 1
    path.write_bytes(content)
    recovered(killed)
    after_ns = message.batch["received_ns"].to_pylist()[-1]
    first = next(row for row in table_rows(killed, "quotes-*.parquet") if row["received"] > after_ns)
    live = next(row for row in table_rows(run.folder, "quotes-*.parquet") if row["received"] > after_ns)
    values = ("last_price", "bid_price")
    assert [live[name] is None for name in values] == [False, False]
    assert sum(first[name] is not None for name in values) == 1


def test_batches_that_are_smaller_than_those_of_the_run(
    run: WrittenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the run may end within a batch of which the recovery makes several."""
    monkeypatch.setattr("cpapi_fast.files.run_stream._MOST_FRAMES", 2)
    killed = run.copied(tmp_path / "killed")
    recovered(killed)
    run.close()
    assert rows(killed) == rows(run.folder)
    for path in killed.glob("ticks-*"):
        if (run.folder / path.name).exists():
            span, live = (span_of(one) for one in (path, run.folder / path.name))
            assert (span.start, span.items) == (live.start, live.items)
    result = verify([killed])
    assert result.is_proven, result


def test_a_length_beyond_the_memory_is_damage(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    path = max(killed.glob("capture-*"))
    *_, last = CaptureWalk(path)
    content = bytearray(path.read_bytes())
    body_bytes = last.end - last.start - 8 - int.from_bytes(content[last.start + 4 : last.start + 8], "little")
    place = content.index(body_bytes.to_bytes(8, "little"), last.start)
    content[place : place + 8] = (1 << 36).to_bytes(8, "little")
    path.write_bytes(content)
    walk = CaptureWalk(path)
    assert not [message for message in walk if message.damage]
    assert walk.end is End.TORN


def test_a_recovery_that_is_stopped_is_done_by_the_next_one(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    run.close()
    for limit in (0, 1, 2, 5, 12, 13, 20):
        asked = iter(range(limit))
        reports: list[str] = []
        recover(killed, reports.append, lambda asked=asked: next(asked, None) is None)  # type: ignore[misc]
        assert any("stopped" in text for text in reports) or not list(killed.glob("*.part"))
        assert not list(killed.glob(".recovery*"))
    recovered(killed)
    assert rows(killed) == rows(run.folder)


def test_two_recoveries_at_once_double_nothing(run: WrittenRun, tmp_path: Path) -> None:
    """The second one has listed the files before the first one finished them, when only the capture is unfinished."""
    killed = run.copied(tmp_path / "killed")
    run.close()
    for path in killed.glob("*.part"):
        path.unlink()
    others: list[list[str]] = []
    is_asking = False

    def is_stopped() -> bool:
        nonlocal is_asking
        if not is_asking:
            is_asking = True
            others.append(recovered(killed))
        return False

    recover(killed, lambda _text: None, is_stopped)
    assert others[0]
    assert rows(killed) == rows(run.folder)


def test_odd_values_in_events_are_no_events(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    run.close()
    (path,) = killed.glob("events-*")
    gap = next(line for line in path.read_bytes().splitlines() if b'"gap"' in line)
    first, second = orjson.loads(gap) | {"subscription": 5}, orjson.loads(gap) | {"first_good_ns": "x", "cause": "DU1"}
    odd = [b"[]", b'{"row":0,"type":["gap"]}', orjson.dumps(first), orjson.dumps(second)]
    path.write_bytes(b"".join(line + b"\n" for line in odd) + path.read_bytes())
    recovered(killed)
    assert rows(killed) == rows(run.folder)
    for line in odd:
        with pytest.raises(ValueError, match="event") as caught:
            event_line(line)
        assert "DU1" not in str(caught.value)


def test_captures_that_cannot_be_written_have_a_last_frame(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    run.close()
    expected = last_frame_ns(killed)
    for path in killed.iterdir():
        path.chmod(0o400)
    assert last_frame_ns(killed) == expected is not None


def test_a_capture_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "capture-20260101T000000.000000Z-1abcde.arrows"
    names = ("received_ns", "kind", "conid", "raw")
    for types in (("int64", "uint8", "int64", "large_binary"), ("int32", "uint8", "int64", "binary")):
        schema = pa.schema(dict(zip(names, types, strict=True)), metadata=capture_schema().metadata)
        with pa.ipc.new_stream(path, schema) as stream:
            stream.write_batch(pa.RecordBatch.from_pylist([], schema=schema))
        with pytest.raises(ConfigError, match="its columns are not those of a capture"):
            CaptureWalk(path)
    schema = capture_schema()
    with pa.ipc.new_stream(path, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_pylist([], schema=schema))
    path.write_bytes(path.read_bytes().replace(b"conid\0", b"con\xffd\0"))
    with pytest.raises(ConfigError, match="is no capture"):
        CaptureWalk(path)
    row = {"received_ns": 1, "kind": 0, "conid": -1, "raw": b"x"}
    with pa.ipc.new_stream(path, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_pylist([], schema=schema))
        for name in names:
            stream.write_batch(pa.RecordBatch.from_pylist([row | {name: None}], schema=pa.schema(list(schema))))
    assert [bool(message.damage) for message in CaptureWalk(path)] == [True] * 4


def test_rebuilt_files_have_the_mode_and_the_metadata_of_the_run(run: WrittenRun, tmp_path: Path) -> None:
    killed = run.copied(tmp_path / "killed")
    parts = list(killed.glob("*.part"))
    for path in parts:
        path.chmod(0o640)
    recovered(killed)
    run.close()
    for path in parts:
        final = path.with_suffix("")
        assert final.stat().st_mode & 0o777 == 0o640
        live = pq.read_metadata(run.folder / final.name).metadata
        assert pq.read_metadata(final).metadata[b"cpapi_fast.span"] == live[b"cpapi_fast.span"]


def test_the_last_frame_of_the_runs_before(run: WrittenRun, tmp_path: Path) -> None:
    assert last_frame_ns(tmp_path / "none") is None
    killed = run.copied(tmp_path / "killed")
    expected = START_NS + (run.frames - 4) * SECOND_NS
    assert last_frame_ns(killed) == expected
    last = max(killed.glob("capture-*"))
    with last.open("r+b") as file:
        file.truncate(last.stat().st_size - 3)
    torn = last_frame_ns(killed)
    assert torn is not None
    assert torn < expected
    run.close()
    assert last_frame_ns(run.folder) == expected
