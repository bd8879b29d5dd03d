"""The main job against the simulated gateway, over TLS, from the library: what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cpapi_fast import quotes as quotes_module
from cpapi_fast.batch import Batch
from cpapi_fast.capture import read_capture
from cpapi_fast.collector import CollectOptions, Collector, collect
from cpapi_fast.errors import (
    CompetingSessionError,
    ConfigError,
    CpapiError,
    NotAuthenticatedError,
    OutputError,
    SubscriptionError,
    TransportError,
    UsageError,
)
from cpapi_fast.gateway import Client
from cpapi_fast.kinds import FrameKind
from cpapi_fast.options import WsOptions
from cpapi_fast.quotes import QuotesWriter
from cpapi_fast.reports import Summary
from cpapi_fast.simulator import Gateway, GatewayOptions
from cpapi_fast.tls import Tls
from tests.reference import full_decode
from tests.support import LOOPS, run

DATA = Path(__file__).parents[1] / "data"

CONIDS = (265598, 8314)


def client_of(gateway: Gateway) -> Client:
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else Tls.verify()
    # What protects against a peer that hangs is in real time here, lest a busy machine looks like one.
    real_s = 10.0 * gateway.clock.speed
    return Client(gateway.url, tls=tls, clock=gateway.clock, connect_timeout_s=real_s, total_timeout_s=real_s)


def options_of(client: Client, folder: Path, **options: Any) -> CollectOptions:
    """Options for the two instruments, with the connection's timeouts in real time too."""
    real_s = 10.0 * client.clock.speed
    ws = WsOptions(open_timeout_s=real_s, close_timeout_s=real_s / 10)
    return CollectOptions(**({"conids": CONIDS, "out": folder, "ws": ws} | options))


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[tuple[Gateway, Client]]:
    """A gateway and its client, with time compressed alike."""
    gateway_options = GatewayOptions(**({"speed": 20.0, "seed": 7, "keep_sent": 100_000} | options))
    async with Gateway(gateway_options) as gateway, client_of(gateway) as client:
        yield gateway, client


def captured(folder: Path) -> list[tuple[int, int, bytes]]:
    (path,) = folder.glob("capture-*.arrows")
    reader = read_capture(path)
    table = reader.read_all()
    assert reader.torn_bytes == 0
    return list(zip(*(table[name].to_pylist() for name in ("kind", "conid", "raw")), strict=True))


def quoted(folder: Path) -> list[dict[str, Any]]:
    assert list(folder.glob("*.part")) == []
    return [row for path in sorted(folder.glob("quotes-*.parquet")) for row in pq.read_table(path).to_pylist()]


def check_summary(summary: Summary | None, folder: Path) -> None:
    """Everything adds up, and the files hold what the counts say."""
    assert summary is not None
    connection = summary.connection
    assert connection.frames_received == connection.delivered + connection.dropped + connection.pending
    capture, quotes = summary.outputs
    for output in summary.outputs:
        counts = output.counts
        assert counts.received == counts.written + counts.dropped_total + counts.pending
        assert counts.pending == 0
        for path, size in output.files:
            assert path.stat().st_size == size
    frames = captured(folder)
    assert capture.counts.received == connection.delivered
    assert capture.counts.written == len(frames)
    assert quotes.counts.written == len(quoted(folder))
    market_data = sum(kind == FrameKind.MARKET_DATA for kind, _, _ in frames)
    if not capture.counts.dropped:
        assert quotes.counts.received == market_data


def sent(gateway: Gateway) -> list[bytes]:
    return list(gateway.connections[-1].sent)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", [True, False])
