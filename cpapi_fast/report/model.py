"""The data of a report: plain values, which the page shows and tests compare"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .intervals import Interval

#: How far a file can be read. `finished`: its writer closed it. `unfinished`: it is still being written, or its writer
#: was killed. `damaged`: a part of it, or all of it, cannot be read.
FileState = Literal["finished", "unfinished", "damaged"]

#: What a finding means for the data: it is complete, something should be looked at, or data is missing.
Level = Literal["good", "check", "missing"]


@dataclass(frozen=True)
class FileEntry:
    """One file of a run.

    Attributes:
        name: its path below the folder of the report.
        kind: `capture`, `events`, or the name of a table.
        run: the digits of the run in its name; empty without them.
        size_bytes: its size.
        rows: how many frames, rows or events can be read; None if that is unknown.
        first_ns: the first receive time or time of an event in it, in ns since the Unix epoch; None without one.
        last_ns: the last one.
        state: how far it can be read.
        note: what cannot be read, and where the data is; empty if all can be read.
    """

    name: str
    kind: str
    run: str
    size_bytes: int
    rows: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    state: FileState = "finished"
    note: str = ""


@dataclass(frozen=True)
class GapEntry:
    """A gap in the data, as the events have it.

    Attributes:
        run: the digits of its run.
        topic: the topic without accounts (`smd+265598`); None for all topics.
        conid: the instrument; None for all, and for other topics.
        cause: the cause, as in the events.
        start_ns: when it begins, in ns since the Unix epoch.
        end_ns: when it ends; if no frame arrived afterwards, the end of the run.
        is_open: whether no frame arrived afterwards.
        frames_dropped: how many frames are missing; None if that is unknown.
        is_certain: whether frames are missing for certain.
    """

    run: str
    topic: str | None
    conid: int | None
    cause: str
    start_ns: int
    end_ns: int
    is_open: bool = False
    frames_dropped: int | None = None
    is_certain: bool = False


@dataclass(frozen=True)
class StandstillEntry:
    """A period in which nothing was received, as the events have it. Times in ns since the Unix epoch."""

    run: str
    start_ns: int
    end_ns: int
    reason: str


@dataclass(frozen=True)
class StateSpan:
    """A state of the feed of one run, from a change to the next one. Times in ns since the Unix epoch.

    Attributes:
        run: the digits of the run.
        state: the state.
        cause: the cause of the change to it.
        start_ns: when it begins.
        end_ns: when it ends.
        advice: what the user should do.
        detail: the error, if there was one; without secrets.
    """

    run: str
    state: str
    cause: str
    start_ns: int
    end_ns: int
    advice: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Notice:
    """An event about the files: a slow disk, or a file that another program deleted, moved or changed."""

    run: str
    time_ns: int
    text: str
    is_loss: bool = False


@dataclass(frozen=True)
class RunEntry:
    """One run.

    Attributes:
        run: the digits in the names of its files; empty without them.
        start_ns: its first frame; without frames its first event. In ns since the Unix epoch.
        end_ns: its last frame or the event of its end.
        frames: how many frames its files have.
        by_kind: the number of frames by kind; empty if they are counted in a table.
        source: where its frames are counted: `capture`, `ticks`, `quotes`; empty without any.
        connections: how many sockets were opened.
        is_ended: whether the events have its end.
        state: its last state; empty without events.
    """

    run: str
    start_ns: int
    end_ns: int
    frames: int
    by_kind: Mapping[str, int]
    source: str
    connections: int
    is_ended: bool
    state: str = ""

    @property
    def restarts(self) -> int:
        """How many connections followed the first one."""
        return max(0, self.connections - 1)


@dataclass(frozen=True)
class InstrumentEntry:
    """One instrument over all runs. Times in ns since the Unix epoch.

    Attributes:
        conid: its contract id.
        symbol: its symbol; empty if the files have none.
        frames: how many frames the files have.
        first_ns: its first frame; None without one.
        last_ns: its last frame.
        span: from the start of the first run with it to the end of the last one.
        missing: the parts of `span` that no run covers: gaps, and the time between runs.
        gaps: how many gaps it has.
        frames_dropped: how many of its frames were dropped, as far as it is known for this instrument alone.
    """

    conid: int
    symbol: str
    frames: int
    first_ns: int | None
    last_ns: int | None
    span: Interval
    missing: tuple[Interval, ...]
    gaps: int
    frames_dropped: int = 0

    @property
    def missing_ns(self) -> int:
        """How long it is not covered, in ns."""
        return sum(end - start for start, end in self.missing)

    @property
    def coverage(self) -> float:
        """The covered part of its span, from 0 to 1."""
        length = self.span[1] - self.span[0]
        return 1.0 if length <= 0 else 1.0 - self.missing_ns / length


@dataclass(frozen=True)
class IdentityEntry:
    """Where the items of one output of one run are, as far as the files say.

    received = in_files + missing. `received` is None if nothing tells how many there were.

    Attributes:
        run: the digits of the run.
        output: `capture`, `events`, or the name of a table.
        unit: `frames`, `rows`, `events`.
        received: how many it got.
        in_files: how many can be read.
        lost: how many of the missing were lost with a file, as the events say.
        note: what the missing ones may be; empty if there are none.
        is_loss: whether missing items are a loss, and not a rule of the table.
    """

    run: str
    output: str
    unit: str
    received: int | None
    in_files: int
    lost: int = 0
    note: str = ""
    is_loss: bool = False

    @property
    def missing(self) -> int | None:
        """How many are in no file; None if that is unknown."""
        return None if self.received is None else self.received - self.in_files


@dataclass(frozen=True)
class Lateness:
    """Receive time less event time of market data, from a table with both columns.

    Attributes:
        edges_ns: the edges of the buckets, in ns, rising. Bucket 0 is below the first edge, the last one from the last
            edge on.
        counts: the number of rows by bucket.
        over_time: the number of rows by bucket and time bin: an array of int64.
        late_rows: how many rows the collector counted as late.
        max_late_ns: by how much at most, in ns.
        without_time: how many rows have no event time.
    """

    edges_ns: Sequence[int]
    counts: Sequence[int]
    over_time: Any = field(repr=False)
    late_rows: int = 0
    max_late_ns: int = 0
    without_time: int = 0


@dataclass(frozen=True)
class Finding:
    """One sentence about the data, for the top of the page."""

    level: Level
    text: str


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Attributes:
        title: the folder or the file of the report, without accounts.
        runs: the runs in order of their start.
        files: the files in order of their names.
        other_files: how many files in the folder are not of `collect`.
        instruments: the instruments in order of their conids.
        gaps: the gaps in order of their start.
        standstills: the standstills in order of their start.
        states: the states of the feed, by run and time.
        notices: slow disk, lost files.
        holes: the time between runs in which nothing was collected.
        start_ns: the start of the first time bin, in ns since the Unix epoch.
        width_ns: the width of a time bin, in ns.
        rates: the number of frames by instrument and time bin: an array of int64; the last row is that of all frames
            that belong to no instrument.
        lateness: receive time less event time; None if no table has both.
        identities: where the items of each output are.
        findings: what a person reads first, the most important first.
        unknown_events: how many events have a type that this version does not know.
    """

    title: str
    runs: tuple[RunEntry, ...]
    files: tuple[FileEntry, ...]
    other_files: int
    instruments: tuple[InstrumentEntry, ...]
    gaps: tuple[GapEntry, ...]
    standstills: tuple[StandstillEntry, ...]
    states: tuple[StateSpan, ...]
    notices: tuple[Notice, ...]
    holes: tuple[Interval, ...]
    start_ns: int
    width_ns: int
    rates: Any = field(repr=False)
    lateness: Lateness | None = None
    identities: tuple[IdentityEntry, ...] = ()
    findings: tuple[Finding, ...] = ()
    unknown_events: int = 0

    @property
    def frames(self) -> int:
        """How many frames the files have."""
        return sum(run.frames for run in self.runs)

    @property
    def span(self) -> Interval:
        """From the start of the first run to the end of the last one, in ns since the Unix epoch."""
        return min(run.start_ns for run in self.runs), max(run.end_ns for run in self.runs)

    def with_findings(self, findings: tuple[Finding, ...]) -> Report:
        """Return the report with these findings."""
        return replace(self, findings=findings)
