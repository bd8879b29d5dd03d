"""Verifies one table or events file: every byte that has a checksum, every value, and every line"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from cpapi_fast.outputs.checksum import CHECKSUM_KEY, is_intact
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.outputs.run_events import SYMBOLS_KIND
from cpapi_fast.outputs.tables.span import SPAN_KEY, Span

from .captured_rows import DroppedFrames
from .recorded_events import event_line

#: How many lines of an events file are named that cannot be read.
_MOST_LINES: Final = 5


class CheckedFile(NamedTuple):
    """The result of one file.

    Attributes:
        items: how many rows or events can be read.
        problems: what is wrong.
        notes: what is not wrong, but cannot be proven, say.
        span: what the table has of its run; None if it does not say.
        rows: of events, how many frames of the stream are before each one.
        lacking: of events, the names of the outputs that do not have some frames.
        dropped: of events, the frames that the captures do not have.
    """

    items: int
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    span: Span | None = None
    rows: tuple[int, ...] = ()
    lacking: frozenset[str] = frozenset()
    dropped: tuple[DroppedFrames, ...] = ()


def check_table(path: Path) -> CheckedFile:
    """Read a table completely: its checksum, the number of its rows, and every value."""
    pa, parquet = import_arrow("pyarrow"), import_arrow("pyarrow.parquet")
    try:
        data = path.read_bytes()
        with parquet.ParquetFile(pa.BufferReader(data)) as file:
            rows = _read_rows(file)
            metadata = file.metadata.metadata or {}
            expected = file.metadata.num_rows
    except (OSError, ValueError, MemoryError, pa.ArrowException) as exc:
        return CheckedFile(0, (f"it cannot be read: {_line(exc)}",))
    problems = [] if rows == expected else [f"it has {rows:,} rows instead of {expected:,}"]
    notes = []
    # A damaged key looks like a file without a checksum, if its writer wrote no span, either.
    if not {CHECKSUM_KEY.encode(), SPAN_KEY.encode()} & metadata.keys():
        notes.append("it has no checksum, so damage that gives other values is not found")
    elif not is_intact(data, max(0, len(data) - 8 - int.from_bytes(data[-8:-4], "little")), len(data)):
        problems.append("its checksum is wrong")
    try:
        span: Span | None = Span.of(metadata)
    except ValueError:
        span = None
        notes.append("it does not say which frames of its run it has")
    return CheckedFile(rows, tuple(problems), tuple(notes), span)


def _read_rows(file: Any) -> int:
    rows = 0
    for index in range(file.num_row_groups):
        table = file.read_row_group(index)
        table.validate(full=True)
        rows += table.num_rows
    return rows


def _line(exc: BaseException) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]


def check_events(path: Path) -> CheckedFile:
    """Parse each line of an events file."""
    problems: list[str] = []
    rows: list[int] = []
    lacking: set[str] = set()
    dropped: list[DroppedFrames] = []
    try:
        for number, line in _lines(path):
            if not line.endswith(b"\n"):
                problems.append(f"line {number:,} is incomplete")
                continue
            try:
                found = event_line(line)
            except ValueError as exc:
                problems.append(f"line {number:,} is no event: {_line(exc)}")
                continue
            if found.type == SYMBOLS_KIND:
                continue
            if rows and found.row < rows[-1]:
                problems.append(f"line {number:,} is before frame {found.row:,}, and the line before it is not")
            rows.append(found.row)
            if found.lacking:
                lacking.add(found.lacking)
            if found.dropped is not None:
                dropped.append(found.dropped)
    except OSError as exc:
        return CheckedFile(0, (f"it cannot be read: {exc.strerror or exc}",))
    more = len(problems) - _MOST_LINES
    shown = (*problems[:_MOST_LINES], *([f"and {more:,} more problems"] if more > 0 else []))
    return CheckedFile(len(rows), shown, rows=tuple(rows), lacking=frozenset(lacking), dropped=tuple(dropped))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from enumerate(file, 1)
