"""Backfill against the simulator: with a `Backfiller` and a socket of the test, then with a `Feed`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

import cpapi_fast as cf
from cpapi_fast.events import BackfillSource
from cpapi_fast.feed.backfill import Backfiller
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter
from tests.support.loops import until

SOURCES: list[BackfillSource] = ["smh", "rest"]
STREAMING = cf.FeedState.STREAMING

#: In seconds of a fast clock, long enough for a busy machine.
PATIENT_S = 2_000.0

both_sources = pytest.mark.parametrize("source", SOURCES)


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS that is ready at once."""
    return {"tls": False, "seed": 7, "idle_timeout_s": None, "ready_delay_s": 0.0}


@pytest.fixture
async def client(enter: Enter, gateway: SimulatedGateway) -> cf.Client:
    """A client whose requests may wait long."""
    pacer = cf.RestPacer(gateway.clock, max_wait_s=PATIENT_S)
    patience = {"connect_timeout_s": PATIENT_S, "total_timeout_s": PATIENT_S}
    return await enter(cf.Client(gateway.url, clock=gateway.clock, pacer=pacer, **patience))


class Bench:
    """A backfiller that is used with one socket after the other."""

    def __init__(self, source: BackfillSource, client: cf.Client, *, timeout_s: float = PATIENT_S) -> None:
        self.client = client
        self.reported: list[cf.Backfill] = []
        self.frames: list[cf.Frame] = []
        self.ws: cf.WsClient | None = None
        self.backfiller = Backfiller(
            source,
            clock=client.clock,
            send=self.send,
            request=client.history,
            on_backfill=self.reported.append,
            timeout_s=timeout_s,
            retry_s=1.0,
        )

    def send(self, text: str) -> None:
        if self.ws is not None:
            with contextlib.suppress(cf.TransportError):
                self.ws.send_nowait(text)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[cf.WsClient]:
        """A socket for the backfiller, once the gateway is ready."""
        async with await cf.WsClient.connect(self.client) as ws:
            self.ws = ws
            ws.on_frame(self.on_frame)
            await until(lambda: any(frame.topic == "sts" for frame in self.frames))
            self.backfiller.on_connection_ready()
            try:
                yield ws
            finally:
                self.ws = None
                self.backfiller.on_connection_lost()
                self.frames = [frame for frame in self.frames if frame.topic != "sts"]

    def on_frame(self, frame: cf.Frame) -> None:
        self.frames.append(frame)
        if frame.channel == "smh":
            self.backfiller.on_frame(frame)

    def of(self, topic: str) -> list[cf.Frame]:
        return [frame for frame in self.frames if frame.topic == topic]


def most_at_once(texts: list[str]) -> int:
    """How many slots were taken at most, by the texts that the gateway received."""
    most = open_now = 0
    for text in texts:
        open_now += text.startswith("smh+")
        open_now -= text.startswith("umh+")
        most = max(most, open_now)
    return most


@both_sources
@pytest.mark.gateway(speed=200.0, keep_log=True)
async def test_the_bars_contain_the_prices_sent_during_the_gap(
    gateway: SimulatedGateway, client: cf.Client, source: BackfillSource
) -> None:
    bench = Bench(source, client)
    async with bench.connected() as ws:
        await ws.subscribe_market_data(265598, cf.MarketDataFields.from_codes(["31"]))
        await until(lambda: len(bench.of("smd+265598")) >= 60)
        frames = bench.of("smd+265598")
        first, last = frames[10], frames[50]
        gap = cf.Gap("smd+265598", first.received_ns, last.received_ns, cf.Cause.CONNECTION_LOST)
        bench.backfiller.on_gap(gap)
        await until(lambda: bench.reported != [])
    (backfill,) = bench.reported
    assert (backfill.gap, backfill.source, backfill.error) == (gap, source, None)
    bars = backfill.bars
    assert [bar.start_ns for bar in bars] == sorted({bar.start_ns for bar in bars})
    first_ns, last_ns = (gateway.clock.of_machine_ns(frame.received_ns) for frame in (first, last))
    assert bars[0].start_ns <= first_ns < bars[0].start_ns + 60_000_000_000
    assert bars[-1].start_ns <= last_ns < bars[-1].start_ns + 60_000_000_000
    sent = [
        float(orjson.loads(entry.payload)["31"].lstrip("CH"))
        for entry in gateway.log
        if entry.topic == "smd+265598"
        and first.received_ns < entry.sent_ns < last.received_ns
        and b'"31"' in entry.payload
    ]
    # The first prices may belong to the minute before they were sent.
    later = sent[3:]
    assert len(later) >= 5
    assert min(bar.low for bar in bars) <= min(later) <= max(later) <= max(bar.high for bar in bars)
    assert sum(bar.volume for bar in bars) > 0


