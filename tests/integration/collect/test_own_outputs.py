"""Outputs of a program beside the files of a run, against the simulated gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.reports import summary_text
from cpapi_fast.errors import OutputError
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.outputs.run_events import OutputGap, RecordedEvent
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.harness import captured, check_summary, happened, options_of, quoted

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_output.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_output", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Writing(cf.Output):
    """An output that keeps all frames and events, and may fail or wait."""

    name = "own"

    def __init__(self, **options: Any) -> None:
        self.options = cf.OutputOptions(**({"batch_delay_s": 0} | options))
        self.rows: list[bytes] = []
        self.events: list[tuple[RecordedEvent, int]] = []
        self.failures = 0
        self.error: BaseException = OSError(111, "Connection refused")
        self.gate = threading.Event()
        self.gate.set()

    def write(self, batch: cf.Batch) -> None:
        self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise self.error
        self.rows += [frame.raw for frame in batch]

    def write_event(self, event: RecordedEvent, row: int) -> None:
        self.events.append((event, row))


async def run_until(collector: Collector, gateway: SimulatedGateway, frames: int) -> Any:
    """Run until the capture has so many frames and everything else is done, and return the summary."""
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))

    def is_enough() -> bool:
        counts = dict(collector.status().outputs).get("capture")
        return running.done() or (counts is not None and counts.received >= frames)

    await gateway.wait_for(is_enough)
    stop.set()
    return await running


@pytest.mark.gateway(rate=200.0)
async def test_the_example_has_every_quote(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    output = example().SqliteOutput(tmp_path / "frames.sqlite")
    summary = await run_until(Collector(client, options_of(client, tmp_path), outputs=[output]), gateway, 200)
    own = summary.outputs[-1]
    assert (own.name, own.unit, own.counts.dropped, own.counts.pending) == ("sqlite", "frames", {}, 0)
    frames = captured(tmp_path)
    assert own.counts.received == own.counts.written == len(frames)
    with closing(sqlite3.connect(output.path)) as database:
        found = database.execute("select conid, raw from frames order by rowid").fetchall()
    kept = [(conid, raw.decode()) for kind, conid, raw in frames if kind == FrameKind.MARKET_DATA]
    assert found == kept
    assert "  sqlite: " in summary_text(summary)


def test_the_example_has_under_20_lines() -> None:
    lines = EXAMPLE.read_text().split("class SqliteOutput")[1].split("\n\n\n")[0].splitlines()
    assert sum(bool(line.strip()) and '"""' not in line for line in lines) < 20


@pytest.mark.gateway(rate=200.0)
async def test_an_output_has_all_frames_and_events_in_order(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    output = Writing(policy="block")
    collector = Collector(client, options_of(client, tmp_path), outputs=[output])
    summary = await run_until(collector, gateway, 100)
    assert output.rows == [raw for _, _, raw in captured(tmp_path)]
    lines = happened(tmp_path)
    assert [row for _, row in output.events] == [line["row"] for line in lines]
    assert [getattr(event, "time_ns", None) for event, _ in output.events] == [line.get("time_ns") for line in lines]
    assert collector.latest_status.queues["own"].received == len(output.rows)
    assert summary.outputs[-1].counts.written == len(output.rows)


@pytest.mark.gateway(rate=200.0)
async def test_an_output_that_is_away_is_retried_while_the_files_grow(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    output = Writing(retry_delay_s=0.05, retry_max_delay_s=0.1)
    output.failures = 10**9
    notices: list[str] = []
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append, outputs=[output])
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: dict(collector.status().outputs).get("capture", OutputCounts()).written > 50)
    assert output.rows == []
    status = dict(collector.status().outputs)["own"]
    assert status.received == status.pending > 0
    output.failures = 0
    await gateway.wait_for(lambda: dict(collector.status().outputs)["own"].written > 50)
    stop.set()
    summary = await running
    frames = [raw for _, _, raw in captured(tmp_path)]
    assert output.rows == frames
    assert any(
        "the output own has failed: ConnectionRefusedError: [Errno 111] Connection refused; it is tried" in one
        for one in notices
    )
    assert any("the output own works again" in one for one in notices)
    kinds = [(line["is_failing"], line["output"]) for line in happened(tmp_path) if line["type"] == "output_failure"]
    assert kinds[0] == (True, "own")
    assert kinds[-1] == (False, "own")
    assert summary.outputs[-1].counts.dropped == {}


