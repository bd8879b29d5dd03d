"""The topics of a feed's subscriptions: one slot each in the topic table, and the data kept per slot."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.protocol.kinds import FrameKind

from .event_times import EventTimes
from .last_values import LastValues
from .machine import Activity
from .tracker import Tracker


class TrackedTopics:
    """The topic table of a feed, and the counts and last values of each of its slots.

    Args:
        keeps_last_values: whether to keep the last value of every field.
    """

    def __init__(self, *, keeps_last_values: bool) -> None:
        #: One slot for each topic. Read-only for others.
        self.table: Final = TopicTable()
        self.last_values: Final = LastValues(self.table) if keeps_last_values else None
        # The last values contain the last `_updated`.
        self.event_times: Final = EventTimes(self.table, keeps_updates=not keeps_last_values)
        self.tracker: Final = Tracker(self.table, self.last_values, self.event_times)
        #: By slot: `_updated` of the last frame of a watched topic. The second frame of a snapshot has the same.
        self._updated_ms: Final[dict[int, int]] = {}
        #: By slot: the time of the first frame after the last gap, in seconds of the feed's clock.
        self._segment_s: Final[dict[int, float]] = {}
        #: By slot: when the last text was sent that a snapshot replied to, and the time of that snapshot.
        self._replies: Final[dict[int, tuple[float, float]]] = {}
        #: The slot of a frame that may close a gap, while that is being decided; -1 for none.
        self.deciding_slot = -1

    def __contains__(self, topic: str) -> bool:
        return self.table.find(topic) >= 0

    def find(self, topic: str) -> int:
        """The slot of a topic; negative without a subscription."""
        return self.table.find(topic)

    def slot_of(self, batch: Batch, index: int) -> int:
        """The slot of a frame's topic; negative without a subscription."""
        return self.table.slot_of(batch, index)

    def market_data_in(self, batch: Batch) -> list[str]:
        """The topics of the market data in a batch that have a subscription, in the order of their first frames."""
        first: dict[int, int] = {}
        for index, slot in enumerate(self.table.slots_of(batch)):
            if slot >= 0 and batch.kinds[index] == FrameKind.MARKET_DATA:
                first.setdefault(slot, index)
        return [topic for index in first.values() if (topic := batch[index].topic) is not None]

    @property
    def fields_left_out(self) -> int:
        """How many fields the last values left out, because there was no room for their keys."""
        return 0 if self.last_values is None else self.last_values.left_out

    def add(self, topic: str, *, is_market_data: bool) -> None:
        """Count the frames of a topic, and keep the last values of market data."""
        slot = self.table.add(topic)
        if self.last_values is not None and is_market_data:
            self.last_values.add(slot)

    def reserve(self, codes: Iterable[str]) -> None:
        """Keep room in the last values for fields that were asked for."""
        if self.last_values is not None:
            self.last_values.reserve(codes)

    def remove(self, topic: str) -> None:
        """Stop counting the frames of a topic, and delete its counts and last values."""
        slot = self.table.find(topic)
        self._updated_ms.pop(slot, None)
        self._segment_s.pop(slot, None)
        self._replies.pop(slot, None)
        if self.last_values is not None:
            self.last_values.remove(slot)
        self.tracker.clear(slot)
        self.event_times.clear(slot)
        self.table.remove(slot)

    def note_reply(self, slot: int, sent_s: float) -> None:
        """Record that the batch that was scanned last has a snapshot that replies to the text sent at `sent_s`."""
        known = self._replies.get(slot)
        if known is None or known[0] != sent_s:
            self._replies[slot] = (sent_s, self.tracker.last_s)

    def begin_segment(self, slot: int, *, at_reply: bool) -> None:
        """Record that earlier values of a topic are from before a gap.

        Args:
            slot: the slot of the topic.
            at_reply: whether the data after the gap begins with the last snapshot that replied to a subscribe, instead
                of with the batch that was scanned last.
        """
        now_s = self.tracker.last_s
        self._segment_s[slot] = self._replies.get(slot, (0.0, now_s))[1] if at_reply else now_s

    def segment_s(self, slot: int) -> float:
        """The time of the first frame after the last gap, in seconds of the feed's clock; before all without one."""
        return self._segment_s.get(slot, -inf)

    def watch(self, topic: str) -> None:
        """Inspect every frame of a topic; a topic without a subscription is ignored."""
        slot = self.table.find(topic)
        if slot >= 0:
            self.tracker.watch(slot)
            updated_ms = self._last_updated_ms(slot)
            if updated_ms is not None and slot not in self._updated_ms:
                self._updated_ms[slot] = updated_ms

    def unwatch(self, topic: str) -> None:
        """Only count the frames of a topic; a topic without a subscription is ignored."""
        slot = self.table.find(topic)
        if slot >= 0:
            self.tracker.unwatch(slot)
            self._updated_ms.pop(slot, None)

    def _last_updated_ms(self, slot: int) -> int | None:
        if self.last_values is None:
            return self.event_times.updated_ms(slot)
        value = (self.last_values.get(slot) or {}).get("_updated", (None,))[0]
        return value if type(value) is int else None

    def last_update(self, slot: int, updated_ms: int) -> int | None:
        """The `_updated` of the frame before, of a watched topic; None if unknown. Stores that of the current frame."""
        previous_ms = self._updated_ms.get(slot)
        self._updated_ms[slot] = updated_ms
        return previous_ms

    def is_old_update(self, slot: int, updated_ms: int) -> bool:
        """Whether a frame of a watched topic may be a snapshot without newer data."""
        previous_ms = self._updated_ms.get(slot)
        return previous_ms is not None and updated_ms <= previous_ms

    def ages_s(self, topics: Iterable[str], now_s: float) -> dict[str, float | None]:
        """The time since the last frame of some topics, in seconds of the feed's clock; None before its first."""
        find, read = self.table.find, self.tracker.read
        ages: dict[str, float | None] = {}
        for topic in topics:
            if (slot := find(topic)) >= 0:
                frames, _, last_s, _ = read(slot)
                ages[topic] = now_s - last_s if frames else None
        return ages

    def activity(self, topics: Iterable[str]) -> dict[str, Activity]:
        """The counts of the received frames of some topics; topics without a subscription are left out."""
        find, read = self.table.find, self.tracker.read
        return {topic: Activity(*read(slot)) for topic in topics if (slot := find(topic)) >= 0}
