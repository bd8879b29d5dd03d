"""What becomes of frames that a consumer is too slow for, policy by policy: what was put, and what is read."""

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
from tests.batches import FRAME_COST, batch_of, event, numbered, put, short
from tests.frames import smd
from tests.support import run

#: ("put", first, count, received_ns), ("event", number), ("read", n) or ("end",), and what each n-th read must give.
TABLE: dict[str, tuple[OverflowPolicy, int, list[tuple[Any, ...]], list[Any]]] = {
    "nothing is dropped that fits": (
        "drop_oldest",
        4,
        [("put", 1, 2, 10), ("put", 3, 2, 20), ("end",)],
        [1, 2, 3, 4],
    ),
    "the oldest go, and no more than need be": (
        "drop_oldest",
        4,
        [("put", 1, 3, 10), ("put", 4, 3, 20), ("end",)],
        [("gap", 10, 10, 2), 3, 4, 5, 6],
    ),
    "a read larger than the bound leaves its end": (
        "drop_oldest",
        2,
        [("put", 1, 5, 10), ("end",)],
        [("gap", 10, 10, 3), 4, 5],
    ),
    "one hole, one gap, from the last frame that was read": (
        "drop_oldest",
        2,
        [("put", 1, 2, 10), ("read", 1), ("put", 3, 2, 20), ("put", 5, 2, 30), ("put", 7, 1, 40), ("end",)],
        [1, ("gap", 10, 30, 4), 6, 7],
    ),
    "frames left of the read that is being read are the first to go": (
        "drop_oldest",
        4,
        [("put", 1, 4, 10), ("read", 2), ("put", 5, 3, 20), ("end",)],
        [1, 2, ("gap", 10, 10, 1), 4, 5, 6, 7],
    ),
    "a frame that a gap was told before stays": (
        "drop_oldest",
        2,
        [("put", 1, 3, 10), ("read", 1), ("put", 4, 3, 20), ("end",)],
        [("gap", 10, 10, 1), 2, ("gap", 10, 20, 3), 6],
    ),
    "events stay, in their place": (
        "drop_oldest",
        2,
        [("put", 1, 2, 10), ("event", 1), ("put", 3, 2, 20), ("event", 2), ("put", 5, 1, 30), ("end",)],
        ["event 1", ("gap", 10, 20, 3), 4, "event 2", 5],
    ),
    "what fits is kept, and the gap told before the next that fits": (
        "drop_newest",
        3,
        [("put", 1, 2, 10), ("put", 3, 3, 20), ("put", 6, 1, 30), ("read", 1), ("put", 7, 2, 40), ("end",)],
        [1, 2, 3, ("gap", 20, 40, 3), 7, ("gap", 40, None, 1)],
    ),
    "a read larger than the bound leaves its beginning": (
        "drop_newest",
        2,
        [("put", 1, 5, 10), ("read", 2), ("put", 6, 1, 20), ("end",)],
        [1, 2, ("gap", 10, 20, 3), 6],
    ),
    "an event between two parts of one hole": (
        "drop_newest",
        1,
        [("put", 1, 2, 10), ("event", 1), ("put", 3, 2, 20), ("read", 1), ("put", 5, 1, 30), ("end",)],
        [1, "event 1", ("gap", 10, 30, 3), 5],
    ),
    "a hole at the end is told at the end": (
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
def test_frames_dropped_and_gaps_told(name: str) -> None:
    policy, max_frames, steps, expected = TABLE[name]

    async def main() -> list[Any]:
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
        return seen

    assert run(main()) == expected


@pytest.mark.parametrize("max_bytes", [2 * FRAME_COST, FRAME_COST * 5 // 2, 3 * FRAME_COST - 1])
@pytest.mark.parametrize(
    ("policy", "frames", "expected"),
    [
        # Room for two, and maybe a part of a third.
        ("drop_oldest", 3, [("gap", 1, 1, 1), 2, 3]),
        ("drop_newest", 3, [1, 2, ("gap", 1, None, 1)]),
        ("drop_oldest", 7, [("gap", 1, 1, 5), 6, 7]),
        ("drop_newest", 7, [1, 2, ("gap", 1, None, 5)]),
    ],
)
def test_bytes_are_bounded_to_the_frame(
    policy: OverflowPolicy, frames: int, expected: list[Any], max_bytes: int
) -> None:
    async def main() -> list[Any]:
        delivery, consumer = consumer_of(policy, max_pending_bytes=max_bytes)
        put(delivery, numbered(1, frames))
        assert consumer.stats.pending_bytes == 2 * FRAME_COST
        delivery.end(None)
        return [short(item) async for item in consumer]

    assert run(main()) == expected


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "conflate", "halt", "block"])
def test_one_frame_may_wait_however_large(policy: OverflowPolicy) -> None:
    async def main() -> None:
        delivery, consumer = consumer_of(policy, max_pending_bytes=100)
        for number in (1, 2):
            put(delivery, batch_of([smd(number, size=5000)]))
            assert short(await consumer.__anext__()) == number
        assert balance(consumer) == (2, 2, 0, 0, 0)

    run(main())


def test_frames_that_are_kept_do_not_hold_the_batch_they_came_in() -> None:
    delivery, consumer = consumer_of("drop_newest", max_pending_frames=1000)
    delivery.put(numbered(0, 999), 0, 999)
    for _ in range(50):
        # One in, the others not.
        run(consumer.__anext__())
        put(delivery, numbered(0, 999))
    assert consumer.queue.slices[-1][0].nbytes == 151
    delivery, consumer = consumer_of("drop_oldest")
    delivery.put(numbered(0, 999), 500, 501)
    delivery.put(numbered(0, 999), 0, 500)
    assert [len(entry[0]) for entry in consumer.queue.slices] == [1, 999]


def test_halt_says_what_to_do_and_gets_nothing_more() -> None:
    async def main() -> None:
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

    run(main())


def test_halt_takes_exactly_what_fits_without_a_word() -> None:
    delivery, consumer = consumer_of("halt", max_pending_frames=3)
    put(delivery, numbered(1, 3))
    assert delivery.consumers == (consumer,)
    assert balance(consumer) == (3, 0, 0, 0, 3)


def test_events_are_bounded_and_the_oldest_dropped() -> None:
    async def main() -> None:
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

    run(main())


def test_the_socket_is_held_when_one_is_full_and_let_go_when_all_are_at_half() -> None:
    async def main() -> None:
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
        # What was under way still comes, and is taken.
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
        # Full again, and now the full one goes away.
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

    run(main())


def test_a_reader_halfway_through_a_read_is_not_full() -> None:
    async def main() -> None:
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

    run(main())


@pytest.mark.parametrize(
    ("policy", "reads"),
    # Conflation decodes, which takes long while every allocation is traced.
    [("drop_oldest", 1000), ("drop_newest", 1000), ("conflate", 100), ("halt", 1000), ("block", 1000)],
)
def test_a_million_frames_to_a_consumer_that_does_not_read_take_bounded_memory(
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
                # Few of each read get in where the newest are dropped.
                if policy == "drop_newest" and number > 100:
                    run(consumer.__anext__())
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
def test_events_beyond_their_bound_are_dropped_and_no_gap_goes_untold(policy: OverflowPolicy):
    async def main() -> None:
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

    run(main())
