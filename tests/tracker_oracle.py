"""What a tracker has to know, kept in dictionaries by `Frame.topic`, and the comparison with what one does know."""

from __future__ import annotations

from typing import Final

from cpapi_fast.errors import UsageError
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.batch import Batch
from cpapi_fast.protocol.kinds import FrameKind

#: Kinds that are worth a look whatever their topic.
RARE: Final = frozenset({FrameKind.SYSTEM, FrameKind.OTHER, FrameKind.MALFORMED})

#: What is read of a topic without a frame.
NOTHING: Final = (0, 0, 0.0)


class Twins:
    """A tracker and the obvious way to the same, driven together; every step compares all that can be seen."""

    def __init__(self) -> None:
        self.tracker: Final = Tracker()
        self.slots: Final[dict[str, int]] = {}
        self._heard: Final[dict[str, tuple[int, int, float]]] = {}
        self._armed: Final[set[str]] = set()
        self._most = 0
        self._frames = 0
        self._untracked = 0
        self._last_s = 0.0

    def add(self, topic: str) -> None:
        slot = self.tracker.add(topic)
        if topic in self.slots:
            assert slot == self.slots[topic]
        else:
            assert slot not in self.slots.values()
            self._most = max(self._most, len(self.slots) + 1)
            assert 0 <= slot < self._most, "a free slot is used before a new one"
            self.slots[topic] = slot
            self._heard[topic] = NOTHING
        self._compare()

    def remove(self, topic: str) -> None:
        slot = self.slots.pop(topic)
        del self._heard[topic]
        self._armed.discard(topic)
        self.tracker.remove(slot)
        try:
            self.tracker.read(slot)
        except UsageError:
            self._compare()
        else:
            raise AssertionError(f"slot {slot} can be read after it was removed")

    def arm(self, topic: str) -> None:
        self._armed.add(topic)
        self.tracker.arm(self.slots[topic])

    def disarm(self, topic: str) -> None:
        self._armed.discard(topic)
        self.tracker.disarm(self.slots[topic])

    def scan(self, batch: Batch, now_s: float) -> None:
        worth = []
        for index, frame in enumerate(batch):
            topic = frame.topic
            is_written_with_escapes = batch.topic_lengths[index] < 0
            if topic in self._heard:
                self._heard[topic] = (self._heard[topic][0] + 1, frame.received_ns, now_s)
            elif frame.kind is FrameKind.MARKET_DATA:
                self._untracked += 1
            if frame.kind in RARE or topic in self._armed or is_written_with_escapes:
                worth.append(index)
            assert self.tracker.slot_of(batch, index) == (-1 if topic is None else self.slots.get(topic, -1))
        self._frames += len(batch)
        self._last_s = now_s
        assert self.tracker.scan(batch, now_s) == (worth or None)
        self._compare()

    def _compare(self) -> None:
        assert (self.tracker.frames, self.tracker.untracked) == (self._frames, self._untracked)
        assert self.tracker.last_s == self._last_s
        for topic, slot in self.slots.items():
            assert self.tracker.read(slot) == self._heard[topic], topic
