from typing import final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable

from .event_times import EventTimes
from .last_values import LastValues

@final
class Tracker:
    """Counts the frames of each topic, and picks the frames to inspect.

    The identity is the text of the topic: `smd+265598@NYSE` is not `smd+265598`.

    Args:
        topics: the table whose slots are counted.
        last_values: updated by each scan, from the same lookup of topics; it must share the table.
        event_times: the same.

    Raises:
        UsageError: one of them has another table.
    """

    def __init__(
        self, topics: TopicTable, last_values: LastValues | None = None, event_times: EventTimes | None = None
    ) -> None: ...
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
    def is_watched(self, slot: int) -> bool:
        """Return whether every frame of a slot is inspected.

        Raises:
            UsageError: the slot has no topic.
        """
    def clear(self, slot: int) -> None:
        """Set the count of a slot to zero and unwatch it. Call it before the topic is removed from the table.

        Raises:
            UsageError: the slot has no topic.
        """
    def set_alive(self, now_s: float, limit_s: float) -> None:
        """Record that the event loop runs. A batch that is scanned more than `limit_s` seconds later may be late."""
    @property
    def may_be_late(self) -> bool:
        """Whether the last batch that was scanned may be late."""
    @property
    def checks_all(self) -> bool:
        """Whether every batch counts as one that may be late."""
    @checks_all.setter
    def checks_all(self, value: bool) -> None:
        """Whether every batch counts as one that may be late."""
    @property
    def inspects_kept(self) -> bool:
        """Whether frames of orders and of profit and loss are inspected without being watched, to keep their state."""
    @inspects_kept.setter
    def inspects_kept(self, value: bool) -> None:
        """Whether frames of orders and of profit and loss are inspected without being watched, to keep their state."""
    @property
    def silence_s(self) -> float:
        """The time between the last two scans that had a frame, in seconds."""
    def set_lateness(self, batch: Batch, late_ns: list[int]) -> None:
        """Store how late each frame of a batch is, in ns: in the batch, and here that of the last frame of each topic.

        Raises:
            UsageError: there is not one number for each frame.
        """
    def scan(self, batch: Batch, now_s: float) -> list[int] | None:
        """Count the frames of a batch, and update the last values.

        Args:
            batch: a finished batch.
            now_s: the time of the scan, in seconds of any clock that does not go back.

        Returns:
            The indices of the frames to inspect, ascending: frames of watched slots, frames of other kinds than
            MARKET_DATA and HEARTBEAT (see also `inspects_kept`), and frames whose topic is written with escapes. None,
            the usual result, when there are none and the batch is not late. If it may be late, `may_be_late` is set,
            and the result is a list.
        """
    def read(self, slot: int) -> tuple[int, int, float, int]:
        """Return what was counted for a slot.

        Returns:
            How many frames it had, and of the last one `received_ns` (ns since the Unix epoch), the time of its scan,
            and how late it was in ns; zeros when it had none.

        Raises:
            UsageError: the slot has no topic.
        """
