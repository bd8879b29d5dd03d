"""convert: makes tables from captures, through the writers that a run uses"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.outputs.interface import import_arrow, make_folder, output_error, publish
from cpapi_fast.outputs.tables.writers import ACCOUNT_WRITERS, MARKET_DATA_WRITERS

from .capture_walk import CaptureWalk
from .rebuild import open_writer
from .recorded_events import captured_rows, recorded_events
from .run_files import RunFile, captures_of, run_file, run_files
from .run_stream import RunStream

#: The tables that can be made.
CONVERTED_TABLES: Final[tuple[str, ...]] = (*MARKET_DATA_WRITERS, *ACCOUNT_WRITERS)

#: No file is finished by its age.
_NEVER_S: Final = 1e12


class ConvertedRun(NamedTuple):
    """What was made of one run.

    Attributes:
        run: the six digits of the run.
        frames: how many frames were read.
        rows: how many rows were written.
        dropped: how many items became no rows, by reason.
        files: the new files, oldest first.
        problems: what the captures do not have.
    """

    run: str
    frames: int
    rows: int
    dropped: dict[str, int]
    files: tuple[Path, ...]
    problems: tuple[str, ...]


def convert(
    paths: Iterable[Path],
    table: str,
    out: Path,
    *,
    fields: Sequence[str] | None = None,
    roll_rows: int = 1_000_000,
    file_mode: int = PRIVATE_MODE,
) -> list[ConvertedRun]:
    """Make a table from the captures of each run. It has the rows that the run would have written.

    The events of a run, which end segments, are read from the folder of its captures. The lateness of frames and the
    lists of all orders are not in a capture: `late_ns` is 0, and the rows of lists are missing. The files get their
    names when all of a run is converted.

    Args:
        paths: captures, or folders with the files of runs.
        table: the table: `quotes`, `ticks`, `orders` and so on.
        out: the folder for the new files; created if missing.
        fields: the fields with a column, by key or code; None for those that the run subscribed to.
        roll_rows: how many rows a file has at most.
        file_mode: the permissions of the files.

    Raises:
        ConfigError: a path is no capture and has none, the table is unknown, or `out` has files of this table and run.
        OutputError: a file cannot be written.
        MissingDependencyError: pyarrow is not installed.
    """
    import_arrow("pyarrow")
    if table not in CONVERTED_TABLES:
        raise ConfigError(f"the table must be one of {', '.join(CONVERTED_TABLES)}, not {table}")
    captures, events = _found(paths)
    make_folder(out)
    there = {one.run for one in run_files(out) if one.kind == table}
    doubled = sorted(there & {one.run for one in captures})
    if doubled and (out / f".convert-{table}-{doubled[0]}").exists():
        raise ConfigError(
            f"{out} has only some of the files of the table {table} of the run {doubled[0]}, because their conversion "
            "was killed or still runs; if none runs, remove them, and convert again"
        )
    if doubled:
        raise ConfigError(
            f"{out} has files of the table {table} of the run {doubled[0]} already; choose another folder, so that no "
            "row is there twice"
        )
    done = []
    for run in dict.fromkeys(one.run for one in captures):
        folder = out / f".convert-{table}-{run}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(mode=0o700)
            own = captures_of(captures, run), [one.path for one in events if one.run == run]
            found = _convert(run, table, folder, *own, fields=fields, roll_rows=roll_rows, file_mode=file_mode)
            files = tuple(out / path.name for path in found.files)
            for path, final in zip(found.files, files, strict=True):
                publish(path, final)
        except OSError as exc:
            if isinstance(exc, OutputError):
                raise
            raise output_error(exc, out) from exc
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        done.append(found._replace(files=files))
    return done


def _found(paths: Iterable[Path]) -> tuple[list[RunFile], list[RunFile]]:
    """The captures at paths, in the order of time, and the events files beside them."""
    captures: dict[Path, RunFile] = {}
    events: dict[Path, RunFile] = {}
    for path in paths:
        is_folder = path.is_dir()
        try:
            beside = run_files(path if is_folder else path.parent)
        except OSError as exc:
            raise ConfigError(f"cannot read {path}: {exc.strerror or exc}") from exc
        if is_folder:
            found = [one for one in beside if one.kind == "capture" and not one.is_part]
        else:
            one_file = run_file(path)
            found = [one_file] if one_file is not None and one_file.kind == "capture" else []
        if not found:
            raise ConfigError(f"{path} {'has no capture' if is_folder else 'is no capture of a run'}")
        captures.update((one.path, one) for one in found)
        runs = {one.run for one in found}
        events.update((one.path, one) for one in beside if one.kind == "events" and one.run in runs)
    return sorted(captures.values(), key=lambda one: (one.time, one.run)), list(events.values())


def _convert(
    run: str,
    table: str,
    folder: Path,
    captures: Sequence[RunFile],
    events: Sequence[Path],
    *,
    fields: Sequence[str] | None,
    roll_rows: int,
    file_mode: int,
) -> ConvertedRun:
    now_ns = 0

    def clock_ns() -> int:
        return now_ns

    writer = open_writer(
        table,
        folder,
        CaptureWalk(captures[0].path),
        fields=fields,
        run=run,
        roll_interval_s=_NEVER_S,
        roll_rows=roll_rows,
        file_mode=file_mode,
    )
    rows = captured_rows(events)
    stream = RunStream([one.path for one in captures], recorded_events(events, rows))
    with writer:
        writer.name_by(clock_ns)
        observe = getattr(writer, "observe_event", None)
        for _, item in stream:
            if isinstance(item, Batch):
                now_ns = item.received_ns[0]
                writer.write(item)
            elif observe is not None:
                observe(item)
    problems = []
    if stream.first_frame:
        problems.append("the first captures of the run are not there, so values from before may be null")
    if stream.missing:
        problems.append(f"{stream.missing:,} frames are in no capture")
    if stream.damaged:
        problems.append(f"{stream.damaged:,} damaged messages of the captures were left out")
    if rows.dropped:
        problems.append(f"{sum(one.frames for one in rows.dropped):,} frames were dropped before the captures got them")
    if table == "orders":
        problems.append("the lists of all orders are not in a capture, so their rows are missing")
    counts = writer.counts
    return ConvertedRun(run, stream.frames, counts.written, dict(counts.dropped), tuple(writer.files), tuple(problems))
