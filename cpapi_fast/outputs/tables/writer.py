"""TableWriter: writes the rows of a table to Parquet files that roll, with counts that add up.

A file has the suffix `.part` until it is finished. A killed process leaves a `.part` file, which is never read. Its
frames are in the capture.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, ParamSpec, Self, TypeVar

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import OutputError, UsageError
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.option_values import check_positive, check_whole
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.interface import OutputCounts, import_arrow, output_error
from cpapi_fast.outputs.output_file import FileState, FinishedFiles, LossPolicy, LostFiles, create
from cpapi_fast.outputs.run_events import FileChange

from .parquet_part import PartFile, rows_of
from .row_collector import RowCollector
from .span import Span, SpanCounter

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch
    from cpapi_fast.outputs.run_events import RecordedEvent

P = ParamSpec("P")
T = TypeVar("T")

#: How many rows a file and a row group can have.
MOST_ROWS: Final = 2**24
#: How many bytes of texts the collected rows may hold.
MOST_TEXT_BYTES: Final = 32 * 1024 * 1024


C = TypeVar("C", bound=RowCollector)


class TableWriter(ABC, Generic[C]):
    """Writes the rows of one table to Parquet files; the base of the writers of all tables. Not thread-safe.

    The files are `<stem>-20260102T143000.123456Z.parquet` and so on, with the time of their first row; the names sort
    in the order of the rows. A row counts as written when its file is finished, so the rows of up to `roll_interval_s`
    are pending.

    Args:
        folder: the folder for the files; it must exist.
        stem: the start of the file names; the name of the table by default.
        schema: the pyarrow schema of the rows.
        make_rows: creates the collector of the rows, with the number of rows of a row group.
        run: a part of the file names after the time, so that a pattern can select the files; empty for none.
        roll_interval_s: a file is finished this long after its first row, in seconds of `clock`.
        roll_rows: a file is also finished after this many rows, at most 16,777,216.
        group_rows: how many rows are collected in memory before they are written to the unfinished file, at most
            16,777,216.
        lost_files: what to do when another program deletes, moves or changes an unfinished file: `recreate` continues
            in a new file, `fail` ends the writer with an error. The rows that cannot be read any more count as dropped.
        file_mode: the permissions of the files; by default, only their owner can read them.
        metadata: further metadata of the schema.
        clock: the clock of `roll_interval_s`.

    Raises:
        ConfigError: a number of rows or the interval is not a number in its range, or `lost_files` is unknown.
        MissingDependencyError: pyarrow is not installed.
        UsageError: the class has no table.
    """

    #: The name of the table.
    name: ClassVar[str]
    unit: ClassVar[str]

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stem: str | None,
        schema: Callable[[], Any],
        make_rows: Callable[[int], C],
        *,
        run: str = "",
        roll_interval_s: float = 300.0,
        roll_rows: int = 1_000_000,
        group_rows: int = 65_536,
        lost_files: LostFiles = "recreate",
        file_mode: int = PRIVATE_MODE,
        metadata: Mapping[str, str] = MappingProxyType({}),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        check_whole("roll_rows", roll_rows, most=MOST_ROWS)
        check_whole("group_rows", group_rows, most=MOST_ROWS)
        check_positive("roll_interval_s", roll_interval_s)
        self.folder: Final = Path(folder)
        self.counts: Final = OutputCounts()
        self._losses: Final = LossPolicy(self.counts, self.unit, lost_files)
        self._names = FileNames(self.folder, stem or self.name, ".parquet", run=run)
        self._file_mode = file_mode
        # A folder that was there before is created again; another one is an error of the caller.
        self._makes_folder = lost_files == "recreate" and self.folder.is_dir()
        self._roll_interval_s = roll_interval_s
        self._roll_rows = roll_rows
        self._group_rows = min(group_rows, roll_rows)
        self._clock = clock
        self._pa = import_arrow("pyarrow")
        self._plain_schema: Final = schema()
        self.set_metadata(metadata)
        self._rows: Final[C] = make_rows(self._group_rows)
        self._finished: Final = FinishedFiles(rows_of)
        self._files: Final = self._finished.paths
        #: How many items have become no rows, as far as they are counted, by reason.
        self._dropped: Final[dict[str, int]] = {}
        self._part: PartFile | None = None
        self._spans: Final = SpanCounter()
        #: How many items the next batch begins with that are in earlier files.
        self._skipped_items = 0
        self._first_row_s = 0.0
        self._error: OutputError | None = None
        self._is_closed = False

    @abstractmethod
    def _count_of(self, batch: Batch) -> int:
        """How many items of this table a batch has."""

    @abstractmethod
    def _drops(self) -> Iterable[tuple[str, int]]:
        """How many items have become no rows so far, with the reason of each number."""

    def set_metadata(self, metadata: Mapping[str, str]) -> None:
        """Set the further metadata of the files that follow. Safe to call from any thread."""
        plain = self._plain_schema
        self._schema = plain.with_metadata({**plain.metadata, **metadata})

    @property
    def files(self) -> list[Path]:
        """The finished files, oldest first."""
        return [Path(path) for path in self._files]

    @property
    def changes(self) -> list[FileChange]:
        """What other programs did to the files. The reader removes what it has read."""
        return self._losses.changes

    @property
    def mismatches(self) -> dict[str, int]:
        """How many values were not of the kind of their column and are null, by column; only columns with any."""
        return self._rows.mismatches

    def write(self, batch: Batch) -> None:
        """Write the rows of a batch.

        Raises:
            OutputError: a file could not be written, or there is no memory. All rows that are not in a finished file
                count as dropped, as after any other error.
            UsageError: the writer is closed.
        """
        if self._error is not None:
            self.discard(batch)
            raise self._error
        if self._is_closed:
            raise UsageError(f"the {self.unit} in {self.folder} are closed")
        self._write_items(self._begin_batch, batch, self._count_of)
        self._spans.pass_batch(len(batch))

    def _begin_batch(self, batch: Batch) -> None:
        self._rows.begin(batch)
        if self._skipped_items:
            # They may be more than this batch has: the one that the run wrote was larger.
            count = min(self._skipped_items, self._rows.left)
            self._skip(count)
            self._spans.skip(count)
            self._skipped_items -= count

    def observe_event(self, event: RecordedEvent) -> None:
        """Take note of an event between two batches. Frames that did not reach the table have a place in it."""
        self._spans.observe_event(event)

    def name_by(self, clock_ns: Callable[[], int]) -> None:
        """Name the files by another clock than that of the system. Call it before anything is written.

        Args:
            clock_ns: returns the time when a file is begun, in ns since the Unix epoch.
        """
        self._names = self._names.by(clock_ns)

    def continue_after(self, span: Span) -> None:
        """Continue the files of a run after one that is finished. Call it before anything is written.

        Pass what came before the end of the span to `skip`, so that the rows after it have the values that they carry
        forward, then the rest to `write`. The first batch begins with the frame at the end of the span.

        Args:
            span: what the finished file has.
        """
        self._spans.continue_after(span)
        self._skipped_items = span.end.item

    def skip(self, batch: Batch) -> None:
        """Take note of a batch whose rows are in earlier files; see `continue_after`."""
        self._rows.begin(batch)
        self._skip(self._rows.left)

    def _skip(self, count: int) -> None:
        rows = self._rows
        end = rows.left - count
        while rows.left > max(end, 0):
            rows.move(self._group_rows, rows.left - end)
            rows.take()
        self._dropped.update(self._drops())

    def _write_items(self, begin: Callable[[T], object], items: T, count: Callable[[T], int]) -> None:
        """Write the items that `begin` passes to the rows. After an error, the rest of their number is dropped."""
        received = self.counts.received
        try:
            self._guarded(self._collect, begin, items)
        except Exception:
            # They count as received too.
            self._drop_unwritten(count(items) - (self.counts.received - received))
            raise

    def _drop_unwritten(self, count: int) -> None:
        """Count items as received and dropped, after an error."""
        self.counts.drop(count, "write error")
        self.counts.received += count

    def _collect(self, begin: Callable[[T], object], items: T) -> None:
        """Collect the items that `begin` passes to the rows, and write each row group and file that is full."""
        rows, counts = self._rows, self.counts
        begin(items)
        while rows.left:
            if not counts.pending:
                self._first_row_s = self._clock.monotonic_s()
            self._move_rows()
            is_full = len(rows) >= self._group_rows or rows.text_bytes > MOST_TEXT_BYTES
            if is_full or counts.pending >= self._roll_rows:
                self._write_group()
        if counts.pending and self._clock.monotonic_s() >= self._first_row_s + self._roll_interval_s:
            self.roll()

    def _move_rows(self) -> None:
        """Collect as many rows as fit into the row group and the file."""
        rows, counts = self._rows, self.counts
        left = rows.left
        moved = rows.move(min(self._group_rows - len(rows), self._roll_rows - counts.pending))
        taken = left - rows.left
        if taken != moved:
            self._count_drops()
        if moved and not counts.pending:
            self._names.reserve()
        counts.pending += moved
        self._spans.take(taken)
        # Last, so that other threads never read a row that is received and nowhere else.
        counts.received += taken

    def _count_drops(self) -> None:
        """Count the items that have become no rows since the last call."""
        for reason, dropped in self._drops():
            self.counts.drop(dropped - self._dropped.get(reason, 0), reason)
            self._dropped[reason] = dropped

    def discard(self, batch: Batch) -> None:
        """Count the rows of a batch as received and dropped."""
        self._drop_unwritten(self._count_of(batch))

    def units_of(self, batch: Batch) -> int:
        """How many items of this table a batch has, for a batch that never comes here. Safe to call in any thread."""
        return self._count_of(batch)

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
        self._guarded(self._write_group)
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
        self._spans.end_file(part.metadata)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write_group(self) -> None:
        """Write the rows in memory as one row group, and finish the file if it has `roll_rows` rows."""
        taken = [self._pa.record_batch(rows) for rows in self._rows.take()]
        if not taken:
            return
        self._check()
        table = self._pa.Table.from_batches(taken).unify_dictionaries()
        if self._part is None:
            self._part = self._guarded(self._begin)
        part = self._part
        self._guarded(part.write, table)
        part.metadata = self._spans.metadata()
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
        self._spans.end_file(part.metadata)
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

    def _guarded(self, action: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return action(*arguments, **options)
        except Exception as exc:
            if self._error is not None:
                raise
            self._fail(exc)

    def _fail(self, exc: Exception) -> NoReturn:
        part, self._part = self._part, None
        path = self.folder if part is None else part.file.final_path
        self._rows.forget()
        self.counts.drop_pending("write error")
        self._error = exc if isinstance(exc, OutputError) else output_error(exc, path)
        if part is not None:
            # A writer of Arrow that has failed may fail again.
            with suppress(self._pa.ArrowException):
                part.abandon()
        if self._error is exc or not isinstance(exc, (OSError, MemoryError, self._pa.ArrowException)):
            raise exc
        raise self._error from exc
