from typing import final

from .batch import Batch

@final
class TopicSlots:
    """Small numbers for topics, and the way from a frame to the number of its topic.

    Numbers count up from 0, so that a list can hold what is kept for each topic. The number of a topic that was removed
    is given to a topic that is added later.
    """

    def __init__(self) -> None: ...
    def add(self, topic: str) -> int:
        """The slot of a topic: a new one, unless it has one.

        Raises:
            SubscriptionError: no text in UTF-8, so no frame can have this topic.
        """
    def remove(self, slot: int) -> None:
        """Take a topic out; its slot is free.

        Raises:
            UsageError: the slot has no topic.
        """
    def check(self, slot: int) -> None:
        """Nothing where the slot has a topic.

        Raises:
            UsageError: it has none.
        """
    def find(self, topic: str) -> int:
        """The slot of a topic, or -1."""
    def slot_of(self, batch: Batch, index: int) -> int:
        """The slot of the topic of a frame; -1 when that has none, or the frame has no topic.

        Raises:
            IndexError: there is no such frame.
        """
    def __len__(self) -> int:
        """How many topics there are."""
