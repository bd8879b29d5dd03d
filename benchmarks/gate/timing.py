"""CPU time over a real socket, beside picows alone and picows with orjson: what counting instructions does not see.

Ratios within one run of interleaved processes, medians, and wide limits: a busy machine slows all of them. What is
beyond a limit is measured again, twice, before it counts; a real regression is there every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

RUNS: Final = 5
ATTEMPTS: Final = 3
#: Of the frames that a contender gets in the report.
SCALE: Final = 0.4


@dataclass(frozen=True)
class CpuBound:
    """A contender's CPU time may be at most `limit` times that of the other."""

    contender: str
    reference: str
    limit: float


#: Nearly twice what a machine gave that had three times as much to do as it has cores: neighbours that take the cache
#: away cost the one more than the other.
BOUNDS: Final = (
    CpuBound("cpapi_sink", "picows_floor", 2.0),
    CpuBound("cpapi_on_batch", "picows_floor", 2.5),
    CpuBound("cpapi_on_frame", "picows_floor", 4.5),
    CpuBound("cpapi_on_batch", "picows_orjson", 0.12),
    CpuBound("cpapi_on_frame", "picows_orjson", 0.2),
)

#: CPU time per frame of each contender, run by run.
Times = dict[str, list[float]]


def measure(contenders: Iterable[str]) -> Times:
    """Run the contenders one after the other, `RUNS` times over."""
    # Not needed to judge times.
    from benchmarks.registry import PYTHON, select
    from benchmarks.run import Cell, interleaved

    pairs = [(contender, Cell("smd151", contender.jobs[0])) for contender in select(PYTHON, contenders)]
    samples = interleaved(pairs, RUNS, scale=SCALE)
    return {name: [sample.cpu_ns_per_frame for sample in runs] for (name, _), runs in samples.items()}


def failures(bounds: Iterable[CpuBound] = BOUNDS, measured: Callable[[Iterable[str]], Times] = measure) -> list[str]:
    """One line for each bound that is broken in every attempt."""
    left = list(bounds)
    lines: list[str] = []
    for attempt in range(ATTEMPTS):
        times = measured(dict.fromkeys(name for bound in left for name in (bound.contender, bound.reference)))
        broken, lines = [], []
        for bound in left:
            pairs = zip(times[bound.contender], times[bound.reference], strict=True)
            ratio = median(own / other for own, other in pairs)
            text = (
                f"{bound.contender} takes {ratio:.2f} times the CPU of {bound.reference}; the limit is {bound.limit:g}"
            )
            print(f"    {text}{'' if ratio <= bound.limit else f' (attempt {attempt + 1} of {ATTEMPTS})'}")
            if ratio > bound.limit:
                broken.append(bound)
                lines.append(text)
        left = broken
        if not left:
            break
    return lines
