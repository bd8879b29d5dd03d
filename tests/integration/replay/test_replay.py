"""Replay through the consumers of a feed: what was live and recorded comes again, at any pace, and nothing is lost."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.errors import ConfigError, RequestTimeoutError, UsageError
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.replay.capture_file import CaptureFile
from tests.conftest import StartGateway
from tests.integration.collect.harness import client_of
from tests.unit.replay.test_recording import write_capture, write_events

CONIDS = (265598, 8314)
_PATIENT = {
    **dict.fromkeys(("stale_after_min_s", "stale_after_max_s", "answer_timeout_s"), 600.0),
    **dict.fromkeys(("ready_timeout_s", "socket_timeout_s"), 600.0),
}


def smd(conid: int, price: float, **more: Any) -> bytes:
    fields = "".join(f',"{key}":"{value}"' for key, value in more.items())
    return f'{{"conid":{conid},"31":"{price}"{fields},"topic":"smd+{conid}"}}'.encode()


def change(time_ns: int, state: cf.FeedState, cause: cf.Cause, topic: str | None = None) -> cf.StateChange:
    return cf.StateChange(time_ns, state, cf.FeedState.CONNECTING, cause, "none", topic)


def plain(item: cf.Batch | cf.FeedEvent) -> object:
    if not isinstance(item, cf.Batch):
        return item
    return [(frame.raw, frame.kind, frame.conid, frame.received_ns) for frame in item]


class Recorder:
    """Writes what a feed or a replay delivers to a folder, and keeps it."""

    def __init__(self, feed: cf.Feed | cf.Replay, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.items: list[object] = []
        self.quotes: list[tuple[object, ...]] = []
        self._rows = 0
        self._writer = cf.CaptureWriter(folder / "capture.arrows")
        self._log = EventLog(folder / "events.jsonl")
        feed.on_batch(self._on_item)
        feed.on_quote(self._on_quote)

    def _on_item(self, item: cf.Batch | cf.FeedEvent) -> None:
        self.items.append(plain(item))
        if isinstance(item, cf.Batch):
            self._writer.write(item)
            self._rows += len(item)
        else:
            self._log.write_event(item, self._rows)

    def _on_quote(self, quote: cf.Quote) -> None:
        self.quotes.append((quote.topic, quote.received_ns, quote.is_current, quote.last_price, quote.bid_price))

    def close(self) -> None:
        self._writer.close()
        self._log.close()


async def subscribed(feed: cf.Feed | cf.Replay) -> None:
    for conid in CONIDS:
        await feed.subscribe_market_data(conid, ["last_price", "bid_price"])


async def replayed(path: Path, **options: Any) -> list[object]:
    async with cf.Replay(path, **({"speed": None} | options)) as replay:
        return [plain(item) async for item in replay.batches()]


# --- live and replayed -----------------------------------------------------------------------------------------------


async def test_a_run_with_outages_is_replayed_as_it_was_received(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Frames, batches, events and quotes of a feed that reconnects, and those of the replay, and of its replay."""
    gateway = await start_gateway(rate=400.0, tls=False)
    async with client_of(gateway) as client:
        feed = cf.Feed(client, cf.FeedOptions(log_trouble=False, reconnect_base_s=0.01, seed=1, **_PATIENT))
        live = Recorder(feed, tmp_path / "live")
        await subscribed(feed)
        await feed.start()
        for connections in (1, 2, 3):
            await gateway.wait_for(
                lambda n=connections: feed.stats.connections == n and feed.state.value == "streaming"
            )
            frames = feed.stats.connection.frames_received
            await gateway.wait_for(lambda n=frames: feed.stats.connection.frames_received > n + 100)
            if connections < 3:
                gateway.faults.drop_sockets()
        await feed.aclose()
    live.close()
    assert sum(isinstance(item, cf.Gap) for item in live.items) >= 2

    assert await replayed(tmp_path / "live") == live.items
    async with cf.Replay(tmp_path / "live", speed=None) as replay:
        again = Recorder(replay, tmp_path / "again")
        await subscribed(replay)
        await replay.wait_end()
        assert replay.stats.gaps == feed.stats.gaps
        assert replay.stats.connections == feed.stats.connections
        assert replay.stats.connection.frames_received == sum(map(len, [i for i in live.items if isinstance(i, list)]))
    again.close()
    assert again.items == live.items
    assert again.quotes == live.quotes
    events = [(tmp_path / folder / "events.jsonl").read_bytes() for folder in ("live", "again")]
    assert events[0] == events[1]
    tables = [cf.read_capture(tmp_path / folder / "capture.arrows").read_all() for folder in ("live", "again")]
    assert tables[0].equals(tables[1])


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[3] / "examples" / "strategy.py"
    spec = importlib.util.spec_from_file_location("example_strategy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_strategy_of_the_examples_has_the_same_signals_live_and_replayed(
    example: ModuleType, tmp_path: Path
) -> None:
    capture = tmp_path / "capture.arrows"
    live = await example.live(capture, 300)
    assert live
    assert await example.replayed(capture, 300) == live
    assert await example.replayed(tmp_path, 300) == live


