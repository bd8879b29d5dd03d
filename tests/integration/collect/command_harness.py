"""Helpers for tests of the command `collect`: its arguments, its output, and its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.simulator import SimulatedGateway
from tests.support.commands import Ended

FINGERPRINT = "0" * 64


def gateway_command(gateway: SimulatedGateway, folder: Path, *more: object, tls: bool = True) -> tuple[object, ...]:
    arguments: list[object] = ["collect", "--url", gateway.url, "--conids", "265598,8314", "--out", folder]
    # If the gateway of a failed test is gone, the command still ends.
    arguments += ["--give-up-after", "20"]
    if tls and gateway.fingerprint:
        arguments += ["--fingerprint", gateway.fingerprint]
    return (*arguments, *more)


def check_bad_input(result: Ended, expected_text: str, code: int) -> None:
    assert result.code == code, result
    assert re.search(expected_text, result.err), result
    assert result.out == ""
    check_lines(result, 1)


def check_gave_up(result: Ended, expected_text: str) -> None:
    """One line for what is wrong, one for the end; and a summary."""
    assert result.code == 1, result
    assert "ended after" in result.out
    check_lines(result, 2)
    assert re.search(expected_text, result.err.splitlines()[0]), result
    assert "error: no data for" in result.err.splitlines()[1]
    assert re.search(expected_text, result.err.splitlines()[1]), result


def check_lines(result: Ended, count: int) -> None:
    lines = result.err.splitlines()
    assert len(lines) == count, result
    assert all(line.startswith("cpapi-fast") for line in lines), result
    assert "Traceback" not in result.err


def check_files(folder: Path, *, may_be_torn: bool = False) -> tuple[list[bytes], int]:
    """Every file opens, in more than one library; the frames of the capture and the number of quotes."""
    frames: list[bytes] = []
    captures = sorted(folder.glob("capture-*.arrows"))
    assert captures
    for path in captures:
        reader = read_capture(path)
        rows = reader.read_all()["raw"].to_pylist()
        if not may_be_torn:
            assert reader.torn_bytes == 0
        if reader.torn_bytes == 0:
            assert len(pl.read_ipc_stream(path)) == len(rows)
        frames += rows
    quotes = 0
    for parquet in folder.glob("*.parquet"):
        quotes += pq.read_table(parquet).num_rows
    return frames, quotes


def check_events(folder: Path, *, may_be_torn: bool = False) -> list[dict[str, Any]]:
    """Every line of the file of events is JSON."""
    (path,) = folder.glob("events-*.jsonl")
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    assert may_be_torn or not torn
    return [orjson.loads(line) for line in whole.splitlines()]


def check_summary(result: Ended, folder: Path) -> None:
    """The printed sums add up and agree with the files."""
    frames, quotes = check_files(folder)
    sums = re.findall(r"([\d,]+) received = ([\d,]+) written \+ ([\d,]+) dropped.* \+ ([\d,]+) pending", result.out)
    received, written = [], []
    for numbers in sums:
        values = [int(number.replace(",", "")) for number in numbers]
        assert values[0] == sum(values[1:])
        received.append(values[0])
        written.append(values[1])
    assert written == [len(frames), quotes, len(check_events(folder))], result.out
    assert "Traceback" not in result.err
