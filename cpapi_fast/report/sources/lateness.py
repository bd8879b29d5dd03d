"""LatenessCounts: receive time less event time of market data, counted in buckets of a logarithmic scale"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cpapi_fast.report.model import Lateness
from cpapi_fast.report.packages import import_numpy

from .table_files import times_ns
from .time_bins import BinnedCounts, TimeBins

#: The edges of the buckets, in ns: zero, then ten per decade from 1 ms (the resolution of event times) to 2.8 hours.
EDGES_NS: Final = (0, *(round(1_000_000 * 10 ** (step / 10)) for step in range(71)))


class LatenessCounts:
    """Counts the rows of tables by lateness, and by lateness and time bin.

    Args:
        bins: the time bins of the report.
    """

    def __init__(self, bins: TimeBins) -> None:
        self._np: Final = import_numpy()
        self._edges: Final = self._np.array(EDGES_NS, dtype=self._np.int64)
        self._bins: Final = bins
        self._counts: Final = BinnedCounts(bins)
        self._rows = 0
        self._late_rows = 0
        self._max_late_ns = 0
        self._without_time = 0

    def add(self, batch: Any) -> None:
        """Count a record batch with the columns `received`, `updated` and, if the table has it, `late_ns`."""
        np = self._np
        received, updated = times_ns(batch.column("received")), times_ns(batch.column("updated"))
        nothing = np.iinfo(np.int64).min
        known = (received != nothing) & (updated != nothing)
        received, updated = received[known], updated[known]
        self._without_time += len(known) - len(received)
        self._rows += len(received)
        if len(received):
            buckets = np.searchsorted(self._edges, received - updated, side="right")
            self._bins.cover(int(received.min()), int(received.max()))
            self._counts.add(buckets.astype(np.int64), received)
        if "late_ns" in batch.schema.names:
            late_ns = batch.column("late_ns").fill_null(0).to_numpy(zero_copy_only=False)
            self._late_rows += int(np.count_nonzero(late_ns > 0))
            self._max_late_ns = max(self._max_late_ns, int(late_ns.max(initial=0)))

    def result(self) -> Lateness | None:
        """Return what was counted; None if no row has both times."""
        if not self._rows:
            return None
        over_time = self._counts.dense(len(EDGES_NS) + 1)
        return Lateness(
            EDGES_NS,
            tuple(map(int, over_time.sum(axis=1))),
            over_time,
            self._late_rows,
            self._max_late_ns,
            self._without_time,
        )


def quantile_ns(edges_ns: Sequence[int], counts: Sequence[int], part: float) -> int | None:
    """Return the upper edge of the bucket with a quantile, in ns: so much, or less, is `part` of the rows.

    Args:
        edges_ns: the edges of the buckets.
        counts: the number of rows by bucket.
        part: the quantile, from 0 to 1.

    Returns:
        None without rows. The last edge, if the quantile is above it.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen = part * total, 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= wanted and count:
            return edges_ns[min(bucket, len(edges_ns) - 1)]
    return edges_ns[-1]
