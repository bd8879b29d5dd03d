"""Helpers for tests of `Collector` against the simulated gateway: options, and what the files contain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.reports import Summary
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import SimulatedGateway
from cpapi_fast.ws.options import WsOptions
from tests.support.batches import batch_of

CONIDS = (265598, 8314)


def client_of(gateway: SimulatedGateway) -> Client:
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else Tls.verify()
    # In real time, so that a busy machine does not look like a gateway that hangs.
    real_s = 10.0 * gateway.clock.speed
    return Client(gateway.url, tls=tls, clock=gateway.clock, connect_timeout_s=real_s, total_timeout_s=real_s)


def options_of(
    client: Client, folder: Path, feed_options: dict[str, Any] | None = None, **options: Any
) -> CollectOptions:
    """Options for the two instruments, with timeouts in real time."""
    real_s = 10.0 * client.clock.speed
    ws = WsOptions(open_timeout_s=real_s, close_timeout_s=real_s / 10)
    # Long, so that a busy machine does not look like a stalled gateway.
    patience_s = max(60.0, real_s / 2)
    patient = dict.fromkeys(("stale_after_min_s", "stale_after_max_s", "answer_timeout_s"), patience_s)
    patient |= dict.fromkeys(("ready_timeout_s", "socket_timeout_s"), patience_s)
    feed = FeedOptions(**({"ws": ws, "nightly": None, "seed": 7} | patient | (feed_options or {})))
    return CollectOptions(**({"conids": CONIDS, "out": folder, "feed": feed} | options))


def captured(folder: Path) -> list[tuple[int, int, bytes]]:
    rows: list[tuple[int, int, bytes]] = []
    for path in sorted(folder.glob("capture-*.arrows")):
        reader = read_capture(path)
        table = reader.read_all()
        assert reader.torn_bytes == 0
        rows += zip(*(table[name].to_pylist() for name in ("kind", "conid", "raw")), strict=True)
    return rows


def quoted(folder: Path) -> list[dict[str, Any]]:
    assert list(folder.glob("*.part")) == []
    return [row for path in sorted(folder.glob("quotes-*.parquet")) for row in pq.read_table(path).to_pylist()]


def happened(folder: Path) -> list[dict[str, Any]]:
    """The lines of the events files."""
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("events-*.jsonl")))
    assert text.endswith(b"\n")
    return [orjson.loads(line) for line in text.splitlines()]


def stream_of(folder: Path) -> Iterator[Batch | Gap | StateChange | str]:
    """The frames of the capture, one batch each, with the events at their places; of other events, their type."""
    events: dict[int, list[Gap | StateChange | str]] = {}
    for line in happened(folder):
        event: Gap | StateChange | str = line["type"]
        if event == "gap":
            event = Gap(line["subscription"], line["last_good_ns"], line["first_good_ns"], Cause(line["cause"]))
        elif event == "state":
            state, previous = FeedState(line["state"]), FeedState(line["previous"])
            event = StateChange(1, state, previous, Cause(line["cause"]), "", line["subscription"])
        events.setdefault(line["row"], []).append(event)
    number = 0
    for path in sorted(folder.glob("capture-*.arrows")):
        table = read_capture(path).read_all()
        for received_ns, raw in zip(table["received_ns"].to_pylist(), table["raw"].to_pylist(), strict=True):
            yield from events.pop(number, ())
            yield batch_of([raw], received_ns)
            number += 1
    yield from events.pop(number, ())
    assert not events


def states(folder: Path, subscription: str | None = None) -> list[str]:
    """The states of the feed or of a subscription, in order."""
    lines = [line for line in happened(folder) if line["type"] == "state" and line["subscription"] == subscription]
    return [line["state"] for line in lines]


def check_summary(summary: Summary | None, folder: Path) -> None:
    """The counts add up and agree with the files."""
    assert summary is not None
    connection, consumer = summary.feed.connection, summary.consumer
    assert connection.frames_received == connection.delivered + connection.dropped + connection.pending
    assert consumer.received == consumer.delivered + consumer.dropped
    assert consumer.pending == consumer.conflated == 0
    assert consumer.received == connection.delivered
    capture, quotes, events = summary.outputs
    for output in summary.outputs:
        counts = output.counts
        assert counts.received == counts.written + counts.taken_away + counts.dropped_total + counts.pending
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
    if not capture.counts.dropped and not capture.counts.taken_away:
        assert quotes.counts.received == market_data


def sent(gateway: SimulatedGateway) -> list[bytes]:
    return list(gateway.connections[-1].sent)


UP = ["connecting", "open", "ready", "authenticated", "streaming"]


def happened_name(folder: Path) -> str:
    (path,) = folder.glob("events-*.jsonl")
    return path.name


def receive_times(folder: Path) -> list[int]:
    times: list[int] = []
    for path in sorted(folder.glob("capture-*.arrows")):
        times += read_capture(path).read_all()["received_ns"].to_pylist()
    return times
