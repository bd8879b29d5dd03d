"""Runs every path of the library with N and 2 N frames, with a mark before and after each run for callgrind.

Usage: python -m benchmarks.gate.driver LAYOUT.json   (under callgrind; see measure.py)

The connections are real. The driver passes the bytes to picows' protocol object as the event loop does, through
`get_buffer` and `buffer_updated`, so a frame takes the whole receive path except for the kernel. If a path is changed
to run something else, it gets a new name.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import orjson
import picows

import cpapi_fast
from cpapi_fast.clock import Clock
from cpapi_fast.events import FeedState
from cpapi_fast.feed import Feed
from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.state import read_quote
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.protocol.topics import market_data_subscribe_text
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.session import Accounts, SessionTicket
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions

from . import frames, native
from .outputs import output_paths

#: Frames in one socket read. They fit in the initial read buffer of picows, so that a read is not split.
READ_FRAMES: Final = 100
#: Socket reads for N frames. The difference between 2 N and N frames, divided by N, is the cost of one frame.
READS: Final = 10

#: A lateness that no frame has, in seconds.
_NEVER_S: Final = 1e12

Run = Callable[[int], Awaitable[None]]


class Driver:
    """Runs paths one after the other and records them. A path without a slash in its name is a reference."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.layout: list[dict[str, Any]] = []

    async def drive(self, name: str, run: Run, *, per_turn: int, turns: int = READS, over: str | None = None) -> None:
        """Run a path once as a warm-up, then with N and 2 N frames, where N is `turns` times `per_turn`.

        `over` is the reference whose cost is subtracted; it gets its frames in the same way.
        """
        await run(turns)
        self.layout.append({"name": name, "frames": turns * per_turn, "over": over})
        gc.collect()
        for times in (turns, 2 * turns):
            native.mark()
            await run(times)
            native.mark()

    async def floor(self) -> Callable[[bytes], None]:
        """Open a connection with picows alone, and return the function that passes bytes to it."""
        transport, _ = await picows.ws_connect(
            native.FloorListener, self.url, enable_auto_ping=False, enable_auto_pong=False
        )
        return _feeder(transport)

    async def client(self) -> tuple[WsClient, Callable[[bytes], None]]:
        """Open a connection with the library; return it and the function that passes bytes to it."""
        ws = await WsClient.open(self.url)
        return ws, _feeder(ws._listener.transport)


