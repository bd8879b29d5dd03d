"""text_slots.pyx: a number for each text, and nothing of a text that was removed."""

from __future__ import annotations

import copy
import pickle
import random

import pytest

from cpapi_fast.errors import SubscriptionError, UsageError
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.topic_table import TextSlots


def batch_of(*texts: bytes) -> Batch:
    builder = BatchBuilder()
    for text in texts:
        builder.append(text)
    batch = builder.finish(1)
    assert batch is not None
    return batch


def test_slots_count_up_and_stay():
    slots = TextSlots()
    topics = ["smd+265598", "smd+265598@NYSE", "sor", "", "smd+28812380;;;1/1,2/-1", "ssd+DU1234567", "smd+1@É"]
    assert [slots.add(topic) for topic in topics] == list(range(7))
    assert [slots.add(topic) for topic in reversed(topics)] == list(reversed(range(7)))
    assert [slots.find(topic) for topic in topics] == list(range(7))
    assert len(slots) == 7
    assert [slots.find(topic) for topic in ("smd+26559", "smd+2655988", "SOR", "so", "\0", "smd+1@E")] == [-1] * 6


def test_a_removed_topic_is_gone_and_its_slot_goes_to_the_next():
    slots = TextSlots()
    for topic in ("a", "b", "c"):
        slots.add(topic)
    slots.remove(1)
    assert [slots.find(topic) for topic in ("a", "b", "c")] == [0, -1, 2]
    assert len(slots) == 2
    with pytest.raises(UsageError):
        slots.check(1)
    with pytest.raises(UsageError):
        slots.remove(1)
    assert slots.add("d") == 1
    assert slots.add("b") == 3


@pytest.mark.parametrize("slot", [-1, 1, 2**62, -(2**62)])
def test_a_number_that_is_no_slot(slot: int):
    slots = TextSlots()
    slots.add("sor")
    slots.check(0)
    with pytest.raises(UsageError, match="slot"):
        slots.check(slot)
    with pytest.raises(UsageError):
        slots.remove(slot)


@pytest.mark.parametrize("length", range(1, 40))
def test_topics_that_differ_in_one_byte_are_two(length: int):
    slots = TextSlots()
    base = "x" * length
    topics = [base, base + "x", *(base[:at] + "y" + base[at + 1 :] for at in range(length))]
    assert [slots.add(topic) for topic in topics] == list(range(length + 2))
    batch = batch_of(*(b'{"topic":"%s"}' % topic.encode() for topic in topics), b'{"topic":"%s"}' % (b"z" * length))
    assert [slots.slot_of(batch, index) for index in range(len(batch))] == [*range(length + 2), -1]


def test_many_topics_come_and_go():
    """Against a dictionary, through growth of the table and holes in it."""
    chance = random.Random(1)
    slots = TextSlots()
    known: dict[str, int] = {}
    names = [f"smd+{number}" for number in range(1, 4_000, 7)] + [f"smd+{number}@SMART" for number in range(300)]
    for turn in range(20_000):
        name = chance.choice(names)
        if name in known and (turn // 2_000) % 2:
            slots.remove(known.pop(name))
            assert slots.find(name) == -1
        else:
            slot = slots.add(name)
            assert known.setdefault(name, slot) == slot
    assert len(slots) == len(known) == len(set(known.values())) > 100
    assert {name: slots.find(name) for name in names} == {name: known.get(name, -1) for name in names}


def test_the_slot_of_a_frame():
    slots = TextSlots()
    for topic in ("smd+8314", "smd+8314@NYSE", "sor", "", "str\ufffd", "smd+1@\ufffdXXXXXXXXXXXXXXXXX"):
        slots.add(topic)
    frames = {
        b'{"31":"1","topic":"smd+8314"}': 0,
        b'{"31":"1","topic":"smd+8314@NYSE"}': 1,
        b'{"31":"1","topic":"smd+8314@NYS"}': -1,
        b'{"topic":"sor","args":[]}': 2,
        b'{"t\\u006fpic":"sor"}': 2,
        b'{"topic":"s\\u006fr"}': 2,
        b'{"topic":"s\\u006fx"}': -1,
        b'{"topic":"","a":1}': 3,
        # Bytes that are not UTF-8 are U+FFFD in a topic.
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
    batch = batch_of(*frames)
    assert {text: slots.slot_of(batch, index) for index, text in enumerate(frames)} == frames
    for index in (-1, len(batch), 2**62):
        with pytest.raises(IndexError):
            slots.slot_of(batch, index)


def test_half_of_a_surrogate_pair_is_no_topic():
    slots = TextSlots()
    assert slots.find("smd+\ud83d") == -1
    with pytest.raises(SubscriptionError, match="surrogate"):
        slots.add("smd+\ud83d")
    assert len(slots) == 0


def test_what_is_no_text_is_refused():
    slots = TextSlots()
    for call in (slots.add, slots.find):
        for topic in (None, b"sor", 1):
            with pytest.raises(TypeError):
                call(topic)  # type: ignore[operator]
    for batch in (None, "sor"):
        with pytest.raises(TypeError):
            slots.slot_of(batch, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_copied_nor_pickled(attempt):
    with pytest.raises(TypeError):
        attempt(TextSlots())