@both_sources
@pytest.mark.gateway(enforce_pacing=True)
async def test_thirty_gaps_use_five_slots_and_leave_none_taken(
    gateway: SimulatedGateway, client: cf.Client, source: BackfillSource
) -> None:
    bench = Bench(source, client)
    async with bench.connected():
        now_ns = time.time_ns()
        for conid in range(1, 31):
            gap = cf.Gap(f"smd+{conid}", now_ns - 10**9, now_ns, cf.Cause.CONNECTION_LOST)
            bench.backfiller.on_gap(gap)
        await until(lambda: len(bench.reported) == 30)
        peer = gateway.open_connections[0]
        await until(lambda: peer.socket_subscriptions.histories == {})
    assert all(backfill.bars for backfill in bench.reported)
    assert {request.status for request in gateway.requests} <= {101, 200}
    texts = [received.text for received in peer.received]
    if source == "smh":
        assert most_at_once(texts) == 5
        assert [backfill.gap.subscription for backfill in bench.reported] == [f"smd+{n}" for n in range(1, 31)]
    else:
        assert texts == []


async def test_a_lost_connection_frees_its_slots_and_requests_are_repeated(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    bench = Bench("smh", client)
    with contextlib.suppress(cf.TransportError):
        async with bench.connected():
            # Requested without a reply: the gateway ignores the texts.
            gateway.faults.drop_subscribes(5)
            now_ns = time.time_ns()
            for conid in range(1, 8):
                gap = cf.Gap(f"smd+{conid}", now_ns - 10**9, now_ns, cf.Cause.CONNECTION_LOST)
                bench.backfiller.on_gap(gap)
            peer = gateway.open_connections[0]
            await until(lambda: len(peer.received) == 5)
            assert bench.backfiller.slots_in_use == 5
            gateway.faults.drop_sockets(reset=True)
            await until(lambda: bench.ws is None or not bench.ws.is_open)
    assert (bench.backfiller.slots_in_use, bench.reported) == (0, [])
    async with bench.connected():
        await until(lambda: len(bench.reported) == 7)
        assert all(backfill.bars for backfill in bench.reported)
        peer = gateway.open_connections[0]
        await until(lambda: peer.socket_subscriptions.histories == {})
    assert most_at_once([received.text for received in peer.received]) == 5


async def test_slots_that_another_program_holds_are_waited_for(client: cf.Client) -> None:
    bench = Bench("smh", client)
    async with bench.connected() as ws:
        for conid in range(101, 106):
            await ws.send_text(f"smh+{conid}+{{}}")
        await until(lambda: all(bench.of(f"smh+{conid}") for conid in range(101, 106)))
        now_ns = time.time_ns()
        bench.backfiller.on_gap(cf.Gap("smd+1", now_ns - 10**9, now_ns, cf.Cause.CONNECTION_LOST))
        await until(lambda: len(bench.of("smh+1")) == 1)
        assert "error" in bench.of("smh+1")[0].payload
        # The other program gives one of its slots back.
        await ws.send_text(f"umh+{bench.of('smh+101')[0].payload['serverId']}")
        await until(lambda: bench.reported != [])
        assert bench.reported[0].bars


async def test_a_missing_reply_fails_the_gap_in_time(gateway: SimulatedGateway, client: cf.Client) -> None:
    bench = Bench("smh", client, timeout_s=2.0)
    async with bench.connected():
        gateway.faults.drop_subscribes(1)
        now_ns = time.time_ns()
        bench.backfiller.on_gap(cf.Gap("smd+1", now_ns - 10**9, now_ns, cf.Cause.CONNECTION_LOST))
        await until(lambda: bench.reported != [])
        assert "within 2 s" in str(bench.reported[0].error)


@both_sources
@pytest.mark.gateway(inactive_conids=frozenset({1}))
async def test_an_expired_conid_has_no_history(client: cf.Client, source: BackfillSource) -> None:
    bench = Bench(source, client)
    async with bench.connected():
        now_ns = time.time_ns()
        bench.backfiller.on_gap(cf.Gap("smd+1", now_ns - 10**9, now_ns, cf.Cause.CONNECTION_LOST))
        await until(lambda: bench.reported != [])
        assert str(bench.reported[0].error).endswith(", 3 times")
        assert bench.backfiller.slots_in_use == 0


# --- by Feed --------------------------------------------------------------------------------------


async def read_until(consumer: Any, is_last: Callable[[Any], bool]) -> list[Any]:
    items = []
    async for item in consumer:
        items.append(item)
        if is_last(item):
            break
    return items


@both_sources
async def test_a_feed_reports_bars_after_each_gap(
    gateway: SimulatedGateway, client: cf.Client, source: BackfillSource
) -> None:
    conids = (265598, 8314, 272093)

    options = cf.FeedOptions(backfill=source, backfill_timeout_s=PATIENT_S)
    async with cf.Feed(client, options) as feed:
        consumer = feed.consumer()
        missing = {f"smd+{conid}" for conid in conids}
        for conid in conids:
            await feed.subscribe_market_data(conid)

        def has_all(item: Any) -> bool:
            missing.discard(getattr(item, "topic", None))
            return not missing

        items = await read_until(consumer, has_all)
        gateway.faults.drop_sockets(reset=True)
        missing = {f"smd+{conid}" for conid in conids}

        def is_filled(item: Any) -> bool:
            if isinstance(item, cf.Backfill):
                missing.discard(str(item.gap.subscription))
            return not missing

        items += await read_until(consumer, is_filled)
        stats, status = consumer.stats, feed.subscriptions
        peer = gateway.open_connections[0]
        await until(lambda: peer.socket_subscriptions.histories == {})
    gaps = [item for item in items if isinstance(item, cf.Gap)]
    backfills = [item for item in items if isinstance(item, cf.Backfill)]
    assert len(backfills) == len(gaps) == 3
    for backfill in backfills:
        assert (backfill.source, backfill.error) == (source, None)
        # It comes after its gap, and contains the gap that was reported.
        assert items.index(backfill.gap) < items.index(backfill)
        first_ns = gateway.clock.of_machine_ns(backfill.gap.last_good_ns)
        assert backfill.bars[0].start_ns <= first_ns < backfill.bars[0].start_ns + 60_000_000_000
    # Bars are neither frames nor ticks: all frames come from the socket.
    assert stats.received == stats.delivered + stats.conflated + stats.dropped + stats.pending
    assert stats.received <= feed.stats.connection.frames_received
    frames = [item for item in items if isinstance(item, cf.Frame)]
    quotes = [frame for frame in frames if frame.kind is cf.FrameKind.MARKET_DATA]
    assert len(quotes) <= sum(one.frames for one in status)
    answers = [frame for frame in frames if frame.channel == "smh"]
    assert len(answers) == (3 if source == "smh" else 0)


async def test_a_feed_without_backfill_requests_no_history(gateway: SimulatedGateway, client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        consumer = feed.consumer()
        await read_until(consumer, lambda item: getattr(item, "topic", None) == "smd+265598")
        gateway.faults.drop_sockets(reset=True)
        items = await read_until(consumer, lambda item: isinstance(item, cf.Gap))
        items += await read_until(consumer, lambda item: isinstance(item, cf.Frame) and item.conid == 265598)
        assert not any(isinstance(item, cf.Backfill) for item in items)
        texts = [received.text for peer in gateway.connections for received in peer.received]
        assert not any(text.startswith("smh") for text in texts)
        assert not any("history" in request.path for request in gateway.requests)


@both_sources
async def test_a_feed_that_closes_reports_gaps_that_were_not_filled(
    gateway: SimulatedGateway, client: cf.Client, source: BackfillSource
) -> None:
    items: list[Any] = []
    feed = cf.Feed(client, cf.FeedOptions(backfill=source, backfill_timeout_s=PATIENT_S))
    feed.on_item(items.append)
    async with feed:
        await feed.subscribe_market_data(265598)
        await until(lambda: any(getattr(item, "topic", None) == "smd+265598" for item in items))
        gateway.faults.fail_rest("/iserver/marketdata/history", delay_s=PATIENT_S)
        gateway.faults.drop_sockets(reset=True)

        def swallow(item: Any) -> None:
            # The smd has a reply; the next request is for history.
            if isinstance(item, cf.Gap):
                gateway.faults.drop_subscribes(1)

        feed.on_item(swallow)
        await until(lambda: any(isinstance(item, cf.Gap) for item in items))
    (backfill,) = [item for item in items if isinstance(item, cf.Backfill)]
    assert backfill.bars == ()
    assert "closed" in str(backfill.error)


def test_invalid_backfill_options_are_refused() -> None:
    for wrong in ({"backfill": "both"}, {"backfill": True}, {"backfill_timeout_s": 0.0}):
        with pytest.raises(cf.ConfigError, match="backfill"):
            cf.FeedOptions(**wrong)  # type: ignore[arg-type]


@both_sources
@pytest.mark.time_limit(90.0)
@pytest.mark.gateway(tick_intervals=dict.fromkeys(range(1, 13), 0.5))
async def test_after_many_faults_every_gap_has_one_backfill_and_slots_stay_within_five(
    gateway: SimulatedGateway, client: cf.Client, source: BackfillSource
) -> None:
    conids = range(1, 13)
    events: list[Any] = []
    options = cf.FeedOptions(backfill=source, backfill_timeout_s=PATIENT_S, keepalive_interval_s=10.0)
    feed = cf.Feed(client, options)
    feed.on_batch(lambda item: None if isinstance(item, cf.Batch) else events.append(item))

    def is_well() -> bool:
        lines = feed.subscriptions
        return feed.state is STREAMING and all(
            line.state is STREAMING and line.ticks > 0 and not line.is_in_gap for line in lines
        )

    def gaps() -> int:
        return sum(isinstance(event, cf.Gap) for event in events)

    async with feed:
        for conid in conids:
            await feed.subscribe_market_data(conid)
        await until(is_well)
        faults: list[Callable[[], object]] = [
            lambda: gateway.faults.drop_sockets(reset=True),
            lambda: gateway.faults.close_sockets(1001),
            lambda: [gateway.faults.end_stream(str(conid)) for conid in (1, 2, 3)],
            # Right after the previous one, while history is being requested.
            gateway.faults.drop_sockets,
            lambda: (gateway.faults.drop_subscribes(3), gateway.faults.drop_sockets()),
            gateway.faults.change_session_id,
        ]
        for fault in faults:
            known = gaps()
            fault()
            await until(lambda known=known: gaps() > known and is_well())
    ended = [event for event in events if isinstance(event, cf.Gap) and event.first_good_ns is not None]
    backfills = [event for event in events if isinstance(event, cf.Backfill)]
    assert len(ended) >= 5 * len(conids)
    # One Backfill for each gap, after it.
    assert sorted(map(id, ended)) == sorted(id(backfill.gap) for backfill in backfills)
    for backfill in backfills:
        assert events.index(backfill.gap) < events.index(backfill)
    filled = [backfill for backfill in backfills if backfill.bars]
    assert len(filled) >= len(backfills) // 2
    assert all(backfill.source == source for backfill in backfills)
    for peer in gateway.connections:
        assert most_at_once([received.text for received in peer.received]) <= 5
