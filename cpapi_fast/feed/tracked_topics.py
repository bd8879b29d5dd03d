"""The topics of a feed's subscriptions, and the numbers of their received frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .machine import Activity
from .tracker import Tracker


class TrackedTopics:
    """The topics that a tracker counts, each with its slot."""

    def __init__(self) -> None:
        self.tracker: Final = Tracker()
        self._slots: Final[dict[str, int]] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._slots

    def add(self, topic: str) -> None:
        """Count the frames of a topic."""
        self._slots[topic] = self.tracker.add(topic)

    def remove(self, topic: str) -> None:
        """Count the frames of a topic no longer."""
        self.tracker.remove(self._slots.pop(topic))

    def watch(self, topic: str) -> None:
        """Have every frame of a topic inspected; a topic without a subscription is ignored."""
        slot = self._slots.get(topic)
        if slot is not None:
            self.tracker.arm(slot)

    def unwatch(self, topic: str) -> None:
        """Have the frames of a topic counted only; a topic without a subscription is ignored."""
        slot = self._slots.get(topic)
        if slot is not None:
            self.tracker.disarm(slot)

    def activity(self, topics: Iterable[str] | None = None) -> dict[str, Activity]:
        """The received frames of some topics, or of all; topics without a subscription are left out."""
        slots, read = self._slots, self.tracker.read
        if topics is None:
            return {topic: Activity(*read(slot)) for topic, slot in slots.items()}
        return {topic: Activity(*read(slots[topic])) for topic in topics if topic in slots}
