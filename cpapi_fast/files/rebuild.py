"""Rebuilds the unfinished table of a killed run from its capture, through the writer that the run used"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast.errors import ConfigError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.file_names import time_in_name, time_of_name
from cpapi_fast.outputs.interface import import_arrow, publish
from cpapi_fast.outputs.tables.account_schema import ACCOUNT_TABLES
from cpapi_fast.outputs.tables.span import Place, Span
from cpapi_fast.outputs.tables.writer import MOST_ROWS, TableWriter
from cpapi_fast.outputs.tables.writers import ACCOUNT_WRITERS, MARKET_DATA_WRITERS

from .capture_walk import CaptureWalk
from .earlier_files import StoppedError
from .recorded_events import captured_rows, recorded_events
from .run_files import RunFile, captures_of
from .run_stream import RunStream

#: No file is finished by its age.
_NEVER_S: Final = 1e12


def span_of(path: Path) -> Span:
    """The span of a finished file of a table.

    Raises:
        ConfigError: it is damaged, or from a version that wrote none.
    """
    try:
        metadata: Mapping[bytes, bytes] = import_arrow("pyarrow.parquet").read_metadata(path).metadata or {}
        return Span.of(metadata)
    except (OSError, ValueError) as exc:  # ArrowInvalid is a ValueError.
        raise ConfigError(f"{path} does not say which frames it has: {exc}") from exc


def open_writer(
    name: str, folder: Path, walk: CaptureWalk, *, fields: Sequence[str] | None = None, **options: Any
) -> TableWriter[Any]:
    """Return a writer of a table with the columns that the run of a capture had.

    Args:
        name: the table.
        folder: the folder for its files.
        walk: a capture of the run.
        fields: the fields with a column; None for those that the run subscribed to.
        options: further options of the writer.

    Raises:
        ConfigError: the capture does not say which columns there were.
    """
    symbols = walk.text("symbols")
    options["metadata"] = {"cpapi_fast.symbols": symbols} if symbols else {}
    if name in ACCOUNT_TABLES:
        return ACCOUNT_WRITERS[name](folder, **options)
    try:
        targets = orjson.loads(walk.text("targets") or "[]")
        columns = orjson.loads(walk.text("fields")) if fields is None else fields
    except ValueError as exc:
        raise ConfigError(f"{walk.path} does not say which fields were subscribed to; name them") from exc
    if name not in MARKET_DATA_WRITERS:
        raise ConfigError(f"there is no table {name}")
    return MARKET_DATA_WRITERS[name](folder, fields=columns, targets=targets, **options)


def rebuild_table(name: str, run: str, files: Sequence[RunFile], is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Finish the table of a killed run. Returns what was done as text; empty if nothing was missing.

    An unfinished file that is complete gets its name. The rows after the last finished file are made again from the
    captures of the run. They are in a folder `.recovery-*` until their file is complete, so a kill at any moment leaves
    what was there, and the next call begins again.

    Args:
        name: the table.
        run: the run. Its unfinished files are locked.
        files: all files of the folder.
        is_stopped: whether to stop; it is asked for each batch.

    Raises:
        ConfigError: it cannot be rebuilt; the text says why. Unfinished files are unchanged.
        StoppedError: `is_stopped` returned True. Unfinished files are unchanged.
        OutputError, OSError: a file cannot be written.
    """
    own = [one for one in files if (one.kind, one.run) == (name, run)]
    parts = [one for one in own if one.is_part]
    finished = [one.final_path for one in own if not one.is_part]
    for part in [one for one in parts if _is_complete(one.path)]:
        _publish(part.path, part.final_path)
        parts.remove(part)
        finished.append(part.final_path)
    captures = captures_of(files, run)
    if not captures:
        raise ConfigError("its run has no capture in this folder")
    last = max(map(span_of, set(finished)), default=Span(0, Place(0, 0), Place(0, 0), 0))
    parent = captures[0].path.parent
    # The name sorts after those of the files before.
    name_us = max((time_of_name(one.time) for one in own), default=0)
    folder = parent / f".recovery-{name}-{run}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        made = _rebuild(name, folder, captures, files, last, [one.path for one in parts], is_stopped)
        for index, path in enumerate(made.files):
            name_us = max(name_us + 1, made.first_ns // 1000)
            final = parent / f"{name}-{time_in_name(name_us)}-{run}.parquet"
            # A recovery that was killed may have given the name of the unfinished file to the first rows already.
            is_first = bool(parts) and not index and not parts[0].final_path.exists()
            _publish(path, parts[0].final_path if is_first else final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for part in parts:
        part.path.unlink()
    if not made.rows and not parts:
        return ""
    problems = "".join(f"; {problem}" for problem in made.problems)
    return f"rebuilt {made.rows:,} rows of the table {name} of a run that was killed, from its capture{problems}"


class _Rebuilt(NamedTuple):
    rows: int
    files: list[Path]
    first_ns: int
    problems: list[str]


def _rebuild(
    name: str,
    folder: Path,
    captures: Sequence[RunFile],
    files: Sequence[RunFile],
    last: Span,
    parts: Sequence[Path],
    is_stopped: Callable[[], bool],
) -> _Rebuilt:
    """Write the rows after a span to a folder."""
    run = captures[0].run
    mode = (parts[0] if parts else captures[0].path).stat().st_mode & 0o777
    writer = open_writer(
        name,
        folder,
        CaptureWalk(captures[0].path),
        run=run,
        roll_interval_s=_NEVER_S,
        roll_rows=MOST_ROWS,
        file_mode=mode,
    )
    events = [one.path for one in files if one.kind == "events" and one.run == run]
    rows = captured_rows(events)
    # Spans count the frames of the stream, of which the captures may lack some.
    end_frame = rows.captured(last.end.frame)
    stream = RunStream([one.path for one in captures], recorded_events(events, rows), cuts=[end_frame])
    first_ns = 0
    with writer:
        observe = getattr(writer, "observe_event", None)
        for frame, item in stream:
            if is_stopped():
                raise StoppedError
            if not isinstance(item, Batch):
                if observe is not None:
                    observe(item)
            elif frame < end_frame:
                writer.skip(item)
            else:
                if not first_ns:
                    # Where the capture misses the frame at the end of the span, no item of another batch is skipped.
                    row = rows.streamed(frame)
                    end = last.end if row == last.end.frame else Place(row, 0)
                    writer.continue_after(last._replace(end=end))
                    first_ns = item.received_ns[0]
                writer.write(item)
    problems = []
    if stream.first_frame:
        problems.append("the first captures of the run are not there, so values from before may be null")
    if stream.missing or stream.damaged:
        problems.append("a part of the capture is missing or damaged, and its rows are too")
    if rows.dropped:
        problems.append("the captures have dropped frames, and the rows of these are missing")
    if name == "orders":
        problems.append("the lists of all orders are not in a capture, so their rows are missing")
    return _Rebuilt(writer.counts.written, writer.files, first_ns, problems)


def _is_complete(path: Path) -> bool:
    try:
        import_arrow("pyarrow.parquet").read_metadata(path)
    except (OSError, ValueError):
        return False
    return True


def _publish(path: Path, final: Path) -> None:
    """Give a complete file its name. If it has it already, only the other name is removed."""
    try:
        publish(path, final)
    except FileExistsError:
        if not path.samefile(final):
            raise
        path.unlink()
