from typing import final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.interface import OutputCounts

from .histogram import LatencyHistogram

@final
class FrameMeter:
    """Counts the frames and bytes of each kind, and the time from their receipt until all consumers have them."""

    @property
    def latency(self) -> LatencyHistogram:
        """From the socket read until every callback has returned and every queue has the frames."""
    def on_batch(self, batch: Batch) -> None:
        """Count a batch that the consumers have. It costs one reading of the clock, and less than 1 ns per frame."""
    def kinds(self) -> dict[str, tuple[int, int]]:
        """Return the frames and bytes of each kind, as a dict of tuples by its label, such as `market_data`."""

@final
class WriteMeter:
    """Measures the time from the receipt of frames until an output has written what follows from them.

    The output counts its items; those up to a position are settled when they are written or dropped. The meter keeps
    the receive times of what is not settled, of at most 4,096 batches. If there are more, neighbours share the earlier
    time, so a long wait is measured up to a few milliseconds too long. Not thread-safe.
    """

    @property
    def latency(self) -> LatencyHistogram:
        """From the socket read until the items of a frame are written."""
    def on_batch(self, batch: Batch, counts: OutputCounts) -> None:
        """Note a batch that was passed to the output.

        Args:
            batch: the batch.
            counts: the `OutputCounts` of the output, including the items of the batch.
        """
    def settle(self, counts: OutputCounts) -> None:
        """Measure what the output has written since the last call.

        What was settled together with items that were dropped is left out, because it may not be written.
        """
    def __len__(self) -> int:
        """The number of receive times that the meter keeps."""
