"""Reads from the files of tables what a report needs: rows, times, symbols and lateness"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.report.packages import import_numpy

#: How many rows are read at once.
_CHUNK_ROWS: Final = 262_144


class TableFile:
    """One file of a table. Only the columns that are asked for are read.

    Args:
        path: the file.

    Attributes:
        rows: how many rows it has; None if it cannot be read.
        error: why it cannot be read; empty if it can.
        first_ns: the first receive time, in ns since the Unix epoch; None without statistics.
        last_ns: the last one.
    """

    def __init__(self, path: Path) -> None:
        pa, parquet = import_arrow("pyarrow"), import_arrow("pyarrow.parquet")
        self._np: Final = import_numpy()
        self._pa: Final = pa
        self._errors: Final = (OSError, ValueError, pa.ArrowException)
        self._path: Final = path
        self._parquet: Any = parquet
        self._names: frozenset[str] = frozenset()
        self.rows: int | None = None
        self.error = ""
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        try:
            with parquet.ParquetFile(path) as file:
                self.rows = file.metadata.num_rows
                self._names = frozenset(file.schema_arrow.names)
                self._read_times(file.metadata)
        except self._errors as exc:
            self.error = str(exc)

    def chunks(self, *names: str) -> Iterator[Any]:
        """Iterate over pyarrow record batches with those of the columns that the file has.

        Rows after a damaged place are not returned; `error` is then set.
        """
        columns = [name for name in names if name in self._names]
        if not columns:
            return
        try:
            with self._parquet.ParquetFile(self._path) as file:
                yield from file.iter_batches(batch_size=_CHUNK_ROWS, columns=columns)
        except self._errors as exc:
            self.error = str(exc)

    def has(self, *names: str) -> bool:
        """Whether the file has all of these columns."""
        return self._names.issuperset(names)

    def _read_times(self, metadata: Any) -> None:
        """Take the first and the last receive time from the statistics of the row groups."""
        index = next((at for at in range(metadata.num_columns) if metadata.schema.column(at).name == "received"), None)
        if index is None:
            return
        groups = (metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups))
        found = [one for one in groups if one is not None and one.has_min_max]
        if found:
            # As numbers: pyarrow would need pandas for times in ns.
            self.first_ns = int(min(one.min_raw for one in found))
            self.last_ns = int(max(one.max_raw for one in found))


def times_ns(column: Any) -> Any:
    """Return a column of timestamps as a numpy array of ns since the Unix epoch; null is the lowest int64."""
    pa = import_arrow("pyarrow")
    np = import_numpy()
    unit = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[column.type.unit]
    numbers = column.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy(zero_copy_only=False)
    nulls = numbers == np.iinfo(np.int64).min
    # Values that ns cannot hold are beyond the years that the tables have.
    limit = np.iinfo(np.int64).max // unit
    return np.where(nulls | (np.abs(np.where(nulls, 0, numbers)) > limit), np.iinfo(np.int64).min, numbers * unit)
