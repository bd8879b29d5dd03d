"""verify proves that files are whole and finds any byte that was changed; repair keeps what is whole."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.cli import main
from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.files.recovery import recover
from cpapi_fast.files.repair import repair
from cpapi_fast.files.verify import Verification, verify
from cpapi_fast.outputs.capture import capture_schema, read_capture
from tests.support.written_runs import WrittenRun, written_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a finished run, several of each kind. Tests change copies only."""
    path = tmp_path_factory.mktemp("runs") / "run"
    with written_run(path, roll_bytes=2500):
        pass
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def live(tmp_path: Path) -> Iterator[WrittenRun]:
    with written_run(tmp_path / "live") as run:
        yield run


def problems_of(result: Verification) -> str:
    return "\n".join([*result.problems, *(f"{one.path}: {text}" for one in result.files for text in one.problems)])


def test_a_finished_run_is_proven(folder: Path) -> None:
    result = verify([folder])
    assert result.is_proven, problems_of(result)
    assert (result.notes, [one.notes for one in result.files if one.notes]) == ((), [])
    counts = {unit: sum(one.count for one in result.files if one.unit == unit) for unit in ("frames", "rows", "events")}
    frames = [
        raw for path in sorted(folder.glob("*.arrows")) for raw in read_capture(path).read_all()["raw"].to_pylist()
    ]
    assert counts["frames"] == len(frames)
    assert sum(one.payload_bytes for one in result.files) == sum(map(len, frames))
    assert counts["rows"] == sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
    assert counts["events"] == 6


