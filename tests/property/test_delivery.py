"""Consumers of every overflow policy, compared with a slow model after each of many random steps."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.errors import ConsumerOverflowError, CpapiError, TransportError, UsageError
from cpapi_fast.events import Cause, FeedEvent, FeedState, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from tests.oracles.consumer import Entry, Model
from tests.support.batches import batch_of

POLICIES = ("drop_oldest", "drop_newest", "conflate", "halt", "block")

TOPICS = ("smd+1", "smd+2", "smd+2@NYSE", "smd+3")

#: Topic (or another kind of frame) and which fields it has.
FRAMES = st.lists(
    st.tuples(
        st.sampled_from((*TOPICS, *TOPICS, "sor", "not JSON", "torn")),
        st.sets(st.sampled_from(("31", "84", "86", "nested")), max_size=3),
        st.integers(0, 60),
    ),
    min_size=1,
    max_size=9,
)


def change(number: int) -> StateChange:
    return StateChange(number, FeedState.STREAMING, FeedState.STALE, Cause.DATA, "Nothing is to be done.")


class Consumers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.count = 0
        self.now_ns = 1000
        self.is_held = False
        self.is_ended = False
        self.error: CpapiError | None = None
        self.reported: list[Exception] = []
        self.called_with: list[Any] = []
        self.expected: list[Any] = []
        self.delivery = Dispatcher(hold=self.hold, on_callback_error=self.reported.append)
        self.pairs: list[tuple[Consumer, Model]] = []

    def hold(self, is_held: bool) -> None:
        assert is_held != self.is_held
        self.is_held = is_held

    @initialize(
        max_frames=st.integers(1, 12),
        max_bytes=st.one_of(st.just(10**9), st.integers(1, 3000)),
        max_events=st.integers(1, 4),
    )
    def start(self, max_frames: int, max_bytes: int, max_events: int) -> None:
        def fail(item: Frame | FeedEvent) -> None:
            self.called_with.append(item.raw if isinstance(item, Frame) else item)
            raise ValueError

        bounds = {"max_pending_frames": max_frames, "max_pending_bytes": max_bytes, "max_pending_events": max_events}
        self.callback_consumer = self.delivery.add_callback(name="callback", callback=fail)
        for policy in POLICIES:
            consumer = self.delivery.add(name=policy, policy=policy, **bounds)
            self.pairs.append((consumer, Model(policy, max_frames, max_bytes, max_events)))

    def raw_of(self, what: str, names: set[str], padding: int) -> bytes:
        self.count += 1
        if what == "not JSON":
            return b"ech+hb" + b"+" * padding
        if what == "sor":
            return json.dumps({"topic": "sor", "args": [self.count]}).encode()
        if what == "torn":
            return b'{"31":nul,"topic":"smd+1"}'
        fields: dict[str, Any] = dict.fromkeys(sorted(names), f"{self.count}.5")
        if "nested" in fields:
            fields["nested"] = {"deep": [self.count, None]}
        fields["padding"] = "x" * padding
        return json.dumps({**fields, "topic": what}, separators=(",", ":")).encode()

    def entry_of(self, raw: bytes) -> Entry:
        try:
            payload = json.loads(raw)
        except ValueError:
            return Entry(raw, self.now_ns, "smd+1" if raw.startswith(b"{") else None)
        topic = payload["topic"]
        is_quote = topic.startswith("smd+")
        return Entry(raw, self.now_ns, topic if is_quote else None, payload if is_quote else None)

    @rule(frames=FRAMES, skipped=st.integers(0, 3), cut=st.integers(0, 3))
    def put(self, frames: list[tuple[str, set[str], int]], skipped: int, cut: int) -> None:
        self.now_ns += 7
        raws = [self.raw_of(*frame) for frame in frames]
        batch = batch_of(raws, self.now_ns)
        stop = len(batch) - cut
        if skipped < stop:
            raws = raws[skipped:stop]
            if not self.is_ended:
                self.expected += raws
            for _, model in self.pairs:
                model.put([self.entry_of(raw) for raw in raws])
        self.delivery.put(batch, skipped, stop)

    @rule()
    def put_event(self) -> None:
        self.count += 1
        event = change(self.count)
        if not self.is_ended:
            self.expected.append(event)
        for _, model in self.pairs:
            model.put_event(event)
        self.delivery.put_event(event)

    def check(self, model: Model, item: Frame | FeedEvent, *, is_of_chunk: bool = False) -> int:
        """Compare an item with what the model reads next; returns what it costs."""
        expected = model.next()
        if isinstance(expected, Entry):
            assert isinstance(item, Frame), (item, expected)
            assert item.raw == expected.raw
            assert item.received_ns == expected.received_ns
            assert item.topic == expected.topic or expected.topic is None
            if is_of_chunk:
                model.delivered -= 1
                model.chunk.append(expected)
            return expected.cost
        assert item == expected
        return 0

    def read_end(self, consumer: Consumer, model: Model, reader: Any) -> None:
        # Nothing is left: the reader gets the end, or waits.
        async def read() -> None:
            task = asyncio.ensure_future(reader.__anext__())
            await asyncio.sleep(0)
            if model.is_ended:
                error = ConsumerOverflowError if model.has_overflowed else type(self.error)
                if consumer.is_closed or (self.error is None and not model.has_overflowed):
                    error = StopAsyncIteration
                with pytest.raises(error):
                    await task
                return
            assert not task.done()
            with pytest.raises(UsageError):
                await consumer.__anext__()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.loop.run_until_complete(read())

    @rule(which=st.integers(0, len(POLICIES) - 1), count=st.integers(1, 12))
    def read_frames(self, which: int, count: int) -> None:
        consumer, model = self.pairs[which]
        model.finish_chunk()
        for _ in range(count):
            if self.peek(model) is None:
                assert model.next() is None
                self.read_end(consumer, model, consumer)
                return
            self.check(model, self.loop.run_until_complete(consumer.__anext__()))

    @rule(which=st.integers(0, len(POLICIES) - 1), count=st.integers(1, 3))
    def read_batches(self, which: int, count: int) -> None:
        consumer, model = self.pairs[which]
        batches = consumer.batches()
        model.finish_chunk()
        for _ in range(count):
            if self.peek(model) is None:
                self.read_end(consumer, model, batches)
                return
            item = self.loop.run_until_complete(batches.__anext__())
            if isinstance(item, Batch):
                for frame in item:
                    self.check(model, frame)
            else:
                self.check(model, item)

    @rule(which=st.integers(0, len(POLICIES) - 1), max_bytes=st.integers(1, 1000))
    def read_chunk(self, which: int, max_bytes: int) -> None:
        consumer, model = self.pairs[which]
        chunks = consumer.chunks(max_bytes)
        model.finish_chunk()
        if self.peek(model) is None:
            self.read_end(consumer, model, chunks)
            return
        cost = last_cost = 0
        for item in self.loop.run_until_complete(chunks.__anext__()):
            if isinstance(item, Batch):
                last_cost = sum(self.check(model, frame, is_of_chunk=True) for frame in item)
                cost += last_cost
            else:
                self.check(model, item)
        assert cost >= max_bytes or self.peek(model) is None
        assert cost - last_cost < max_bytes

    @rule(which=st.integers(0, len(POLICIES) - 1), is_by_batch=st.booleans())
    def wait_for_an_event(self, which: int, is_by_batch: bool) -> None:
        consumer, model = self.pairs[which]
        if self.peek(model) is not None or model.is_ended:
            return
        model.finish_chunk()

        async def wait() -> Any:
            reader = consumer.batches() if is_by_batch else consumer
            task = asyncio.ensure_future(reader.__anext__())
            await asyncio.sleep(0)
            self.put_event()
            return await task

        self.check(model, self.loop.run_until_complete(wait()))

    @rule(which=st.integers(0, 10 * len(POLICIES)))
    def close(self, which: int) -> None:
        if which < len(POLICIES):
            consumer, model = self.pairs[which]
            if not consumer.is_closed:
                model.close()
            consumer.close()

    @rule(chance=st.integers(0, 20), error=st.sampled_from((None, TransportError("lost"))))
    def end(self, chance: int, error: CpapiError | None) -> None:
        if chance == 0 and not self.is_ended:
            self.is_ended = True
            self.error = error
            for _, model in self.pairs:
                model.is_ended = True
            self.delivery.end(error)

    @staticmethod
    def peek(model: Model) -> Entry | FeedEvent | None:
        if model.waiting():
            return model.waiting()[0]
        if model.events():
            return model.events()[0]
        return model.log[0] if model.log and model.is_ended else None  # type: ignore[return-value]

    @invariant()
    def the_counts_add_up(self) -> None:
        for consumer, model in self.pairs:
            stats = consumer.stats
            assert stats.received == stats.delivered + stats.conflated + stats.dropped + stats.pending
            assert stats.events_received == stats.events_delivered + stats.events_dropped + stats.events_pending
            assert (stats.received, stats.delivered) == (model.received, model.delivered)
            if model.policy != "conflate" or not consumer.is_closed:
                # Frames that have not been merged when it is closed are dropped one by one.
                assert stats.dropped == model.dropped
            assert (stats.events_received, stats.events_dropped) == (model.events_received, model.events_dropped)
            assert stats.events_pending == len(model.events())
            pending = model.pending()
            if model.policy != "conflate":
                assert stats.conflated == 0
                assert stats.pending == len(pending)
                assert stats.pending_bytes == sum(entry.cost for entry in pending)
            else:
                assert stats.pending >= len(pending)
            if model.policy != "block":
                # Beside a chunk, one frame may be pending however full the queue is.
                assert stats.pending <= max(1, model.max_frames) + bool(model.chunk)
                assert len(model.waiting()) <= 1 or stats.pending_bytes <= model.max_bytes

    @invariant()
    def the_socket_is_held_at_the_right_times(self) -> None:
        blocked = [(consumer, model) for consumer, model in self.pairs if model.policy == "block"]
        for consumer, model in blocked:
            stats = consumer.stats
            if model.is_ended or stats.pending == 0:
                assert not self.is_held

    @invariant()
    def a_callback_that_raises_receives_everything(self) -> None:
        assert self.called_with == self.expected
        if self.pairs:
            assert self.callback_consumer.stats.callback_errors == len(self.reported) == len(self.expected)

    def teardown(self) -> None:
        self.loop.close()


Consumers.TestCase.settings = settings(max_examples=50, stateful_step_count=60)
TestConsumers = Consumers.TestCase
