from typing import final

from cpapi_fast.frames.batch import Batch

@final
class Tracker:
    """When each topic was last heard of, and which frames of a batch are worth a look.

    The identity is the text of the topic: `smd+265598@NYSE` is not `smd+265598`.
    """

    @property
    def frames(self) -> int:
        """How many frames were scanned."""
    @property
    def untracked(self) -> int:
        """How many of them were market data of a topic without a slot."""
    @property
    def last_s(self) -> float:
        """The time of the last scan that had a frame; 0.0 before it."""
    def __init__(self) -> None: ...
    def add(self, topic: str) -> int:
        """The slot of a topic: a new one with nothing heard and not armed, unless it has one.

        Raises:
            SubscriptionError: it cannot be written in UTF-8, so no frame can have it.
        """
    def remove(self, slot: int) -> None:
        """Forget a topic. Its later frames are untracked; its slot may be given to another topic.

        Raises:
            UsageError: the slot has no topic.
        """
    def arm(self, slot: int) -> None:
        """From now on, every frame of this slot is worth a look.

        Raises:
            UsageError: the slot has no topic.
        """
    def disarm(self, slot: int) -> None:
        """The frames of this slot are as any others again.

        Raises:
            UsageError: the slot has no topic.
        """
    def scan(self, batch: Batch, now_s: float) -> list[int] | None:
        """Note what a batch brings, at the time `now_s`.

        Returns:
            The frames that are worth a look, ascending: those of armed slots, those of the kinds SYSTEM, OTHER and
            MALFORMED, and those whose topic is written with escapes. None when there are none, which is usual.
        """
    def slot_of(self, batch: Batch, index: int) -> int:
        """The slot of the topic of a frame; -1 when that has none, or the frame has no topic.

        Raises:
            IndexError: there is no such frame.
        """
    def read(self, slot: int) -> tuple[int, int, float]:
        """How many frames of this slot there were, and of the last one `received_ns` and the time of its scan.

        Raises:
            UsageError: the slot has no topic.
        """
