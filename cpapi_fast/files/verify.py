"""verify: proves counts, order and completeness of the files of runs, and names what is missing or damaged"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.outputs.tables.span import Place
from cpapi_fast.protocol.kinds import FrameKind

from .captured_rows import CapturedRows
from .earlier_files import is_in_use
from .run_files import RunFile, run_file, run_files
from .verify_captures import CheckedCapture, check_capture
from .verify_tables import CheckedFile, check_events, check_table

#: The tables whose items are market data frames, so that a capture shows how many there are.
_MARKET_DATA: Final = frozenset({"ticks", "quotes"})


@dataclass(frozen=True)
class FileResult:
    """The result of one file.

    Attributes:
        path: the file.
        unit: what it has: `frames`, `rows` or `events`.
        count: how many of them can be read.
        payload_bytes: how many bytes the frames of a capture have; 0 for other files.
        is_in_use: whether a run still writes it. Then it is not checked.
        problems: what is wrong; empty if all that can be proven is proven.
        notes: what is not wrong, and worth knowing: what cannot be proven, say.
    """

    path: Path
    unit: str
    count: int = 0
    payload_bytes: int = 0
    is_in_use: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """The result of `verify`.

    Attributes:
        files: the result of each file.
        problems: what is wrong between files: missing files and frames, and counts that differ.
        notes: what is worth knowing about several files.
    """

    files: tuple[FileResult, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether there is no problem."""
        return not self.problems and not any(one.problems for one in self.files)


@dataclass
class _Run:
    """What was read of one run."""

    name: str
    captures: list[tuple[Path, CheckedCapture]] = field(default_factory=list)
    tables: dict[str, list[tuple[Path, CheckedFile]]] = field(default_factory=dict)
    events: list[tuple[Path, CheckedFile]] = field(default_factory=list)
    is_in_use: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(paths: Iterable[Path]) -> Verification:
    """Read files completely, and prove what they show.

    Of a capture: every message is whole and has its checksum, offsets are within their bytes, and receive times are in
    order. Of a table: its checksum, its rows and every value. Of events: every line. Of a folder also, for each run: no
    file and no frame is missing between the first and the last one, the events are at frames that exist, and the items
    of each table of market data are as many as the captures have.

    Args:
        paths: files, or folders with the files of runs.

    Raises:
        ConfigError: a path does not exist, or is no file of a run.
        MissingDependencyError: pyarrow is not installed.
    """
    import_arrow("pyarrow")
    results: list[FileResult] = []
    problems: list[str] = []
    notes: list[str] = []
    for path in paths:
        if path.is_dir():
            try:
                files = run_files(path)
            except OSError as exc:
                raise ConfigError(f"cannot read {path}: {exc.strerror or exc}") from exc
            runs: dict[str, _Run] = {one.run: _Run(one.run) for one in files}
            # Before anything is read: a run goes on writing in the meantime.
            for one in files:
                runs[one.run].is_in_use |= is_in_use(one.path)
            results += [_check_file(one, runs[one.run]) for one in files]
            for run in runs.values():
                _check_run(run)
                problems += run.problems
                notes += run.notes
        else:
            results.append(_check_file(_named(path), _Run("")))
    return Verification(tuple(results), tuple(problems), tuple(notes))


def _named(path: Path) -> RunFile:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; give files of a run, or their folder")
    found = run_file(path)
    if found is not None:
        return found
    kinds = {".arrows": "capture", ".jsonl": "events", ".parquet": "table"}
    if path.suffix not in kinds:
        raise ConfigError(f"{path} is no file of a run; give a capture, a table, an events file, or their folder")
    return RunFile(path, kinds[path.suffix], "", "", is_part=False)


def _check_file(found: RunFile, run: _Run) -> FileResult:
    path = found.path
    unit = {"capture": "frames", "events": "events"}.get(found.kind, "rows")
    # A run that writes gives its unfinished files their names when they are complete.
    if is_in_use(path) or (run.is_in_use and not path.exists()):
        run.is_in_use = True
        return FileResult(path, unit, is_in_use=True)
    if found.is_part:
        problem = "it is unfinished: its run was killed; the next run in this folder finishes it"
        return FileResult(path, unit, problems=(problem,))
    if found.kind == "capture":
        capture = check_capture(path)
        run.captures.append((path, capture))
        return FileResult(path, unit, capture.frames, capture.payload_bytes, False, capture.problems, capture.notes)
    if found.kind == "events":
        checked = check_events(path)
        run.events.append((path, checked))
    else:
        checked = check_table(path)
        run.tables.setdefault(found.kind, []).append((path, checked))
    return FileResult(path, unit, checked.items, 0, False, checked.problems, checked.notes)


