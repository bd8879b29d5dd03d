"""Measures the time from the sender's `send` until the application has the frame, at a steady pace and in bursts.

Both sides record CLOCK_MONOTONIC, which all processes of a machine share. All frames of a burst have the time of the
one `send` that sent them, so the delay of the last frame is the time of the whole burst.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from .registry import Contender
from .run import Cell, WrongAnswerError, call, sender

PERCENTILES: Final = (50.0, 99.0, 99.9)
CORPUS: Final = "smd151"


@dataclass(frozen=True)
class Pattern:
    """A pattern of sending: `burst` frames at once, every `gap_us`. The first `warm_up` frames do not count."""

    name: str
    frames: int
    burst: int
    gap_us: int
    warm_up: int


def patterns(contender: Contender, scale: float = 1.0) -> tuple[Pattern, ...]:
    """Return the two patterns. A slow client gets enough time to finish a burst before the next one."""
    steady, bursts = round(3_000 * scale), round(20 * scale)
    # A timed run of `frames` takes about half a second, so this is three times what a burst takes.
    gap_us = max(10_000, round(3 * 1_000 * 500_000 / contender.frames))
    return (
        Pattern("1 frame every 400 us", steady, 1, 400, steady // 20),
        Pattern("bursts of 1,000", 1_000 * bursts, 1_000, gap_us, 1_000),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the sorted values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def summary(sent: Sequence[int], seen: Sequence[int], warm_up: int) -> dict[str, float]:
    """Return the percentiles of `seen - sent` in ns, as `p50`, `p99` and `p99.9`.

    Raises:
        WrongAnswerError: a frame has no stamp, or a stamp before it was sent.
    """
    if len(sent) != len(seen):
        raise WrongAnswerError(f"{len(seen)} of {len(sent)} frames were stamped")
    delays = sorted(there - here for here, there in zip(sent[warm_up:], seen[warm_up:], strict=True))
    if delays[0] < 0:
        raise WrongAnswerError("a frame was stamped before it was sent")
    return {f"p{percent:g}": float(percentile(delays, percent)) for percent in PERCENTILES}


def measure(contender: Contender, pattern: Pattern) -> dict[str, float]:
    """Run one pattern once, and return its percentiles."""
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as folder:
        sent_path, seen_path = Path(folder, "sent"), Path(folder, "seen")
        frames = ["--frames", str(pattern.frames)]
        pace = ["--burst", str(pattern.burst), "--gap-us", str(pattern.gap_us), "--stamps", str(sent_path)]
        with sender(Cell(CORPUS, "latency"), *frames, *pace) as (address, process):
            call(contender, [*address, "--job", "latency", *frames, "--stamps", str(seen_path)])
            process.wait()
        return summary(_stamps(sent_path), _stamps(seen_path), pattern.warm_up)


def _stamps(path: Path) -> array[int]:
    return array("q", path.read_bytes())


def run(contenders: Iterable[Contender], runs: int, *, scale: float = 1.0) -> list[dict[str, Any]]:
    """Return one row for each contender and pattern, with the percentiles of every run; runs are interleaved."""
    pairs = [
        (contender, pattern)
        for contender in contenders
        if "latency" in contender.jobs
        for pattern in patterns(contender, scale)
    ]
    rows: list[dict[str, Any]] = [
        {
            "contender": contender.name,
            "label": contender.label,
            "group": contender.group,
            "pattern": pattern.name,
            **{f"p{percent:g}_ns": [] for percent in PERCENTILES},
        }
        for contender, pattern in pairs
    ]
    for _ in range(runs):
        for row, (contender, pattern) in zip(rows, pairs, strict=True):
            for name, delay_ns in measure(contender, pattern).items():
                row[f"{name}_ns"].append(delay_ns)
    return sorted(rows, key=lambda row: (row["pattern"], median(row["p50_ns"])))
