"""The main job against the simulated gateway, over TLS, from the library: what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from cpapi_fast.collect.collector import CollectOptions, Collector, collect
from cpapi_fast.collect.reports import Summary
from cpapi_fast.errors import (
    CompetingSessionError,
    ConfigError,
    CpapiError,
    LimitError,
    NotAuthenticatedError,
    OutputError,
    PinMismatchError,
    SubscriptionError,
    TransportError,
    UsageError,
)
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs import quotes as quotes_module
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.outputs.quotes import QuotesWriter
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from cpapi_fast.ws.options import WsOptions
from tests.reference import full_decode
from tests.support import LOOPS, run

DATA = Path(__file__).parents[2] / "data"

CONIDS = (265598, 8314)


def client_of(gateway: SimulatedGateway) -> Client:
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else Tls.verify()
    # What protects against a peer that hangs is in real time here, lest a busy machine looks like one.
    real_s = 10.0 * gateway.clock.speed
    return Client(gateway.url, tls=tls, clock=gateway.clock, connect_timeout_s=real_s, total_timeout_s=real_s)


def options_of(
    client: Client, folder: Path, feed_options: dict[str, Any] | None = None, **options: Any
) -> CollectOptions:
    """Options for the two instruments, with the connection's timeouts in real time too."""
    real_s = 10.0 * client.clock.speed
    ws = WsOptions(open_timeout_s=real_s, close_timeout_s=real_s / 10)
    # A machine that is busy for a moment is no gateway that has fallen silent.
    patience_s = max(60.0, real_s / 2)
    patient = dict.fromkeys(("stale_after_min_s", "stale_after_max_s", "answer_timeout_s"), patience_s)
    patient |= dict.fromkeys(("ready_timeout_s", "socket_timeout_s"), patience_s)
    feed = FeedOptions(**({"ws": ws, "nightly": None, "seed": 7} | patient | (feed_options or {})))
    return CollectOptions(**({"conids": CONIDS, "out": folder, "feed": feed} | options))


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[tuple[SimulatedGateway, Client]]:
    """A gateway and its client, with time compressed alike."""
    gateway_options = SimulatorOptions(**({"speed": 20.0, "seed": 7, "keep_sent": 100_000} | options))
    async with SimulatedGateway(gateway_options) as gateway, client_of(gateway) as client:
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


def happened(folder: Path) -> list[dict[str, Any]]:
    """The lines of the file of events."""
    (path,) = folder.glob("events-*.jsonl")
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return [orjson.loads(line) for line in text.splitlines()]


def states(folder: Path, subscription: str | None = None) -> list[str]:
    """The states that the feed, or a subscription, went through."""
    lines = [line for line in happened(folder) if line["type"] == "state" and line["subscription"] == subscription]
    return [line["state"] for line in lines]


def check_summary(summary: Summary | None, folder: Path) -> None:
    """Everything adds up, and the files hold what the counts say."""
    assert summary is not None
    connection, consumer = summary.feed.connection, summary.consumer
    assert connection.frames_received == connection.delivered + connection.dropped + connection.pending
    assert consumer.received == consumer.delivered + consumer.dropped
    assert consumer.pending == consumer.conflated == 0
    assert consumer.received == connection.delivered
    capture, quotes, events = summary.outputs
    for output in summary.outputs:
        counts = output.counts
        assert counts.received == counts.written + counts.dropped_total + counts.pending
        assert counts.pending == 0
        for path, size in output.files:
            assert path.stat().st_size == size
    frames = captured(folder)
    assert capture.counts.received == consumer.delivered
    lines = happened(folder)
    assert events.counts.written == len(lines)
    assert sum(line["type"] == "gap" for line in lines) == sum(summary.gaps.values())
    rows = [line["row"] for line in lines]
    assert rows == sorted(rows)
    assert all(row <= capture.counts.received for row in rows)
    assert capture.counts.written == len(frames)
    assert quotes.counts.written == len(quoted(folder))
    market_data = sum(kind == FrameKind.MARKET_DATA for kind, _, _ in frames)
    if not capture.counts.dropped:
        assert quotes.counts.received == market_data


def sent(gateway: SimulatedGateway) -> list[bytes]:
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
    assert len(frames) - len(rows) >= summary.feed.connection.dropped
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


UP = ["connecting", "open", "ready", "authenticated", "streaming"]


def test_nothing_is_subscribed_before_ready(tmp_path: Path) -> None:
    async def body() -> Summary:
        async with world(ready_delay_s=3.0) as (gateway, client):
            notices: list[str] = []
            summary = await collect(client, options_of(client, tmp_path, duration_s=60.0), on_notice=notices.append)
            (connection,) = gateway.connections
            assert connection.ignored == 0
            assert notices == []
            texts = [text.text.partition("+{")[0] for text in connection.received]
            assert [text for text in texts if text.startswith("smd")] == ["smd+265598", "smd+8314"]
            return summary

    check_summary(run(body()), tmp_path)
    assert len(quoted(tmp_path)) >= 4
    assert states(tmp_path) == [*UP, "disconnected"]
    assert {line["cause"] for line in happened(tmp_path) if line["type"] == "state"} >= {"started", "data", "stopped"}


