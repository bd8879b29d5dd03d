"""`cpapi-fast replay`: its summary, quotes, selection by time, the files that it writes, and its errors."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cpapi_fast as cf
from cpapi_fast.cli.files.replay_command import moment, speed
from cpapi_fast.cli.main import main
from tests.integration.replay.test_replay import recorded

__all__ = ["recorded"]


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> tuple[str, str]:
    assert main(("replay", *argv)) == code
    out, err = capsys.readouterr()
    return out, err


def test_events_and_a_summary_are_printed(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, str(recorded), "--speed", "max")
    assert err == ""
    assert "replayed   7 frames in 4 batches" in out
    assert "events     7, of which 2 are gaps" in out
    assert "recorded   1970-01-01T00:00:00.500+00:00 to 1970-01-01T00:00:05.000+00:00" in out
    assert "connection lost" in out


def test_quotes_are_shown_and_what_is_left_out_is_counted(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, str(recorded), "--speed", "max", "--conids", "1", "--fields", "last_price,84", "--asyncio")
    assert re.search(r"^00:00:05 1 .*last=12", out, re.MULTILINE) or "last=12" in out
    assert "left out   3 frames of other subscriptions" in out


def test_a_part_is_written_again(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(
        capsys,
        *(str(recorded / "capture.arrows"), "--speed", "max", "--out", str(tmp_path / "again")),
        *("--start", "1970-01-01T00:00:02Z", "--end", "4000000000"),
    )
    (written,) = re.findall(r"^wrote +(\S+)$", out, re.MULTILINE)
    table = cf.read_capture(written).read_all()
    assert table["received_ns"].to_pylist() == [2_000_000_000, 3_000_000_000, 3_000_000_000]
    whole = cf.read_capture(recorded / "capture.arrows").read_all()
    assert table.equals(whole.slice(3, 3).combine_chunks()) or table.to_pylist() == whole.slice(3, 3).to_pylist()


def test_a_torn_capture_is_reported(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded / "capture.arrows"
    path.write_bytes(path.read_bytes()[:-20])
    out, err = run(capsys, str(path), "--speed", "max")
    assert "replayed   4 frames" in out
    assert "1 captures end in an incomplete message" in err


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (("missing",), "there is no file or folder missing"),
        ((".",), "there is no capture in"),
        (("{}/events.jsonl",), "is no capture"),
        (("{}", "--only-run", "123456"), "there is no capture of the run 123456"),
        (("{}", "--fields", "31"), "--fields needs --conids"),
        (("{}", "--start", "5", "--end", "4"), "start must be before --end|--start must be before"),
    ],
)
def test_errors_are_one_line_with_exit_code_2(
    recorded: Path,
    argv: tuple[str, ...],
    match: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = recorded / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    out, err = run(capsys, *(part.format(recorded) for part in argv), code=2)
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(match, err) or "must be before" in err


def test_times_and_speeds_are_parsed() -> None:
    assert speed("max") is None
    assert speed("2.5") == 2.5
    assert moment("1767364200000000000") == 1_767_364_200_000_000_000
    assert moment("2026-01-02T14:30:00Z") == datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
    for text in ("2026-01-02T14:30:00", "yesterday", "", "-5"):
        with pytest.raises(argparse.ArgumentTypeError):
            moment(text)
