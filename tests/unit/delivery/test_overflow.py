"""Overflow policies: for each, what is put into a queue and what is read from it."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.delivery.overflow import OverflowPolicy
from cpapi_fast.errors import ConsumerOverflowError
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import slice_of
from tests.support.batches import FRAME_COST, batch_of, event, numbered, put, short
from tests.support.frames import smd

#: Steps ("put", first, count, received_ns), ("event", number), ("read", n) or ("end",), and the expected items.
TABLE: dict[str, tuple[OverflowPolicy, int, list[tuple[Any, ...]], list[Any]]] = {
    "frames that fit are not dropped": (
        "drop_oldest",
        4,
        [("put", 1, 2, 10), ("put", 3, 2, 20), ("end",)],
        [1, 2, 3, 4],
    ),
    "the oldest are dropped, only as many as necessary": (
        "drop_oldest",
        4,
        [("put", 1, 3, 10), ("put", 4, 3, 20), ("end",)],
        [("gap", 10, 10, 2), 3, 4, 5, 6],
    ),
    "of a read larger than the bound the end is kept": (
        "drop_oldest",
        2,
        [("put", 1, 5, 10), ("end",)],
        [("gap", 10, 10, 3), 4, 5],
    ),
    "one gap for frames dropped in several reads, from the last frame that was read": (
        "drop_oldest",
        2,
        [("put", 1, 2, 10), ("read", 1), ("put", 3, 2, 20), ("put", 5, 2, 30), ("put", 7, 1, 40), ("end",)],
        [1, ("gap", 10, 30, 4), 6, 7],
    ),
    "the rest of the current slice is dropped first": (
        "drop_oldest",
        4,
        [("put", 1, 4, 10), ("read", 2), ("put", 5, 3, 20), ("end",)],
        [1, 2, ("gap", 10, 10, 1), 4, 5, 6, 7],
    ),
    "the first good frame of a reported gap is kept": (
        "drop_oldest",
        2,
        [("put", 1, 3, 10), ("read", 1), ("put", 4, 3, 20), ("end",)],
        [("gap", 10, 10, 1), 2, ("gap", 10, 20, 3), 6],
    ),
    "events stay at their place": (
        "drop_oldest",
        2,
        [("put", 1, 2, 10), ("event", 1), ("put", 3, 2, 20), ("event", 2), ("put", 5, 1, 30), ("end",)],
        ["event 1", ("gap", 10, 20, 3), 4, "event 2", 5],
    ),
    "frames that fit are kept, and the gap is reported before the next that fits": (
        "drop_newest",
        3,
        [("put", 1, 2, 10), ("put", 3, 3, 20), ("put", 6, 1, 30), ("read", 1), ("put", 7, 2, 40), ("end",)],
        [1, 2, 3, ("gap", 20, 40, 3), 7, ("gap", 40, None, 1)],
    ),
    "of a read larger than the bound the beginning is kept": (
        "drop_newest",
        2,
        [("put", 1, 5, 10), ("read", 2), ("put", 6, 1, 20), ("end",)],
        [1, 2, ("gap", 10, 20, 3), 6],
    ),
    "an event between two parts of one gap": (
        "drop_newest",
        1,
        [("put", 1, 2, 10), ("event", 1), ("put", 3, 2, 20), ("read", 1), ("put", 5, 1, 30), ("end",)],
        [1, "event 1", ("gap", 10, 30, 3), 5],
    ),
    "a gap at the end is reported at the end": (
        "drop_newest",
        1,
        [("put", 1, 1, 10), ("put", 2, 3, 20), ("event", 1), ("end",)],
        [1, "event 1", ("gap", 10, None, 3)],
    ),
    "blocking drops nothing": (
        "block",
        2,
        [("put", 1, 3, 10), ("event", 1), ("put", 4, 3, 20), ("end",)],
        [1, 2, 3, "event 1", 4, 5, 6],
    ),
}


def consumer_of(policy: OverflowPolicy, **bounds: int) -> tuple[Dispatcher, Consumer]:
    delivery = Dispatcher(hold=lambda is_held: None, on_callback_error=lambda error: None)
    bounds = {"max_pending_frames": 10**9, "max_pending_bytes": 10**12, **bounds}
    return delivery, delivery.add(name="slow", policy=policy, **bounds)


def balance(consumer: Consumer) -> tuple[int, int, int, int, int]:
    stats = consumer.stats
    assert stats.received == stats.delivered + stats.conflated + stats.dropped + stats.pending
    return stats.received, stats.delivered, stats.conflated, stats.dropped, stats.pending


@pytest.mark.parametrize("name", TABLE)
async def test_dropped_frames_and_reported_gaps(name: str) -> None:
    policy, max_frames, steps, expected = TABLE[name]

    delivery, consumer = consumer_of(policy, max_pending_frames=max_frames)
    seen: list[Any] = []
    for verb, *arguments in steps:
        if verb == "put":
            put(delivery, numbered(*arguments))
        elif verb == "event":
            delivery.put_event(event(*arguments))
        elif verb == "end":
            delivery.end(None)
        else:
            seen += [short(await consumer.__anext__()) for _ in range(*arguments)]
        balance(consumer)
    seen += [short(item) async for item in consumer]
    stats = consumer.stats
    assert stats.dropped == sum(item[3] for item in seen if isinstance(item, tuple))
    assert stats.overflow_gaps == sum(isinstance(item, tuple) for item in seen)
    assert stats.pending == stats.pending_bytes == stats.events_pending == 0
    assert seen == expected


@pytest.mark.parametrize("max_bytes", [2 * FRAME_COST, FRAME_COST * 5 // 2, 3 * FRAME_COST - 1])
@pytest.mark.parametrize(
    ("policy", "frames", "expected"),
    [
        # Room for two frames, and for a part of a third at most.
        ("drop_oldest", 3, [("gap", 1, 1, 1), 2, 3]),
        ("drop_newest", 3, [1, 2, ("gap", 1, None, 1)]),
        ("drop_oldest", 7, [("gap", 1, 1, 5), 6, 7]),
        ("drop_newest", 7, [1, 2, ("gap", 1, None, 5)]),
    ],
)
async def test_bytes_are_bounded_exactly(
    policy: OverflowPolicy, frames: int, expected: list[Any], max_bytes: int
) -> None:
    delivery, consumer = consumer_of(policy, max_pending_bytes=max_bytes)
    put(delivery, numbered(1, frames))
    assert consumer.stats.pending_bytes == 2 * FRAME_COST
    delivery.end(None)
    seen = [short(item) async for item in consumer]
    assert seen == expected


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "conflate", "halt", "block"])
async def test_one_frame_may_be_pending_however_large(policy: OverflowPolicy) -> None:
    delivery, consumer = consumer_of(policy, max_pending_bytes=100)
    for number in (1, 2):
        put(delivery, batch_of([smd(number, size=5000)]))
        assert short(await consumer.__anext__()) == number
    assert balance(consumer) == (2, 2, 0, 0, 0)


async def test_kept_frames_do_not_keep_their_whole_batch() -> None:
    delivery, consumer = consumer_of("drop_newest", max_pending_frames=1000)
    delivery.put(numbered(0, 999), 0, 999)
    for _ in range(50):
        # One frame fits, the others do not.
        await consumer.__anext__()
        put(delivery, numbered(0, 999))
    assert consumer.queue.slices[-1][0].nbytes == 151
    delivery, consumer = consumer_of("drop_oldest")
    delivery.put(numbered(0, 999), 500, 501)
    delivery.put(numbered(0, 999), 0, 500)
    assert [len(entry[0]) for entry in consumer.queue.slices] == [1, 999]


async def test_a_halted_consumer_raises_advice_and_receives_nothing_more() -> None:
    delivery, consumer = consumer_of("halt", max_pending_frames=3)
    put(delivery, numbered(1, 2))
    put(delivery, numbered(3, 4))
    assert delivery.consumers == ()
    put(delivery, numbered(7, 1))
    delivery.put_event(event(1))
    delivery.end(None)
    assert balance(consumer) == (6, 0, 0, 3, 3)
    assert [short(await consumer.__anext__()) for _ in range(3)] == [1, 2, 3]
    for _ in range(2):
        with pytest.raises(ConsumerOverflowError) as caught:
            await consumer.__anext__()
    assert (caught.value.name, caught.value.dropped) == ("slow", 3)
    for part in ("'slow'", "3 frames", "new consumer", "max_pending_frames", "drop_oldest"):
        assert part in str(caught.value)
    assert not caught.value.is_retryable
    consumer.close()
    with pytest.raises(StopAsyncIteration):
        await consumer.__anext__()


def test_halt_accepts_exactly_what_fits() -> None:
    delivery, consumer = consumer_of("halt", max_pending_frames=3)
    put(delivery, numbered(1, 3))
    assert delivery.consumers == (consumer,)
    assert balance(consumer) == (3, 0, 0, 0, 3)


async def test_events_are_bounded_and_the_oldest_dropped() -> None:
    delivery = Dispatcher(hold=lambda is_held: None, on_callback_error=lambda error: None)
    consumer = delivery.add(
        name="a", policy="drop_newest", max_pending_frames=9, max_pending_bytes=9999, max_pending_events=3
    )
    for number in range(5):
        put(delivery, numbered(number, 1))
        delivery.put_event(event(number))
    stats = consumer.stats
    assert (stats.events_received, stats.events_dropped, stats.events_pending) == (5, 2, 3)
    delivery.end(None)
    seen = [short(item) async for item in consumer]
    assert seen == [0, 1, 2, "event 2", 3, "event 3", 4, "event 4"]
    stats = consumer.stats
    assert (stats.events_delivered, stats.events_pending) == (3, 0)


async def test_the_socket_is_held_when_one_consumer_is_full_and_released_when_all_are_at_half() -> None:
    calls: list[bool] = []
    delivery = Dispatcher(hold=calls.append, on_callback_error=lambda error: None)
    bounds = {"max_pending_bytes": 10**9}
    first = delivery.add(name="first", policy="block", max_pending_frames=4, **bounds)
    second = delivery.add(name="second", policy="block", max_pending_frames=6, **bounds)
    delivery.add(name="other", policy="drop_oldest", max_pending_frames=1, **bounds)
    for number in range(3):
        put(delivery, numbered(number, 1))
    assert calls == []
    put(delivery, numbered(3, 1))
    assert calls == [True]
    # Frames already read from the socket still arrive and are accepted.
    put(delivery, numbered(4, 3))
    assert calls == [True]
    assert (first.stats.pending, second.stats.pending) == (7, 7)
    first_batches = first.batches()
    for _ in range(4):
        await first_batches.__anext__()
    await first.__anext__()
    await first.__anext__()
    assert first.stats.pending == 1
    assert calls == [True]
    for _ in range(3):
        await second.__anext__()
    assert second.stats.pending == 4
    assert calls == [True]
    await second.__anext__()
    assert second.stats.pending == 3
    assert calls == [True, False]
    # Full again; then the full consumer is closed.
    put(delivery, numbered(7, 3))
    assert calls == [True, False, True]
    second.close()
    assert calls == [True, False, True]
    first.close()
    assert calls == [True, False, True, False]
    third = delivery.add(name="third", policy="block", max_pending_frames=1, **bounds)
    put(delivery, numbered(10, 2))
    delivery.end(None)
    assert calls == [True, False, True, False, True, False]
    assert [short(item) async for item in third] == [10, 11]
    assert calls == [True, False, True, False, True, False]


async def test_frames_read_one_by_one_no_longer_count_as_pending() -> None:
    calls: list[bool] = []
    delivery = Dispatcher(hold=calls.append, on_callback_error=lambda error: None)
    consumer = delivery.add(name="a", policy="block", max_pending_frames=100, max_pending_bytes=5 * FRAME_COST)
    put(delivery, numbered(0, 4))
    for _ in range(3):
        await consumer.__anext__()
    put(delivery, numbered(4, 3))
    assert calls == []
    put(delivery, numbered(7, 1))
    assert calls == [True]


@pytest.mark.parametrize(
    ("policy", "reads"),
    # Conflation decodes frames, which is slow while every allocation is traced.
    [("drop_oldest", 1000), ("drop_newest", 1000), ("conflate", 100), ("halt", 1000), ("block", 1000)],
)
async def test_a_million_frames_to_a_consumer_that_does_not_read_take_bounded_memory(
    policy: OverflowPolicy, reads: int
) -> None:
    held: list[bool] = []
    delivery = Dispatcher(hold=held.append, on_callback_error=lambda error: None)
    max_bytes = 4_000 * reads
    consumer = delivery.add(name="a", policy=policy, max_pending_frames=10**9, max_pending_bytes=max_bytes)
    template = batch_of([smd(number % 100) for number in range(1000)])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(reads):
            if held != [True]:
                delivery.put(slice_of(template, 0, 999), 0, 999)
                # With drop_newest, only a few frames of each read fit.
                if policy == "drop_newest" and number > 100:
                    await consumer.__anext__()
            if number % 20 == 0:
                delivery.put_event(event(number))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    received, *_ = balance(consumer)
    assert received == 999 * reads or policy in ("halt", "block")
    assert consumer.stats.pending_bytes <= max_bytes + (1000 * FRAME_COST if policy == "block" else 0)
    assert after - before < 2 * max_bytes


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "conflate", "halt"])
async def test_events_beyond_the_bound_are_dropped_but_every_gap_is_reported(policy: OverflowPolicy):
    delivery = Dispatcher(hold=lambda _: None, on_callback_error=lambda _: None)
    consumer = delivery.add(
        name="a", policy=policy, max_pending_frames=99, max_pending_bytes=9999, max_pending_events=2
    )
    state = StateChange(1, FeedState.STREAMING, FeedState.STALE, Cause.DATA, "")
    gaps = [
        Gap("smd+1", 10, 20, Cause.CONNECTION_LOST),
        Gap("smd+1", 30, 40, Cause.CONNECTION_LOST),
        Gap("smd+2", 5, 50, Cause.SOCKET_SILENT),
        Gap("smd+2", 60, None, Cause.SOCKET_SILENT),
    ]
    for one in (state, gaps[0], gaps[1], state, state):
        delivery.put_event(one)
    joined = Gap("smd+1", 10, 40, Cause.CONNECTION_LOST)
    assert [one for _, one in consumer.queue.events] == [joined, state]
    for one in gaps[2:]:
        delivery.put_event(one)
    delivery.put_event(state)
    delivery.end(None)
    assert [item async for item in consumer] == [Gap(None, 5, None, Cause.CONSUMER_OVERFLOW), state]
    stats = consumer.stats
    assert (stats.events_received, stats.events_delivered, stats.events_dropped) == (8, 2, 6)