@pytest.mark.parametrize("suffix", [".arrows", ".parquet"])
def test_any_changed_byte_of_a_capture_and_of_a_table_is_found(folder: Path, tmp_path: Path, suffix: str) -> None:
    source = max(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_size)
    content = source.read_bytes()
    changed = tmp_path / source.name
    chosen = random.Random(7)
    places = {*range(0, len(content), max(1, len(content) // 150)), *range(len(content) - 24, len(content))}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << chosen.randrange(8)
        changed.write_bytes(damaged)
        assert not verify([changed]).is_proven, f"byte {place} of {len(content)}"


@pytest.mark.parametrize("suffix", [".arrows", ".parquet", ".jsonl"])
def test_a_file_that_was_cut_anywhere_is_found(folder: Path, tmp_path: Path, suffix: str) -> None:
    source = max(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_size)
    content = source.read_bytes()
    changed = tmp_path / source.name
    for length in range(0, len(content) - 1, max(1, len(content) // 60)):
        changed.write_bytes(content[:length])
        whole = suffix == ".jsonl" and (not length or content[length - 1] == 10)
        assert verify([changed]).is_proven == whole, length


def test_a_missing_capture_is_found(copy: Path) -> None:
    second = sorted(copy.glob("*.arrows"))[1]
    second.unlink()
    assert "1 captures of the run 1abcde are missing before" in problems_of(verify([copy]))


def test_a_missing_table_is_found(copy: Path) -> None:
    sorted(copy.glob("ticks-*"))[1].unlink()
    assert "1 files of the run 1abcde are missing before" in problems_of(verify([copy]))


def test_a_table_that_does_not_fit_the_capture_is_found(copy: Path, tmp_path: Path) -> None:
    """The files of two runs under one name: each is whole, but not of the same frames."""
    with written_run(tmp_path / "other", roll_rows=1000) as other:
        other.write(70)
    for path in copy.glob("ticks-*"):
        path.unlink()
    (table,) = other.folder.glob("ticks-*")
    shutil.copy(table, copy)
    assert "rows of frames that are in no capture" in problems_of(verify([copy]))


def test_a_run_that_writes_is_left_out_and_a_killed_one_is_not_proven(live: WrittenRun, tmp_path: Path) -> None:
    result = verify([live.folder])
    assert result.is_proven
    assert any(one.is_in_use for one in result.files)
    killed = live.copied(tmp_path / "killed")
    assert "it was not finished" in problems_of(verify([killed]))
    recover(killed, lambda _text: None)
    result = verify([killed])
    assert result.is_proven, problems_of(result)


def test_rows_in_the_capture_that_a_run_writes_are_no_problem(tmp_path: Path) -> None:
    """Some captures and tables are finished; the last frames of the tables are in the capture that is not."""
    with written_run(tmp_path / "live", roll_bytes=5000, roll_rows=7) as run:
        run.write(9)
        result = verify([run.folder])
        assert len([one for one in result.files if one.unit == "frames" and not one.is_in_use]) > 0
        assert any(one.is_in_use for one in result.files if one.unit == "frames")
    assert result.is_proven, problems_of(result)


def test_a_repair_that_was_killed_goes_on(copy: Path) -> None:
    path = max(copy.glob("*.arrows"))
    content = path.read_bytes()[:-9]
    path.write_bytes(content)
    kept = path.with_name(path.name + ".damaged")
    kept.hardlink_to(path)
    assert "repaired" in repair(path)
    assert kept.read_bytes() == content
    assert verify([path]).is_proven


def test_an_event_after_the_last_frame_is_a_note(live: WrittenRun, tmp_path: Path) -> None:
    live.write(3, flushes=False)
    live.lose_connection()
    killed = live.copied(tmp_path / "killed")
    recover(killed, lambda _text: None)
    result = verify([killed])
    assert result.is_proven
    assert any("3 events are after the last frame" in note for note in result.notes)


def test_a_capture_of_an_earlier_version_has_a_note(tmp_path: Path) -> None:
    path = tmp_path / "old.arrows"
    schema = capture_schema()
    rows = [{"received_ns": 5 - index, "kind": 0, "conid": -1, "raw": b"x"} for index in range(2)]
    with pa.ipc.new_stream(path, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_pylist([], schema=schema))
        stream.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    (result,) = verify([path]).files
    assert result.notes == ("it has no checksums, so damage that gives other bytes of frames is not found",)
    assert result.problems == ("receive times go back 1 times",)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        verify([tmp_path / "none"])
    other = tmp_path / "notes.txt"
    other.write_text("x")
    with pytest.raises(ConfigError, match="no file of a run"):
        verify([other])
    with pytest.raises(ConfigError, match="cannot be repaired"):
        repair(other)
    text = tmp_path / "text.arrows"
    text.write_text("this is no capture")
    assert "is no capture" in problems_of(verify([text]))
    with pytest.raises(ConfigError, match="is no capture"):
        repair(text)


def frames_of(table: pa.Table) -> list[tuple[int, bytes]]:
    return list(zip(table["received_ns"].to_pylist(), table["raw"].to_pylist(), strict=True))


def test_a_repair_keeps_what_is_whole_and_the_original(tmp_path: Path) -> None:
    copy = tmp_path / "run"
    with written_run(copy, roll_bytes=1_000_000):
        pass
    (path,) = copy.glob("*.arrows")
    before = read_capture(path).read_all()
    content = bytearray(path.read_bytes())
    middle = content.index(b"crc32=", len(content) // 2)
    content[middle + 7] ^= 1
    path.write_bytes(content[:-9])
    text = repair(path)
    assert "damaged messages" in text
    assert path.with_name(path.name + ".damaged").read_bytes() == content[:-9]
    result = verify([path])
    assert result.is_proven, problems_of(result)
    after = frames_of(read_capture(path).read_all())
    assert 0 < len(after) < before.num_rows
    assert [one for one in frames_of(before) if one in set(after)] == after
    assert repair(path) == ""
    # The original is never overwritten.
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"exists; move that file away"):
        repair(path)
    assert path.read_bytes() == content
    assert not list(copy.glob("*.part"))
    assert not list(copy.glob(".*"))


def test_a_repair_of_events(copy: Path) -> None:
    (path,) = copy.glob("events-*")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b'{"type":"nonsense","row":0}\n', *lines[1:]]) + b'{"type"')
    assert not verify([path]).is_proven
    assert "2 damaged lines are left out" in repair(path)
    assert path.read_bytes() == b"".join(lines)


def test_a_file_that_a_run_writes_is_not_repaired(live: WrittenRun) -> None:
    path = max(live.folder.glob("*.arrows"))
    with pytest.raises(ConfigError, match="a run still writes it"):
        repair(path)


def test_the_command(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(copy)]) == 0
    assert "nothing is damaged or missing" in capsys.readouterr().out
    path = max(copy.glob("*.arrows"))
    path.write_bytes(path.read_bytes()[:-8] + b"half")
    assert main(["verify", str(copy)]) == 1
    assert f"damaged: {path}" in capsys.readouterr().out
    assert main(["verify", str(copy), "--repair"]) == 0
    assert "every file is whole now" in capsys.readouterr().out
    assert main(["verify", str(copy)]) == 0
    with pytest.raises(SystemExit, match="2"):
        main(["verify", str(copy / "none")])
    assert "does not exist" in capsys.readouterr().err
