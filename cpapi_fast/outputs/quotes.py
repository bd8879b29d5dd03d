"""Quotes in Parquet files: one row per market data frame.

A file has the suffix `.part` until it is finished. A killed process leaves a `.part` file, which is never read. Its
frames are in the capture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, MalformedPayloadError, OutputError, UsageError
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.numbers import number_prefix, parse_number
from cpapi_fast.redaction import repr_without_accounts

from .file_names import FileNames
from .interface import FileChange, OutputCounts, import_arrow, output_error
from .output_file import FileState, FinishedFiles, LossPolicy, LostFiles, create
from .parquet_part import PartFile, rows_of
from .quote_fields import NUMBER_CODES, quotes_schema, requested_columns

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

T = TypeVar("T")

_LAST, _BID, _ASK = (NUMBER_CODES.index(code) for code in ("31", "84", "86"))

_MARKET_DATA: Final = int(FrameKind.MARKET_DATA)

#: How many targets `QuotesWriter.latest` has room for that were not subscribed to, and how long they may be.
_MAX_OTHER_TARGETS: Final = 1_000
_MAX_TARGET_LENGTH: Final = 256

_INT64: Final = range(-(2**63), 2**63)


@repr_without_accounts
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

    The files are `<stem>-20260102T143000.123456Z.parquet` and so on, with the time of their first row; the names sort
    in the order of the rows. A row counts as written when its file is finished, so the rows of up to `roll_interval_s`
    are pending. A market data frame whose payload is not JSON counts as dropped.

    Args:
        folder: the folder for the files; it must exist.
        stem: the start of the file names.
        fields: the keys or codes of the requested fields, each of which has a column; see `quotes_schema`.
        targets: the targets that were subscribed to; `latest` always has room for them, and for 1,000 others.
        run: a part of the file names after the time, so that a pattern can select the files; empty for none.
        roll_interval_s: a file is finished this long after its first row, in seconds of `clock`.
        roll_rows: a file is also finished after this many rows.
        group_rows: how many rows are collected in memory before they are written to the unfinished file.
        lost_files: what to do when another program deletes, moves or changes an unfinished file: `recreate` continues
            in a new file, `fail` ends the writer with an error. The rows that cannot be read any more count as dropped.
        file_mode: the permissions of the files; by default, only their owner can read them.
        metadata: further metadata of the schema.
        clock: the clock of `roll_interval_s`.

    Raises:
        ConfigError: a number of rows is below 1, or `lost_files` is unknown.
        MissingDependencyError: pyarrow is not installed.
        SubscriptionError: a field is unknown.
    """

    name: str = "quotes"
    unit: str = "quotes"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stem: str = "quotes",
        *,
        fields: Iterable[str | int] = (),
        targets: Iterable[str] = (),
        run: str = "",
        roll_interval_s: float = 300.0,
        roll_rows: int = 1_000_000,
        group_rows: int = 65_536,
        lost_files: LostFiles = "recreate",
        file_mode: int = PRIVATE_MODE,
        metadata: Mapping[str, str] = MappingProxyType({}),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if min(roll_rows, group_rows) < 1:
            raise ConfigError(f"roll_rows and group_rows must be at least 1, not {roll_rows} and {group_rows}")
        self.folder: Final = Path(folder)
        self.counts: Final = OutputCounts()
        #: The latest values by target (`265598`, `265598@NYSE`). Other threads may read it.
        self.latest: Final[dict[str, LatestQuote]] = {}
        #: How many rows are not in `latest`, because there was no room for their targets. The files have them.
        self.rows_unlisted = 0
        self._targets: Final = frozenset(targets)
        self._other_targets = 0
        self._losses: Final = LossPolicy(self.counts, self.unit, lost_files)
        self._names: Final = FileNames(self.folder, stem, ".parquet", run=run)
        self._file_mode = file_mode
        # A folder that was there before is created again; another one is an error of the caller.
        self._makes_folder = lost_files == "recreate" and self.folder.is_dir()
        self._roll_interval_s = roll_interval_s
        self._roll_rows = roll_rows
        self._group_rows = min(group_rows, roll_rows)
        self._clock = clock
        self._pa = import_arrow("pyarrow")
        self._requested = requested_columns(fields := tuple(fields))
        schema = quotes_schema(fields)
        self._schema = schema.with_metadata({**schema.metadata, **metadata})
        self._columns: list[list[Any]] = [[] for _ in self._schema]
        self._finished: Final = FinishedFiles(rows_of)
        self._files: Final = self._finished.paths
        self._part: PartFile | None = None
        self._first_row_s = 0.0
        self._error: OutputError | None = None
        self._is_closed = False

    @property
    def files(self) -> list[Path]:
        """The finished files, oldest first."""
        return [Path(path) for path in self._files]

    @property
    def changes(self) -> list[FileChange]:
        """What other programs did to the files. The reader removes what it has read."""
        return self._losses.changes

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
        kinds, late_ns = bytes(batch.kinds), batch.late_ns
        for index, kind in enumerate(kinds):
            if kind == _MARKET_DATA:
                self._add_row(batch, index, late_ns)
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
        """Check the current file, and finish it if that is due. Raises like `roll`.

        Returns:
            The time until the next file is due, in seconds of the clock.
        """
        self._check()
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
            OutputError: the file could not be written, or another program has deleted, moved or changed it and
                `lost_files` is `fail`.
        """
        self._write_group()
        self._check()
        part = self._part
        if part is None:
            return
        self._guarded(part.finish)
        # Another program may have been faster than the last step.
        self._check()
        if self._part is None:
            return
        self.counts.written += part.rows
        self.counts.pending -= part.rows
        self._finished.add(part.file, part.rows)
        self._part = None
        part.file.close()

    def close(self) -> None:
        """Finish the current file, and correct the counts for files that are not there any more. Idempotent.

        Raises like `roll`.
        """
        try:
            if not self._is_closed and self._error is None:
                self._is_closed = True
                self.roll()
        finally:
            self._is_closed = True
            self._finished.settle(self.counts)

    def __enter__(self) -> QuotesWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _add_row(self, batch: Batch, index: int, late_ns: memoryview[int] | None) -> None:
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
            self._names.reserve()
        get = payload.get
        updated = get("_updated")
        availability = get("6509")
        if not isinstance(availability, str):
            availability = None
        numbers = [parse_number(get(code)) for code in NUMBER_CODES]
        prefix = number_prefix(get(NUMBER_CODES[_LAST]))
        row = (
            frame.received_ns,
            0 if late_ns is None else late_ns[index],
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
            if name not in self._targets:
                # The gateway can invent targets, so the memory for them is bounded.
                if self._other_targets >= _MAX_OTHER_TARGETS or len(name) > _MAX_TARGET_LENGTH:
                    self.rows_unlisted += 1
                    return
                self._other_targets += 1
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
            latest.availability = availability[:_MAX_TARGET_LENGTH]

    def _write_group(self) -> None:
        """Write the rows in memory as one row group, and finish the file if it has `roll_rows` rows."""
        if not self._columns[0]:
            return
        arrays = [
            self._pa.array(column, type=field.type) for column, field in zip(self._columns, self._schema, strict=True)
        ]
        for column in self._columns:
            column.clear()
        self._check()
        table = self._pa.Table.from_arrays(arrays, schema=self._schema)
        if self._part is None:
            self._part = self._guarded(self._begin)
        part = self._part
        self._guarded(lambda: part.write(table))
        if self.counts.pending >= self._roll_rows:
            self.roll()

    def _begin(self) -> PartFile:
        file = create(self._names, mode=self._file_mode, is_part=True, makes_folder=self._makes_folder)
        try:
            return PartFile(file, self._schema)
        except OSError as exc:
            raise output_error(exc, file.final_path) from exc

    def _check(self) -> None:
        """Compare the path of the unfinished file with what was written to it. Raises like `roll`."""
        part = self._part
        if part is None:
            return
        state = self._guarded(part.file.state)
        if state is FileState.INTACT:
            return
        self._part = None
        lost = 0 if state is FileState.MOVED and part.complete() else part.rows
        self.counts.pending -= part.rows
        self.counts.written += part.rows
        if lost:
            self.counts.lose(lost, state.value)
        else:
            self.counts.take_away(part.rows)
        part.abandon()
        try:
            self._losses.apply(part.file, state, lost)
        except OutputError as exc:
            self._fail(exc)

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> NoReturn:
        path = self.folder
        part, self._part = self._part, None
        if part is not None:
            part.abandon()
            path = part.file.final_path
        for column in self._columns:
            column.clear()
        self.counts.drop_pending("write error")
        self._error = exc if isinstance(exc, OutputError) else output_error(exc, path)
        if self._error is exc:
            raise exc
        raise self._error from exc
