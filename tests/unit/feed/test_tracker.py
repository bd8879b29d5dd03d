"""tracker.pyx: when each topic was last heard of, and which frames are worth a look."""

from __future__ import annotations

import copy
import pickle

import pytest

from cpapi_fast.errors import SubscriptionError, UsageError
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.batch import Batch, BatchBuilder
from tests import frames

SMD = b'{"31":"187.05","topic":"smd+8314"}'
NYSE = b'{"31":"187.05","topic":"smd+8314@NYSE"}'
OTHER_CONID = b'{"31":"187.05","topic":"smd+265598"}'
ESCAPED = b'{"31":"187.05","t\\u006fpic":"smd+8314"}'
SOR = b'{"topic":"sor","args":[]}'
SPL = b'{"topic":"spl","args":{}}'
HB = b'{"topic":"system","hb":1767225600123}'
STS = b'{"topic":"sts","args":{"authenticated":true}}'
CUT = b'{"a":1'


def batch_of(*texts: bytes, received_ns: int = 7) -> Batch:
    builder = BatchBuilder()
    for text in texts:
        builder.append(text)
    batch = builder.finish(received_ns)
    assert batch is not None
    return batch


def test_nothing_is_heard_at_first():
    tracker = Tracker()
    assert (tracker.frames, tracker.untracked, tracker.last_s) == (0, 0, 0.0)
    assert tracker.add("smd+8314") == 0
    assert tracker.add("smd+8314") == 0
    assert tracker.add("smd+265598") == 1
    assert tracker.read(0) == tracker.read(1) == (0, 0, 0.0)


def test_a_scan_notes_count_and_times_by_topic():
    tracker = Tracker()
    smd, nyse, sor = (tracker.add(topic) for topic in ("smd+8314", "smd+8314@NYSE", "sor"))
    assert tracker.scan(batch_of(SMD, OTHER_CONID, SOR, SMD, received_ns=5), 1.5) is None
    assert tracker.scan(batch_of(NYSE, SPL, b"{}", received_ns=9), 2) is None
    assert (tracker.read(smd), tracker.read(nyse), tracker.read(sor)) == ((2, 5, 1.5), (1, 9, 2.0), (1, 5, 1.5))
    assert (tracker.frames, tracker.untracked, tracker.last_s) == (7, 1, 2.0)


def test_what_is_worth_a_look():
    tracker = Tracker()
    smd, nyse = tracker.add("smd+8314"), tracker.add("smd+8314@NYSE")
    batch = batch_of(SMD, HB, NYSE, STS, b"{}", b"", SOR, SPL, OTHER_CONID, CUT, ESCAPED, SMD)
    assert tracker.scan(batch, 1.0) == [1, 3, 9, 10]
    tracker.arm(smd)
    tracker.arm(smd)
    assert tracker.scan(batch, 1.0) == [0, 1, 3, 9, 10, 11]
    tracker.arm(nyse)
    assert tracker.scan(batch, 1.0) == [0, 1, 2, 3, 9, 10, 11]
    tracker.disarm(smd)
    tracker.disarm(smd)
    assert tracker.scan(batch, 1.0) == [1, 2, 3, 9, 10]
    assert tracker.read(smd) == (12, 7, 1.0)
    assert tracker.untracked == 4
    assert [tracker.slot_of(batch, index) for index in range(12)] == [0, -1, 1, *[-1] * 7, 0, 0]
    with pytest.raises(IndexError):
        tracker.slot_of(batch, 12)


def test_an_escaped_topic_without_a_slot_is_worth_a_look_and_untracked():
    tracker = Tracker()
    assert tracker.scan(batch_of(SMD, ESCAPED), 1.0) == [1]
    assert tracker.untracked == 2


def test_bytes_that_are_not_utf8_are_heard_under_their_topic():
    tracker = Tracker()
    slot = tracker.add("smd+1@\ufffd")
    assert tracker.scan(batch_of(b'{"a":1,"topic":"smd+1@\x99"}', b'{"a":1,"topic":"smd+2@\x99"}'), 1.0) is None
    assert tracker.read(slot) == (1, 7, 1.0)
    assert tracker.untracked == 1


def test_a_removed_topic_is_untracked_and_leaves_nothing_behind():
    tracker = Tracker()
    slot = tracker.add("smd+8314")
    tracker.arm(slot)
    assert tracker.scan(batch_of(SMD), 1.0) == [0]
    tracker.remove(slot)
    assert tracker.scan(batch_of(SMD), 2.0) is None
    assert tracker.untracked == 1
    for call in (tracker.read, tracker.arm, tracker.disarm, tracker.remove):
        with pytest.raises(UsageError):
            call(slot)
    assert tracker.add("smd+265598") == slot
    assert tracker.read(slot) == (0, 0, 0.0)
    assert tracker.scan(batch_of(SMD, OTHER_CONID), 3.0) is None, "a new topic is not armed"
    assert tracker.read(slot) == (1, 7, 3.0)


def test_slots_keep_what_they_know_while_others_are_added():
    tracker = Tracker()
    for number in range(1_000):
        slot = tracker.add(f"smd+{number}")
        tracker.scan(batch_of(*[frames.smd(number)] * (number % 3 + 1), received_ns=number), number / 2)
    assert slot == 999
    assert [tracker.read(slot) for slot in range(1_000)] == [(n % 3 + 1, n, n / 2) for n in range(1_000)]
    assert tracker.untracked == 0


def test_an_empty_batch_is_no_sign_of_life():
    tracker = Tracker()
    tracker.scan(batch_of(SMD), 1.0)
    assert tracker.scan(Batch.__new__(Batch), 2.0) is None
    assert (tracker.frames, tracker.last_s) == (1, 1.0)


def test_what_is_refused():
    tracker = Tracker()
    with pytest.raises(SubscriptionError):
        tracker.add("\ud800")
    for topic in (None, b"sor"):
        with pytest.raises(TypeError):
            tracker.add(topic)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        tracker.scan(None, 1.0)  # type: ignore[arg-type]
    for slot in (-1, 0, 2**40):
        with pytest.raises(UsageError):
            tracker.read(slot)
    for name in ("frames", "untracked", "last_s"):
        with pytest.raises(AttributeError):
            setattr(tracker, name, 1)


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_copied_nor_pickled(attempt):
    with pytest.raises(TypeError):
        attempt(Tracker())