# --- subscriptions and states ----------------------------------------------------------------------------------------

_SYSTEM, _ORDER = b'{"topic":"system","hb":1}', b'{"topic":"sor","args":[{"orderId":1,"status":"Filled"}]}'


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A run of two instruments, an order and a lost connection, with a second between the reads."""
    second = 1_000_000_000
    write_capture(
        tmp_path / "capture.arrows",
        [
            (1 * second, [_SYSTEM, smd(1, 10, **{"84": "9"}), smd(2, 20)]),
            (2 * second, [smd(2, 21)]),
            (3 * second, [_ORDER, smd(1, 11)]),
            (5 * second, [smd(1, 12)]),
        ],
    )
    write_events(
        tmp_path / "events.jsonl",
        [
            (0, change(second // 2, cf.FeedState.AUTHENTICATED, cf.Cause.LOGGED_IN)),
            (3, change(1 * second, cf.FeedState.STREAMING, cf.Cause.DATA)),
            (6, change(4 * second, cf.FeedState.DISCONNECTED, cf.Cause.CONNECTION_LOST)),
            (6, change(4 * second, cf.FeedState.AUTHENTICATED, cf.Cause.LOGGED_IN)),
            (6, cf.Gap("smd+1", 3 * second, 5 * second, cf.Cause.CONNECTION_LOST)),
            (6, cf.Gap("smd+2", 3 * second, None, cf.Cause.CONNECTION_LOST)),
            (7, change(5 * second, cf.FeedState.STREAMING, cf.Cause.DATA)),
        ],
    )
    return tmp_path


async def test_a_subscription_selects_frames_and_events(recorded: Path) -> None:
    async with cf.Replay(recorded, speed=None) as replay:
        await replay.subscribe_market_data(1)
        items = [item async for item in replay]
        assert replay.frames_left_out == 3
    raws = [item.raw for item in items if isinstance(item, cf.Frame)]
    assert raws == [_SYSTEM, smd(1, 10, **{"84": "9"}), smd(1, 11), smd(1, 12)]
    assert [item.subscription for item in items if isinstance(item, cf.Gap)] == ["smd+1"]
    assert sum(isinstance(item, cf.StateChange) for item in items) == 5
    assert len(await replayed(recorded)) == 4 + 7


async def test_quotes_do_not_mix_values_of_before_and_after_a_gap(recorded: Path) -> None:
    seen: list[tuple[float | None, float | None, bool]] = []
    async with cf.Replay(recorded, speed=None) as replay:
        replay.on_quote(lambda quote: seen.append((quote.last_price, quote.bid_price, quote.is_current)))
        await replay.subscribe_market_data(1)
        await replay.wait_end()
        assert replay.quote(1).age_s("31") == 0.0
    assert seen == [(10, 9, True), (11, 9, True), (11, 9, False), (12, None, True)]


async def test_states_orders_and_times_are_recorded_ones(recorded: Path) -> None:
    async with cf.Replay(recorded, speed=None) as replay:
        assert replay.state is cf.FeedState.DISCONNECTED
        await replay.subscribe_market_data(1)
        await replay.subscribe_orders()
        assert await replay.wait_for(cf.FeedState.STREAMING) is cf.FeedState.STREAMING
        orders = []
        replay.on_order(orders.append)
        await replay.wait_end()
        assert replay.state is cf.FeedState.STREAMING
        assert replay.time_ns == 5_000_000_000
        status = replay.status_of("smd+1")
        assert status is not None
        assert (status.frames, status.last_ns, status.state) == (3, 5_000_000_000, cf.FeedState.STREAMING)
        assert [order.status.value for order in replay.orders.values()] == ["Filled"]
        # The connection was lost, and nothing has confirmed the order since.
        assert orders
        with pytest.raises(UsageError, match="the replay has ended, in the state streaming"):
            await replay.wait_for(cf.FeedState.COMPETING)
        with pytest.raises(UsageError, match="has ended"):
            await replay.subscribe_market_data(2)


async def test_a_start_knows_the_states_of_before(recorded: Path) -> None:
    start = datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    async with cf.Replay(recorded, speed=None, start=start, end=start + timedelta(seconds=2)) as replay:
        await replay.subscribe_market_data(2)
        await replay.wait_for(cf.FeedState.STREAMING)
        raws = [item.raw async for item in replay if isinstance(item, cf.Frame)]
    assert raws == [smd(2, 21)]
    assert await replayed(recorded, start=6_000_000_000) == []


async def test_a_topic_without_a_frame_is_reported(recorded: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cpapi_fast"):
        async with cf.Replay(recorded, speed=None) as replay:
            await replay.subscribe_market_data(3)
            await replay.subscribe_ledger("DU1234567")
            await replay.wait_end()
    assert "no frame of 2 subscriptions: smd+3, sld+[redacted]" in caplog.text


async def test_runs_do_not_share_a_quote(tmp_path: Path) -> None:
    for day, frame in ((1, smd(1, 10, **{"84": "9"})), (2, smd(1, 11))):
        write_capture(tmp_path / f"capture-2026010{day}T000000.000000Z-{day}a0a0a.arrows", [(day, [frame])])
    seen: list[tuple[float | None, float | None]] = []
    async with cf.Replay(tmp_path, speed=None) as replay:
        replay.on_quote(lambda quote: seen.append((quote.last_price, quote.bid_price)))
        await replay.subscribe_market_data(1)
        await replay.wait_end()
        assert len(replay.files) == 2
    assert seen[0] == (10, 9)
    assert seen[-1] == (11, None)


# --- pace and readers ------------------------------------------------------------------------------------------------


async def test_the_recorded_pace_is_kept(recorded: Path) -> None:
    for speed, least_s in ((8.0, 0.5), (None, 0.0)):
        start_s = time.monotonic()
        items = await replayed(recorded, speed=speed)
        assert len(items) == 11
        assert time.monotonic() - start_s >= least_s


def many(folder: Path, reads: int = 3_000) -> tuple[Path, list[bytes]]:
    frames = [smd(number % 50, number) for number in range(4 * reads)]
    path = folder / "many.arrows"
    write_capture(
        path, [(1_000 * number, frames[4 * number : 4 * number + 4]) for number in range(reads)], per_message=100
    )
    return path, frames


async def test_a_slow_reader_holds_the_replay_and_loses_nothing(tmp_path: Path) -> None:
    path, frames = many(tmp_path)
    async with cf.Replay(path, speed=None) as replay:
        slow = replay.consumer(max_pending_frames=10, name="slow")
        raws = []
        async for item in slow:
            assert isinstance(item, cf.Frame)
            assert slow.stats.pending <= 14
            raws.append(item.raw)
            if len(raws) % 100 == 0:
                await asyncio.sleep(0)
        assert raws == frames
        assert slow.stats.dropped == 0


async def test_a_replay_can_be_closed_at_any_moment(tmp_path: Path) -> None:
    path, _ = many(tmp_path)
    for count in (0, 1, 500):
        async with cf.Replay(path, speed=None, options=cf.FeedOptions(max_pending_frames=50)) as replay:
            for _ in range(count):
                await anext(aiter(replay))
        with pytest.raises(UsageError, match="the replay is closed"):
            await replay.subscribe_market_data(1)
    for thread in threading.enumerate():
        if thread.name.startswith("cpapi_fast replay"):
            await asyncio.to_thread(thread.join, 60)
            assert not thread.is_alive()


async def test_typed_columns_of_a_replay_are_those_of_the_frames(tmp_path: Path) -> None:
    path, frames = many(tmp_path, 500)
    decoder, prices = cf.TickDecoder(["31"]), []
    async with cf.Replay(path, speed=None) as replay:
        async for batch in replay.batches():
            assert isinstance(batch, cf.Batch)
            prices += decoder.decode(batch).values("31")
    assert prices == [float(number) for number in range(len(frames))]


# --- bad files and misuse --------------------------------------------------------------------------------------------


async def test_a_torn_capture_is_replayed_to_its_last_message_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, frames = many(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING, "cpapi_fast"):
        async with cf.Replay(path, speed=None) as replay:
            raws = [item.raw async for item in replay if isinstance(item, cf.Frame)]
            assert list(replay.torn) == [path]
    assert raws == frames[: len(raws)]
    assert len(raws) == len(frames) - 400
    assert f"the capture {path} ends in an incomplete message" in caplog.text


async def test_a_damaged_capture_is_an_error_of_every_reader(tmp_path: Path) -> None:
    path, _ = many(tmp_path)
    content = bytearray(path.read_bytes())
    with CaptureFile(path) as file:
        content[file.messages[15].offset] = 1
    path.write_bytes(content)
    async with cf.Replay(path, speed=None) as replay:
        with pytest.raises(ConfigError, match="is damaged in the message at byte") as caught:
            async for _ in replay:
                pass
        assert str(path) in str(caught.value)
        with pytest.raises(ConfigError, match="is damaged"):
            await replay.wait_end()
        assert replay.error is not None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"speed": 0.0}, "speed"),
        ({"speed": -1}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"start": datetime(2026, 1, 1)}, "start must have a time zone"),
        ({"end": "2026-01-01"}, "end must be a datetime, or ns since the Unix epoch"),
        ({"start": 5, "end": 5}, "start must be before end"),
        ({"start": 2**63}, "start must be a datetime"),
        ({"only_run": "123456"}, "is not a file of the run 123456"),
    ],
)
def test_wrong_arguments_are_refused(recorded: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        cf.Replay(recorded / "capture.arrows", **options)


async def test_misuse_is_refused(recorded: Path) -> None:
    replay = cf.Replay(recorded, speed=None)
    with pytest.raises(UsageError, match="the replay was not started"):
        await anext(aiter(replay))
    with pytest.raises(UsageError, match="the replay was not started"):
        await replay.wait_end()
    await replay.start()
    with pytest.raises(UsageError, match="only once"):
        await replay.start()
    with pytest.raises(UsageError, match="is not subscribed to"):
        replay.quote(1)
    await replay.aclose()
    await replay.aclose()
    async with cf.Replay(recorded, speed=0.01) as slow:
        with pytest.raises(RequestTimeoutError, match="not competing"):
            await slow.wait_for(cf.FeedState.COMPETING, timeout_s=0.0001)
