from typing import final

from .batch import Batch

@final
class TopicTable:
    """Slots of topics: one table per feed, shared by everything that keeps state for each topic.

    Slots count up from 0, so that a list or array indexed by slot can hold that state. The slot of a removed topic is
    given to the next topic that is added.
    """

    def __init__(self) -> None: ...
    def add(self, topic: str) -> int:
        """Return the slot of a topic; a topic that is not in the table is added. Idempotent.

        Args:
            topic: the text as frames have it, such as `smd+265598`.

        Raises:
            SubscriptionError: the text cannot be encoded as UTF-8, so no frame can have it.
        """
    def remove(self, slot: int) -> None:
        """Remove the topic of a slot; the slot is free for another topic.

        What other objects keep for the slot is removed by them, before this call.

        Raises:
            UsageError: the slot has no topic.
        """
    def check(self, slot: int) -> None:
        """Raise unless the slot has a topic.

        Raises:
            UsageError: the slot has no topic.
        """
    def find(self, topic: str) -> int:
        """Return the slot of a topic, or -1 when the table does not have it."""
    def slot_of(self, batch: Batch, index: int) -> int:
        """Return the slot of a frame's topic, or -1 when the table does not have it or the frame has no topic.

        Args:
            batch: a finished batch.
            index: which of its frames.

        Raises:
            IndexError: there is no such frame.
        """
    def slots_of(self, batch: Batch) -> list[int]:
        """Return the slots of all frames of a batch as a list: `slot_of` for each, in one pass."""
    def __len__(self) -> int:
        """The number of topics."""
