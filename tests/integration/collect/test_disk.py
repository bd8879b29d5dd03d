"""A full disk ends a run; a slow one holds the socket or drops frames, depending on the policy."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.reports import Summary
from cpapi_fast.errors import OutputError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.tables.market_data import QuotesWriter
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter, StartGateway
from tests.integration.collect.harness import (
    captured,
    check_summary,
    client_of,
    happened,
    options_of,
    quoted,
)


def dropped_of(summary: Summary, name: str) -> int:
    (queue,) = (output.queue for output in summary.outputs if output.name == name)
    return queue.dropped_total


def check_output_gaps(summary: Summary, folder: Path, policy: str) -> None:
    """Each output that dropped frames has gaps with their numbers in the events, and the table ends its segments."""
    gaps = [line for line in happened(folder) if line["type"] == "output_gap"]
    assert {line["reason"] for line in gaps} == {"queue full"}
    for output in summary.outputs:
        assert sum(line["frames_dropped"] for line in gaps if line["output"] == output.name) == (
            output.queue.dropped_total
        )
    assert dropped_of(summary, "quotes") > 0
    quotes = summary.outputs[1].counts
    assert 0 < quotes.dropped["queue full"] <= dropped_of(summary, "quotes")
    if policy == "drop_newest":
        # What is dropped may be the last.
        return
    segments: dict[int, set[int]] = {}
    for row in quoted(folder):
        segments.setdefault(row["conid"], set()).add(row["segment"])
    assert max(map(len, segments.values())) > 1, "no value is carried across dropped frames"


@pytest.mark.gateway(rate=100.0)
async def test_disk_full(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_all(_file: object, _data: object) -> None:
        raise OSError(28, "No space left on device")

    collector = Collector(client, options_of(client, tmp_path, flush_interval_s=1.0))
    running = asyncio.create_task(collector.run())
    await gateway.wait_for(lambda: any(counts.written > 10 for _, counts in collector.status().outputs))
    monkeypatch.setattr("cpapi_fast.outputs.output_file.write_all", write_all)
    with pytest.raises(OutputError, match="free some space"):
        await running
    check_summary(collector.summary, tmp_path)
    assert collector.summary is not None
    assert collector.summary.outputs[0].counts.dropped_total > 0


async def test_a_slow_disk_holds_the_socket_and_loses_nothing(
    start_gateway: StartGateway, enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket is not read for a while: a replayed file is complete even if the disk is slower than the gateway."""
    lines = [b'{"31":"%d","topic":"smd+%d"}' % (number, number % 7) for number in range(20_000)]
    write = QuotesWriter.write

    def write_slowly(self: QuotesWriter, batch: Batch) -> None:
        time.sleep(0.005)
        write(self, batch)

    monkeypatch.setattr(QuotesWriter, "write", write_slowly)
    replay = tmp_path / "replay.jsonl"
    replay.write_bytes(b"\n".join(lines))
    out = tmp_path / "out"

    gateway = await start_gateway(speed=1.0, replay=replay)
    client = await enter(client_of(gateway))
    notices: list[str] = []
    stop = asyncio.Event()
    options = options_of(client, out, conids=(), max_queue_bytes=50_000)
    collector = Collector(client, options, on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    most_queued = 0
    while (counts := dict(collector.status().outputs).get("quotes")) is None or counts.received < len(lines):
        most_queued = max(most_queued, collector.status().queued_bytes)
        await asyncio.sleep(0.001)
    stop.set()
    assert most_queued > 50_000, "the bound was reached"
    # The bound, and a socket read of at most 256 KiB that exceeds it, with the overhead of its small frames.
    assert most_queued < 50_000 + 4 * 256 * 1024
    summary = await running
    check_summary(summary, out)
    assert any("the socket is not read until" in notice for notice in notices)
    assert any(line["type"] == "disk" and line["is_slow"] for line in happened(out))
    assert all(output.queue.dropped == {} for output in summary.outputs)
    rows = [raw for _, _, raw in captured(out) if raw.endswith(b'"}') and raw.startswith(b'{"31"')]
    assert rows == lines


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a_slow_disk_drops_by_the_policy_and_reports_it(
    start_gateway: StartGateway, enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    lines = [b'{"31":"%d","topic":"smd+%d"}' % (number, number % 7) for number in range(20_000)]
    write = QuotesWriter.write

    def write_slowly(self: QuotesWriter, batch: Batch) -> None:
        time.sleep(0.02)
        write(self, batch)

    monkeypatch.setattr(QuotesWriter, "write", write_slowly)
    replay = tmp_path / "replay.jsonl"
    replay.write_bytes(b"\n".join(lines))
    out = tmp_path / "out"
    notices: list[str] = []

    gateway = await start_gateway(speed=1.0, replay=replay)
    client = await enter(client_of(gateway))
    stop = asyncio.Event()
    options = options_of(client, out, conids=(), max_queue_bytes=20_000, slow_disk=policy)
    collector = Collector(client, options, on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await asyncio.wait_for(gateway.replay_done.wait(), 20)
    await gateway.wait_for(lambda: collector.status().queued_bytes == 0)
    assert collector.status().dropped
    stop.set()
    summary = await running
    check_summary(summary, out)
    rows = [raw for _, _, raw in captured(out) if raw.startswith(b'{"31"')]
    check_output_gaps(summary, out, policy)
    # Every frame is in the capture or counted, and what is in it is in order.
    assert len(rows) + dropped_of(summary, "capture") >= len(lines)
    numbers = [int(raw[7 : raw.index(b'"', 7)]) for raw in rows]
    assert numbers == sorted(numbers)
    assert any(f"dropped ({policy})" in notice for notice in notices)
    assert any("frames dropped so far" in notice for notice in notices)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a_disk_that_hangs_is_reported_and_one_bound_holds_everything_pending(
    start_gateway: StartGateway, enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    lines = [b'{"31":"%d","topic":"smd+%d"}' % (number, number % 7) for number in range(20_000)]
    write = QuotesWriter.write
    is_released = threading.Event()

    def write_when_released(self: QuotesWriter, batch: Batch) -> None:
        is_released.wait()
        write(self, batch)

    monkeypatch.setattr(QuotesWriter, "write", write_when_released)
    replay = tmp_path / "replay.jsonl"
    replay.write_bytes(b"\n".join(lines))
    out = tmp_path / "out"
    notices: list[str] = []

    gateway = await start_gateway(speed=1.0, replay=replay)
    client = await enter(client_of(gateway))
    stop = asyncio.Event()
    options = options_of(client, out, conids=(), max_queue_bytes=100_000, slow_disk=policy)
    collector = Collector(client, options, on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    try:
        await asyncio.wait_for(gateway.replay_done.wait(), 20)
        await gateway.wait_for(lambda: any(f"dropped ({policy})" in notice for notice in notices))
        status = collector.status()
        assert all(counts.written == 0 for name, counts in status.outputs if name == "quotes")
        # The bound, and one socket read of any size.
        assert 25_000 < status.queued_bytes < 100_000 + 4 * 256 * 1024
        # The capture has a queue of its own.
        await gateway.wait_for(lambda: collector.status().queues["capture"].pending == 0)
    finally:
        is_released.set()
    await gateway.wait_for(lambda: collector.status().queued_bytes == 0)
    stop.set()
    summary = await running
    check_summary(summary, out)
    check_output_gaps(summary, out, policy)
    rows = [raw for _, _, raw in captured(out) if raw.startswith(b'{"31"')]
    assert len(rows) + dropped_of(summary, "capture") >= len(lines)


@pytest.mark.parametrize("policy", ["hold", "drop_oldest"])
async def test_each_slow_phase_is_told_once_with_its_end_and_length(
    start_gateway: StartGateway, enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    """The disk hangs three times, while data never stops to arrive."""
    write = QuotesWriter.write
    is_released = threading.Event()

    def write_when_released(self: QuotesWriter, batch: Batch) -> None:
        is_released.wait()
        write(self, batch)

    monkeypatch.setattr(QuotesWriter, "write", write_when_released)
    out = tmp_path / "out"
    notices: list[str] = []
    gateway = await start_gateway(speed=1.0, rate=2000.0)
    client = await enter(client_of(gateway))
    stop = asyncio.Event()
    options = options_of(client, out, max_queue_bytes=50_000, slow_disk=policy)
    collector = Collector(client, options, on_notice=notices.append)

    began, finished = "the output quotes is slower", "the output quotes has caught up with the data after"

    def told(text: str) -> int:
        return sum(text in notice for notice in notices)

    running = asyncio.create_task(collector.run(stop))
    try:
        # A busy machine adds phases of its own.
        for _ in range(3):
            is_released.clear()
            await gateway.wait_for(lambda: told(began) > told(finished))
            before = told(finished)
            is_released.set()
            await gateway.wait_for(lambda before=before: told(finished) > before)
    finally:
        is_released.set()
    stop.set()
    summary = await running
    check_summary(summary, out)
    lines = [line for line in happened(out) if line["type"] == "disk" and line["output"] == "quotes"]
    assert [line["is_slow"] for line in lines[:6]] == [True, False] * 3
    assert len(lines) % 2 == 0
    for first, last in zip(lines[::2], lines[1::2], strict=True):
        assert first["duration_s"] is None
        assert abs(last["duration_s"] - (last["time_ns"] - first["time_ns"]) / 1e9) < 1.0
