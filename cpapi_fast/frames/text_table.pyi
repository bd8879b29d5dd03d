from typing import final

from .batch import Batch

@final
class TextSlots:
    """Small numbers for texts such as topics, and the way from a frame to the number of its topic.

    Numbers count up from 0, so that a list can hold what is kept for each text. The number of a text that was removed
    is given to a text that is added later.
    """

    def __init__(self) -> None: ...
    def add(self, text: str) -> int:
        """The slot of a text: a new one, unless it has one.

        Raises:
            SubscriptionError: it cannot be written in UTF-8, so no frame can have it.
        """
    def remove(self, slot: int) -> None:
        """Take a text out; its slot is free.

        Raises:
            UsageError: the slot has no text.
        """
    def check(self, slot: int) -> None:
        """Nothing where the slot has a text.

        Raises:
            UsageError: it has none.
        """
    def find(self, text: str) -> int:
        """The slot of a text, or -1."""
    def slot_of(self, batch: Batch, index: int) -> int:
        """The slot of the topic of a frame; -1 when that has none, or the frame has no topic.

        Raises:
            IndexError: there is no such frame.
        """
    def __len__(self) -> int:
        """How many texts there are."""
