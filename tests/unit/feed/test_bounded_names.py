"""Names that the gateway invents do not grow memory: they are bounded and counted, and what was asked for has room."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.feed.tracked_topics import TrackedTopics
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.outputs.tables.market_data import QuotesWriter
from cpapi_fast.protocol.fields import FIELDS
from cpapi_fast.protocol.topics import MarketDataFields, market_data_subscribe_text, requested_codes
from cpapi_fast.redaction import ConsistentRedactor
from tests.support.batches import batch_of

#: Far more than there is room for; a thousand times more adds nothing.
NAMES = 20_000

#: How many keys that nobody asked for have room.
ROOM = 256


def kept() -> tuple[LastValues, int]:
    topics = TopicTable()
    last = LastValues(topics)
    slot = topics.add("smd+1")
    last.add(slot)
    return last, slot


def frame(*members: str) -> bytes:
    return f"""{{{",".join((*members, '"topic":"smd+1"'))}}}""".encode()


@pytest.mark.parametrize("escape", ["", "\\u0041"], ids=["fast path", "slow path"])
def test_keys_are_bounded_and_counted(escape: str) -> None:
    last, slot = kept()
    last.reserve(["99999"])
    for start in range(0, NAMES, 100):
        keys = [f'"{escape}k{number}":{number}' for number in range(start, start + 100)]
        last.update(batch_of([frame(*keys)]), 1.0)
    values = last.get(slot)
    assert values is not None
    assert len(values) == ROOM
    assert last.left_out == NAMES - ROOM
    # Known keys go on, and what was asked for or is in the catalogue has room.
    catalogue = [f'"{code}":"c"' for code in FIELDS]
    last.update(batch_of([frame(f'"{escape}k3":"new"', '"99999":"asked"', '"12345678":"not"', *catalogue)]), 2.0)
    values = last.get(slot)
    assert values is not None
    name = "Ak3" if escape else "k3"
    assert values[name][0] == "new"
    assert values["99999"][0] == "asked"
    assert {values[code][0] for code in FIELDS} == {"c"}
    assert "12345678" not in values
    assert last.left_out == NAMES - ROOM + 1


def test_long_keys_are_left_out() -> None:
    last, slot = kept()
    last.update(batch_of([frame(f'"{"k" * 64}":1', f'"{"k" * 65}":2', f'"{"k" * 1_000_000}":3')]), 1.0)
    values = last.get(slot)
    assert values is not None
    assert values.keys() == {"k" * 64}
    assert last.left_out == 2


def test_the_memory_of_keys_does_not_grow() -> None:
    last, _ = kept()

    def send(first: int) -> None:
        for start in range(first, first + NAMES, 100):
            last.update(batch_of([frame(*(f'"k{n}":1' for n in range(start, start + 100)))]), 1.0)

    send(0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        send(NAMES)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_targets_are_bounded_and_counted(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path, targets=["7", "8@NYSE"]) as writer:
        for start in range(100, 100 + NAMES, 1000):
            writer.write(batch_of([b'{"31":"1","topic":"smd+%d"}' % n for n in range(start, start + 1000)]))
        assert len(writer.latest) == 1000
        assert writer.rows_unlisted == NAMES - 1000
        # Long ones count too, known ones go on, and those that were subscribed to have room.
        long = b"1@" + b"X" * 300
        writer.write(batch_of([b'{"31":"2","topic":"smd+%b"}' % name for name in (b"7", b"8@NYSE", b"100", long)]))
        assert writer.rows_unlisted == NAMES - 999
        assert [writer.latest[name].last for name in ("7", "8@NYSE", "100")] == [2.0, 2.0, 2.0]
    assert writer.counts.written == NAMES + 4, "the files have all of them"


def test_topics_are_those_that_were_asked_for() -> None:
    topics = TrackedTopics(keeps_last_values=True)
    topics.add("smd+1", is_market_data=True)
    batch = batch_of([b'{"31":"1","topic":"smd+%d"}' % number for number in range(2000)])
    topics.tracker.scan(batch, 1.0)
    assert topics.tracker.untracked == 1999
    assert len(topics.table) == 1
    assert topics.fields_left_out == 0


def test_secrets_of_a_record_are_bounded() -> None:
    redact = ConsistentRedactor()
    for number in range(NAMES):
        redact(f"account DU{number:07d}")
    assert redact("account DU0000003") == "account [redacted 4]"
    assert redact(f"account DU{NAMES - 1:07d}") == "account [redacted]"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (market_data_subscribe_text(1, MarketDataFields.from_codes(["31", "99999"])), ["31", "99999"]),
        ('smd+0;;;1/1,2/-1+{"fields":["31"],"tempo":1000}', ["31"]),
        ("smd+1+{}", []),
        ("smd+1", []),
        ("smd+1+{broken", []),
        ('smd+1+{"fields":7}', []),
        ('smd+1+{"fields":[7,"8"]}', ["8"]),
    ],
)
def test_requested_codes(text: str, codes: list[str]) -> None:
    assert requested_codes(text) == codes
