from typing import final

from .batch import Batch

@final
class TopicTable:
    """Maps topics to slots. One table per feed is shared by all objects that keep state for each topic.

    Slots are numbered from 0, so that a list or array can be indexed by slot. The slot of a removed topic is reused for
    the next topic that is added.
    """

    def __init__(self) -> None: ...
    def add(self, topic: str) -> int:
        """Return the slot of a topic, and add the topic if the table does not have it. Idempotent.

        Args:
            topic: the topic as in frames, such as `smd+265598`.

        Raises:
            SubscriptionError: the text cannot be encoded as UTF-8, so no frame can have it.
        """
    def remove(self, slot: int) -> None:
        """Remove the topic of a slot, so that the slot can be reused for another topic.

        Objects that keep state for the slot must remove it before this call.

        Raises:
            UsageError: the slot has no topic.
        """
    def check(self, slot: int) -> None:
        """Check that a slot has a topic.

        Raises:
            UsageError: the slot has no topic.
        """
    def find(self, topic: str) -> int:
        """Return the slot of a topic, or -1 when the table does not have it."""
    def slot_of(self, batch: Batch, index: int) -> int:
        """Return the slot of a frame's topic, or -1 when the table does not have it or the frame has no topic.

        Args:
            batch: a finished batch.
            index: the index of the frame in the batch.

        Raises:
            IndexError: the index is out of range.
        """
    def slots_of(self, batch: Batch) -> list[int]:
        """Return the slots of all frames of a batch as a list of int, as `slot_of` does for each, in one pass."""
    def __len__(self) -> int:
        """The number of topics."""