def test_every_frame_of_the_gateway_is_in_the_capture(tmp_path: Path, loop: str, tls: bool) -> None:
    async def body() -> tuple[Summary, list[bytes]]:
        async with world(tls=tls, rate=200.0) as (gateway, client):
            notices: list[str] = []
            options = options_of(client, tmp_path / "new" / "folder", duration_s=20.0)
            summary = await collect(client, options, on_notice=notices.append)
            assert notices == []
            assert gateway.connections[0].close_code == 1000
            return summary, sent(gateway)

    summary, frames = run(body(), loop=loop)
    folder = tmp_path / "new" / "folder"
    check_summary(summary, folder)
    assert summary.reason == "the duration is over"
    assert summary.duration_s >= 20.0
    rows = captured(folder)
    # Only frames that were on their way when we closed may be missing, and those are counted.
    assert [raw for _, _, raw in rows] == frames[: len(rows)]
    assert len(frames) - len(rows) >= summary.connection.dropped
    assert len(rows) > 1000
    for kind, conid, raw in rows:
        answer = full_decode(raw)
        assert (kind, conid) == (answer.kind, -1 if answer.conid is None else answer.conid)
    assert Counter(conid for kind, conid, _ in rows if kind == FrameKind.MARKET_DATA).keys() == set(CONIDS)
    assert {row["conid"] for row in quoted(folder)} == set(CONIDS)
    assert any(row["last_price"] is not None for row in quoted(folder))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.jsonl")), ids=lambda path: path.stem)
def test_replayed_file_is_captured_byte_for_byte(tmp_path: Path, path: Path) -> None:
    lines = path.read_bytes().splitlines()
    assert lines

    async def body() -> tuple[Summary, list[bytes]]:
        async with world(replay=path) as (gateway, client):
            stop = asyncio.Event()
            running = asyncio.create_task(collect(client, options_of(client, tmp_path, conids=()), stop=stop))
            await asyncio.wait_for(gateway.replay_done.wait(), 10)
            await asyncio.sleep(0.1)
            stop.set()
            return await running, sent(gateway)

    summary, frames = run(body())
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