def test_a_gateway_that_never_says_ready_is_reported(tmp_path: Path) -> None:
    async def body() -> list[str]:
        async with world(ready_delay_s=None) as (_gateway, client):
            notices: list[str] = []
            options = options_of(client, tmp_path, {"ready_timeout_s": 5.0}, duration_s=20.0)
            with pytest.raises(TransportError, match="nothing was collected"):
                await collect(client, options, on_notice=notices.append)
            return notices

    assert any("ready timeout" in notice and "log in to it again" in notice for notice in run(body()))


def test_subscriptions_are_renewed_and_kept_alive(tmp_path: Path) -> None:
    async def body() -> Summary:
        # Longer than a busy machine takes to get started, and shorter than the run: without the ticks it would expire.
        async with world(speed=400.0, idle_timeout_s=2_200.0) as (gateway, client):
            summary = await collect(client, options_of(client, tmp_path, duration_s=2280.0))
            (connection,) = gateway.connections
            texts = Counter(text.text.partition("+{")[0] for text in connection.received)
            # At 480 to 530 s, and so on; a busy machine is late, by 40 s for each tenth of a second.
            assert texts["smd+265598"] in (4, 5)
            assert texts["smd+8314"] in (4, 5)
            assert texts["tic"] >= 20
            return summary

    summary = run(body())
    assert summary.feed.renewals in (6, 7, 8)
    last = max(row["updated_ms"] for row in quoted(tmp_path))
    first = min(row["updated_ms"] for row in quoted(tmp_path))
    assert last - first > 1_900_000, "the streams outlive their 15 minutes"


