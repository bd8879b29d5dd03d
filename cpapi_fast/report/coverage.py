"""Coverage: which parts of the time each instrument has data for, over all runs. Pure functions"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from .intervals import Interval, union, without
from .model import GapEntry, InstrumentEntry, RunEntry


def holes_between(runs: Iterable[RunEntry]) -> list[Interval]:
    """Return the time between the first and the last run in which no run collected anything."""
    spans = union((run.start_ns, run.end_ns) for run in runs)
    return [(before[1], after[0]) for before, after in pairwise(spans)]


def instruments_of(
    runs: Sequence[RunEntry],
    conids: Mapping[str, Iterable[int]],
    gaps: Sequence[GapEntry],
    counted: Mapping[int, tuple[int, int, int]],
    symbols: Mapping[int, str],
) -> list[InstrumentEntry]:
    """Return the instruments of all runs, in order of their conids.

    A run covers an instrument from its start to its end, without its gaps. An instrument without frames in a quiet
    market is covered: nothing is missing.

    Args:
        runs: the runs.
        conids: the instruments of each run, by its digits.
        gaps: the gaps of all runs.
        counted: the number of frames, the first and the last time of each instrument.
        symbols: the symbols.
    """
    in_all: dict[str, list[GapEntry]] = {}
    in_one: dict[tuple[str, int], list[GapEntry]] = {}
    for gap in gaps:
        if gap.topic is None:
            in_all.setdefault(gap.run, []).append(gap)
        elif gap.conid is not None:
            in_one.setdefault((gap.run, gap.conid), []).append(gap)
    by_conid: dict[int, list[RunEntry]] = {}
    for run in runs:
        for conid in conids[run.run]:
            by_conid.setdefault(conid, []).append(run)
    found = []
    for conid, own_runs in sorted(by_conid.items()):
        covered: list[Interval] = []
        number = dropped = 0
        for run in own_runs:
            own = in_one.get((run.run, conid), [])
            both = [*in_all.get(run.run, []), *own]
            number += len(both)
            dropped += sum(gap.frames_dropped or 0 for gap in own)
            covered += without([(run.start_ns, run.end_ns)], [(gap.start_ns, gap.end_ns) for gap in both])
        span = (min(run.start_ns for run in own_runs), max(run.end_ns for run in own_runs))
        frames, first_ns, last_ns = counted.get(conid, (0, None, None))
        found.append(
            InstrumentEntry(
                conid,
                symbols.get(conid, ""),
                frames,
                first_ns,
                last_ns,
                span,
                tuple(without([span], covered)),
                number,
                dropped,
            )
        )
    return found
