from typing import final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable

@final
class EventTimes:
    """The event times of the market data frames of each slot. It belongs to one event loop.

    Args:
        topics: the table whose slots are measured.
        keeps_updates: keep the last event time of each slot for `updated_ms`.
    """

    def __init__(self, topics: TopicTable, *, keeps_updates: bool = False) -> None: ...
    def set_clock(self, machine_ns: int, clock_ns: int, speed: float, limit_s: float) -> None:
        """Start to compare event times with receive times, or update the clocks.

        Args:
            machine_ns: now on the machine's own clock, in ns since the Unix epoch, as in `Frame.received_ns`.
            clock_ns: now on the clock of the event times, without steps, in ns since the Unix epoch.
            speed: how many seconds of that clock pass in a second of the machine's.
            limit_s: from which lateness on a batch may be late, in seconds of that clock.
        """
    @property
    def newest_ms(self) -> int:
        """The latest event time so far, in ms since the Unix epoch."""
    @newest_ms.setter
    def newest_ms(self, value: int) -> None:
        """The latest event time so far, in ms since the Unix epoch."""
    def transit_ms(self, received_ns: int, event_ms: int) -> float:
        """The time from an event time to a receive time, in ms of the clock of the event times."""
    def usual_ms(self, slot: int) -> float | None:
        """The usual time from `_updated` to the receive time of a slot's frames, in ms; None if unknown.

        Raises:
            UsageError: the slot has no topic.
        """
    def set_usual_ms(self, slot: int, usual_ms: float) -> None:
        """Replace the usual time of a slot.

        Raises:
            UsageError: the slot has no topic.
        """
    def forget_usual(self) -> None:
        """Forget the usual time of every slot, because the gateway's clock was set."""
    def start_window(self) -> None:
        """Start a new window: from now on the usual time is that of the last window, so that it follows a drift."""
    def measure(self, batch: Batch) -> list[tuple[int, int, float]]:
        """Return the event times of the frames of a batch.

        Returns:
            For each frame: its slot, negative without a subscription; its event time in ms since the Unix epoch, -1 if
            it has none; and the time from there to its receive time in ms.
        """
    def updated_ms(self, slot: int) -> int | None:
        """The event time of a slot's last frame with one, in ms since the Unix epoch; None if there was none.

        Raises:
            UsageError: the slot has no topic.
        """
    def clear(self, slot: int) -> None:
        """Forget everything about a slot. Call it before the topic is removed from the table.

        Raises:
            UsageError: the slot has no topic.
        """
