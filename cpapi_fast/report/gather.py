"""Gathers the data of a report from the files of one run or of a folder of runs"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact_accounts

from .coverage import holes_between, instruments_of
from .findings import findings_of
from .model import GapEntry, IdentityEntry, Notice, Report, RunEntry, StandstillEntry, StateSpan
from .sources.event_files import RunEvents
from .sources.found_files import TABLES, find_files
from .sources.lateness import LatenessCounts
from .sources.run_reader import FrameCounts, RunReader
from .sources.time_bins import TimeBins

#: The state of a feed in which data arrives.
_DATA: Final = "streaming"


def gather(path: str | os.PathLike[str]) -> Report:
    """Return the data of a report.

    Every file is read as far as it can be read. The cost is a pass of numpy over the receive times, kinds and conids
    of the captures, and over the times of one table. Memory grows with the number of instruments and events, not with
    that of frames.

    Args:
        path: a folder with the files of one or several runs, or one file, which stands for its run.

    Raises:
        ConfigError: there is no file of a run. The message states what to give.
        MissingDependencyError: pyarrow or numpy is not installed.
    """
    files, other_files = find_files(path)
    bins = TimeBins()
    frames, lateness = FrameCounts(bins), LatenessCounts(bins)
    readers = []
    # A dictionary, because the order of the names is the order of time.
    for name in dict.fromkeys(file.run for file in files):
        reader = RunReader(name, [file for file in files if file.run == name], frames, lateness)
        reader.read()
        readers.append(reader)
    by_run = {reader.run: reader for reader in readers}
    runs = sorted((_run_of(reader) for reader in readers), key=lambda run: (run.start_ns, run.run))
    gaps = [gap for run in runs for gap in _gaps_of(run, by_run[run.run].events)]
    symbols = {conid: symbol for reader in readers for conid, symbol in reader.symbols.items()}
    conids = {reader.run: reader.conids for reader in readers}
    instruments = instruments_of(runs, conids, gaps, frames.by_conid, symbols)
    for run in runs:
        if run.start_ns:
            bins.cover(run.start_ns, run.end_ns)
    report = Report(
        title=printable(redact_accounts(str(Path(path)))),
        runs=tuple(runs),
        files=tuple(entry for reader in readers for entry in reader.entries),
        other_files=other_files,
        instruments=tuple(instruments),
        gaps=tuple(sorted(gaps, key=lambda gap: (gap.start_ns, gap.topic or ""))),
        standstills=tuple(
            StandstillEntry(run.run, start_ns, start_ns + length_ns, reason)
            for run in runs
            for start_ns, length_ns, reason in by_run[run.run].events.standstills
        ),
        states=tuple(span for run in runs for span in _states_of(run, by_run[run.run].events)),
        notices=tuple(Notice(run.run, *notice) for run in runs for notice in by_run[run.run].events.notices),
        holes=tuple(holes_between(run for run in runs if run.start_ns)),
        start_ns=bins.start_ns,
        width_ns=bins.width_ns,
        rates=frames.dense(one.conid for one in instruments),
        lateness=lateness.result(),
        identities=tuple(one for run in runs for one in _identities_of(by_run[run.run])),
        unknown_events=sum(reader.events.unknown for reader in readers),
    )
    return report.with_findings(findings_of(report))


def _run_of(reader: RunReader) -> RunEntry:
    events = reader.events
    times = [one for one in (events.first_ns, events.last_ns) if one is not None]
    start_ns, end_ns = reader.span or ((min(times), max(times)) if times else (0, 0))
    end_ns = max(end_ns, *times, end_ns)
    last = events.states[-1] if events.states else None
    is_ended = last is not None and last[2] == "stopped"
    return RunEntry(
        run=reader.run,
        start_ns=start_ns,
        end_ns=end_ns,
        frames=reader.frames,
        by_kind=dict(reader.kinds),
        source=reader.source,
        connections=sum(state[2] == "socket_opened" for state in events.states),
        is_ended=is_ended,
        state=last[1] if last is not None else "",
    )


def _gaps_of(run: RunEntry, events: RunEvents) -> list[GapEntry]:
    found = []
    for gap in events.gaps:
        end_ns = gap["end_ns"]
        is_open = end_ns is None
        end_ns = max(run.end_ns, gap["start_ns"]) if is_open else max(end_ns, gap["start_ns"])
        found.append(GapEntry(run.run, **{**gap, "end_ns": end_ns}, is_open=is_open))
    if not run.is_ended and run.state and run.state != _DATA:
        found.append(_gap_at_end(run, events))
    return found


def _gap_at_end(run: RunEntry, events: RunEvents) -> GapEntry:
    """The gap of a run that has no data now: the feed reports it only when data returns, or at the end."""
    at = next((index for index in range(len(events.states), 0, -1) if events.states[index - 1][1] == _DATA), 0)
    time_ns, _, cause, *_ = events.states[min(at, len(events.states) - 1)]
    start_ns = max(run.start_ns, time_ns)
    return GapEntry(run.run, None, None, cause, start_ns, max(run.end_ns, start_ns), is_open=True)


def _states_of(run: RunEntry, events: RunEvents) -> list[StateSpan]:
    ends = [*(state[0] for state in events.states[1:]), run.end_ns][: len(events.states)]
    return [
        StateSpan(run.run, state, cause, time_ns, max(end_ns, time_ns), advice, detail)
        for (time_ns, state, cause, advice, detail), end_ns in zip(events.states, ends, strict=True)
    ]


def _identities_of(reader: RunReader) -> list[IdentityEntry]:
    """Compare what the events, the capture and the tables of a run have."""
    events = reader.events
    rows: dict[str, int] = {}
    for entry in reader.entries:
        rows[entry.kind] = rows.get(entry.kind, 0) + (entry.rows or 0)
    has_capture = reader.source == "capture"
    found = []
    if has_capture or "capture" in rows or events.events:
        found.append(_capture_identity(reader, rows.get("capture", 0)))
    market_data = reader.kinds.get("market_data", 0) if has_capture else None
    found += [_table_identity(reader, name, rows[name], market_data) for name in ("ticks", "quotes") if name in rows]
    found += [IdentityEntry(reader.run, name, "rows", None, rows[name]) for name in TABLES[2:] if name in rows]
    if "events" in rows:
        found.append(IdentityEntry(reader.run, "events", "events", None, rows["events"], events.lost.get("events", 0)))
    return found


def _capture_identity(reader: RunReader, in_files: int) -> IdentityEntry:
    events = reader.events
    received, lost = max(events.last_row, in_files), events.lost.get("frames", 0)
    missing = received - in_files
    note = ""
    dropped = events.dropped.get("capture", 0)
    if missing and dropped >= missing:
        note = "the capture was slower than the data or failed; the notices have each place"
    elif missing:
        note = "the events count more frames than the captures here have: lost with a file, moved, or not yet written"
    return IdentityEntry(reader.run, "capture", "frames", received, in_files, lost, note, is_loss=missing > 0)


def _table_identity(reader: RunReader, name: str, in_files: int, market_data: int | None) -> IdentityEntry:
    note, is_loss = "", False
    lost = reader.events.lost.get(name, 0)
    unread: Mapping[str, Sequence[str]] = {
        state: [entry.name for entry in reader.entries if entry.kind == name and entry.state == state]
        for state in ("unfinished", "damaged")
    }
    if market_data is not None and in_files > market_data:
        note = "the table has more rows than the captures here have market data frames: captures were moved or lost"
        market_data = None
    elif market_data is not None and in_files < market_data:
        reasons = ["the second of two equal snapshots"] if name == "quotes" else []
        reasons += ["frames that are malformed"]
        reasons += [f"{len(names):,} {state} files" for state, names in unread.items() if names]
        note = f"no row have: {', '.join(reasons)}"
        is_loss = bool(unread["damaged"]) or lost > 0
    return IdentityEntry(reader.run, name, "rows", market_data, in_files, lost, note, is_loss)
