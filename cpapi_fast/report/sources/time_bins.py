"""Time bins: counts over time in bins whose width grows with the time that they cover, so that memory is bounded"""

from __future__ import annotations

from typing import Any, Final

from cpapi_fast.report.packages import import_numpy

#: The widths of bins, in seconds. Each divides the next one, so that bins can be added up to wider ones.
_WIDTHS_S: Final = (
    *(1, 2, 10, 30, 60, 120, 600, 1800, 3600, 7200, 21600, 43200),
    *(86_400, 7 * 86_400, 28 * 86_400, 364 * 86_400, 10 * 364 * 86_400),
)

#: The most bins that a time line has. A week has 1,008 of ten minutes.
MAX_BINS: Final = 1_500

#: How many counts of one chunk are computed in a dense array.
_MAX_DENSE: Final = 4_000_000

#: How many counts are kept before equal ones are added up.
_MAX_PARTS: Final = 1_000_000


class TimeBins:
    """The bins of one report: `width_ns` is as small as `MAX_BINS` bins from the first to the last time allow.

    Attributes:
        width_ns: the width of a bin, in ns. It only grows.
        first_ns: the first time that is covered, in ns since the Unix epoch; None before the first call of `cover`.
        last_ns: the last one.
    """

    def __init__(self) -> None:
        self._index = 0
        self.width_ns = _WIDTHS_S[0] * 10**9
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def cover(self, first_ns: int, last_ns: int) -> None:
        """Extend the bins to these times."""
        self.first_ns = first_ns if self.first_ns is None else min(self.first_ns, first_ns)
        self.last_ns = last_ns if self.last_ns is None else max(self.last_ns, last_ns)
        while self.count > MAX_BINS and self._index + 1 < len(_WIDTHS_S):
            self._index += 1
            self.width_ns = _WIDTHS_S[self._index] * 10**9

    @property
    def start_ns(self) -> int:
        """The start of the first bin, in ns since the Unix epoch; 0 without bins."""
        return 0 if self.first_ns is None else self.first_ns // self.width_ns * self.width_ns

    @property
    def count(self) -> int:
        """The number of bins."""
        if self.first_ns is None or self.last_ns is None:
            return 0
        return self.last_ns // self.width_ns - self.first_ns // self.width_ns + 1


class BinnedCounts:
    """Counts by row and time bin. A row is a small number, such as that of an instrument.

    `add` costs one pass of numpy over its times. Memory is that of the counts that are not zero.

    Args:
        bins: the bins, which may become wider at any time.
    """

    def __init__(self, bins: TimeBins) -> None:
        self._np: Final = import_numpy()
        self._bins: Final = bins
        # Arrays of the same length: the row, the number of the bin since the Unix epoch, and the count.
        self._parts: list[tuple[Any, Any, Any]] = []
        self._width_ns = bins.width_ns
        self._size = 0

    def add(self, rows: Any, times_ns: Any) -> None:
        """Count one item per row and time: two arrays of int64 of the same length. `bins` must cover the times."""
        np = self._np
        if not len(times_ns):
            return
        self._widen()
        numbers = times_ns // self._width_ns
        first, height = int(numbers.min()), int(rows.max()) + 1
        width = int(numbers.max()) - first + 1
        keys = rows * width + (numbers - first)
        if width * height <= _MAX_DENSE:
            dense = np.bincount(keys, minlength=1)
            found = np.flatnonzero(dense)
            counts = dense[found]
        else:
            found, counts = np.unique(keys, return_counts=True)
        self._append(found // width, found % width + first, counts)

    def dense(self, height: int) -> Any:
        """Return the counts as an array of int64 with `height` rows and a column for each bin of `bins`."""
        np = self._np
        self._widen()
        counted = np.zeros((height, max(self._bins.count, 1)), dtype=np.int64)
        first = self._bins.start_ns // self._width_ns
        for rows, numbers, counts in self._parts:
            np.add.at(counted, (rows, numbers - first), counts)
        return counted

    def _append(self, rows: Any, numbers: Any, counts: Any) -> None:
        self._parts.append((rows, numbers, counts))
        self._size += len(rows)
        if self._size > _MAX_PARTS:
            self._add_up()

    def _widen(self) -> None:
        # A wider bin is a whole number of the earlier ones, and both begin at the Unix epoch.
        ratio = self._bins.width_ns // self._width_ns
        if ratio > 1:
            self._parts = [(rows, numbers // ratio, counts) for rows, numbers, counts in self._parts]
            self._width_ns = self._bins.width_ns
            self._add_up()

    def _add_up(self) -> None:
        np = self._np
        if not self._parts:
            return
        rows, numbers, counts = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        first = int(numbers.min())
        width = int(numbers.max()) - first + 1
        keys, places = np.unique(rows * width + (numbers - first), return_inverse=True)
        summed = np.zeros(len(keys), dtype=np.int64)
        np.add.at(summed, places, counts)
        self._parts = [(keys // width, keys % width + first, summed)]
        self._size = len(keys)
