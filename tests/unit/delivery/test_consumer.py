"""Reading from a consumer: waiting, cancelling, two readers, closing, and how an iteration ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.errors import TransportError, UsageError
from cpapi_fast.frames.batch import Batch
from tests.support.batches import FRAME_COST, event, numbered, put, short


def make() -> tuple[Dispatcher, Consumer]:
    delivery = Dispatcher(hold=lambda is_held: None, on_callback_error=lambda error: None)
    return delivery, delivery.add(name="a", policy="drop_oldest", max_pending_frames=1000, max_pending_bytes=10**9)


async def test_a_waiting_reader_receives_frames_and_events_as_they_arrive() -> None:
    delivery, consumer = make()

    async def read() -> list[Any]:
        return [short(item) async for item in consumer]

    reader = asyncio.ensure_future(read())
    for number in range(3):
        await asyncio.sleep(0)
        put(delivery, numbered(10 * number, 2))
        delivery.put_event(event(number))
    delivery.end(None)
    assert await reader == [0, 1, "event 0", 10, 11, "event 1", 20, 21, "event 2"]


async def test_frames_and_batches_may_be_read_alternately() -> None:
    delivery, consumer = make()
    batch = numbered(0, 3)
    put(delivery, batch)
    put(delivery, batch)
    delivery.put_event(event(1))
    delivery.put(batch, 1, 3)
    batches = consumer.batches()
    assert await batches.__anext__() is batch
    assert short(await consumer.__anext__()) == 0
    assert short(await batches.__anext__()) == [1, 2]
    assert short(await batches.__anext__()) == "event 1"
    assert short(await batches.__anext__()) == [1, 2]
    assert consumer.stats.delivered == 8


@pytest.mark.parametrize("is_by_batch", [False, True])
async def test_cancelling_a_reader_loses_nothing(is_by_batch: bool) -> None:
    delivery, consumer = make()
    reader = consumer.batches() if is_by_batch else consumer
    seen: list[Any] = []
    for number in range(6):
        waiting = asyncio.ensure_future(reader.__anext__())
        await asyncio.sleep(0)
        if number % 2:
            # Woken, and cancelled before it runs.
            put(delivery, numbered(number, 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert consumer.stats.pending == number % 2
        if number % 2:
            seen.append(short(await reader.__anext__()))
    assert seen == ([[1], [3], [5]] if is_by_batch else [1, 3, 5])


async def test_two_readers_at_once_are_refused() -> None:
    delivery, consumer = make()
    first = asyncio.ensure_future(consumer.__anext__())
    await asyncio.sleep(0)
    for reader in (consumer, consumer.batches()):
        with pytest.raises(UsageError, match="another task reads consumer 'a'"):
            await reader.__anext__()
    put(delivery, numbered(1, 1))
    # The first is woken and has not run yet: the frame belongs to it.
    with pytest.raises(UsageError):
        await consumer.__anext__()
    assert short(await first) == 1


async def test_the_end_comes_after_pending_frames_and_wakes_every_reader() -> None:
    delivery, consumer = make()
    other = delivery.add(name="b", policy="conflate", max_pending_frames=9, max_pending_bytes=9999)
    waiting = [asyncio.ensure_future(other.__anext__()), asyncio.ensure_future(consumer.__anext__())]
    await asyncio.sleep(0)
    error = TransportError("lost")
    put(delivery, numbered(1, 2))
    delivery.end(error)
    delivery.end(None)
    put(delivery, numbered(3, 1))
    delivery.put_event(event(1))
    assert [short(await reader) for reader in waiting] == [1, 1]
    for reader in (consumer, other):
        assert short(await reader.__anext__()) == 2
        for _ in range(2):
            with pytest.raises(TransportError, match="lost"):
                await reader.__anext__()
        assert reader.stats.received == 2
    late = delivery.add(name="late", policy="drop_oldest", max_pending_frames=9, max_pending_bytes=9999)
    with pytest.raises(TransportError, match="lost"):
        await late.__anext__()
    assert delivery.consumers == ()


async def test_the_end_stops_waiting_readers() -> None:
    delivery, consumer = make()
    other = delivery.add(name="b", policy="block", max_pending_frames=9, max_pending_bytes=9999)

    async def read(reader: Any) -> list[Any]:
        return [item async for item in reader]

    readers = [asyncio.ensure_future(read(consumer)), asyncio.ensure_future(read(other.batches()))]
    await asyncio.sleep(0)
    delivery.end(None)
    assert await asyncio.gather(*readers) == [[], []]


async def test_closing_ends_the_iteration_and_counts_pending_frames_as_dropped() -> None:
    delivery, consumer = make()
    async with consumer:
        put(delivery, numbered(0, 5))
        await consumer.__anext__()
        delivery.put_event(event(1))
    consumer.close()
    assert consumer.is_closed
    assert delivery.consumers == ()
    put(delivery, numbered(5, 5))
    stats = consumer.stats
    assert (stats.received, stats.delivered, stats.dropped, stats.pending) == (5, 1, 4, 0)
    assert (stats.events_received, stats.events_dropped, stats.events_pending) == (1, 1, 0)
    assert stats.pending_bytes == stats.overflow_gaps == 0
    assert [item async for item in consumer] == []
    delivery.end(TransportError("not of interest to it"))
    assert [item async for item in consumer.batches()] == []


async def test_closing_wakes_a_waiting_reader() -> None:
    _, consumer = make()
    reader = asyncio.ensure_future(consumer.__anext__())
    await asyncio.sleep(0)
    consumer.close()
    with pytest.raises(StopAsyncIteration):
        await reader


async def test_a_timeout_around_a_read_does_not_end_the_iteration() -> None:
    delivery, consumer = make()
    batches = consumer.batches()
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(batches.__anext__(), 0.001)
    put(delivery, numbered(7, 1))
    item = await batches.__anext__()
    assert isinstance(item, Batch)


async def test_chunks_count_as_pending_until_the_next_is_requested() -> None:
    delivery, consumer = make()
    chunks = consumer.chunks(3 * FRAME_COST)
    put(delivery, numbered(0, 2))
    delivery.put_event(event(1))
    put(delivery, numbered(2, 2))
    put(delivery, numbered(4, 1))
    # Up to the batch that reaches the limit.
    assert [short(item) for item in await chunks.__anext__()] == [[0, 1], "event 1", [2, 3]]
    stats = consumer.stats
    assert (stats.received, stats.delivered, stats.pending, stats.pending_bytes) == (5, 0, 5, 5 * FRAME_COST)
    assert [short(item) for item in await chunks.__anext__()] == [[4]]
    assert (consumer.stats.delivered, consumer.stats.pending) == (4, 1)
    waiting = asyncio.ensure_future(chunks.__anext__())
    await asyncio.sleep(0)
    assert (consumer.stats.delivered, consumer.stats.pending_bytes) == (5, 0)
    put(delivery, numbered(5, 1))
    assert [short(item) for item in await waiting] == [[5]]
    put(delivery, numbered(6, 2))
    # What the reader has counts as delivered, what it has not as dropped.
    consumer.close()
    stats = consumer.stats
    assert (stats.delivered, stats.dropped, stats.pending) == (6, 2, 0)
    assert [chunk async for chunk in chunks] == []


async def test_chunks_of_a_few_items() -> None:
    delivery, consumer = make()
    for number in range(3):
        put(delivery, numbered(number, 1))
        delivery.put_event(event(number))
    delivery.end(None)
    chunks = [[short(item) for item in chunk] async for chunk in consumer.chunks(max_items=4)]
    assert chunks == [[[0], "event 0", [1], "event 1"], [[2], "event 2"]]
    assert (consumer.stats.delivered, consumer.stats.pending) == (3, 0)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "conflate", "halt", "block"])
@pytest.mark.parametrize("by_batch", [False, True])
async def test_a_chunk_is_delivered_when_the_reader_continues_in_another_way(policy: str, by_batch: bool) -> None:
    held: list[bool] = []
    delivery = Dispatcher(hold=held.append, on_callback_error=lambda error: None)
    consumer = delivery.add(name="a", policy=policy, max_pending_frames=4, max_pending_bytes=10**9)
    put(delivery, numbered(0, 3))
    await anext(consumer.chunks())
    put(delivery, numbered(3, 1))
    assert consumer.stats.pending == 4
    await anext(consumer.batches() if by_batch else consumer)
    assert (consumer.stats.delivered, consumer.stats.pending) == (4, 0)
    assert held == ([True, False] if policy == "block" else [])


async def test_the_bounds_include_the_chunk_that_the_reader_works_on() -> None:
    calls: list[bool] = []
    delivery = Dispatcher(hold=calls.append, on_callback_error=lambda error: None)
    bounds = {"max_pending_frames": 4, "max_pending_bytes": 10**9}
    blocking = delivery.add(name="block", policy="block", **bounds).chunks()
    oldest = delivery.add(name="drop_oldest", policy="drop_oldest", **bounds).chunks()
    newest = delivery.add(name="drop_newest", policy="drop_newest", **bounds).chunks()
    put(delivery, numbered(0, 3))
    for chunks in (blocking, oldest, newest):
        assert [short(item) for item in await chunks.__anext__()] == [[0, 1, 2]]
    put(delivery, numbered(3, 3, received_ns=2))
    assert calls == [True]
    assert [short(item) for item in await oldest.__anext__()] == [("gap", 1, 2, 2), [5]]
    assert [short(item) for item in await newest.__anext__()] == [[3]]
    assert [short(item) for item in await blocking.__anext__()] == [[3, 4, 5]]
    assert calls == [True]
    put(delivery, numbered(6, 1, received_ns=3))
    assert [short(item) for item in await newest.__anext__()] == [("gap", 2, 3, 2), [6]]
    assert [short(item) for item in await blocking.__anext__()] == [[6]]
    assert calls == [True, False]


def test_repr() -> None:
    delivery, consumer = make()
    put(delivery, numbered(0, 5))
    assert repr(consumer) == "<Consumer 'a' drop_oldest 5 pending>"
