"""TopicTable: a slot for each topic, none for a removed one, and the slots of frames."""

from __future__ import annotations

import copy
import pickle
import random

import pytest

from cpapi_fast.errors import SubscriptionError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.text_table import TextTable
from cpapi_fast.frames.topic_table import TopicTable
from tests.support.batches import batch_of


def test_slots_count_up_and_stay():
    table = TopicTable()
    topics = ["smd+265598", "smd+265598@NYSE", "sor", "", "smd+28812380;;;1/1,2/-1", "ssd+DU1234567", "smd+1@É"]
    assert [table.add(topic) for topic in topics] == list(range(7))
    assert [table.add(topic) for topic in reversed(topics)] == list(reversed(range(7)))
    assert [table.find(topic) for topic in topics] == list(range(7))
    assert len(table) == 7
    assert [table.find(topic) for topic in ("smd+26559", "smd+2655988", "SOR", "so", "\0", "smd+1@E")] == [-1] * 6


def test_the_slot_of_a_removed_topic_goes_to_the_next_topic():
    table = TopicTable()
    for topic in ("a", "b", "c"):
        table.add(topic)
    table.remove(1)
    assert [table.find(topic) for topic in ("a", "b", "c")] == [0, -1, 2]
    assert len(table) == 2
    with pytest.raises(UsageError):
        table.check(1)
    with pytest.raises(UsageError):
        table.remove(1)
    assert table.add("d") == 1
    assert table.add("b") == 3


@pytest.mark.parametrize("slot", [-1, 1, 2**62, -(2**62)])
def test_an_invalid_slot_raises(slot: int):
    table = TopicTable()
    table.add("sor")
    table.check(0)
    with pytest.raises(UsageError, match="slot"):
        table.check(slot)
    with pytest.raises(UsageError):
        table.remove(slot)


@pytest.mark.parametrize("length", range(1, 40))
def test_topics_that_differ_in_one_byte_are_two(length: int):
    table = TopicTable()
    base = "x" * length
    topics = [base, base + "x", *(base[:at] + "y" + base[at + 1 :] for at in range(length))]
    assert [table.add(topic) for topic in topics] == list(range(length + 2))
    batch = batch_of([*(b'{"topic":"%s"}' % topic.encode() for topic in topics), b'{"topic":"%s"}' % (b"z" * length)])
    assert [table.slot_of(batch, index) for index in range(len(batch))] == [*range(length + 2), -1]


def test_many_topics_come_and_go():
    """Compared with a dictionary, while the table grows and entries are removed."""
    chance = random.Random(1)
    table = TopicTable()
    known: dict[str, int] = {}
    names = [f"smd+{number}" for number in range(1, 4_000, 7)] + [f"smd+{number}@SMART" for number in range(300)]
    for turn in range(20_000):
        name = chance.choice(names)
        if name in known and (turn // 2_000) % 2:
            table.remove(known.pop(name))
            assert table.find(name) == -1
        else:
            slot = table.add(name)
            assert known.setdefault(name, slot) == slot
    assert len(table) == len(known) == len(set(known.values())) > 100
    assert {name: table.find(name) for name in names} == {name: known.get(name, -1) for name in names}


def test_the_slot_of_a_frame():
    table = TopicTable()
    for topic in ("smd+8314", "smd+8314@NYSE", "sor", "", "str\ufffd", "smd+1@\ufffdXXXXXXXXXXXXXXXXX"):
        table.add(topic)
    frames = {
        b'{"31":"1","topic":"smd+8314"}': 0,
        b'{"31":"1","topic":"smd+8314@NYSE"}': 1,
        b'{"31":"1","topic":"smd+8314@NYS"}': -1,
        b'{"topic":"sor","args":[]}': 2,
        b'{"t\\u006fpic":"sor"}': 2,
        b'{"topic":"s\\u006fr"}': 2,
        b'{"topic":"s\\u006fx"}': -1,
        b'{"topic":"","a":1}': 3,
        # Invalid UTF-8 is U+FFFD in a topic.
        b'{"topic":"str\x99"}': 4,
        b'{"topic":"str\x98"}': 4,
        b'{"topic":"stx\x99"}': -1,
        b'{"topic":"smd+1@\x99XXXXXXXXXXXXXXXXX"}': 5,
        b'{"topic":"smd+1@\x99XXXXXXXXXXXXXXXXY"}': -1,
        b'{"topic":"smd+1@XXXXXXXXXXXXXXXXXY"}': -1,
        b'{"topic":7}': -1,
        b'{"message":"sor"}': -1,
        b"{}": -1,
        b"": -1,
        b"sor": -1,
    }
    batch = batch_of(frames)
    assert {text: table.slot_of(batch, index) for index, text in enumerate(frames)} == frames
    assert table.slots_of(batch) == list(frames.values())
    for index in (-1, len(batch), 2**62):
        with pytest.raises(IndexError):
            table.slot_of(batch, index)


def test_batches_of_any_size_are_resolved():
    table = TopicTable()
    assert table.slots_of(Batch.__new__(Batch)) == []
    for count in (1, 7, 1_000, 3, 2_000):
        texts = [b'{"topic":"smd+%d"}' % (number % 5) for number in range(count)]
        table.add("smd+3")
        slots = table.slots_of(batch_of(texts))
        assert slots == [0 if number % 5 == 3 else -1 for number in range(count)]


def test_a_batch_is_resolved_again_after_its_topics_change():
    table = TopicTable()
    batch = batch_of([b'{"topic":"sor"}', b'{"topic":"spl"}'])
    assert table.slots_of(batch) == [-1, -1]
    table.add("spl")
    assert table.slots_of(batch) == [-1, 0]
    table.remove(0)
    assert table.add("sor") == 0
    assert table.slots_of(batch) == [0, -1]


def test_half_of_a_surrogate_pair_is_not_a_topic():
    table = TopicTable()
    assert table.find("smd+\ud83d") == -1
    with pytest.raises(SubscriptionError, match="surrogate"):
        table.add("smd+\ud83d")
    assert len(table) == 0


def test_wrong_types_raise():
    table = TopicTable()
    for call in (table.add, table.find):
        for topic in (None, b"sor", 1):
            with pytest.raises(TypeError):
                call(topic)  # type: ignore[operator]
    for batch in (None, "sor"):
        with pytest.raises(TypeError):
            table.slot_of(batch, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_copied_nor_pickled(attempt):
    with pytest.raises(TypeError):
        attempt(TopicTable())
    with pytest.raises(TypeError):
        attempt(TextTable())
