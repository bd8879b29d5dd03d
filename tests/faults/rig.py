"""Rig: a feed, the proxy and the simulator on real sockets and one clock, and what must hold between faults."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import cpapi_fast as cf
from cpapi_fast.clock import Clock
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from tests.servers.fault_proxy import FaultProxy

from .ledger import Ledger

#: Client and gateway share a clock that runs this many times as fast as the system clock.
SPEED = 20.0
#: Instruments that tick twice a second, once a second, at the simulator's own interval, and once an hour.
BRISK, STEADY, NATURAL, QUIET = 265598, 8314, 272093, 76792991
TICKS: Mapping[int, float] = {BRISK: 0.5, STEADY: 1.0, QUIET: 3_600.0}
#: In real seconds: the most that a busy machine needs for anything.
PATIENCE_S = 45.0


def sockets() -> int:
    """How many sockets this process has open; 0 where the system does not count them."""
    if sys.platform != "linux":
        return 0
    count = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += file.readlink().name.startswith("socket:")
    return count


def is_refusal(payload: bytes) -> bool:
    """Whether a frame has the topic of a subscription but none of its data."""
    return payload.startswith(b'{"error":')


def adds_up(stats: cf.ConsumerStats) -> bool:
    """Whether each frame that a consumer received is accounted for once."""
    return stats.received == stats.delivered + stats.conflated + stats.dropped + stats.pending


@dataclass
class Recovery:
    """The recovery from one fault.

    Attributes:
        fault: the name of the fault.
        seconds: the time from its end until everything streamed again, on the clock.
    """

    fault: str
    seconds: float


@dataclass
class Events:
    """The events of a feed.

    Attributes:
        changes: the changes of state of the feed and of its subscriptions.
        gaps: the gaps.
    """

    changes: list[cf.StateChange] = field(default_factory=list)
    gaps: list[cf.Gap] = field(default_factory=list)

    def states(self, subscription: str | None = None) -> list[cf.FeedState]:
        return [change.state for change in self.changes if change.subscription == subscription]

    def causes(self, subscription: str | None = None) -> Counter[cf.Cause]:
        return Counter(change.cause for change in self.changes if change.subscription == subscription)

    def clear(self) -> None:
        self.changes.clear()
        self.gaps.clear()


class Rig:
    """A feed under test: inside `async with Rig()` everything streams, and at its end all counts are checked.

    Args:
        speed: the speed of the clock.
        tls: whether the gateway serves TLS.
        gateway: options of the gateway other than those of a rig.
        feed: options of the feed.
        conids: what to subscribe to, besides orders and P&L.
        is_alone: whether no other rig is open at the same time, so that leftovers at the end belong to this one.
    """

    def __init__(
        self,
        *,
        speed: float = SPEED,
        tls: bool = False,
        gateway: Mapping[str, Any] | None = None,
        feed: Mapping[str, Any] | None = None,
        conids: tuple[int, ...] = (BRISK, STEADY, NATURAL, QUIET),
        is_alone: bool = True,
    ) -> None:
        self.clock = Clock(speed)
        options: dict[str, Any] = {"tls": tls, "seed": 7, "tick_intervals": TICKS, "keep_log": True, "keep_sent": 0}
        self.gateway = SimulatedGateway(SimulatorOptions(**(options | dict(gateway or {}))), clock=self.clock)
        self.feed_options = cf.FeedOptions(**({"seed": 7, "nightly": None, "log_trouble": False} | dict(feed or {})))
        self.conids = conids
        self.topics = (*(f"smd+{conid}" for conid in conids), "sor", "spl")
        self.ledger = Ledger(self.topics)
        self.events = Events()
        self.logins_required = 0
        #: How often data stopped, now and when everything streamed last.
        self.departures = self.departures_seen = 0
        self.frames = 0
        self.consumers: tuple[cf.Consumer, ...] = ()
        self._is_alone = is_alone
        self._stack = contextlib.AsyncExitStack()
        self._reader: asyncio.Task[None] | None = None

    # --- start and end ---

    async def __aenter__(self) -> Rig:
        self._tasks_before = asyncio.all_tasks()
        self._sockets_before = sockets()
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start(self) -> None:
        await self._stack.enter_async_context(self.gateway)
        self.proxy = await self._stack.enter_async_context(FaultProxy(self.gateway.host, self.gateway.port))
        scheme = "https" if self.gateway.options.tls else "http"
        tls = cf.Tls.pinned(self.gateway.fingerprint) if self.gateway.fingerprint is not None else None
        client = cf.Client(f"{scheme}://127.0.0.1:{self.proxy.port}/v1/api", tls=tls, clock=self.clock)
        self.client = await self._stack.enter_async_context(client)
        self.feed = cf.Feed(client, self.feed_options, on_login_required=self._on_login_required)
        self.consumer = self.feed.consumer(policy="halt", max_pending_frames=10_000_000, name="ledger")
        self._reader = asyncio.get_running_loop().create_task(self._read())
        await self._stack.enter_async_context(self.feed)
        for conid in self.conids:
            await self.feed.subscribe_market_data(conid)
        await self.feed.subscribe_orders()
        await self.feed.subscribe_pnl()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._finish()
        finally:
            await self._stack.aclose()
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
        if error is None and self._is_alone:
            await self._nothing_is_left()

    async def _finish(self) -> None:
        await self.proxy.heal()
        # Nothing more is written, and everything that was written arrives.
        self.gateway.faults.stall()
        # If a busy machine loses the connection at this moment, the lost frames must be in the gaps at the end.
        await self.wait_for(lambda: self._is_settled() or not self.is_streaming, "what was written last arrives")
        await asyncio.wait_for(self.feed.aclose(), PATIENCE_S)
        assert self._reader is not None
        await asyncio.wait_for(self._reader, PATIENCE_S)
        self.take_log()
        self.ledger.finish()
        self.check()
        assert self.consumer.stats.pending == 0

    async def _nothing_is_left(self) -> None:
        deadline_s = time.monotonic() + 5.0
        while True:
            tasks, opened = asyncio.all_tasks() - self._tasks_before, sockets() - self._sockets_before
            if not tasks and opened <= 0:
                return
            assert time.monotonic() < deadline_s, f"{opened} sockets and these tasks are left: {tasks}"
            await asyncio.sleep(0.01)

    # --- what the feed reports ---

    def _on_login_required(self, *_: object) -> None:
        self.logins_required += 1

    async def _read(self) -> None:
        async for item in self.consumer.batches():
            # Frames are added to the ledger as the gateway writes them, before they can be received.
            if isinstance(item, cf.Batch):
                self.take_log()
                self.frames += len(item)
                late_ns = item.late_ns
                for index, frame in enumerate(item):
                    topic = frame.topic
                    if topic is not None and not is_refusal(frame.raw):
                        late = 0 if late_ns is None else late_ns[index]
                        self.ledger.delivered(topic, frame.raw, frame.received_ns, late)
            elif isinstance(item, cf.Gap):
                self.take_log()
                self.ledger.reported(item)
                self.events.gaps.append(item)
            elif isinstance(item, cf.StateChange):
                self.events.changes.append(item)
                is_of_feed = item.subscription is None and item.state is not item.previous
                self.departures += is_of_feed and item.previous is cf.FeedState.STREAMING

    def take_log(self) -> None:
        log = self.gateway.log
        if log:
            self.ledger.sent(frame for frame in log if not is_refusal(frame.payload))
            log.clear()

    # --- what must hold ---

    def check(self) -> None:
        """What must hold at every moment."""
        assert self.ledger.problems == [], "\n".join(self.ledger.problems[:20])
        assert self._reader is not None
        if self._reader.done():
            self._reader.result()
        for consumer in (self.consumer, *self.consumers):
            assert adds_up(consumer.stats), consumer.stats

    def watch(self, consumer: cf.Consumer) -> cf.Consumer:
        """Check the counts of another consumer as well."""
        self.consumers = (*self.consumers, consumer)
        return consumer

    def _is_settled(self) -> bool:
        self.take_log()
        return self.ledger.settled()

    @property
    def is_streaming(self) -> bool:
        """Whether the feed and each of its subscriptions stream."""
        if self.feed.state is not cf.FeedState.STREAMING:
            return False
        return all(
            subscription.state is cf.FeedState.STREAMING
            for subscription in self.feed.subscriptions
            if subscription.topic.startswith("smd+")
        )

    @property
    def has_all_streams(self) -> bool:
        """Whether the gateway has a stream of every instrument on its last connection."""
        open_ones = self.gateway.open_connections
        if not open_ones:
            return False
        streams, now_s = open_ones[-1].socket_subscriptions.streams, self.clock.monotonic_s()
        return all(str(conid) in streams and streams[str(conid)].expires_s > now_s for conid in self.conids)

    async def wait_for(
        self, condition: Callable[[], object], what: str, *, timeout_s: float = PATIENCE_S, poll_s: float = 0.005
    ) -> None:
        """Wait in real time."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s; {self.story()}"
            await asyncio.sleep(poll_s)

    async def streams(self, *, timeout_s: float = PATIENCE_S) -> float:
        """Wait until every subscription has new data, and check; returns the seconds of the clock that it took."""
        start_s = self.clock.monotonic_s()
        before = {topic: account.delivered for topic, account in self.ledger.accounts.items()}
        ticking = [topic for topic in self.topics if topic != f"smd+{QUIET}"]

        def is_so() -> bool:
            fresh = all(self.ledger.accounts[topic].delivered > before[topic] for topic in ticking)
            return fresh and self.is_streaming

        await self.wait_for(is_so, "everything streams", timeout_s=timeout_s)
        took_s = self.clock.monotonic_s() - start_s
        self.departures_seen = self.departures
        self.check()
        return took_s

    async def state(self, *states: cf.FeedState, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the feed is in one of these states."""
        await self.wait_for(lambda: self.feed.state in states, f"state {states}", timeout_s=timeout_s)

    async def wait(self, seconds: float) -> None:
        """Wait for so many seconds of the clock."""
        await self.clock.sleep(seconds)

    def story(self) -> str:
        """The latest events, for a message."""
        lines = [f"feed {self.feed.state.name}"]
        lines += [f"{one.topic} {one.state.name}" for one in self.feed.subscriptions]
        lines += [
            f"{change.subscription or 'feed'}: {change.previous.name} -> {change.state.name} ({change.cause.name})"
            for change in self.events.changes[-12:]
        ]
        return "; ".join(lines)
