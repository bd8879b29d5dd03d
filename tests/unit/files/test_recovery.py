"""The files of killed runs are finished at the next start: nothing that the capture has is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cpapi_fast.files.recovery import last_frame_ns, recover
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.outputs.interface import publish
from tests.support.files import table_rows
from tests.support.runs import SECOND_NS, START_NS, WrittenRun, written_run

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