def _check_run(run: _Run) -> None:
    """Compare the files of one run with each other."""
    is_complete = _check_captures(run)
    total = sum(one.frames for _, one in run.captures)
    rows = CapturedRows()
    for _, events in run.events:
        for dropped in events.dropped:
            rows.add(dropped)
    lacking = frozenset().union(*(events.lacking for _, events in run.events))
    if is_complete and not run.is_in_use:
        for path, events in run.events:
            beyond = sum(rows.captured(row) > total for row in events.rows)
            if beyond:
                run.notes.append(
                    f"{path}: {beyond:,} events are after the last frame of the captures, because the run was killed "
                    "before it wrote the frames in between"
                )
    for name, tables in run.tables.items():
        has_drops = bool({name, "capture"} & lacking)
        _check_spans(run, tables, has_drops=has_drops)
        if name in _MARKET_DATA and is_complete:
            if has_drops:
                run.notes.append(
                    f"the frames of the table {name} of the run {run.name} are not compared with its captures: its "
                    "events say that one of them does not have some"
                )
            else:
                _check_items(run, tables)


def _check_captures(run: _Run) -> bool:
    """Find missing captures and frames. Returns whether all frames of the run can be read, from the first one on."""
    number, frame = 1, 0
    is_complete = bool(run.captures)
    for path, capture in run.captures:
        if capture.end is None or capture.file_number is None or capture.first_frame is None:
            return False
        if capture.file_number > number:
            missing = capture.file_number - number
            run.problems.append(f"{missing:,} captures of the run {run.name} are missing before {path}")
        if capture.first_frame != frame:
            is_complete = False
            if capture.first_frame > frame and capture.file_number == number:
                run.problems.append(
                    f"{capture.first_frame - frame:,} frames of the run {run.name} are missing before {path}"
                )
        is_complete &= not capture.has_damage
        number, frame = capture.file_number + 1, capture.first_frame + capture.frames
    return is_complete


def _check_spans(run: _Run, tables: Sequence[tuple[Path, CheckedFile]], *, has_drops: bool) -> None:
    """Find missing files of a table. Where frames were dropped, a table that was made again may lack their rows."""
    spans = [(path, one) for path, one in tables if one.span is not None]
    expected, place = 1, Place(0, 0)
    for path, one in spans:
        span = one.span
        if span is None:
            continue
        if span.file_number != expected:
            missing = span.file_number - expected
            run.problems.append(f"{missing:,} files of the run {run.name} are missing before {path}")
        elif span.start != place:
            found = run.notes if has_drops else run.problems
            found.append(f"{path} does not begin where the file before it ends")
        expected, place = span.file_number + 1, span.end


def _check_items(run: _Run, tables: Sequence[tuple[Path, CheckedFile]]) -> None:
    """Compare the items of each file with the market data frames of the captures."""
    counter = _FrameCounter([kind for _, capture in run.captures for kind in capture.kinds])
    for path, one in tables:
        if one.span is None:
            continue
        start, end = (counter.before(place.frame) for place in (one.span.start, one.span.end))
        if (start is None or end is None) and run.is_in_use:
            # They are in the capture that is being written.
            continue
        if start is None or end is None:
            # After a kill, the captures may have less.
            run.problems.append(f"{path} has rows of frames that are in no capture")
            continue
        found = end + one.span.end.item - start - one.span.start.item
        if found != one.span.items:
            run.problems.append(
                f"{path} is made of {one.span.items:,} market data frames, and the captures have {found:,} there"
            )
        elif one.items > one.span.items:
            run.problems.append(f"{path} has {one.items:,} rows of {one.span.items:,} market data frames")


class _FrameCounter:
    """Counts the market data frames before a frame.

    Args:
        kinds: the kinds of all frames of a run, as `pyarrow` arrays. Ask for places in rising order.
    """

    def __init__(self, kinds: Sequence[Any]) -> None:
        self._kinds: Final = kinds
        self._compute: Final = import_arrow("pyarrow.compute")
        self._index = 0
        self._frames = 0
        self._found = 0

    def before(self, frame: int) -> int | None:
        """How many market data frames are before frame number `frame`; None if there are fewer frames."""
        if frame < self._frames:
            self._index = self._frames = self._found = 0
        while self._index < len(self._kinds) and self._frames + len(self._kinds[self._index]) <= frame:
            kinds = self._kinds[self._index]
            self._found += self._count(kinds)
            self._frames += len(kinds)
            self._index += 1
        if self._frames == frame:
            return self._found
        if self._index == len(self._kinds):
            return None
        return self._found + self._count(self._kinds[self._index].slice(0, frame - self._frames))

    def _count(self, kinds: Any) -> int:
        equal = self._compute.equal(kinds, int(FrameKind.MARKET_DATA))
        return int(self._compute.sum(equal).as_py() or 0)
