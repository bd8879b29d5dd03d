from typing import final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable

from .last_values import LastValues

@final
class Tracker:
    """Counts the frames of each topic, and picks the frames to inspect.

    The identity is the text of the topic: `smd+265598@NYSE` is not `smd+265598`.

    Args:
        topics: the table whose slots are counted.
        last_values: updated by each scan, from the same lookup of topics; it must share the table.

    Raises:
        UsageError: `last_values` has another table.
    """

    def __init__(self, topics: TopicTable, last_values: LastValues | None = None) -> None: ...
    @property
    def frames(self) -> int:
        """How many frames were scanned."""
    @property
    def untracked(self) -> int:
        """How many of them were market data of a topic that the table does not have."""
    @property
    def last_s(self) -> float:
        """The time of the last scan that had a frame; 0.0 before the first."""
    def watch(self, slot: int) -> None:
        """Inspect every frame of a slot from now on. Idempotent.

        Raises:
            UsageError: the slot has no topic.
        """
    def unwatch(self, slot: int) -> None:
        """Stop inspecting every frame of a slot. Idempotent.

        Raises:
            UsageError: the slot has no topic.
        """
    def clear(self, slot: int) -> None:
        """Set the count of a slot to zero and unwatch it. Call it before the topic is removed from the table.

        Raises:
            UsageError: the slot has no topic.
        """
    def scan(self, batch: Batch, now_s: float) -> list[int] | None:
        """Count the frames of a batch, and update the last values.

        Args:
            batch: a finished batch.
            now_s: the time of the scan, in seconds of any clock that does not go back.

        Returns:
            The indices of the frames to inspect, ascending: frames of watched slots, frames of the kinds SYSTEM, OTHER
            and MALFORMED, and frames whose topic is written with escapes. None, the usual result, when there are none.
        """
    def read(self, slot: int) -> tuple[int, int, float]:
        """Return what was counted for a slot.

        Returns:
            How many frames it had, and of the last one `received_ns` (ns since the Unix epoch) and the time of its
            scan; zeros when it had none.

        Raises:
            UsageError: the slot has no topic.
        """