def test_nothing_is_subscribed_before_ready(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(ready_delay_s=3.0) as (gateway, client):
            notices: list[str] = []
            await collect(client, options_of(client, tmp_path, duration_s=6.0), on_notice=notices.append)
            (connection,) = gateway.connections
            assert connection.ignored == 0
            assert notices == []
            assert [text.text.partition("+{")[0] for text in connection.received] == ["smd+265598", "smd+8314"]

    run(body())
    assert len(quoted(tmp_path)) >= 4


def test_a_gateway_that_never_says_ready_is_reported(tmp_path: Path) -> None:
    async def body() -> list[str]:
        async with world(ready_delay_s=None) as (gateway, client):
            notices: list[str] = []
            await collect(client, options_of(client, tmp_path, duration_s=8.0), on_notice=notices.append)
            assert len(gateway.connections[0].received) == 2
            return notices

    (notice,) = run(body())
    assert "did not say that it is ready within 5 s" in notice


def test_subscriptions_are_renewed_and_kept_alive(tmp_path: Path) -> None:
    async def body() -> Summary:
        # Longer than a busy machine takes to get started, and shorter than the run: without the ticks it would expire.
        async with world(speed=400.0, idle_timeout_s=2_200.0) as (gateway, client):
            # 360 s after the last renewal, nearly a real second: a busy machine may be late by that much.
            options = options_of(client, tmp_path, duration_s=2280.0, silence_limit_s=2000.0)
            summary = await collect(client, options)
            (connection,) = gateway.connections
            texts = Counter(text.text.partition("+{")[0] for text in connection.received)
            # Every 8 minutes: at 480, 960, 1440 and 1920 s.
            assert texts["umd+265598"] == texts["umd+8314"] == 4
            assert texts["smd+265598"] == texts["smd+8314"] == 5
            assert 30 <= texts["tic"] <= 38
            tickles = [request for request in gateway.requests if request.path.endswith("/tickle")]
            assert 30 <= len(tickles) <= 39
            return summary

    summary = run(body())
    assert summary.renewals == 8
    last = max(row["updated_ms"] for row in quoted(tmp_path))
    first = min(row["updated_ms"] for row in quoted(tmp_path))
    assert last - first > 1_900_000, "the streams outlive their 15 minutes"


ENDS = {
    "lost": (lambda gateway: gateway.drop_sockets(), "without a CLOSE frame"),
    "reset": (lambda gateway: gateway.drop_sockets(reset=True), "without a CLOSE frame"),
    "closed": (lambda gateway: gateway.close_sockets(1001, "DU1234567 away"), r"closed the connection \(code 1001"),
    "silent": (lambda gateway: gateway.stop_answering(), "nothing was received for 30 s"),
    "renewed": (lambda gateway: gateway.renew_session(), "a new session"),
    "violation": (lambda gateway: gateway.send_bytes(b"\xff\xff\xff\xff"), "broke the WebSocket protocol"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_lost_connection_ends_the_run_with_its_reason(tmp_path: Path, end: str) -> None:
    action, reason = ENDS[end]

    async def body() -> Collector:
        async with world(speed=50.0) as (gateway, client):
            collector = Collector(client, options_of(client, tmp_path))
            running = asyncio.create_task(collector.run())
            await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
            action(gateway)
            with pytest.raises(TransportError, match=reason) as caught:
                await running
            assert caught.value.is_retryable
            assert "DU1234567" not in str(caught.value)
            assert gateway.session_id not in str(caught.value)
            gateway.resume_answering()
            return collector

    collector = run(body())
    check_summary(collector.summary, tmp_path)
    assert len(quoted(tmp_path)) >= 2


def test_what_the_gateway_says_of_the_session_is_told(tmp_path: Path) -> None:
    async def body() -> list[str]:
        async with world(speed=50.0) as (gateway, client):
            notices: list[str] = []
            stop = asyncio.Event()
            collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            await gateway.wait_for(lambda: collector.status().state == "collecting")
            gateway.send_error("account DU1234567 is unknown", 500)
            gateway.compete()
            await gateway.wait_for(lambda: any("competing: true" in notice for notice in notices))
            gateway.stop_competing()
            await gateway.wait_for(lambda: any("competing: false" in notice for notice in notices))
            gateway.fail_rest("/tickle", status=503)
            await gateway.wait_for(lambda: any("/tickle failed" in notice for notice in notices))
            stop.set()
            await running
            assert all(gateway.session_id not in notice for notice in notices)
            return notices

    notices = run(body())
    assert any("reports an error" in notice for notice in notices)
    assert not any("DU1234567" in notice for notice in notices)
    check_counts = [notice for notice in notices if "competing: true" in notice]
    assert len(check_counts) == 1, "told once, though /tickle says it again each minute"


def test_brokerage_session_is_opened_when_it_is_not(tmp_path: Path) -> None:
    async def body() -> list[str]:
        async with world(has_brokerage=False) as (_gateway, client):
            notices: list[str] = []
            await collect(client, options_of(client, tmp_path, duration_s=3.0), on_notice=notices.append)
            return notices

    assert "the brokerage session is not open; asking the gateway to open it" in run(body())
    assert quoted(tmp_path)


def test_not_logged_in_leaves_no_files(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(is_logged_in=False) as (_gateway, client):
            with pytest.raises(NotAuthenticatedError):
                await collect(client, options_of(client, tmp_path))

    run(body())
    assert list(tmp_path.iterdir()) == []


def test_a_competing_session_is_not_taken_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(has_brokerage=False) as (gateway, client):
            gateway.compete()
            with pytest.raises((CompetingSessionError, NotAuthenticatedError)):
                await collect(client, options_of(client, tmp_path))

    run(body())
    assert list(tmp_path.iterdir()) == []


def test_stopped_while_connecting(tmp_path: Path) -> None:
    async def body() -> None:
        async with world() as (gateway, client):
            gateway.stop_answering()
            stop = asyncio.Event()
            collector = Collector(client, options_of(client, tmp_path))
            running = asyncio.create_task(collector.run(stop))
            await asyncio.sleep(0.05)
            stop.set()
            with pytest.raises(CpapiError, match="stopped before"):
                await running
            assert collector.summary is None
            gateway.resume_answering()

    run(body())
    assert list(tmp_path.iterdir()) == []


def test_cancelled_run_finishes_its_files(tmp_path: Path) -> None:
    async def body() -> Collector:
        async with world() as (gateway, client):
            collector = Collector(client, options_of(client, tmp_path))
            running = asyncio.create_task(collector.run())
            await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            with pytest.raises(UsageError):
                await collector.run()
            return collector

    collector = run(body())
    check_summary(collector.summary, tmp_path)
    assert collector.status().state == "ended"


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all(_file: object, _data: object) -> None:
        raise OSError(28, "No space left on device")

    async def body() -> Collector:
        async with world(rate=100.0) as (gateway, client):
            collector = Collector(client, options_of(client, tmp_path, flush_interval_s=1.0))
            running = asyncio.create_task(collector.run())
            await gateway.wait_for(lambda: any(counts.written > 10 for _, counts in collector.status().outputs))
            monkeypatch.setattr("cpapi_fast.capture.write_all", write_all)
            monkeypatch.setattr(quotes_module, "write_all", write_all)
            with pytest.raises(OutputError, match="free some space"):
                await running
            return collector

    collector = run(body())
    check_summary(collector.summary, tmp_path)
    assert collector.summary is not None
    assert collector.summary.outputs[0].counts.dropped_total > 0


def test_a_slow_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is held back: with a disk slower than the gateway, a replayed file still comes whole."""
    lines = [b'{"31":"%d","topic":"smd+%d"}' % (number, number % 7) for number in range(20_000)]
    write = QuotesWriter.write

    def write_slowly(self: QuotesWriter, batch: Batch) -> None:
        time.sleep(0.005)
        write(self, batch)

    monkeypatch.setattr(QuotesWriter, "write", write_slowly)
    replay = tmp_path / "replay.jsonl"
    replay.write_bytes(b"\n".join(lines))
    out = tmp_path / "out"

    async def body() -> Summary:
        async with world(speed=1.0, replay=replay) as (_gateway, client):
            stop = asyncio.Event()
            options = options_of(client, out, conids=(), max_queue_bytes=50_000, ws=WsOptions(max_pending_bytes=50_000))
            collector = Collector(client, options)
            running = asyncio.create_task(collector.run(stop))
            most_queued = 0
            while (counts := dict(collector.status().outputs).get("quotes")) is None or counts.received < len(lines):
                most_queued = max(most_queued, collector.status().queued_bytes)
                await asyncio.sleep(0.001)
            stop.set()
            assert most_queued > 50_000, "the bound was reached"
            # The bound, and the one batch (a socket read of at most 256 KiB) that went over it.
            assert most_queued < 50_000 + 4 * 256 * 1024
            return await running

    summary = run(body())
    check_summary(summary, out)
    rows = [raw for _, _, raw in captured(out) if raw.endswith(b'"}') and raw.startswith(b'{"31"')]
    assert rows == lines


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    async def body() -> list[Summary]:
        async with world() as (_gateway, client):
            options = options_of(client, tmp_path, duration_s=4.0)
            return list(await asyncio.gather(*(collect(client, options) for _ in range(3))))

    summaries = run(body())
    files = [path for summary in summaries for output in summary.outputs for path, _ in output.files]
    assert len(set(files)) == len(files) == 6


def test_leftovers_are_named_and_not_touched(tmp_path: Path) -> None:
    part = tmp_path / "quotes-20260101T000000Z-00001.parquet.part"
    part.write_bytes(b"half")

    async def body() -> list[str]:
        async with world() as (_gateway, client):
            notices: list[str] = []
            await collect(client, options_of(client, tmp_path, duration_s=1.0), on_notice=notices.append)
            return notices

    (notice,) = run(body())
    assert str(part) in notice
    assert part.read_bytes() == b"half"


@pytest.mark.parametrize(
    "name", ["duration_s", "ready_timeout_s", "silence_limit_s", "renew_after_s", "max_queue_bytes"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_options_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        CollectOptions(conids=CONIDS, out=Path("x"), **{name: value})


def test_conids_are_checked() -> None:
    with pytest.raises(SubscriptionError):
        CollectOptions(conids=(-1,), out=Path("x"))
    assert CollectOptions(conids=(1, 2, 1), out=Path("x")).conids == (1, 2)
