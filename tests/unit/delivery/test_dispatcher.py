"""Dispatcher: every consumer receives the same items in the same order, whatever another one does."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.errors import CallbackError, ConfigError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from tests.support.batches import event, numbered, put, short

BOUNDS: dict[str, Any] = {"policy": "drop_oldest", "max_pending_frames": 1000, "max_pending_bytes": 10**9}


def make() -> tuple[Dispatcher, list[Exception]]:
    errors: list[Exception] = []
    return Dispatcher(hold=lambda is_held: None, on_callback_error=errors.append), errors


async def rest(delivery: Dispatcher, consumer: Consumer) -> list[Any]:
    delivery.end(None)
    return [short(item) async for item in consumer]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": "newest"}, "policy must be one of drop_oldest, drop_newest, conflate, halt, block, not 'newest'"),
        ({"max_pending_frames": 0}, "max_pending_frames must be a whole number above zero, not 0"),
        ({"max_pending_bytes": 1.5}, "max_pending_bytes must be a whole number above zero, not 1.5"),
        ({"max_pending_events": True}, "max_pending_events must be a whole number above zero, not True"),
    ],
)
def test_invalid_options_are_refused(change: dict[str, Any], message: str) -> None:
    delivery, _ = make()
    with pytest.raises(ConfigError) as caught:
        delivery.add(name="a", **{**BOUNDS, **change})
    assert str(caught.value) == message
    assert delivery.consumers == ()


async def test_stalled_and_raising_consumers_do_not_affect_another() -> None:
    delivery, errors = make()

    def fail(item: object) -> None:
        raise ValueError

    raising = delivery.add_callback(name="raising", callback=fail)
    for policy in ("drop_oldest", "drop_newest", "conflate", "halt"):
        delivery.add(name=policy, **{**BOUNDS, "policy": policy, "max_pending_frames": 1})
    good = delivery.add(name="good", **BOUNDS)
    delivery.add_callback(name="raising too", callback=fail, by_batch=True)
    seen: list[Any] = []
    for number in range(20):
        put(delivery, numbered(10 * number, 10))
        delivery.put_event(event(number))
        seen += [short(await good.__anext__()) for _ in range(11)]
    expected = [item for n in range(20) for item in [*range(10 * n, 10 * n + 10), f"event {n}"]]
    assert seen == expected
    stats = raising.stats
    assert (stats.received, stats.delivered, stats.callback_errors) == (200, 200, 220)
    assert len(errors) == 220 + 40
    assert len(delivery.consumers) == 6
    assert [consumer.name for consumer in delivery.consumers].count("halt") == 0


def test_an_error_of_a_callback_is_reported_with_its_cause() -> None:
    delivery, errors = make()

    def fail(item: object) -> None:
        raise ValueError("from the callback")

    consumer = delivery.add_callback(name="strategy", callback=fail)
    put(delivery, numbered(1, 2))
    assert consumer.stats.callback_errors == len(errors) == 2
    assert isinstance(errors[0], CallbackError)
    assert "'strategy'" in str(errors[0])
    assert "ValueError" in str(errors[0])
    assert isinstance(errors[0].__cause__, ValueError)


def test_callbacks_receive_frames_or_batches_and_events() -> None:
    delivery, _ = make()
    frames: list[Frame | Any] = []
    batches: list[Batch | Any] = []
    by_frame = delivery.add_callback(name="frames", callback=frames.append)
    delivery.add_callback(name="batches", callback=batches.append, by_batch=True)
    batch = numbered(0, 3)
    put(delivery, batch)
    delivery.put_event(event(1))
    delivery.put(batch, 1, 3)
    assert batches[0] is batch
    assert [short(item) for item in batches] == [[0, 1, 2], "event 1", [1, 2]]
    assert [short(item) for item in frames] == [0, 1, 2, "event 1", 1, 2]
    stats = by_frame.stats
    assert (stats.received, stats.delivered, stats.pending, stats.pending_bytes) == (5, 5, 0, 0)
    assert (stats.events_received, stats.events_delivered) == (1, 1)


def test_a_callback_consumer_has_nothing_to_read() -> None:
    delivery, _ = make()
    consumer = delivery.add_callback(name="a", callback=lambda item: None)
    assert not hasattr(consumer, "__aiter__")
    assert not hasattr(consumer, "batches")
    assert repr(consumer) == "<CallbackConsumer 'a'>"


def test_the_counts_add_up_inside_a_callback() -> None:
    delivery, errors = make()
    seen: list[tuple[int, int, int]] = []

    def check(item: object) -> None:
        stats = consumer.stats
        assert stats.received == stats.delivered + stats.dropped + stats.pending
        seen.append((stats.delivered, stats.dropped, stats.pending))
        if len(seen) == 3:
            consumer.close()

    consumer = delivery.add_callback(name="a", callback=check)
    put(delivery, numbered(0, 5))
    put(delivery, numbered(5, 5))
    delivery.put_event(event(1))
    assert errors == []
    assert seen == [(1, 0, 4), (2, 0, 3), (3, 0, 2)]
    stats = consumer.stats
    assert (stats.received, stats.delivered, stats.dropped, stats.pending) == (5, 3, 2, 0)
    assert stats.pending_bytes == 0


async def test_events_caused_by_a_callback_reach_every_consumer_after_the_current_item() -> None:
    delivery, _ = make()
    added: list[Consumer] = []

    def answer(item: Any) -> None:
        if isinstance(item, Frame) and item.conid == 1:
            delivery.put_event(event(1))
            put(delivery, numbered(10, 1))
            added.append(delivery.add(name="late", **BOUNDS))
            closed.close()

    before = delivery.add(name="before", **BOUNDS)
    answering = delivery.add_callback(name="answering", callback=answer)
    after = delivery.add(name="after", **BOUNDS)
    closed = delivery.add(name="closed", **BOUNDS)
    put(delivery, numbered(0, 3))
    put(delivery, numbered(20, 1))
    assert closed.stats.received == 0
    assert answering.stats.received == 5
    expected = [0, 1, 2, "event 1", 10, 20]
    assert await rest(delivery, before) == expected
    assert await rest(delivery, after) == expected
    # It was added before the items that were put after it.
    assert await rest(delivery, added[0]) == ["event 1", 10, 20]


async def test_a_callback_may_end_the_dispatcher() -> None:
    delivery, _ = make()
    first = delivery.add(name="first", **BOUNDS)
    delivery.add_callback(name="ending", callback=lambda item: delivery.end(None))
    second = delivery.add(name="second", **BOUNDS)
    put(delivery, numbered(0, 2))
    put(delivery, numbered(2, 2))
    assert [short(item) async for item in first] == [0, 1]
    assert [short(item) async for item in second] == [0, 1]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_in_a_callback_is_raised_after_all_received_the_item(
    interrupt: type[BaseException],
) -> None:
    delivery, errors = make()

    def stop(item: Any) -> None:
        raise interrupt

    delivery.add_callback(name="interrupted", callback=stop, by_batch=True)
    other = delivery.add(name="other", **BOUNDS)
    with pytest.raises(interrupt):
        put(delivery, numbered(0, 2))
    with pytest.raises(interrupt):
        delivery.put_event(event(1))
    put_again = pytest.raises(interrupt)
    with put_again:
        put(delivery, numbered(2, 1))
    assert errors == []
    assert await rest(delivery, other) == [0, 1, "event 1", 2]


def test_an_empty_slice_is_ignored() -> None:
    delivery, _ = make()
    consumer = delivery.add(name="a", **BOUNDS)
    delivery.put(numbered(0, 3), 2, 2)
    delivery.put(numbered(0, 3), 2, 1)
    assert consumer.stats.received == 0
    assert not consumer.queue.slices
