"""LastValues: the merged quote of a topic, each value with the times of the frame that brought it."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import tracemalloc
from typing import Any

import pytest

from cpapi_fast.errors import UsageError
from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable
from tests.support.batches import batch_of

TOPIC = "smd+8314"


def smd(members: str, topic: str = TOPIC) -> bytes:
    return f'{{{members},"topic":"{topic}"}}'.encode()


class Keeper:
    """Last values with their table, by topic."""

    def __init__(self) -> None:
        self.topics = TopicTable()
        self.last = LastValues(self.topics)

    def add(self, topic: str) -> None:
        self.last.add(self.topics.add(topic))

    def remove(self, topic: str) -> None:
        slot = self.topics.find(topic)
        self.last.remove(slot)
        if slot >= 0:
            self.topics.remove(slot)

    def update(self, batch: Batch, now_s: float) -> None:
        self.last.update(batch, now_s)

    def get(self, topic: str) -> dict[str, tuple[Any, int, float]] | None:
        return self.last.get(self.topics.find(topic))


def values_of(*texts: bytes) -> dict[str, object]:
    """The values after one batch of these frames."""
    last = Keeper()
    last.add(TOPIC)
    last.update(batch_of(texts), 1.0)
    found = last.get(TOPIC)
    assert found is not None
    return {key: value for key, (value, _, _) in found.items()}


def test_a_quote_is_merged_and_each_field_has_its_times():
    last = Keeper()
    last.add(TOPIC)
    assert last.get(TOPIC) == {}
    last.update(batch_of([smd('"31":"187.05","83":0.56,"_updated":1767225600123')], received_ns=5), 1.5)
    last.update(batch_of([smd('"31":"187.06","84":"187.00"')], received_ns=9), 2)
    assert last.get(TOPIC) == {
        "31": ("187.06", 9, 2.0),
        "83": (0.56, 5, 1.5),
        "_updated": (1767225600123, 5, 1.5),
        "84": ("187.00", 9, 2.0),
    }
    found = last.get(TOPIC)
    assert found is not None
    assert list(found) == ["31", "83", "_updated", "84"]


def test_topics_are_separate():
    last = Keeper()
    topics = ["smd+8314", "smd+8314@NYSE", "smd+265598", "sor"]
    for topic in topics:
        last.add(topic)
    frames = [smd(f'"31":"{index}"', topic) for index, topic in enumerate(topics[:3])]
    last.update(batch_of([*frames, b'{"topic":"sor","args":[]}', smd('"31":"9"', "smd+1"), b"{}", b"", b"ech"]), 1.0)
    assert [last.get(topic) for topic in topics] == [{"31": (str(at), 1, 1.0)} for at in range(3)] + [{}]
    assert last.get("smd+1") is None


def test_a_removed_topic_starts_without_values():
    last = Keeper()
    last.add(TOPIC)
    last.remove("smd+1")
    last.update(batch_of([smd('"31":"1","a\\u0062":[1]')]), 1.0)
    last.remove(TOPIC)
    last.remove(TOPIC)
    assert last.get(TOPIC) is None
    last.update(batch_of([smd('"31":"2"')]), 1.0)
    last.add("smd+1")
    last.add(TOPIC)
    assert (last.get(TOPIC), last.get("smd+1")) == ({}, {})
    last.update(batch_of([smd('"84":"3"'), smd('"31":"4"', "smd+1")]), 2.0)
    assert (last.get(TOPIC), last.get("smd+1")) == ({"84": ("3", 1, 2.0)}, {"31": ("4", 1, 2.0)})
    last.add(TOPIC)
    assert last.get(TOPIC) == {"84": ("3", 1, 2.0)}, "nothing changes for a topic that is there"


@pytest.mark.parametrize(
    "value",
    [
        *('"187.05"', '""', "0", "-1", "0.56", "2.0201311791131118E8", "1767225600123", "18446744073709551615", "null"),
        *(
            "true",
            "false",
            "[]",
            "{}",
            '[1,{"a":"}"}]',
            '{"topic":"smd+1","31":[[]]}',
            '"\\u0031\\n\\"\\\\"',
            '"C4,735.10"',
        ),
        *('"é ☕"', '"topic"', '"{"', '"' + "x" * 29 + '"', '"' + "x" * 30 + '"', '"' + "x" * 31 + '"', "1" * 19),
        *('"' + "x" * 5_000 + '"', "[" + "1," * 50 + "2]"),
    ],
)
@pytest.mark.parametrize("space", ["", " ", "\n\t "])
@pytest.mark.parametrize("form", ['{{"31":{0},"topic":"smd+8314"}}', '{{"topic":"smd+8314","31":{0}}}'])
def test_any_value_is_decoded_as_json(value: str, space: str, form: str):
    assert values_of(form.format(f"{space}{value}{space}").encode()) == {"31": json.loads(value)}


def test_values_grow_and_shrink():
    last = Keeper()
    last.add(TOPIC)
    for length in [0, 31, 30, 29, 200, 31, 5_000, 3, 40, 0, 100_000, 1]:
        last.update(batch_of([smd(f'"31":"{"x" * length}","84":"{length}"')]), 1.0)
        assert last.get(TOPIC) == {"31": ("x" * length, 1, 1.0), "84": (str(length), 1, 1.0)}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"31":1,"31":2', {"31": 2}),
        ('"3\\u0031":1', {"31": 1}),
        ('"31":1,"3\\u0031":2', {"31": 2}),
        ('"a":1,"t\\u006fpic2":2', {"a": 1, "topic2": 2}),
        ('"é":1,"31":2', {"é": 1, "31": 2}),
        ('"":1', {"": 1}),
        ('"a":{"topic":"sor"},"b":2', {"a": {"topic": "sor"}, "b": 2}),
        ('"server_id":"q1","server_ie":"q2","a_very_long_key_indeed":3', None),
        ('"a_very_long_key_indeed":1,"a_very_long_KEY_indeed":2', None),
    ],
)
def test_keys(members: str, expected: dict[str, object] | None):
    assert values_of(smd(members)) == (expected or json.loads(f"{{{members}}}"))


def test_keys_written_in_two_ways_are_one_field():
    plain, escaped, wide = smd('"31":"a"'), smd('"3\\u0031":"b"'), smd('"31":"c","é":1')
    for order in (
        [plain, escaped, wide],
        [escaped, plain],
        [wide, escaped, plain],
        [escaped, wide, plain, escaped],
        [escaped, escaped, plain],
    ):
        found = values_of(*order)
        assert found["31"] == {plain: "a", escaped: "b", wide: "c"}[order[-1]]
        assert len(found) == 1 + (wide in order)


def test_invalid_utf8_is_repaired():
    assert values_of(b'{"55":"IBM\x99","a\x99":"\xc3","topic":"smd+8314"}') == {"55": "IBM\ufffd", "a\ufffd": "\ufffd"}
    assert values_of(b'{"55":"IBM\x99","topic":"smd+8314"}') == {"55": "IBM\ufffd"}
    last = Keeper()
    last.add("smd+1@\ufffd")
    last.update(batch_of([b'{"31":1,"topic":"smd+1@\x99"}', b'{"84":2,"topic":"smd+1@\xc3"}']), 1.0)
    assert last.get("smd+1@\ufffd") == {"31": (1, 1, 1.0), "84": (2, 1, 1.0)}


def test_a_frame_that_is_detected_as_not_json_changes_nothing():
    last = Keeper()
    last.add(TOPIC)
    last.update(batch_of([smd('"31":"1"')]), 1.0)
    last.update(batch_of([b'{"31":"2","84":,"topic":"smd+8314"}', b'{"31":"3" "topic","topic":"smd+8314"}']), 2.0)
    assert last.last.malformed == 2
    assert last.get(TOPIC) == {"31": ("1", 1, 1.0)}


def test_a_value_that_is_not_json_is_left_out():
    last = Keeper()
    last.add(TOPIC)
    last.update(batch_of([smd('"31":nope,"84":"2","85":[1}')]), 1.0)
    assert last.get(TOPIC) == {"84": ("2", 1, 1.0)}
    assert last.last.malformed == 0


def test_returned_values_belong_to_the_caller():
    last = Keeper()
    last.add(TOPIC)
    last.update(batch_of([smd('"a":[1],"b\\u0062":[2]'), smd('"c":[3]')]), 1.0)
    first = last.get(TOPIC)
    assert first == {"a": ([1], 1, 1.0), "bb": ([2], 1, 1.0), "c": ([3], 1, 1.0)}
    for value, _, _ in first.values():
        value.append(0)
    assert last.get(TOPIC) == {"a": ([1], 1, 1.0), "bb": ([2], 1, 1.0), "c": ([3], 1, 1.0)}


def test_many_topics_and_many_keys():
    last = Keeper()
    for number in range(300):
        last.add(f"smd+{number}")
    for number in range(300):
        members = ",".join(f'"k{number * at % 251}":{at}' for at in range(40))
        last.update(batch_of([smd(members, f"smd+{number}")]), 1.0)
    for number in range(300):
        found = last.get(f"smd+{number}")
        assert found is not None
        expected = {f"k{number * at % 251}": at for at in range(40)}
        assert {key: value for key, (value, _, _) in found.items()} == expected


def test_values_outlive_their_batch():
    last = Keeper()
    last.add(TOPIC)
    long = "x" * 1_000
    last.update(batch_of([smd(f'"31":"187.05","55":"{long}"')]), 1.0)
    gc.collect()
    others = [batch_of([b"\xff" * 1_100]) for _ in range(200)]
    assert last.get(TOPIC) == {"31": ("187.05", 1, 1.0), "55": (long, 1, 1.0)}
    del others


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_frame_is_not_kept_longer_than_its_values(is_removed: bool):
    """A frame that is stored whole is freed when other frames have replaced its values."""
    last = Keeper()
    last.add(TOPIC)
    escaped = batch_of([smd(f'"3\\u0031":"{"x" * 1_000_000}","84":1')])
    plain = batch_of([smd('"31":"2","84":"3"')])
    tracemalloc.start()
    try:
        last.update(escaped, 1.0)
        kept, _ = tracemalloc.get_traced_memory()
        if is_removed:
            last.remove(TOPIC)
        else:
            last.update(plain, 2.0)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept > 1_000_000
    assert left < 500_000


def test_a_slot_without_values_has_none():
    topics = TopicTable()
    last = LastValues(topics)
    slot = topics.add(TOPIC)
    last.update(batch_of([smd('"31":"1"')]), 1.0)
    assert last.get(slot) is None, "it was not added"
    last.remove(slot)
    last.add(slot)
    last.add(slot)
    assert last.get(slot) == {}
    for number in (-1, 1, 2**40):
        assert last.get(number) is None
        last.remove(number)
        with pytest.raises(UsageError):
            last.add(number)


def test_a_slot_that_has_a_new_topic_has_no_values():
    topics = TopicTable()
    last = LastValues(topics)
    slot = topics.add(TOPIC)
    last.add(slot)
    last.update(batch_of([smd('"31":"1","a\\u0062":2')]), 1.0)
    last.remove(slot)
    topics.remove(slot)
    assert topics.add("smd+1") == slot
    assert last.get(slot) is None
    last.update(batch_of([smd('"31":"1"', "smd+1")]), 2.0)
    assert last.get(slot) is None
    last.add(slot)
    last.update(batch_of([smd('"84":"2"', "smd+1"), smd('"85":"3"')]), 3.0)
    assert last.get(slot) == {"84": ("2", 1, 3.0)}


def test_two_that_share_a_table_keep_what_each_was_given():
    topics = TopicTable()
    one, other = LastValues(topics), LastValues(topics)
    slots = [topics.add(f"smd+{number}") for number in range(40)]
    one.add(slots[0])
    other.add(slots[39])
    batch = batch_of([smd(f'"31":{number}', f"smd+{number}") for number in range(40)])
    one.update(batch, 1.0)
    other.update(batch, 2.0)
    assert [one.get(slot) for slot in slots] == [{"31": (0, 1, 1.0)}, *[None] * 39]
    assert [other.get(slot) for slot in slots] == [*[None] * 39, {"31": (39, 1, 2.0)}]


def test_wrong_types_raise():
    last = LastValues(TopicTable())
    for call in (last.add, last.remove, last.get):
        for slot in (None, TOPIC):
            with pytest.raises(TypeError):
                call(slot)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        last.update(None, 1.0)  # type: ignore[arg-type]
    for topics in (None, "smd+1"):
        with pytest.raises(TypeError):
            LastValues(topics)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        last.malformed = 1  # type: ignore[misc]
    last.update(Batch.__new__(Batch), 1.0)


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_copied_nor_pickled(attempt):
    with pytest.raises(TypeError):
        attempt(LastValues(TopicTable()))
