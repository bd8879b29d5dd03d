"""Event times: the usual time to the receive time, the batches that differ from it, and the last event time."""

from __future__ import annotations

import pytest

from cpapi_fast.feed.event_times import EventTimes
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.topic_table import TopicTable
from tests.support.batches import batch_of

START_MS = 1_767_614_400_000
HOUR_MS = 3_600_000


def tick(event_ms: int, conid: int = 1) -> bytes:
    return b'{"server_id":"q1","conidEx":"%d","conid":%d,"_updated":%d,"31":"1.5","topic":"smd+%d"}' % (
        conid,
        conid,
        event_ms,
        conid,
    )


def snapshot(event_ms: int) -> bytes:
    return b'{"6509":"RpB","conidEx":"1","topic":"smd+1","conid":1,"_updated":%d}' % event_ms


class Feed:
    """A tracker whose machine and gateway have the same clock at first."""

    def __init__(self) -> None:
        self.topics = TopicTable()
        self.slot = self.topics.add("smd+1")
        self.times = EventTimes(self.topics, keeps_updates=True)
        self.tracker = Tracker(self.topics, event_times=self.times)
        self.times.set_clock(START_MS * 10**6, START_MS * 10**6, 1.0, 1.0)
        self.tracker.set_alive(0.0, 1e9)

    def receive(self, *frames: bytes, at_ms: int) -> bool:
        """Whether a batch may be late."""
        self.tracker.scan(batch_of(list(frames), at_ms * 10**6), 1.0)
        return self.tracker.may_be_late


@pytest.mark.parametrize(
    ("late_ms", "may_be_late"), [(0, False), (900, False), (1_100, True), (20_000, True), (-1_100, True)]
)
def test_a_batch_that_took_longer_or_shorter_than_usual_may_be_late(late_ms: int, may_be_late: bool):
    feed = Feed()
    for number in range(10):
        assert not feed.receive(tick(START_MS + number), at_ms=START_MS + number + 40)
    assert feed.receive(tick(START_MS + 100), at_ms=START_MS + 140 + late_ms) is may_be_late


@pytest.mark.parametrize("offset_ms", [-HOUR_MS, -900_000, 0, 900_000])
def test_an_offset_between_the_clocks_is_usual(offset_ms: int):
    feed = Feed()
    for number in range(10):
        assert not feed.receive(tick(START_MS + number + offset_ms), at_ms=START_MS + number)
    assert feed.times.usual_ms(feed.slot) == pytest.approx(-offset_ms)


def test_a_step_of_the_machine_clock_is_removed_by_the_clocks():
    feed = Feed()
    assert not feed.receive(tick(START_MS), at_ms=START_MS)
    stepped_ms = START_MS + 500 + HOUR_MS
    feed.times.set_clock(stepped_ms * 10**6, (START_MS + 500) * 10**6, 1.0, 1.0)
    assert not feed.receive(tick(START_MS + 500), at_ms=stepped_ms)


def test_the_usual_time_follows_a_drift_from_window_to_window():
    feed = Feed()
    for minute in range(600):
        event_ms = START_MS + 60_000 * minute
        # 10 ms a minute: 6 s in the end.
        assert not feed.receive(tick(event_ms), at_ms=event_ms + 10 * minute)
        if minute % 10 == 9:
            feed.times.start_window()


def test_the_last_event_time_is_kept_wherever_its_key_is():
    feed = Feed()
    assert feed.times.updated_ms(feed.slot) is None
    for frame in (tick(START_MS + 1), snapshot(START_MS + 2), tick(START_MS + 3), b'{"31":"1","topic":"smd+1"}'):
        feed.receive(frame, at_ms=START_MS)
    assert feed.times.updated_ms(feed.slot) == START_MS + 3
    feed.times.clear(feed.slot)
    assert feed.times.updated_ms(feed.slot) is None


@pytest.mark.parametrize(
    "value", [b'"x"', b"", b"-1", b"17675", b"17676144000001", b"1767614400.01", b"123456789012a", b"null"]
)
def test_other_values_are_no_event_times(value: bytes):
    feed = Feed()
    frame = b'{"_updated":%b,"31":"1","topic":"smd+1"}' % value
    assert not feed.receive(frame, at_ms=START_MS)
    assert feed.times.updated_ms(feed.slot) is None
    assert [event_ms for _, event_ms, _ in feed.times.measure(batch_of([frame]))] == [-1]


def test_the_lateness_is_in_the_batch_and_in_the_count():
    feed = Feed()
    batch = batch_of([tick(START_MS), b'{"topic":"sor"}', tick(START_MS + 1)], START_MS * 10**6)
    assert batch.late_ns is None
    feed.tracker.scan(batch, 1.0)
    feed.tracker.set_lateness(batch, [7, 0, 5])
    assert list(batch.late_ns or ()) == [7, 0, 5]
    assert feed.tracker.read(feed.slot)[3] == 5
    feed.receive(tick(START_MS + 2), at_ms=START_MS)
    assert feed.tracker.read(feed.slot)[3] == 0


def test_a_frame_that_repeats_an_event_time_shows_nothing_new():
    feed = Feed()
    feed.receive(tick(START_MS), at_ms=START_MS + 40)
    assert feed.receive(tick(START_MS + 100), at_ms=START_MS + 140) is False
    for seconds in range(1, 60):
        assert feed.receive(tick(START_MS + 100), at_ms=START_MS + 140 + 1_000 * seconds) is False
    assert feed.receive(tick(START_MS + 200), at_ms=START_MS + 61_000) is True
