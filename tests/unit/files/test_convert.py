"""convert makes the rows that the run would have written, once, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cpapi_fast.cli import main
from cpapi_fast.errors import ConfigError
from cpapi_fast.files.convert import convert
from cpapi_fast.files.verify import verify
from tests.support.files import table_rows
from tests.support.written_runs import START_NS, written_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    with written_run(path, roll_bytes=2500):
        pass
    return path


@pytest.mark.parametrize("table", ["ticks", "quotes", "orders"])
def test_the_rows_are_those_of_the_run(folder: Path, tmp_path: Path, table: str) -> None:
    (done,) = convert([folder], table, tmp_path / "out")
    expected = table_rows(folder, f"{table}-*.parquet")
    assert table_rows(tmp_path / "out") == expected
    assert done.rows == len(expected)
    assert done.frames == 116
    assert all(verify([path]).is_proven for path in done.files)
    schemas = [pq.read_schema(next(iter(sorted(one.glob(f"{table}-*"))))) for one in (folder, tmp_path / "out")]
    assert schemas[0].equals(schemas[1])
    assert sorted((tmp_path / "out").iterdir()) == list(done.files)


def test_the_names_have_the_time_of_the_first_row(folder: Path, tmp_path: Path) -> None:
    (done,) = convert([folder], "ticks", tmp_path, roll_rows=20)
    assert len(done.files) > 3
    assert done.files[0].name == "ticks-20260101T000000.000000Z-1abcde.parquet"
    assert list(done.files) == sorted(done.files)
    assert table_rows(tmp_path) == table_rows(folder, "ticks-*.parquet")
    assert START_NS == 1_767_225_600_000_000_000


def test_some_of_the_captures_and_other_fields(folder: Path, tmp_path: Path) -> None:
    captures = sorted(folder.glob("*.arrows"))
    (done,) = convert(captures[1:3], "ticks", tmp_path, fields=["last_price"])
    assert done.problems == ("the first captures of the run are not there, so values from before may be null",)
    names = pq.read_schema(done.files[0]).names
    assert "last_price" in names
    (gap,) = convert([captures[0], captures[2]], "ticks", tmp_path / "gap")
    assert gap.problems == ("30 frames are in no capture",)


def test_rows_are_never_there_twice(folder: Path, tmp_path: Path) -> None:
    convert([folder], "ticks", tmp_path)
    before = table_rows(tmp_path)
    # A conversion that was killed leaves its folder.
    (tmp_path / ".convert-ticks-1abcde").mkdir()
    with pytest.raises(ConfigError, match="only some of the files"):
        convert([folder], "ticks", tmp_path)
    (tmp_path / ".convert-ticks-1abcde").rmdir()
    with pytest.raises(ConfigError, match="already; choose another folder"):
        convert([folder], "ticks", tmp_path)
    assert table_rows(tmp_path) == before
    (done,) = convert([folder], "quotes", tmp_path)
    assert done.files


def test_a_conversion_that_fails_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        pass

    def stop(*_arguments: Any) -> None:
        raise StoppedError

    monkeypatch.setattr("cpapi_fast.outputs.tables.market_data.MarketDataWriter.observe_event", stop)
    with pytest.raises(StoppedError):
        convert([folder], "ticks", tmp_path / "out")
    monkeypatch.undo()
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_capture_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no capture"):
        convert([tmp_path], "ticks", tmp_path)
    with pytest.raises(ConfigError, match="is no capture of a run"):
        convert([next(folder.glob("*.parquet"))], "ticks", tmp_path)
    with pytest.raises(ConfigError, match="the table must be one of"):
        convert([folder], "candles", tmp_path)


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), "--to", "quotes", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "run 1abcde: 116 frames" in out
    assert table_rows(tmp_path) == table_rows(folder, "quotes-*.parquet")
    assert main(["convert", str(folder), "--to", "quotes", "--out", str(tmp_path)]) == 2
