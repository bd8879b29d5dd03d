"""Tracker: counts and times of frames by topic, and the frames to inspect."""

from __future__ import annotations

import copy
import pickle

import pytest

from cpapi_fast.errors import UsageError
from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable
from tests.support import frames
from tests.support.batches import batch_of

SMD = b'{"31":"187.05","topic":"smd+8314"}'
NYSE = b'{"31":"187.05","topic":"smd+8314@NYSE"}'
OTHER_CONID = b'{"31":"187.05","topic":"smd+265598"}'
ESCAPED = b'{"31":"187.05","t\\u006fpic":"smd+8314"}'
SOR = b'{"topic":"sor","args":[]}'
SPL = b'{"topic":"spl","args":{}}'
HB = b'{"topic":"system","hb":1767225600123}'
STS = b'{"topic":"sts","args":{"authenticated":true}}'
CUT = b'{"a":1'


def test_a_new_topic_has_no_frames():
    topics = TopicTable()
    tracker = Tracker(topics)
    assert (tracker.frames, tracker.untracked, tracker.last_s) == (0, 0, 0.0)
    assert topics.add("smd+8314") == 0
    assert topics.add("smd+8314") == 0
    assert topics.add("smd+265598") == 1
    assert tracker.read(0) == tracker.read(1) == (0, 0, 0.0, 0)


def test_a_scan_counts_frames_and_keeps_times_by_topic():
    topics = TopicTable()
    tracker = Tracker(topics)
    smd, nyse, sor = (topics.add(topic) for topic in ("smd+8314", "smd+8314@NYSE", "sor"))
    assert tracker.scan(batch_of([SMD, OTHER_CONID, SOR, SMD], received_ns=5), 1.5) == [2]
    assert tracker.scan(batch_of([NYSE, b"{}", b"{}"], received_ns=9), 2) is None
    assert (tracker.read(smd), tracker.read(nyse), tracker.read(sor)) == (
        (2, 5, 1.5, 0),
        (1, 9, 2.0, 0),
        (1, 5, 1.5, 0),
    )
    assert (tracker.frames, tracker.untracked, tracker.last_s) == (7, 1, 2.0)


def test_which_frames_are_inspected():
    topics = TopicTable()
    tracker = Tracker(topics)
    smd, nyse = topics.add("smd+8314"), topics.add("smd+8314@NYSE")
    batch = batch_of([SMD, HB, NYSE, STS, b"{}", b"", SOR, SPL, OTHER_CONID, CUT, ESCAPED, SMD])
    assert tracker.scan(batch, 1.0) == [1, 3, 6, 7, 9, 10]
    tracker.watch(smd)
    tracker.watch(smd)
    assert tracker.scan(batch, 1.0) == [0, 1, 3, 6, 7, 9, 10, 11]
    tracker.watch(nyse)
    assert tracker.scan(batch, 1.0) == [0, 1, 2, 3, 6, 7, 9, 10, 11]
    tracker.unwatch(smd)
    tracker.unwatch(smd)
    assert tracker.scan(batch, 1.0) == [1, 2, 3, 6, 7, 9, 10]
    assert tracker.read(smd) == (12, 1, 1.0, 0)
    assert tracker.untracked == 4
    assert [topics.slot_of(batch, index) for index in range(12)] == [0, -1, 1, *[-1] * 7, 0, 0]
    with pytest.raises(IndexError):
        topics.slot_of(batch, 12)


def test_an_escaped_topic_without_a_slot_is_inspected_and_untracked():
    topics = TopicTable()
    tracker = Tracker(topics)
    assert tracker.scan(batch_of([SMD, ESCAPED]), 1.0) == [1]
    assert tracker.untracked == 2


def test_invalid_utf8_is_counted_under_its_decoded_topic():
    topics = TopicTable()
    tracker = Tracker(topics)
    slot = topics.add("smd+1@\ufffd")
    assert tracker.scan(batch_of([b'{"a":1,"topic":"smd+1@\x99"}', b'{"a":1,"topic":"smd+2@\x99"}']), 1.0) is None
    assert tracker.read(slot) == (1, 1, 1.0, 0)
    assert tracker.untracked == 1