class Gateway(Client):
    """A REST client with the responses of a logged-in gateway, without a gateway.

    Its clock is slow, so that no timer of a feed is due even under callgrind or on a busy machine.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url.replace("ws:", "http:"), clock=Clock(0.01))

    async def tickle(self) -> SessionTicket:
        status = {"authenticated": True, "connected": True, "competing": False}
        return SessionTicket.parse({"session": "0123456789abcdef", "iserver": {"authStatus": status}}, b"", 0)

    async def accounts(self) -> Accounts:
        return Accounts.parse({"accounts": [], "selectedAccount": ""})

    async def prime_accounts(self) -> None:
        pass


def _feeder(transport: Any) -> Callable[[bytes], None]:
    protocol = transport.underlying_transport.get_protocol()

    def feed(data: bytes) -> None:
        protocol.get_buffer(-1)[: len(data)] = data
        protocol.buffer_updated(len(data))

    return feed


def _expect(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{name}: {found!r} instead of {expected!r}")


BUSY: Final = frames.wire(frames.tail() * (READ_FRAMES // len(frames.CONIDS)))
ESCAPED: Final = frames.wire(frames.texts("escaped") * (READ_FRAMES // len(frames.CONIDS)))
QUIET: Final = frames.wire(frames.tail()[:1])


def _fed(feed: Callable[[bytes], None], data: bytes) -> Run:
    async def run(times: int) -> None:
        for _ in range(times):
            feed(data)

    return run


def _fed_and_waited(feed: Callable[[bytes], None]) -> Run:
    async def run(times: int) -> None:
        for _ in range(times):
            feed(QUIET)
            await asyncio.sleep(0)

    return run


async def classify_paths(driver: Driver) -> None:
    for name, (template, length, conid_sum) in frames.CLASSIFIED.items():
        classified = frames.texts(template, length)
        _expect(name, native.classify(classified, 1)[2], conid_sum)

        async def run(times: int, classified: list[bytes] = classified) -> None:
            native.classify(classified, times)

        await driver.drive(f"classify/{name}", run, per_turn=len(classified), turns=50)


async def reference_paths(driver: Driver) -> None:
    feed = await driver.floor()
    await driver.drive("floor", _fed(feed, BUSY), per_turn=READ_FRAMES)
    await driver.drive("floor_quiet", _fed(feed, QUIET), per_turn=1, turns=200)
    await driver.drive("floor_waiting", _fed_and_waited(feed), per_turn=1, turns=200)
    texts = frames.tail()

    async def loads(times: int) -> None:
        for _ in range(times):
            for text in texts:
                orjson.loads(text)

    await driver.drive("orjson", loads, per_turn=len(texts), turns=50)


async def push_paths(driver: Driver) -> None:
    for name, data, per_turn, turns, over in (
        ("batch", BUSY, READ_FRAMES, READS, "floor"),
        ("batch_odd", ESCAPED, READ_FRAMES, READS, "floor"),
        ("batch_quiet", QUIET, 1, 200, "floor_quiet"),
    ):
        ws, feed = await driver.client()
        seen: list[int] = []
        ws.on_batch(lambda batch, seen=seen: seen.append(len(batch)))
        await driver.drive(f"read/{name}", _fed(feed, data), per_turn=per_turn, turns=turns, over=over)
        _expect(name, sum(seen), 4 * turns * per_turn)

    ws, feed = await driver.client()
    ws.on_frame(lambda frame: None)
    await driver.drive("read/on_frame", _fed(feed, BUSY), per_turn=READ_FRAMES, over="floor")
    _expect("on_frame", ws.stats.delivered, 4 * READS * READ_FRAMES)

    ws, feed = await driver.client()
    sink = native.CountingSink()
    ws.use_sink(sink)
    await driver.drive("read/sink", _fed(feed, BUSY), per_turn=READ_FRAMES, over="floor")
    _expect("sink", sink.conid_sum, 4 * READS * READ_FRAMES // len(frames.CONIDS) * sum(frames.CONIDS))


async def pull_paths(driver: Driver) -> None:
    ws, feed = await driver.client()

    async def next_message(times: int) -> None:
        for _ in range(times):
            feed(BUSY)
            for _ in range(READ_FRAMES):
                await ws.next_message()

    await driver.drive("read/next_message", next_message, per_turn=READ_FRAMES, over="floor")
    _expect("next_message", ws.stats.delivered, 4 * READS * READ_FRAMES)

    ws, feed = await driver.client()
    batches = ws.batches()

    async def next_batch(times: int) -> None:
        for _ in range(times):
            feed(BUSY)
            await batches.__anext__()

    await driver.drive("read/batches", next_batch, per_turn=READ_FRAMES, over="floor")
    _expect("batches", ws.stats.delivered, 4 * READS * READ_FRAMES)

    ws, feed = await driver.client()
    ws_waited = ws

    async def consume() -> None:
        async for _ in ws_waited:
            pass

    consumer = asyncio.ensure_future(consume())
    await asyncio.sleep(0)
    await driver.drive("read/waiting", _fed_and_waited(feed), per_turn=1, turns=200, over="floor_waiting")
    _expect("waiting", ws.stats.delivered, 4 * 200)
    consumer.cancel()


def _batch(texts: list[bytes]) -> Batch:
    builder = BatchBuilder()
    for text in texts:
        builder.append(text)
    batch = builder.finish(0)
    if batch is None:
        raise AssertionError("a batch without frames")
    return batch


async def frame_paths(driver: Driver) -> None:
    batch = _batch(frames.tail())
    _expect("payload", batch[0].payload, orjson.loads(frames.tail()[0]))
    _expect("message", (batch[0].message.bid_price, batch[0].message.bid_size), (123.45, 1200.0))

    async def payload(times: int) -> None:
        for _ in range(times):
            for frame in batch:
                frame.payload  # noqa: B018  the getter runs

    async def message(times: int) -> None:
        for _ in range(times):
            for frame in batch:
                quote = frame.message
                quote.last_price, quote.bid_price, quote.ask_price  # noqa: B018  as above
                quote.ask_size, quote.bid_size, quote.volume  # noqa: B018  as above

    async def route(times: int) -> None:
        for _ in range(times):
            for frame in batch:
                frame.kind, frame.conid, frame.topic  # noqa: B018  as above

    await driver.drive("frame/payload", payload, per_turn=len(batch), turns=50)
    await driver.drive("frame/message", message, per_turn=len(batch), turns=50)
    await driver.drive("frame/route", route, per_turn=len(batch), turns=50)


async def columns_paths(driver: Driver) -> None:
    decoder = TickDecoder()
    batch = _batch(frames.tail())
    ticks = decoder.decode(batch)
    _expect("columns", (len(ticks), ticks.values("31")[0], ticks.malformed), (len(batch), 123.46, 0))

    async def decode(times: int) -> None:
        for _ in range(times):
            decoder.decode(batch)

    await driver.drive("columns/l1", decode, per_turn=len(batch), turns=50)


async def kept_paths(driver: Driver) -> None:
    """The state of a feed for 100 topics, the usual number of market data lines; the batch has ten of them."""
    texts = frames.tail() * (READ_FRAMES // len(frames.CONIDS))
    batch = _batch(texts)
    topics = TopicTable()
    tracker, last_values = Tracker(topics), LastValues(topics)
    for conid in range(frames.CONIDS[0] - 45, frames.CONIDS[0] + 55):
        last_values.add(topics.add(f"smd+{conid}"))

    async def scan(times: int) -> None:
        for _ in range(times):
            tracker.scan(batch, 1.0)

    async def update(times: int) -> None:
        for _ in range(times):
            last_values.update(batch, 1.0)

    await driver.drive("tracker/scan", scan, per_turn=len(batch), turns=50)
    _expect("scan", (tracker.read(45), tracker.untracked), ((2_000, 0, 1.0, 0), 0))
    await driver.drive("last_values/update", update, per_turn=len(batch), turns=50)
    last = last_values.get(topics.find(f"smd+{frames.CONIDS[0]}")) or {}
    expected = {key: value for key, value in orjson.loads(texts[0]).items() if key != "topic"}
    _expect("update", {key: value for key, (value, _, _) in last.items()}, expected)
    slot, topic = topics.find(f"smd+{frames.CONIDS[0]}"), f"smd+{frames.CONIDS[0]}"
    found = []

    async def read(times: int) -> None:
        for _ in range(times):
            quote = read_quote(last_values, slot, topic, since_s=0.0, clock=lambda: 1.0, is_current=True)
            found[:] = [quote.bid_price, quote.last_price]

    await driver.drive("quote/read", read, per_turn=1, turns=100)
    _expect("quote", found, [123.45, 123.46])


def _let_nothing_be_late(feed: Feed) -> None:
    """Let no batch be inspected because it may be late: all frames have one `_updated`, and callgrind is slow."""
    arrivals, clock = feed._driver.arrivals, feed._clock
    arrivals.stop()
    arrivals._times.set_clock(time.time_ns(), clock.steady_ns(), clock.speed, _NEVER_S)
    arrivals._tracker.set_alive(clock.monotonic_s(), _NEVER_S)
    arrivals._tracker.checks_all = False


async def feed_paths(driver: Driver) -> None:
    """A whole Feed in its usual state: all subscriptions stream, and no frame is inspected."""
    for name, last_values in (("batch", False), ("batch_values", True)):
        # The peer does not reply to CLOSE.
        options = FeedOptions(
            send_bytes_per_s=1e9, last_values=last_values, ws=WsOptions(close_timeout_s=0.001), seed=1
        )
        feed = Feed(Gateway(driver.url), options)
        await feed.start()
        # A feed that does not open fails the gate instead of keeping it waiting. Its clock is slow.
        async with asyncio.timeout(120.0):
            await feed.wait_for(FeedState.OPEN)
        put = _feeder(feed._driver._sockets._ws._listener.transport)
        put(frames.wire([b'{"topic":"system","success":"u"}', b'{"topic":"sts","args":{"authenticated":true}}']))
        for conid in frames.CONIDS:
            await feed.subscribe_market_data(conid)
        while any(status.state is not FeedState.STREAMING for status in feed.subscriptions):
            await asyncio.sleep(0.001)
            put(BUSY)
        _let_nothing_be_late(feed)
        seen: list[int] = []
        consumer = feed.on_batch(lambda batch, seen=seen: seen.append(len(batch)))
        await driver.drive(f"feed/{name}", _fed(put, BUSY), per_turn=READ_FRAMES, over="floor")
        _expect(name, sum(seen), 4 * READS * READ_FRAMES)
        consumer.close()
        await feed.aclose()


async def subscribe_paths(driver: Driver) -> None:
    ws, _ = await driver.client()

    async def subscribe(times: int) -> None:
        for number in range(times):
            await ws.subscribe_market_data(265_598 + number)

    async def text(times: int) -> None:
        for number in range(times):
            market_data_subscribe_text(265_598 + number)

    # The texts fit in the socket's buffer, because the peer must not read while instructions are counted.
    await driver.drive("subscribe/send", subscribe, per_turn=1, turns=25)
    await driver.drive("subscribe/text", text, per_turn=1, turns=50)


async def drive_all() -> list[dict[str, Any]]:
    server = await picows.ws_create_server(lambda _: picows.WSListener(), "127.0.0.1", 0)
    driver = Driver(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    gc.disable()
    native.start()
    for paths in (
        *(classify_paths, reference_paths, push_paths, pull_paths, frame_paths, columns_paths),
        *(subscribe_paths, kept_paths, feed_paths),
    ):
        await paths(driver)
    await output_paths(driver, _batch(frames.deltas() * (READ_FRAMES // len(frames.CONIDS))))
    server.close()
    return driver.layout


def main(layout: Path) -> None:
    where = Path(cpapi_fast.__file__).resolve()
    if not where.is_relative_to(Path.cwd()):
        raise AssertionError(f"measuring {where}, which is not in {Path.cwd()}")
    layout.write_text(json.dumps(asyncio.run(drive_all())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