@pytest.mark.gateway(rate=200.0)
@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(3)])
async def test_a_failure_with_stop_ends_the_run_with_its_error(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, error: BaseException
) -> None:
    output = Writing(on_failure="stop")
    output.failures, output.error = 1, error
    collector = Collector(client, options_of(client, tmp_path), outputs=[output])
    with pytest.raises(cf.CpapiError, match=f"the output 'own' raised {type(error).__name__}"):
        await run_until(collector, gateway, 10**9)
    assert collector.summary is not None
    frames = captured(tmp_path)
    capture, quotes, events, own = collector.summary.outputs
    assert capture.counts.written == len(frames) > 0
    assert quotes.counts.written == len(quoted(tmp_path))
    assert events.counts.pending == 0
    assert own.counts.dropped == {"write error": own.counts.received}


@pytest.mark.gateway(rate=200.0)
async def test_an_output_that_hangs_ends_with_its_deadline(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    output = Writing(flush_deadline_s=0.5, policy="drop_newest", max_queue_bytes=2000)
    output.gate.clear()
    notices: list[str] = []
    collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append, outputs=[output])
    try:
        summary = await run_until(collector, gateway, 200)
    finally:
        output.gate.set()
    own = summary.outputs[-1]
    assert own.counts.written == 0
    assert set(own.counts.dropped) == {"queue full", "flush deadline"}
    assert own.counts.received == own.counts.dropped_total == len(captured(tmp_path))
    assert any("'own' has not finished within" in notice for notice in notices)
    gaps = [line for line in happened(tmp_path) if line["type"] == "output_gap"]
    assert sum(line["frames_dropped"] for line in gaps) == own.counts.dropped_total


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a FIFO is the disk that blocks")
@pytest.mark.gateway(rate=400.0)
async def test_a_disk_that_blocks_stops_only_its_output(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    """A FIFO that nobody reads blocks the writer in the operating system, as a disk does that does not respond."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    class Fifo(cf.Output):
        name = "fifo"
        options = cf.OutputOptions(batch_delay_s=0, max_queue_bytes=4000)

        def open(self) -> None:
            self.file = path.open("wb", buffering=0)

        def write(self, batch: cf.Batch) -> None:
            # More than the FIFO holds.
            self.file.write(bytes(batch.payloads) + bytes(70_000))

        def close(self) -> None:
            self.file.close()

    out = tmp_path / "out"
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, out), outputs=[Fifo()])
    running = asyncio.create_task(collector.run(stop))
    try:
        await gateway.wait_for(lambda: dict(collector.status().outputs).get("capture", OutputCounts()).written > 200)
        status = collector.status()
        assert dict(status.outputs)["fifo"].written == 0
        assert dict(status.outputs)["fifo"].dropped["queue full"] > 0
        os.set_blocking(reader, True)
        draining = asyncio.get_running_loop().run_in_executor(None, drain, reader)
        await gateway.wait_for(lambda: dict(collector.status().outputs)["fifo"].written > 0)
        stop.set()
        summary = await running
        await draining
    finally:
        os.close(reader)
    frames = captured(out)
    capture, quotes, _, fifo = summary.outputs
    assert capture.counts.written == len(frames) == fifo.counts.received
    assert (capture.counts.dropped, quotes.queue.dropped) == ({}, {})
    assert fifo.counts.received == fifo.counts.written + fifo.counts.dropped_total
    assert any(line["type"] == "output_gap" and line["output"] == "fifo" for line in happened(out))


def drain(reader: int) -> None:
    while os.read(reader, 1 << 20):
        pass


@pytest.mark.gateway(rate=200.0)
async def test_a_table_that_fails_is_dropped_and_the_capture_continues(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OutputError("cannot write quotes: No space left on device", path="quotes")

    monkeypatch.setattr("cpapi_fast.outputs.tables.market_data.QuotesWriter._begin_batch", fail)
    options = options_of(
        client, tmp_path, output_options={"quotes": cf.OutputOptions(policy="block", on_failure="drop")}
    )
    notices: list[str] = []
    summary = await run_until(Collector(client, options, on_notice=notices.append), gateway, 100)
    capture, quotes = summary.outputs[:2]
    assert capture.counts.written == len(captured(tmp_path)) >= 100
    assert quotes.counts.dropped == {"write error": quotes.counts.received}
    assert sum("the output quotes has failed" in notice for notice in notices) == 1


@pytest.mark.gateway(rate=200.0)
async def test_a_run_with_outputs_is_accounted_for(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    output = Writing(max_queue_bytes=1, policy="drop_oldest")
    summary = await run_until(Collector(client, options_of(client, tmp_path), outputs=[output]), gateway, 100)
    own = summary.outputs[-1].counts
    assert own.received == own.written + own.dropped_total
    assert own.written == len(output.rows)
    assert not any(isinstance(event, OutputGap) and event.output != "own" for event, _ in output.events)
    check_summary(dataclasses.replace(summary, outputs=summary.outputs[:-1]), tmp_path)
