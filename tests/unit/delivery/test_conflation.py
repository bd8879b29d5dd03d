"""Conflation: which frames are merged, in which order they are read, and which are not decoded at all."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.frame import Frame, FrameCounters, classify
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.batches import FRAME_COST, batch_of, event, numbered, put, short
from tests.support.frames import smd


def quote(topic: str, **fields: Any) -> bytes:
    return orjson.dumps({**{name.strip("_"): value for name, value in fields.items()}, "topic": topic})


def consumer_of(max_frames: int = 10**9, max_bytes: int = 10**12) -> tuple[Dispatcher, Consumer]:
    delivery = Dispatcher(hold=lambda is_held: None, on_callback_error=lambda error: None)
    return delivery, delivery.add(
        name="slow", policy="conflate", max_pending_frames=max_frames, max_pending_bytes=max_bytes
    )


async def rest(delivery: Dispatcher, consumer: Consumer) -> list[Any]:
    delivery.end(None)
    return [item async for item in consumer]


def balance(consumer: Consumer) -> tuple[int, int, int, int, int]:
    stats = consumer.stats
    assert stats.received == stats.delivered + stats.conflated + stats.dropped + stats.pending
    return stats.received, stats.delivered, stats.conflated, stats.dropped, stats.pending


async def test_fields_are_merged_and_the_latest_value_is_kept() -> None:
    delivery, consumer = consumer_of()
    put(delivery, batch_of([quote("smd+1", _31="1.5", _84="2", conid=1, _updated=5)], 10))
    put(delivery, batch_of([quote("smd+2", _31="7")], 20))
    put(delivery, batch_of([quote("smd+1", _84="3", _86=0.25, _updated=6), quote("smd+1", _84="4")], 30))
    merged, other = await rest(delivery, consumer)
    assert merged.payload == {"31": "1.5", "84": "4", "86": 0.25, "conid": 1, "updated": 6, "topic": "smd+1"}
    assert (merged.received_ns, merged.topic, merged.conid, merged.kind) == (30, "smd+1", 1, FrameKind.MARKET_DATA)
    again = classify(merged.raw, strict=True)
    assert (again.topic, again.conid, again.kind) == ("smd+1", 1, FrameKind.MARKET_DATA)
    # A frame that was not merged is unchanged, byte for byte.
    assert other.raw == quote("smd+2", _31="7")
    assert balance(consumer) == (4, 2, 2, 0, 0)


@pytest.mark.parametrize("is_by_batch", [False, True])
async def test_two_frames_of_one_topic_in_one_read_are_merged(is_by_batch: bool) -> None:
    delivery, consumer = consumer_of()
    put(delivery, batch_of([quote("smd+1", _31="1"), quote("smd+2", _31="2"), quote("smd+1", _84="3")], 10))
    delivery.end(None)
    if is_by_batch:
        (batch,) = [item async for item in consumer.batches()]
        assert isinstance(batch, Batch)
        frames = list(batch)
    else:
        frames = [item async for item in consumer if isinstance(item, Frame)]
    assert [frame.payload for frame in frames] == [
        {"31": "1", "84": "3", "topic": "smd+1"},
        {"31": "2", "topic": "smd+2"},
    ]
    assert {frame.received_ns for frame in frames} == {10}
    assert balance(consumer) == (3, 2, 1, 0, 0)


async def test_frames_are_merged_by_topic_not_by_conid() -> None:
    delivery, consumer = consumer_of()
    topics = ["smd+1", "smd+1@NYSE", "smd+0;;;1/1,2/-1", "smd+0;;;1/1,3/-1"]
    for number in range(3):
        put(delivery, batch_of([quote(topic, _31=str(number)) for topic in topics], number))
    seen = await rest(delivery, consumer)
    assert [(frame.topic, frame.payload["31"], frame.received_ns) for frame in seen] == [
        (topic, "2", 2) for topic in topics
    ]
    assert seen[1].target == "1@NYSE"


async def test_a_merged_frame_takes_the_place_of_its_first_frame() -> None:
    delivery, consumer = consumer_of()
    for first, count in ((1, 3), (2, 1), (4, 1), (1, 1)):
        put(delivery, numbered(first, count))
    seen = [short(item) for item in await rest(delivery, consumer)]
    assert seen == [1, 2, 3, 4]


async def test_frames_of_other_kinds_are_not_merged() -> None:
    order, pnl = b'{"topic":"sor","args":[{"acct":"DU1234567"}]}', b'{"topic":"spl","args":{}}'
    raws = [order, quote("smd+1", _31="1"), order, b"{}", pnl, quote("smd+1", _31="2"), b"ech+hb", order]

    delivery, consumer = consumer_of()
    for raw in raws:
        put(delivery, batch_of([raw]))
    seen = [item.raw for item in await rest(delivery, consumer)]
    assert balance(consumer) == (8, 7, 1, 0, 0)
    assert seen == [order, quote("smd+1", _31="2"), order, b"{}", pnl, b"ech+hb", order]


async def test_nothing_is_merged_across_an_event() -> None:
    delivery, consumer = consumer_of()
    put(delivery, batch_of([quote("smd+1", _31="1"), quote("smd+1", _31="2")]))
    delivery.put_event(event(1))
    put(delivery, batch_of([quote("smd+1", _31="3")]))
    put(delivery, batch_of([quote("smd+1", _31="4")]))
    delivery.put_event(event(2))
    before, first, after, second = await rest(delivery, consumer)
    assert (before.payload["31"], after.payload["31"]) == ("2", "4")
    assert (short(first), short(second)) == ("event 1", "event 2")


@pytest.mark.parametrize(
    "unmergeable",
    [
        b'{"31":nul,"topic":"smd+1"}',
        # The classifier uses the first topic, a JSON decoder the last.
        b'{"topic":"smd+1","31":"9","topic":"smd+2" }',
        b'{"31":' + b"[" * 500 + b"]" * 500 + b',"topic":"smd+1"}',
    ],
)
async def test_frames_that_cannot_be_decoded_and_encoded_again_are_not_merged(unmergeable: bytes) -> None:
    delivery, consumer = consumer_of()
    for raw in (quote("smd+1", _31="1"), unmergeable, unmergeable, quote("smd+1", _31="2"), quote("smd+1", _84="3")):
        put(delivery, batch_of([raw]))
    seen = [item.raw for item in await rest(delivery, consumer)]
    assert seen == [quote("smd+1", _31="1"), unmergeable, unmergeable, quote("smd+1", _31="2", _84="3")]
    assert balance(consumer) == (5, 4, 1, 0, 0)


async def test_nested_values_and_invalid_utf8_are_merged() -> None:
    delivery, consumer = consumer_of()
    put(delivery, batch_of([b'{"55":"CAF\x99","conidEx":"1","topic":"smd+1"}']))
    put(delivery, batch_of([b'{"list":[1,{"a":null}],"topic":"smd+1"}']))
    (merged,) = await rest(delivery, consumer)
    assert merged.payload == {"55": "CAF�", "conidEx": "1", "list": [1, {"a": None}], "topic": "smd+1"}


async def test_frames_are_decoded_only_if_two_of_one_topic_are_pending() -> None:
    counters = FrameCounters()
    delivery, consumer = consumer_of()
    torn = [b'{"31":nul,"topic":"smd+%d"}' % conid for conid in range(3)]
    for batches in (1, 2):
        for number in range(batches):
            put(delivery, batch_of(torn[number : number + 2 // batches], counters=counters))
        assert [(await consumer.__anext__()).raw for _ in range(2)] == torn[:2]
    assert counters.payload_errors == 0
    for _ in range(2):
        put(delivery, batch_of(torn, counters=counters))
    assert len(await rest(delivery, consumer)) == 6
    assert counters.payload_errors == 3


async def test_a_consumer_that_keeps_up_receives_the_batches_unchanged() -> None:
    delivery, consumer = consumer_of()
    batches = consumer.batches()
    for number in range(3):
        batch = batch_of([smd(1), b"{}", smd(2), b"{}"], number)
        put(delivery, batch)
        assert await batches.__anext__() is batch
    assert balance(consumer) == (12, 12, 0, 0, 0)


def late_batch(payloads: list[bytes], received_ns: int, late_ns: list[int]) -> Batch:
    builder = BatchBuilder()
    for payload in payloads:
        builder.append(payload)
    batch = builder.finish(received_ns, late_ns)
    assert batch is not None
    return batch


async def test_a_merged_frame_is_as_late_as_its_last_frame() -> None:
    delivery, consumer = consumer_of()
    put(delivery, late_batch([smd(1), smd(2), smd(1), smd(3)], 10, [9, 8, 7, 0]))
    put(delivery, batch_of([smd(2)], 20))
    put(delivery, late_batch([smd(4)], 20, [6]))
    delivery.end(None)
    seen = [
        (frame.conid, frame.received_ns, late)
        async for batch in consumer.batches()
        if isinstance(batch, Batch)
        for frame, late in zip(batch, batch.late_ns or [0] * len(batch), strict=True)
    ]
    assert seen == [(1, 10, 7), (2, 20, 0), (3, 10, 0), (4, 20, 6)]


async def test_a_conflated_batch_without_late_frames_has_no_lateness() -> None:
    delivery, consumer = consumer_of()
    for number in range(3):
        put(delivery, batch_of([smd(1), smd(2)], number))
    delivery.end(None)
    assert [batch.late_ns async for batch in consumer.batches() if isinstance(batch, Batch)] == [None]


def test_a_builder_refuses_lateness_of_another_length() -> None:
    builder = BatchBuilder()
    builder.append(smd(1))
    with pytest.raises(ValueError, match="has 1 frames, not 2"):
        builder.finish(10, [1, 2])


async def test_the_rest_of_a_read_is_merged_with_later_frames() -> None:
    delivery, consumer = consumer_of()
    put(delivery, numbered(1, 3, 10))
    assert short(await consumer.__anext__()) == 1
    put(delivery, numbered(1, 2, 20))
    seen = [(item.conid, item.received_ns) for item in await rest(delivery, consumer)]
    assert seen == [(2, 20), (3, 10), (1, 20)]


def test_memory_depends_on_the_number_of_subscriptions() -> None:
    delivery, consumer = consumer_of()
    for number in range(200):
        put(delivery, numbered(0, 50, number))
    received, _, conflated, dropped, pending = balance(consumer)
    assert (received, dropped) == (10_000, 0)
    assert pending < 600
    assert conflated == 10_000 - pending


async def test_beyond_the_bound_the_oldest_are_dropped_and_the_gap_spans_their_merged_frames() -> None:
    delivery, consumer = consumer_of(max_frames=2)
    put(delivery, numbered(1, 1, 10))
    put(delivery, numbered(2, 1, 20))
    put(delivery, numbered(1, 1, 30))
    put(delivery, numbered(3, 1, 40))
    assert [short(item) for item in await rest(delivery, consumer)] == [("gap", 10, 30, 1), 2, 3]
    assert balance(consumer) == (4, 2, 1, 1, 0)


async def test_the_first_good_frame_of_a_reported_gap_is_not_dropped() -> None:
    delivery, consumer = consumer_of(max_bytes=2 * FRAME_COST)
    put(delivery, numbered(1, 3, 10))
    assert short(await consumer.__anext__()) == ("gap", 10, 10, 1)
    put(delivery, numbered(2, 3, 20))
    seen = await rest(delivery, consumer)
    assert [short(item) for item in seen] == [2, ("gap", 10, 20, 2), 4]
    assert seen[0].received_ns == 10


@pytest.mark.parametrize("is_by_batch", [False, True])
async def test_a_gap_after_the_first_good_frame_comes_before_the_next_frame_of_the_same_read(is_by_batch: bool) -> None:
    delivery, consumer = consumer_of(max_frames=3)
    items = consumer.batches() if is_by_batch else consumer
    put(delivery, numbered(1, 4, 10))
    seen = [await items.__anext__()]
    # The gap names frame 2 as the first good one, so frame 3 has to go.
    put(delivery, numbered(5, 1, 10))
    delivery.end(None)
    seen += [item async for item in items]
    shown = [[item.conid] if isinstance(item, Frame) else short(item) for item in seen]
    assert shown[:3] == [("gap", 10, 10, 1), [2], ("gap", 10, 10, 1)]
    assert [conid for shown_batch in shown[3:] for conid in shown_batch] == [4, 5]


async def test_a_gap_at_the_end_is_reported_at_the_end() -> None:
    delivery, consumer = consumer_of(max_frames=1)
    put(delivery, numbered(1, 2, 10))
    assert short(await consumer.__anext__()) == ("gap", 10, 10, 1)
    put(delivery, numbered(3, 2, 20))
    assert [short(item) for item in await rest(delivery, consumer)] == [2, ("gap", 10, None, 2)]


async def test_closing_counts_pending_frames_as_dropped() -> None:
    delivery, consumer = consumer_of(max_frames=5)
    put(delivery, numbered(1, 8, 10))
    await consumer.__anext__()
    put(delivery, numbered(3, 2, 20))
    consumer.close()
    assert balance(consumer) == (10, 0, 0, 10, 0)


async def test_a_gap_begins_before_every_missing_frame() -> None:
    delivery, consumer = consumer_of(max_frames=2)
    put(delivery, numbered(1, 1, 10))
    put(delivery, numbered(2, 1, 20))
    put(delivery, numbered(1, 1, 30))
    merged = await consumer.__anext__()
    assert (short(merged), merged.received_ns) == (1, 30)
    put(delivery, numbered(3, 1, 40))
    put(delivery, numbered(4, 1, 50))
    assert [short(item) for item in await rest(delivery, consumer)] == [("gap", 20, 40, 1), 3, 4]


async def test_a_gap_is_reported_before_unmerged_frames() -> None:
    delivery, consumer = consumer_of(max_frames=1)
    put(delivery, numbered(1, 2, 10))
    assert short(await consumer.__anext__()) == ("gap", 10, 10, 1)
    put(delivery, numbered(3, 2, 20))
    assert short(await consumer.__anext__()) == 2
    put(delivery, numbered(5, 1, 30))
    assert [short(item) for item in await rest(delivery, consumer)] == [("gap", 10, 30, 2), 5]


async def test_a_batch_ends_at_an_event() -> None:
    delivery, consumer = consumer_of()
    put(delivery, batch_of([smd(1), smd(1), smd(2)], 10))
    delivery.put_event(event(1))
    put(delivery, batch_of([smd(3), smd(3)], 10))
    delivery.end(None)
    assert [short(item) async for item in consumer.batches()] == [[1, 2], "event 1", [3]]
