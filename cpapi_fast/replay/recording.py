"""Recording: the runs in a capture or a folder of captures, and their frames and events in order"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import Backfill, FeedEvent, Gap, Standstill, StateChange
from cpapi_fast.frames.recorded_reads import RecordedReads
from cpapi_fast.outputs.capture import CAPTURE_SUFFIX
from cpapi_fast.outputs.interface import PART_SUFFIX

from .capture_file import CaptureFile, Message
from .recorded_events import RecordedEvent, read_events

#: The time and the run in the names of the files of `collect`.
_NAME: Final = re.compile(r"-(\d{8}T\d{6}(?:\.\d+)?Z)(?:-([0-9a-f]{6}))?\.")
_EVENTS: Final = "events"
#: The start of the name of a folder with the files of one day.
_DAY: Final = "date="


class Run(NamedTuple):
    """The files of one run.

    Attributes:
        name: the six digits that its files have in common; empty if their names have none.
        earlier: captures of the run that are not replayed; the events count their frames.
        captures: the captures to replay, oldest first.
        events: its events files, oldest first.
    """

    name: str
    earlier: Sequence[Path]
    captures: Sequence[Path]
    events: Sequence[Path]


class Piece(NamedTuple):
    """The frames of one message, with the events between them.

    Attributes:
        reads: the frames; None for events behind the last frame of a run.
        stop: the index of the frame to stop before.
        events: events, each with the index of the frame that it precedes.
        run: the run.
        is_start: whether it is the first piece of its run.
        before: for the first piece, the events of the run that are not replayed, because they are before the start.
    """

    reads: RecordedReads | None
    stop: int
    events: Sequence[tuple[int, FeedEvent]]
    run: Run
    is_start: bool
    before: Sequence[FeedEvent]


def find_runs(path: Path, run: str | None = None) -> list[Run]:
    """Return the runs in a file or a folder, oldest first.

    Args:
        path: a capture, or a folder with captures, also in its folders of days (`date=2026-01-02`).
        run: only the run with these six digits; None for all.

    Raises:
        ConfigError: there is no capture, or runs overlap in time.
    """
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path.
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not is_there:
        raise ConfigError(f"there is no file or folder {path}")
    if is_folder:
        return _runs_in(path, run)
    name = _run_of(path)
    if run not in (None, name):
        raise ConfigError(f"{path} is not a file of the run {run}")
    if not name:
        # Nothing says which other files belong to it.
        return [Run(name, (), [path], ())]
    folder = path.parent.parent if path.parent.name.startswith(_DAY) else path.parent
    captures = [other for other in _captures_in(folder) if _run_of(other) == name]
    earlier = [other for other in captures if _order(other) < _order(path)]
    return [Run(name, earlier, [path], _events_in(folder, name))]


def _runs_in(folder: Path, run: str | None) -> list[Run]:
    by_run: dict[str, list[Path]] = {}
    for capture in _captures_in(folder):
        by_run.setdefault(_run_of(capture), []).append(capture)
    if not by_run:
        raise ConfigError(f"there is no capture in {folder}: no file whose name ends in {CAPTURE_SUFFIX}")
    if run is not None and run not in by_run:
        raise ConfigError(f"there is no capture of the run {run} in {folder}, but of {', '.join(sorted(by_run))}")
    runs = [
        Run(name, (), captures, _events_in(folder, name)) for name, captures in by_run.items() if run in (None, name)
    ]
    runs.sort(key=lambda found: _order(found.captures[0]))
    for one, other in pairwise(runs):
        if _order(one.captures[-1]) > _order(other.captures[0]):
            raise ConfigError(
                f"the runs {one.name or one.captures[0].name} and {other.name or other.captures[0].name} in {folder} "
                f"overlap in time; give one of them, such as only_run={one.name or other.name!r}"
            )
    return runs


def _captures_in(folder: Path) -> list[Path]:
    suffixes = (CAPTURE_SUFFIX, CAPTURE_SUFFIX + PART_SUFFIX)
    return [path for path in _files_in(folder) if path.name.endswith(suffixes)]


def _events_in(folder: Path, run: str) -> list[Path]:
    return [
        path
        for path in _files_in(folder)
        if path.name.startswith(_EVENTS) and path.suffix == ".jsonl" and _run_of(path) == run
    ]


def _files_in(folder: Path) -> list[Path]:
    """The files in a folder, and in its folders of days, by time.

    Raises:
        ConfigError: the folder cannot be read.
    """
    try:
        entries = list(folder.iterdir())
        days = [path for path in entries if path.name.startswith(_DAY) and path.is_dir()]
        found = [path for path in entries if path.is_file()]
        found += [path for day in days for path in day.iterdir() if path.is_file()]
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    return sorted(found, key=_order)


def _run_of(path: Path) -> str:
    match = _NAME.search(path.name)
    return "" if match is None else match[2] or ""


def _order(path: Path) -> tuple[str, str]:
    # The suffix of a file that has a name of its own sorts before the time in the names of those after it.
    match = _NAME.search(path.name)
    return ("" if match is None else match[1], path.name)


class Recording:
    """The frames and events of runs, in order. Iterate over it once.

    Args:
        runs: the runs, oldest first.
        start_ns: leave out what is before this time, in ns since the Unix epoch; None for nothing.
        end_ns: leave out what is at this time or later; None for nothing.

    Attributes:
        torn: the captures that end in an incomplete message, with its bytes; 0 of an empty file.
        misplaced: the runs of which frames are missing, so that their last events have no place.
    """

    def __init__(self, runs: Sequence[Run], start_ns: int | None = None, end_ns: int | None = None) -> None:
        self.runs: Final = runs
        self.torn: Final[dict[Path, int]] = {}
        self.misplaced: Final[list[Run]] = []
        self._start_ns: Final = start_ns
        self._end_ns: Final = end_ns
        self._has_started = start_ns is None
        self._has_ended = False
        self._is_single: Final = sum(len(run.captures) for run in runs) == 1

    def __iter__(self) -> Iterator[Piece]:
        """Iterate over the pieces. Before the start, only the sizes of messages are read, and a few of their times.

        Raises:
            ConfigError: a file cannot be read or is damaged.
        """
        for run in self.runs:
            yield from self._pieces(run)
            if self._has_ended:
                return

    def _pieces(self, run: Run) -> Iterator[Piece]:
        events = read_events(list(run.events))
        row = sum(self._frames_of(path) for path in run.earlier)
        done = 0
        is_start = True
        for path in run.captures:
            if self._is_skipped(path):
                continue
            with CaptureFile(path) as capture:
                if capture.torn_bytes:
                    self.torn[path] = capture.torn_bytes
                first = self._first_message(capture)
                row += sum(message.frames for message in capture.messages[:first])
                for message in capture.messages[first:]:
                    reads = capture.reads(message)
                    if not self._has_started and self._start_ns is not None:
                        reads.skip_to(reads.index_of(self._start_ns))
                        # Times may go back where the clock was set, so the message may have no frame after all.
                        self._has_started = reads.position < len(reads)
                        if not self._has_started:
                            row += len(reads)
                            continue
                    stop = len(reads) if self._end_ns is None else reads.index_of(self._end_ns)
                    self._has_ended = stop < len(reads)
                    before: list[FeedEvent] = []
                    if is_start:
                        while done < len(events) and events[done].row < row + reads.position:
                            before.append(events[done].event)
                            done += 1
                    placed: list[tuple[int, FeedEvent]] = []
                    while done < len(events) and self._is_in(events[done], row + stop):
                        placed.append((max(events[done].row - row, reads.position), events[done].event))
                        done += 1
                    yield Piece(reads, stop, placed, run, is_start, before)
                    is_start = False
                    row += len(reads)
                    if self._has_ended:
                        return
        rest = [recorded for recorded in events[done:] if self._is_within(recorded.event)]
        if any(recorded.row > row for recorded in rest):
            self.misplaced.append(run)
        before = [recorded.event for recorded in events[done:] if recorded not in rest] if is_start else []
        yield Piece(None, 0, [(0, recorded.event) for recorded in rest], run, is_start, before)

    def _is_in(self, recorded: RecordedEvent, row: int) -> bool:
        """Whether an event belongs to the piece before the frame `row`."""
        return recorded.row < row or (recorded.row == row and self._is_before_end(recorded.event))

    def _is_before_end(self, event: FeedEvent) -> bool:
        return self._end_ns is None or time_of(event) < self._end_ns

    def _is_within(self, event: FeedEvent) -> bool:
        return self._is_before_end(event) and (self._start_ns is None or time_of(event) >= self._start_ns)

    def _first_message(self, capture: CaptureFile) -> int:
        """The index of the first message that has frames after the start."""
        if self._has_started or self._start_ns is None or not capture.messages:
            return 0
        messages = capture.messages
        if capture.last_ns(messages[-1]) < self._start_ns:
            return len(messages)

        def last_ns(message: Message) -> int:
            return capture.last_ns(message)

        return bisect_left(messages, self._start_ns, key=last_ns)

    def _is_skipped(self, path: Path) -> bool:
        """Whether a file of several has no bytes, as a power loss can leave it."""
        if self._is_single:
            return False
        try:
            is_empty = path.stat().st_size == 0
        except OSError:
            return False
        if is_empty:
            self.torn[path] = 0
        return is_empty

    def _frames_of(self, path: Path) -> int:
        with CaptureFile(path) as capture:
            return capture.frames


def time_of(event: FeedEvent) -> int:
    """When an event took place in its stream, in ns since the Unix epoch."""
    if isinstance(event, StateChange):
        return event.time_ns
    if isinstance(event, Standstill):
        return event.start_ns + event.length_ns
    gap: Gap = event.gap if isinstance(event, Backfill) else event
    return gap.last_good_ns if gap.first_good_ns is None else gap.first_good_ns
