"""The files of a run: every frame of the gateway is in the capture, and runs do not touch other files."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.collect.run import collect
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.rest.client import Client
from tests.conftest import Enter, StartGateway
from tests.integration.collect.harness import (
    CONIDS,
    captured,
    check_summary,
    client_of,
    options_of,
    quoted,
    sent,
)
from tests.oracles.reference import full_decode
from tests.support.files import table_rows

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.each_loop
@pytest.mark.parametrize("tls", [True, False])
async def test_every_frame_of_the_gateway_is_in_the_capture(
    start_gateway: StartGateway, enter: Enter, tmp_path: Path, tls: bool
) -> None:
    gateway = await start_gateway(tls=tls, rate=200.0)
    client = await enter(client_of(gateway))
    notices: list[str] = []
    options = options_of(client, tmp_path / "new" / "folder", duration_s=20.0)
    summary = await collect(client, options, on_notice=notices.append)
    assert notices == []
    assert gateway.connections[0].close_code == 1000
    frames = sent(gateway)
    folder = tmp_path / "new" / "folder"
    check_summary(summary, folder)
    assert summary.reason == "the duration is over"
    assert summary.duration_s >= 20.0
    rows = captured(folder)
    # Only frames that were on their way when we closed may be missing, and those are counted.
    assert [raw for _, _, raw in rows] == frames[: len(rows)]
    assert len(frames) - len(rows) >= summary.feed.connection.dropped
    assert len(rows) > 1000
    for kind, conid, raw in rows:
        answer = full_decode(raw)
        assert (kind, conid) == (answer.kind, -1 if answer.conid is None else answer.conid)
    assert Counter(conid for kind, conid, _ in rows if kind == FrameKind.MARKET_DATA).keys() == set(CONIDS)
    assert {row["conid"] for row in quoted(folder)} == set(CONIDS)
    assert any(row["last_price"] is not None for row in quoted(folder))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.jsonl")), ids=lambda path: path.stem)
async def test_replayed_file_is_captured_byte_for_byte(
    start_gateway: StartGateway, enter: Enter, tmp_path: Path, path: Path
) -> None:
    lines = path.read_bytes().splitlines()
    assert lines

    gateway = await start_gateway(replay=path)
    client = await enter(client_of(gateway))
    stop = asyncio.Event()
    running = asyncio.create_task(collect(client, options_of(client, tmp_path, conids=()), stop=stop))
    await asyncio.wait_for(gateway.replay_done.wait(), 10)
    await asyncio.sleep(0.1)
    stop.set()
    summary = await running
    frames = sent(gateway)
    check_summary(summary, tmp_path)
    assert summary.reason == "stopped"
    rows = captured(tmp_path)
    burst = [raw for _, _, raw in rows[:3]]
    assert {full_decode(raw).topic for raw in burst} == {"system", "act", "sts"}
    # Heartbeats of the gateway's own go on meanwhile; `lines` hold none of the kind that this simulator sends now.
    replayed = [row for row in rows[3:] if row[2] in lines or not row[2].startswith(b'{"topic":"system","hb":')]
    assert [raw for _, _, raw in replayed] == lines
    for kind, conid, raw in rows:
        answer = full_decode(raw)
        assert (kind, conid) == (answer.kind, -1 if answer.conid is None else answer.conid)
    assert [raw for _, _, raw in rows] == frames


async def test_runs_at_the_same_time_write_different_files(client: Client, tmp_path: Path) -> None:
    options = options_of(client, tmp_path, duration_s=60.0)
    summaries = list(await asyncio.gather(*(collect(client, options) for _ in range(3))))
    files = [path for summary in summaries for output in summary.outputs for path, _ in output.files]
    assert len(set(files)) == len(files) == 9


async def test_unfinished_files_of_others_are_reported_and_left_unchanged(client: Client, tmp_path: Path) -> None:
    part = tmp_path / "quotes-20260101T000000Z-00001.parquet.part"
    part.write_bytes(b"half")

    notices: list[str] = []
    await collect(client, options_of(client, tmp_path, duration_s=60.0), on_notice=notices.append)
    (notice,) = notices
    assert str(part) in notice
    assert part.read_bytes() == b"half"


async def test_a_restart_writes_the_gap_since_the_last_frame(client: Client, tmp_path: Path) -> None:
    options = options_of(client, tmp_path, duration_s=60.0)
    first = await collect(client, options)
    assert "not_running" not in first.gaps
    before = received(tmp_path)

    notices: list[str] = []
    second = await collect(client, options, on_notice=notices.append)
    assert second.gaps["not_running"] == 1
    (gap,) = not_running(tmp_path)
    # Several frames of one socket read have the same time.
    first_ns = received(tmp_path)[len(before)]
    assert (gap["row"], gap["last_good_ns"], gap["first_good_ns"]) == (0, before[-1], first_ns)
    assert any("no run collected into this folder" in notice for notice in notices)


async def test_a_killed_run_is_finished_by_the_next_one(client: Client, tmp_path: Path) -> None:
    live, killed = tmp_path / "live", tmp_path / "killed"
    stop = asyncio.Event()
    running = asyncio.create_task(collect(client, options_of(client, live, tables=("ticks", "quotes")), stop=stop))
    while not any(received(live)[20:]):  # noqa: ASYNC110 - what is waited for is in files
        await asyncio.sleep(0.02)
    # What a kill leaves at this moment.
    await asyncio.to_thread(shutil.copytree, live, killed)
    stop.set()
    await running
    rows = {name: table_rows(live, f"{name}-*.parquet") for name in ("ticks", "quotes")}

    notices: list[str] = []
    last_ns = received(killed)[-1]
    (capture,) = killed.glob("capture-*")
    await collect(client, options_of(client, killed, duration_s=5.0), on_notice=notices.append)
    (gap,) = not_running(killed)
    assert gap["last_good_ns"] == last_ns
    assert any("finished the capture of a run that was killed" in notice for notice in notices)
    reader = read_capture(capture)
    data_frames = reader.read_all()["kind"].to_pylist().count(int(FrameKind.MARKET_DATA))
    assert reader.is_finished
    run = capture.stem[-6:]
    found = {name: table_rows(killed, f"{name}-*-{run}.parquet") for name in rows}
    assert len(found["ticks"]) == data_frames
    for name, expected in rows.items():
        assert found[name]
        assert without_lateness(found[name]) == without_lateness(expected[: len(found[name])])


def without_lateness(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lateness of a frame is not in a capture."""
    return [{name: value for name, value in row.items() if name != "late_ns"} for row in rows]


def received(folder: Path) -> list[int]:
    paths = sorted(folder.glob("capture-*.arrows"))
    return [time for path in paths for time in read_capture(path).read_all()["received_ns"].to_pylist()]


def not_running(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for path in sorted(folder.glob("events-*")) for line in path.read_bytes().splitlines()]
    return [line for line in lines if line["type"] == "gap" and line["cause"] == "not_running"]
