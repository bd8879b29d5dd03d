"""A slow report: counts frame by frame and second by second in Python, with none of the code of `cpapi_fast.report`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cpapi_fast.outputs.capture import read_capture


def frames_of(folder: Path) -> list[tuple[str, int, int, int]]:
    """Run, receive time, kind and conid of each frame of all captures."""
    found = []
    for path in sorted(folder.rglob("*.arrows")):
        run = path.stem.rsplit("-", 1)[1]
        table = read_capture(path).read_all()
        columns = (table[name].to_pylist() for name in ("received_ns", "kind", "conid"))
        found += [(run, *row) for row in zip(*columns, strict=True)]
    return found


def events_of(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Run and event of each line."""
    return [
        (path.stem.rsplit("-", 1)[1], json.loads(line))
        for path in sorted(folder.rglob("events-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def binned(frames: Iterable[tuple[str, int, int, int]], width_ns: int) -> Counter[tuple[int, int]]:
    """The number of frames by conid and start of the bin."""
    return Counter((conid, received // width_ns * width_ns) for _, received, _, conid in frames)


def lateness(folder: Path) -> list[int]:
    """Receive time less event time of each row of `ticks`, in ns."""
    found = []
    for path in sorted(folder.rglob("ticks-*.parquet")):
        table = pq.read_table(path)
        received, updated = (table[name].cast(pa.int64()).to_pylist() for name in ("received", "updated"))
        pairs = zip(received, updated, strict=True)
        found += [first - second * 1_000_000 for first, second in pairs if second is not None]
    return found


def missing_steps(folder: Path, conid: int, spans: dict[str, tuple[int, int]], step_ns: int) -> tuple[int, int]:
    """How many steps from the first to the last run have no data of an instrument, and how many there are.

    Args:
        folder: the folder.
        conid: the instrument.
        spans: the start and the end of each run.
        step_ns: the length of a step, at whose middle it is looked at.
    """
    gaps: list[tuple[str, int, int]] = []
    for run, event in events_of(folder):
        if event["type"] == "gap" and event["subscription"] in (None, f"smd+{conid}"):
            end = event["first_good_ns"]
            gaps.append((run, event["last_good_ns"], spans[run][1] if end is None else end))
    first, last = min(start for start, _ in spans.values()), max(end for _, end in spans.values())
    steps = range(first + step_ns // 2, last, step_ns)
    missing = 0
    for time_ns in steps:
        covering = [
            run
            for run, (start, end) in spans.items()
            if start <= time_ns < end and not any(own == run and low <= time_ns < high for own, low, high in gaps)
        ]
        missing += not covering
    return missing, len(steps)
