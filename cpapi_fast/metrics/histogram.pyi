from typing import final

@final
class LatencyHistogram:
    """Counts latencies from 1 us to 67 s in buckets that are at most an eighth of their value wide; log-linear.

    An observation costs a few ns and creates no object. It has a fixed size of 2 kB.
    """

    def observe(self, latency_ns: int, count: int = 1) -> None:
        """Count a latency.

        Args:
            latency_ns: the latency in ns; a negative one counts as 0.
            count: how many items had it.

        Raises:
            UsageError: `count` is negative.
        """
    @property
    def count(self) -> int:
        """How many items were counted."""
    @property
    def sum_s(self) -> float:
        """The sum of their latencies, in seconds."""
    @property
    def max_s(self) -> float:
        """The largest latency, in seconds; 0.0 before the first."""
    def cumulative(self, steps: int = 2) -> list[tuple[float, int]]:
        """Return the counts up to each bound, ascending.

        Args:
            steps: how many bounds each doubling of the latency has: 1, 2, 4 or 8. Below 8 us there are fewer.

        Returns:
            Pairs of a bound in seconds and the number of items with at most that latency, as tuples. Items above the
            last bound are only in `count`.

        Raises:
            UsageError: `steps` is another number.
        """
    def quantile(self, fraction: float) -> float:
        """Return the latency that a fraction of the items does not exceed, in seconds; 0.0 without items.

        The result is the upper bound of a bucket, or the largest latency if that is less.

        Raises:
            UsageError: `fraction` is not from 0 to 1.
        """
