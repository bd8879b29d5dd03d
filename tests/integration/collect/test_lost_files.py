"""Files of a running collector that other programs delete, move or change: told, counted, and an error at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.run import collect
from cpapi_fast.errors import OutputError
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter, StartGateway
from tests.integration.collect.command_harness import check_events, check_files, gateway_command
from tests.integration.collect.harness import captured, check_summary, client_of, happened, options_of, sent
from tests.support.commands import ended, start

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted there")


def delete_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def empty_files(folder: Path) -> None:
    for path in folder.iterdir():
        os.truncate(path, 0)


async def has_written(gateway: SimulatedGateway, collector: Collector, count: int) -> None:
    """Wait until so many frames are in the capture, and a change of state in the events."""

    def has() -> bool:
        counts = {name: counts.written for name, counts in collector.status().outputs}
        return counts.get("capture", 0) > count and counts.get("events", 0) > 0

    await gateway.wait_for(has)


@pytest.mark.gateway(rate=100.0)
@pytest.mark.parametrize("act", [delete_files, delete_folder, empty_files])
async def test_what_was_lost_is_told_and_the_run_goes_on(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, act: Callable[[Path], None]
) -> None:
    folder = tmp_path / "out"
    notices: list[str] = []
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, folder), on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await has_written(gateway, collector, 10)
    act(folder)
    await gateway.wait_for(lambda: sum("another program has" in text for text in notices) >= 2)
    written = collector.status().outputs[0][1].written
    await gateway.wait_for(lambda: collector.status().outputs[0][1].written > written + 10)
    stop.set()
    with pytest.raises(OutputError, match=r"frames and .*events were lost"):
        await running
    summary = collector.summary
    assert summary is not None
    assert "were lost" in summary.reason
    check_summary(summary, folder)
    capture, _, events = summary.outputs
    assert capture.counts.lost > 10
    assert events.counts.lost > 0
    lines = [line for line in happened(folder) if line["type"] == "file"]
    assert {line["unit"]: line["lost"] for line in lines if line["unit"] != "quotes"} == {
        "frames": capture.counts.lost,
        "events": events.counts.lost,
    }
    # What is there is what the gateway sent last.
    frames = [raw for _, _, raw in captured(folder)]
    assert frames == sent(gateway)[capture.counts.lost :][: len(frames)]


@pytest.mark.gateway(rate=100.0)
async def test_policy_fail_ends_the_run(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    collector = Collector(client, options_of(client, folder, lost_files="fail"))
    running = asyncio.create_task(collector.run())
    await has_written(gateway, collector, 10)
    delete_folder(folder)
    with pytest.raises(OutputError, match="another program has deleted it"):
        await running
    summary = collector.summary
    assert summary is not None
    for output in summary.outputs:
        assert (output.counts.written, output.counts.pending, output.files) == (0, 0, ())
        assert output.counts.received == output.counts.dropped_total
    assert not folder.exists()


@pytest.mark.gateway(rate=100.0)
async def test_moved_files_are_complete_and_no_loss(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    folder, moved = tmp_path / "out", tmp_path / "moved"
    notices: list[str] = []
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, folder), on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await has_written(gateway, collector, 10)
    folder.rename(moved)
    await gateway.wait_for(lambda: sum("moved" in text for text in notices) >= 2)
    stop.set()
    summary = await running
    check_summary(summary, folder)
    capture = summary.outputs[0]
    assert capture.counts.lost == 0
    (path,) = moved.glob("capture-*.arrows")
    reader = read_capture(path)
    assert reader.read_all().num_rows == capture.counts.taken_away
    assert reader.is_finished
    frames = reader.read_all()["raw"].to_pylist() + [raw for _, _, raw in captured(folder)]
    assert frames == sent(gateway)[: len(frames)], "nothing is missing between the two"


@pytest.mark.gateway(rate=100.0)
async def test_two_collectors_in_one_folder(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    """Each has its own files, also if they roll all the time; and another one deletes them."""
    options = options_of(client, tmp_path, duration_s=60.0, roll_interval_s=5.0)
    summaries = await asyncio.gather(*(collect(client, options) for _ in range(2)))
    files = [path for summary in summaries for output in summary.outputs for path, _ in output.files]
    assert len(set(files)) == len(files) > 20
    assert sorted(files) == sorted(path.resolve() for path in tmp_path.iterdir())
    for summary in summaries:
        for output in summary.outputs:
            own = [path for path, _ in output.files]
            assert own == sorted(own)
            assert len({path.name.rpartition("-")[2] for path in own}) == 1
    rows = sum(read_capture(path).read_all().num_rows for path in tmp_path.glob("capture-*.arrows"))
    assert rows == sum(summary.outputs[0].counts.written for summary in summaries)


@pytest.mark.gateway(rate=100.0)
async def test_all_files_are_private(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    before = os.umask(0o022)
    try:
        await collect(client, options_of(client, folder, duration_s=20.0))
    finally:
        os.umask(before)
    modes = {path.name.partition("-")[0]: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("capture", "quotes", "events"), 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


async def test_a_redacted_capture_has_no_secret(start_gateway: StartGateway, enter: Enter, tmp_path: Path) -> None:
    gateway = await start_gateway(rate=200.0)
    client = await enter(client_of(gateway))
    summary = await collect(client, options_of(client, tmp_path, duration_s=60.0, redact_captures=True))
    check_summary(summary, tmp_path)
    frames = [raw for _, _, raw in captured(tmp_path)]
    original = sent(gateway)[: len(frames)]
    assert [len(raw) for raw in frames] == [len(raw) for raw in original]
    data = b"\n".join(frames)
    assert gateway.session_id.encode() not in data
    assert b"DU1234567" not in data
    differing = [raw for raw, other in zip(original, frames, strict=True) if raw != other]
    assert differing, "the burst at the start has secrets"
    assert not any(raw.startswith(b'{"server_id"') for raw in differing), "quotes are unchanged"


async def test_the_command_ends_with_1(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(speed=1.0, rate=200.0, tls=True)
    folder = tmp_path / "out"
    command = await start(*gateway_command(gateway, folder, "--duration", "4", "--flush-interval", "0.1"))
    for _ in range(400):
        await asyncio.sleep(0.05)
        if any(path.stat().st_size > 20_000 for path in folder.glob("capture-*.arrows")):
            break
    delete_folder(folder)
    result = await ended(command)
    assert result.code == 1, result
    lines = result.err.splitlines()
    assert any("another program has deleted" in line for line in lines), result
    assert lines[-1].startswith("cpapi-fast: error: ")
    assert "were lost" in lines[-1]
    assert "file deleted" in result.out
    frames, quotes = check_files(folder)
    assert f"{len(frames):,} written" in result.out
    assert f"{quotes:,} written" in result.out
    assert f"{len(check_events(folder)):,} written" in result.out
