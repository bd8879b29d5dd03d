"""WriteTimes: passes the counts of an output to what measures how long frames wait until they are written"""

from __future__ import annotations

from typing import Final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.interface import OutputCounts, WriteMeter
from cpapi_fast.outputs.run_events import RecordedEvent

from .queue_items import Entry


class WriteTimes:
    """Measures the frames of one output. It costs nothing without a meter. It belongs to the thread of the output.

    Args:
        meter: the meter; None without metrics.
        own_counts: the counts of an output that counts itself; None for another one, which then has them here.
    """

    def __init__(self, meter: WriteMeter | None, own_counts: OutputCounts | None) -> None:
        self._meter: Final = meter
        self._counts: Final = OutputCounts() if own_counts is None else own_counts

    def note_passed(self, item: Batch | RecordedEvent) -> None:
        """Note that an output that counts itself was passed this."""
        if self._meter is not None and isinstance(item, Batch):
            self._meter.on_batch(item, self._counts)

    def note_written(self, taken: list[Entry]) -> None:
        """Note that an output without counts has written the batches of these entries."""
        if self._meter is None:
            return
        counts = self._counts
        for entry in taken:
            for item in entry.items:
                if isinstance(item, Batch):
                    counts.received += len(item)
                    counts.pending += len(item)
                    self._meter.on_batch(item, counts)
        counts.written, counts.pending = counts.received, 0
        self.settle()

    def settle(self) -> None:
        """Measure what was written since the last call."""
        if self._meter is not None:
            self._meter.settle(self._counts)
