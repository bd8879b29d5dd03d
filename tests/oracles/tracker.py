"""A model of a tracker, with dictionaries by `Frame.topic`, and the comparison after every step."""

from __future__ import annotations

from typing import Final

from cpapi_fast.errors import UsageError
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.protocol.kinds import FrameKind

#: Kinds that are inspected for every topic.
RARE: Final = frozenset(FrameKind) - {FrameKind.MARKET_DATA, FrameKind.HEARTBEAT}

#: Those of them that are inspected only to keep their state.
KEPT: Final = frozenset({FrameKind.ORDER, FrameKind.PNL})

#: What is read of a topic without a frame.
NOTHING: Final = (0, 0, 0.0, 0)


class Twins:
    """A tracker and dictionaries, driven together. Every step compares everything that can be read.

    Args:
        inspects_kept: as in the tracker.
    """

    def __init__(self, *, inspects_kept: bool) -> None:
        self.topics: Final = TopicTable()
        self.tracker: Final = Tracker(self.topics)
        self.tracker.inspects_kept = inspects_kept
        self._rare: Final = RARE if inspects_kept else RARE - KEPT
        self.slots: Final[dict[str, int]] = {}
        self._observed: Final[dict[str, tuple[int, int, float, int]]] = {}
        self._watched: Final[set[str]] = set()
        self._most = 0
        self._frames = 0
        self._untracked = 0
        self._last_s = 0.0

    def add(self, topic: str) -> None:
        slot = self.topics.add(topic)
        if topic in self.slots:
            assert slot == self.slots[topic]
        else:
            assert slot not in self.slots.values()
            self._most = max(self._most, len(self.slots) + 1)
            assert 0 <= slot < self._most, "a free slot is used before a new one"
            self.slots[topic] = slot
            self._observed[topic] = NOTHING
        self._compare()

    def remove(self, topic: str) -> None:
        slot = self.slots.pop(topic)
        del self._observed[topic]
        self._watched.discard(topic)
        self.tracker.clear(slot)
        assert self.tracker.read(slot) == NOTHING
        self.topics.remove(slot)
        try:
            self.tracker.read(slot)
        except UsageError:
            self._compare()
        else:
            raise AssertionError(f"slot {slot} can be read after it was removed")

    def watch(self, topic: str) -> None:
        self._watched.add(topic)
        self.tracker.watch(self.slots[topic])

    def unwatch(self, topic: str) -> None:
        self._watched.discard(topic)
        self.tracker.unwatch(self.slots[topic])

    def scan(self, batch: Batch, now_s: float) -> None:
        inspected = []
        for index, frame in enumerate(batch):
            topic = frame.topic
            is_written_with_escapes = batch.topic_lengths[index] < 0
            if topic in self._observed:
                self._observed[topic] = (self._observed[topic][0] + 1, frame.received_ns, now_s, 0)
            elif frame.kind is FrameKind.MARKET_DATA:
                self._untracked += 1
            if frame.kind in self._rare or topic in self._watched or is_written_with_escapes:
                inspected.append(index)
            assert self.topics.slot_of(batch, index) == (-1 if topic is None else self.slots.get(topic, -1))
        self._frames += len(batch)
        self._last_s = now_s
        assert self.tracker.scan(batch, now_s) == (inspected or None)
        self._compare()

    def _compare(self) -> None:
        assert (self.tracker.frames, self.tracker.untracked) == (self._frames, self._untracked)
        assert self.tracker.last_s == self._last_s
        for topic, slot in self.slots.items():
            assert self.tracker.read(slot) == self._observed[topic], topic
            assert self.tracker.is_watched(slot) == (topic in self._watched), topic