ENDS = {
    "lost": (lambda gateway: gateway.drop_sockets(), "connection_lost"),
    "reset": (lambda gateway: gateway.drop_sockets(reset=True), "connection_lost"),
    "closed": (lambda gateway: gateway.close_sockets(1001, "DU1234567 away"), "closed_by_gateway"),
    "silent": (lambda gateway: gateway.stop_answering(), "socket_silent"),
    "renewed": (lambda gateway: gateway.renew_session(), "session_changed"),
    "violation": (lambda gateway: gateway.send_bytes(b"\xff\xff\xff\xff"), "protocol_violation"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_lost_connection_is_survived_and_written_down(tmp_path: Path, end: str) -> None:
    action, cause = ENDS[end]

    async def body() -> tuple[Summary, list[str]]:
        async with world(speed=50.0) as (gateway, client):
            notices: list[str] = []
            stop = asyncio.Event()
            options = options_of(client, tmp_path, {"socket_timeout_s": 50.0})
            collector = Collector(client, options, on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
            action(gateway)
            await gateway.wait_for(lambda: any(cause.replace("_", " ") in notice for notice in notices), timeout_s=15)
            gateway.resume_answering()
            rows = sum(quote.rows for quote in collector.status().latest)
            await gateway.wait_for(lambda: any("data comes again" in notice for notice in notices), timeout_s=15)
            await gateway.wait_for(lambda: sum(quote.rows for quote in collector.status().latest) > rows + 4)
            await gateway.wait_for(lambda: collector.status().gaps >= len(CONIDS), timeout_s=15)
            assert collector.status().advice == ""
            stop.set()
            summary = await running
            said = "".join(notices) + (tmp_path / happened_name(tmp_path)).read_text()
            assert gateway.session_id not in said
            assert "DU1234567" not in said
            return summary, notices

    summary, notices = run(body())
    check_summary(summary, tmp_path)
    assert summary.reason == "stopped"
    assert summary.feed.connections >= 2
    assert summary.gaps.keys() >= {cause}
    assert sum("data comes again" in notice for notice in notices) >= 1
    lines = happened(tmp_path)
    for topic in ("smd+265598", "smd+8314"):
        gaps = [line for line in lines if line["type"] == "gap" and line["subscription"] == topic]
        assert any(line["cause"] == cause and line["first_good_ns"] for line in gaps)
    # A gap stands at its place between the frames of the capture.
    times = receive_times(tmp_path)
    for line in lines:
        if line["type"] == "gap" and line["first_good_ns"]:
            assert line["first_good_ns"] in times[line["row"] :]
            assert line["last_good_ns"] in times[: line["row"]]


def happened_name(folder: Path) -> str:
    (path,) = folder.glob("events-*.jsonl")
    return path.name


def receive_times(folder: Path) -> list[int]:
    (path,) = folder.glob("capture-*.arrows")
    times: list[int] = read_capture(path).read_all()["received_ns"].to_pylist()
    return times


def test_what_the_gateway_says_of_the_session_is_told(tmp_path: Path) -> None:
    async def body() -> list[str]:
        async with world(speed=50.0) as (gateway, client):
            notices: list[str] = []
            stop = asyncio.Event()
            collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            await gateway.wait_for(lambda: collector.status().state == "streaming")
            gateway.send_error("account DU1234567 is unknown", 500)
            gateway.compete()
            await gateway.wait_for(lambda: collector.status().state == "competing")
            await gateway.wait_for(lambda: any("competing" in notice for notice in notices))
            gateway.stop_competing()
            await gateway.wait_for(lambda: collector.status().state == "streaming")
            stop.set()
            await running
            assert all(gateway.session_id not in notice for notice in notices)
            return notices

    notices = run(body())
    assert any("reports an error" in notice for notice in notices)
    assert not any("DU1234567" in notice for notice in notices)
    assert len([notice for notice in notices if notice.startswith("competing")]) == 1, "told once"
    assert "competing" in states(tmp_path)


def test_brokerage_session_is_opened_when_it_is_not(tmp_path: Path) -> None:
    async def body() -> Summary:
        async with world(has_brokerage=False) as (_gateway, client):
            return await collect(client, options_of(client, tmp_path, duration_s=60.0))

    check_summary(run(body()), tmp_path)
    assert quoted(tmp_path)


def test_a_login_is_told_and_waited_for(tmp_path: Path) -> None:
    async def body() -> tuple[Summary, list[str]]:
        async with world(speed=50.0, is_logged_in=False) as (gateway, client):
            notices: list[str] = []
            stop = asyncio.Event()
            collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            await gateway.wait_for(lambda: collector.status().state == "login_required")
            await gateway.wait_for(lambda: any("Log in to the gateway in a browser" in notice for notice in notices))
            assert "Log in" in collector.status().advice
            gateway.log_in()
            await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
            stop.set()
            return await running, notices

    summary, notices = run(body())
    check_summary(summary, tmp_path)
    assert sum("login required" in notice for notice in notices) == 1
    assert any("data comes again" in notice for notice in notices)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        *(
            (
                {"is_logged_in": False, "logged_out_answer": answer},
                NotAuthenticatedError,
                "Log in to the gateway in a browser",
            )
            for answer in ("unauthorized", "redirect", "html", "json")
        ),
        ({"has_brokerage": False, "is_competing": True}, CompetingSessionError, "other login"),
    ],
)
def test_it_gives_up_when_it_is_told_to(
    tmp_path: Path, options: dict[str, Any], error: type[CpapiError], said: str
) -> None:
    options = dict(options)
    is_competing = options.pop("is_competing", False)

    async def body() -> Collector:
        async with world(speed=50.0, **options) as (gateway, client):
            if is_competing:
                gateway.compete()
            collector = Collector(client, options_of(client, tmp_path, give_up_after_s=60.0))
            with pytest.raises(error, match="no data for 60 s") as caught:
                await collector.run()
            assert said in str(caught.value)
            return collector

    collector = run(body())
    assert collector.summary is not None
    assert "no data for 60 s" in collector.summary.reason
    assert states(tmp_path)


def test_nothing_collected_is_an_error_and_leaves_no_empty_capture(tmp_path: Path) -> None:
    async def body() -> Collector:
        async with world(is_logged_in=False) as (_gateway, client):
            collector = Collector(client, options_of(client, tmp_path, duration_s=40.0))
            with pytest.raises(CpapiError, match="the duration is over before anything was received") as caught:
                await collector.run()
            assert "Log in" in str(caught.value)
            return collector

    collector = run(body())
    assert collector.summary is not None
    assert [path.name for path in tmp_path.iterdir()] == [happened_name(tmp_path)]
    assert collector.summary.outputs[0].files == ()


def test_a_gateway_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    async def body() -> Summary:
        async with world(speed=50.0) as (gateway, client):
            gateway.begin_maintenance()
            notices: list[str] = []
            stop = asyncio.Event()
            collector = Collector(client, options_of(client, tmp_path), on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            await gateway.wait_for(lambda: any("gateway error" in notice for notice in notices))
            gateway.end_maintenance()
            await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
            stop.set()
            return await running

    check_summary(run(body()), tmp_path)


def test_a_wrong_fingerprint_ends_the_run_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with world() as (gateway, _client):
            async with Client(gateway.url, tls=Tls.pinned("0" * 64), clock=gateway.clock) as client:
                with pytest.raises(PinMismatchError, match="fingerprint"):
                    await collect(client, options_of(client, tmp_path))
            assert list(gateway.requests) == []

    run(body())
    assert list(tmp_path.iterdir()) == []


def test_more_instruments_than_lines(tmp_path: Path) -> None:
    async def body() -> None:
        async with world() as (_gateway, client):
            with pytest.raises(LimitError, match="100"):
                await collect(client, options_of(client, tmp_path, conids=tuple(range(1, 102))))

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
            with pytest.raises(TransportError, match="stopped before anything was received"):
                await running
            assert collector.summary is not None
            gateway.resume_answering()

    run(body())
    assert list(tmp_path.glob("capture*")) == []


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
            monkeypatch.setattr("cpapi_fast.outputs.capture.write_all", write_all)
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
            options = options_of(client, out, conids=(), max_queue_bytes=50_000)
            collector = Collector(client, options, on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            most_queued = 0
            while (counts := dict(collector.status().outputs).get("quotes")) is None or counts.received < len(lines):
                most_queued = max(most_queued, collector.status().queued_bytes)
                await asyncio.sleep(0.001)
            stop.set()
            assert most_queued > 50_000, "the bound was reached"
            # The bound, and what was under way (a socket read of at most 256 KiB) that went over it, in either queue.
            assert most_queued < 50_000 + 8 * 256 * 1024
            return await running

    notices: list[str] = []
    summary = run(body())
    check_summary(summary, out)
    assert any("the gateway is kept waiting" in notice for notice in notices)
    assert any(line["type"] == "disk" and line["is_slow"] for line in happened(out))
    assert summary.consumer.dropped == 0
    rows = [raw for _, _, raw in captured(out) if raw.endswith(b'"}') and raw.startswith(b'{"31"')]
    assert rows == lines


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_a_slow_disk_drops_by_the_policy_and_says_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
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

    async def body() -> Summary:
        async with world(speed=1.0, replay=replay) as (gateway, client):
            stop = asyncio.Event()
            options = options_of(client, out, conids=(), max_queue_bytes=20_000, slow_disk=policy)
            collector = Collector(client, options, on_notice=notices.append)
            running = asyncio.create_task(collector.run(stop))
            await asyncio.wait_for(gateway.replay_done.wait(), 20)
            await gateway.wait_for(lambda: collector.status().queued_bytes == 0, timeout_s=20)
            assert collector.status().dropped
            stop.set()
            return await running

    summary = run(body())
    check_summary(summary, out)
    rows = [raw for _, _, raw in captured(out) if raw.startswith(b'{"31"')]
    gaps = [line for line in happened(out) if line["type"] == "gap"]
    assert {line["cause"] for line in gaps} == {"consumer_overflow"}
    assert sum(line["frames_dropped"] for line in gaps) == summary.consumer.dropped > 0
    # Every frame is in the capture or counted, and what is in it is in order.
    assert len(rows) + summary.consumer.dropped >= len(lines)
    numbers = [int(raw[7 : raw.index(b'"', 7)]) for raw in rows]
    assert numbers == sorted(numbers)
    assert any(f"dropped ({policy})" in notice for notice in notices)
    assert any("frames were dropped so far" in notice for notice in notices)


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    async def body() -> list[Summary]:
        async with world() as (_gateway, client):
            options = options_of(client, tmp_path, duration_s=60.0)
            return list(await asyncio.gather(*(collect(client, options) for _ in range(3))))

    summaries = run(body())
    files = [path for summary in summaries for output in summary.outputs for path, _ in output.files]
    assert len(set(files)) == len(files) == 9


def test_leftovers_are_named_and_not_touched(tmp_path: Path) -> None:
    part = tmp_path / "quotes-20260101T000000Z-00001.parquet.part"
    part.write_bytes(b"half")

    async def body() -> list[str]:
        async with world() as (_gateway, client):
            notices: list[str] = []
            await collect(client, options_of(client, tmp_path, duration_s=60.0), on_notice=notices.append)
            return notices

    (notice,) = run(body())
    assert str(part) in notice
    assert part.read_bytes() == b"half"


@pytest.mark.parametrize(
    "name", ["duration_s", "give_up_after_s", "flush_interval_s", "roll_interval_s", "max_queue_bytes"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_options_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        CollectOptions(conids=CONIDS, out=Path("x"), **{name: value})


def test_the_policy_is_checked() -> None:
    with pytest.raises(ConfigError, match="hold, drop_oldest, drop_newest, not 'panic'"):
        CollectOptions(conids=CONIDS, out=Path("x"), slow_disk="panic")  # type: ignore[arg-type]


def test_conids_are_checked() -> None:
    with pytest.raises(SubscriptionError):
        CollectOptions(conids=(-1,), out=Path("x"))
    assert CollectOptions(conids=(1, 2, 1), out=Path("x")).conids == (1, 2)
