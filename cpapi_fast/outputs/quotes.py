"""Quotes in Parquet files: one row per market data frame.

A file has the suffix `.part` until it is finished. A killed process leaves a `.part` file, which is never read. Its
frames are in the capture.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast._version import __version__
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, MalformedPayloadError, OutputError, UsageError
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.numbers import number_prefix, parse_number

from .interface import PART_SUFFIX, OutputCounts, import_arrow, output_error, publish, sync, write_all
from .quote_fields import FieldColumn, field_columns

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: The fields that become float64 columns, named by their keys.
_NUMBER_CODES: Final = DEFAULT_FIELDS

_LAST, _BID, _ASK = (_NUMBER_CODES.index(code) for code in ("31", "84", "86"))

#: The fields that have a column in every file, and the names of all columns in every file.
_ALWAYS: Final = frozenset({*_NUMBER_CODES, "6509"})
_ALWAYS_NAMES: Final = frozenset(
    {"received_ns", "updated_ms", "conid", "target", "6509", "last_price_prefix"}
    | {FIELDS[code].key for code in _NUMBER_CODES}
)

_MARKET_DATA: Final = int(FrameKind.MARKET_DATA)

_INT64: Final = range(-(2**63), 2**63)


def quotes_schema(fields: Iterable[str] = ()) -> Any:
    """Return the pyarrow schema of the quotes, with descriptions as metadata.

    Args:
        fields: the codes of the requested fields. Each one without a column of its own gets one, after the others.
    """
    pa = import_arrow("pyarrow")

    def field(name: str, type_: Any, description: str, *, nullable: bool = True, **metadata: str) -> Any:
        return pa.field(name, type_, nullable=nullable, metadata={"description": description, **metadata})

    return pa.schema(
        [
            field("received_ns", pa.int64(), "ns since the Unix epoch (UTC), the receive time", nullable=False),
            field("updated_ms", pa.int64(), "ms since the Unix epoch (UTC), from the gateway", code="_updated"),
            field("conid", pa.int64(), "contract id; 0 is a real one", nullable=False),
            field("target", pa.string(), "the subscribed target if it is more than a conid: 265598@NYSE"),
            *(field(FIELDS[code].key, pa.float64(), FIELDS[code].meaning, code=code) for code in _NUMBER_CODES),
            field("6509", pa.string(), FIELDS["6509"].meaning, code="6509", key=FIELDS["6509"].key),
            field("last_price_prefix", pa.string(), "C: last_price is the prior close; H: halted", code="31"),
            *(
                field(one.name, pa.float64() if one.is_number else pa.string(), one.meaning, code=one.code)
                for one in _requested(fields)
            ),
        ],
        metadata={
            "cpapi_fast.format": "quotes",
            "cpapi_fast.format_version": "1",
            "cpapi_fast.version": __version__,
            "cpapi_fast.rows": "one per market data frame; null: not in this frame, so it did not change; the first "
            "snapshot of a subscription is sent twice",
        },
    )


def _requested(fields: Iterable[str]) -> tuple[FieldColumn, ...]:
    """The columns of the requested fields that every file does not have anyway."""
    return field_columns((code for code in fields if code not in _ALWAYS), _ALWAYS_NAMES)


@dataclass
class LatestQuote:
    """The latest values of one subscription, merged over its frames.

    Attributes:
        name: the target of the subscription: `265598`, `265598@NYSE`.
        received_ns: the receive time of its last frame, in ns since the Unix epoch.
        last, bid, ask: the latest prices; None before the first.
        availability: field 6509; None before the first.
        rows: how many rows were passed to the writer.
        last_prefix: `C` if `last` is the prior close, `H` if trading is halted; otherwise None.
    """

    name: str
    received_ns: int = 0
    last: float | None = None
    bid: float | None = None
    ask: float | None = None
    availability: str | None = None
    rows: int = 0
    last_prefix: str | None = None


class QuotesWriter:
    """Writes market data frames as rows of Parquet files. Not thread-safe.

    The files are `<stem>-00001.parquet` and so on. A row counts as written when its file is finished, so the rows of up
    to `roll_interval_s` are pending. A market data frame whose payload is not JSON counts as dropped.

    Args:
        folder: the folder for the files; it must exist.
        stem: the start of the file names.
        fields: the codes of the requested fields, each of which has a column; see `quotes_schema`.
        roll_interval_s: a file is finished this long after its first row, in seconds of `clock`.
        roll_rows: a file is also finished after this many rows.
        group_rows: how many rows are collected in memory before they are written to the unfinished file.
        clock: the clock of `roll_interval_s`.

    Raises:
        ConfigError: a number of rows is below 1.
        MissingDependencyError: pyarrow is not installed.
    """

    name: str = "quotes"
    unit: str = "quotes"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stem: str = "quotes",
        *,
        fields: Iterable[str] = (),
        roll_interval_s: float = 300.0,
        roll_rows: int = 1_000_000,
        group_rows: int = 65_536,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if min(roll_rows, group_rows) < 1:
            raise ConfigError(f"roll_rows and group_rows must be at least 1, not {roll_rows} and {group_rows}")
        self.folder: Final = Path(folder)
        self.counts: Final = OutputCounts()
        #: The latest values by target (`265598`, `265598@NYSE`). Other threads may read it.
        self.latest: Final[dict[str, LatestQuote]] = {}
        self._stem = stem
        self._roll_interval_s = roll_interval_s
        self._roll_rows = roll_rows
        self._group_rows = min(group_rows, roll_rows)
        self._clock = clock
        self._pa = import_arrow("pyarrow")
        self._requested = _requested(fields := tuple(fields))
        self._schema = quotes_schema(fields)
        self._columns: list[list[Any]] = [[] for _ in self._schema]
        self._files: list[Path] = []
        self._part: _PartFile | None = None
        self._first_row_s = 0.0
        self._error: OutputError | None = None
        self._is_closed = False

    @property
    def files(self) -> list[Path]:
        """The finished files, oldest first."""
        return list(self._files)

    def write(self, batch: Batch) -> None:
        """Write the market data frames of a batch.

        Raises:
            OutputError: a file could not be written. All rows that are not in a finished file count as dropped.
            UsageError: the writer is closed.
        """
        if self._error is not None:
            self.discard(batch)
            raise self._error
        if self._is_closed:
            raise UsageError(f"the quotes in {self.folder} are closed")
        kinds = bytes(batch.kinds)
        for index, kind in enumerate(kinds):
            if kind == _MARKET_DATA:
                self._add_row(batch, index)
                if len(self._columns[0]) >= self._group_rows or self.counts.pending >= self._roll_rows:
                    try:
                        self._write_group()
                    except OutputError:
                        # The rest of the batch counts as received too.
                        self._count_discarded(kinds[index + 1 :])
                        raise
        self.poll()

    def discard(self, batch: Batch) -> None:
        """Count the market data frames of a batch as received and dropped."""
        self._count_discarded(bytes(batch.kinds))

    def _count_discarded(self, kinds: bytes) -> None:
        count = kinds.count(_MARKET_DATA)
        self.counts.received += count
        self.counts.drop(count, "write error")

    def poll(self) -> float:
        """Finish the current file if that is due. Raises like `roll`.

        Returns:
            The time until the next file is due, in seconds of the clock.
        """
        if not self.counts.pending:
            return self._roll_interval_s
        left_s = self._first_row_s + self._roll_interval_s - self._clock.monotonic_s()
        if left_s > 0:
            return left_s
        self.roll()
        return self._roll_interval_s

    def roll(self) -> None:
        """Finish the current file. The next row starts a new one.

        Raises:
            OutputError: the file could not be written.
        """
        self._write_group()
        part, self._part = self._part, None
        if part is None:
            return
        rows = self.counts.pending
        self._guarded(part, part.finish)
        self._files.append(part.final)
        self.counts.written += rows
        self.counts.pending = 0

    def close(self) -> None:
        """Finish the current file. Idempotent. Raises like `roll`."""
        if not self._is_closed and self._error is None:
            self._is_closed = True
            self.roll()
        self._is_closed = True

    def __enter__(self) -> QuotesWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _add_row(self, batch: Batch, index: int) -> None:
        counts = self.counts
        counts.received += 1
        frame = batch[index]
        try:
            payload = frame.payload
        except MalformedPayloadError:
            counts.drop(1, "malformed")
            return
        if not counts.pending:
            self._first_row_s = self._clock.monotonic_s()
        get = payload.get
        updated = get("_updated")
        availability = get("6509")
        if not isinstance(availability, str):
            availability = None
        numbers = [parse_number(get(code)) for code in _NUMBER_CODES]
        prefix = number_prefix(get(_NUMBER_CODES[_LAST]))
        row = (
            frame.received_ns,
            updated if type(updated) is int and updated in _INT64 else None,
            frame.conid,
            frame.target,
            *numbers,
            availability,
            prefix,
            *(column.read(get(column.code)) for column in self._requested),
        )
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        counts.pending += 1

        name = frame.target or str(frame.conid)
        latest = self.latest.get(name)
        if latest is None:
            latest = self.latest[name] = LatestQuote(name)
        latest.received_ns = frame.received_ns
        latest.rows += 1
        if numbers[_LAST] is not None:
            latest.last, latest.last_prefix = numbers[_LAST], prefix
        if numbers[_BID] is not None:
            latest.bid = numbers[_BID]
        if numbers[_ASK] is not None:
            latest.ask = numbers[_ASK]
        if availability is not None:
            latest.availability = availability

    def _write_group(self) -> None:
        """Write the rows in memory as one row group, and finish the file if it has `roll_rows` rows."""
        if not self._columns[0]:
            return
        arrays = [
            self._pa.array(column, type=field.type) for column, field in zip(self._columns, self._schema, strict=True)
        ]
        for column in self._columns:
            column.clear()
        if self._part is None:
            final = self.folder / f"{self._stem}-{len(self._files) + 1:05d}.parquet"
            self._part = self._guarded(None, lambda: _PartFile(final, self._schema), final)
        part = self._part
        self._guarded(part, lambda: part.write(self._pa.Table.from_arrays(arrays, schema=self._schema)))
        if self.counts.pending >= self._roll_rows:
            self.roll()

    def _guarded(self, part: _PartFile | None, action: Callable[[], Any], path: Path | None = None) -> Any:
        try:
            return action()
        except OSError as exc:
            if part is not None:
                part.abandon()
                path = part.final
            self._part = None
            for column in self._columns:
                column.clear()
            self.counts.drop_pending("write error")
            self._error = output_error(exc, path or self.folder)
            raise self._error from exc


class _PartFile:
    """An unfinished Parquet file."""

    def __init__(self, final: Path, schema: Any) -> None:
        self.final: Final = final
        self._path: Final = final.with_name(final.name + PART_SUFFIX)
        self._stream_file: Final = _PartStream(self._path)
        self._is_complete = False
        try:
            self._writer = import_arrow("pyarrow.parquet").ParquetWriter(self._stream_file, schema, compression="zstd")
        except OSError:
            self._stream_file.abandon()
            raise

    def write(self, table: Any) -> None:
        self._writer.write_table(table)

    def finish(self) -> None:
        self._writer.close()
        self._stream_file.finish()
        self._is_complete = True
        publish(self._path, self.final)

    def abandon(self) -> None:
        """Remove the file, unless it is complete and only its renaming failed."""
        if not self._is_complete:
            self._stream_file.abandon()
            self._writer.close()


class _PartStream(io.RawIOBase):
    """The file object that Arrow writes a Parquet file to: complete writes only, and none after `abandon`.

    Arrow ignores incomplete writes, and writes the footer even after a failed write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data)
        if not self._file.closed:
            write_all(self._file, view)
        self._position += view.nbytes
        return view.nbytes

    def finish(self) -> None:
        sync(self._file)
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
        with suppress(OSError):
            self._path.unlink()