def test_a_removed_topic_is_untracked_and_its_slot_is_cleared():
    topics = TopicTable()
    tracker = Tracker(topics)
    slot = topics.add("smd+8314")
    tracker.watch(slot)
    assert tracker.scan(batch_of([SMD]), 1.0) == [0]
    tracker.clear(slot)
    topics.remove(slot)
    assert tracker.scan(batch_of([SMD]), 2.0) is None
    assert tracker.untracked == 1
    for call in (tracker.read, tracker.watch, tracker.unwatch, tracker.clear):
        with pytest.raises(UsageError):
            call(slot)
    assert topics.add("smd+265598") == slot
    assert tracker.read(slot) == (0, 0, 0.0, 0)
    assert tracker.scan(batch_of([SMD, OTHER_CONID]), 3.0) is None, "a new topic is not watched"
    assert tracker.read(slot) == (1, 1, 3.0, 0)


def test_counts_stay_while_topics_are_added():
    topics = TopicTable()
    tracker = Tracker(topics)
    for number in range(1_000):
        slot = topics.add(f"smd+{number}")
        tracker.scan(batch_of([frames.smd(number)] * (number % 3 + 1), received_ns=number), number / 2)
    assert slot == 999
    assert [tracker.read(slot) for slot in range(1_000)] == [(n % 3 + 1, n, n / 2, 0) for n in range(1_000)]
    assert tracker.untracked == 0


def test_a_slot_keeps_no_state_when_it_is_cleared():
    topics = TopicTable()
    tracker = Tracker(topics)
    slot = topics.add("smd+8314")
    tracker.watch(slot)
    tracker.scan(batch_of([SMD]), 1.0)
    tracker.clear(slot)
    tracker.clear(slot)
    assert tracker.read(slot) == (0, 0, 0.0, 0)
    assert tracker.scan(batch_of([SMD]), 2.0) is None
    assert tracker.read(slot) == (1, 1, 2.0, 0)


def test_topics_that_are_added_later_are_counted():
    topics = TopicTable()
    first, second = Tracker(topics), Tracker(topics)
    for number in range(500):
        slot = topics.add(f"smd+{number}")
        if number % 100 == 99:
            second.scan(batch_of([frames.smd(number)]), 1.0)
            assert second.read(slot) == (1, 1, 1.0, 0)
    first.scan(batch_of([frames.smd(499)]), 2.0)
    assert first.read(499) == (1, 1, 2.0, 0)
    assert second.read(499) == (1, 1, 1.0, 0)
    assert first.read(0) == (0, 0, 0.0, 0)


def test_a_scan_updates_last_values():
    topics = TopicTable()
    last_values = LastValues(topics)
    tracker = Tracker(topics, last_values)
    smd, nyse = topics.add("smd+8314"), topics.add("smd+8314@NYSE")
    last_values.add(smd)
    tracker.watch(nyse)
    assert tracker.scan(batch_of([SMD, NYSE, ESCAPED, SOR], received_ns=5), 2.5) == [1, 2, 3]
    assert last_values.get(smd) == {"31": ("187.05", 5, 2.5)}
    assert last_values.get(nyse) is None
    assert tracker.read(smd) == (2, 5, 2.5, 0)


def test_last_values_of_another_table_are_rejected():
    with pytest.raises(UsageError, match="same"):
        Tracker(TopicTable(), LastValues(TopicTable()))


def test_an_empty_batch_does_not_count_as_a_scan():
    topics = TopicTable()
    tracker = Tracker(topics)
    tracker.scan(batch_of([SMD]), 1.0)
    assert tracker.scan(Batch.__new__(Batch), 2.0) is None
    assert (tracker.frames, tracker.last_s) == (1, 1.0)


def test_invalid_arguments_raise():
    topics = TopicTable()
    tracker = Tracker(topics)
    with pytest.raises(TypeError):
        tracker.scan(None, 1.0)  # type: ignore[arg-type]
    for argument in (None, "smd+1"):
        with pytest.raises(TypeError):
            Tracker(argument)  # type: ignore[arg-type]
    for slot in (-1, 0, 2**40):
        with pytest.raises(UsageError):
            tracker.read(slot)
    for name in ("frames", "untracked", "last_s"):
        with pytest.raises(AttributeError):
            setattr(tracker, name, 1)


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_copied_nor_pickled(attempt):
    with pytest.raises(TypeError):
        attempt(Tracker(TopicTable()))
