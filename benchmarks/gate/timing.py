"""Compares CPU time on a real socket with picows alone and with picows and orjson.

This covers system calls and caches, which the count of instructions does not. Times vary, so the limits are wide, runs
are interleaved, and an exceeded limit is measured up to two more times. A real regression exceeds it every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Final

from benchmarks.tables import show

from .measure import Counts
from .verdict import Bound, bound_failures, table_of_bounds

RUNS: Final = 5
ATTEMPTS: Final = 3
#: The share of the frames that a contender gets in the report.
SCALE: Final = 0.4
WHY: Final = "CPU time over a real socket"
#: The limits are nearly twice the results on a machine with a load of three times its number of cores.
BOUNDS: Final = (
    Bound("cpapi_sink", "picows_floor", 2.0, WHY),
    Bound("cpapi_on_batch", "picows_floor", 2.5, WHY),
    Bound("cpapi_on_frame", "picows_floor", 4.5, WHY),
    Bound("cpapi_on_batch", "picows_orjson", 0.12, WHY),
    Bound("cpapi_on_frame", "picows_orjson", 0.2, WHY),
)


def measure(names: Iterable[str]) -> Counts:
    """Return the CPU time in ns per frame of each contender: the median of `RUNS` interleaved runs."""
    # Imported here, because comparing times does not need them.
    from benchmarks.registry import PYTHON, select
    from benchmarks.run import Cell, interleaved

    pairs = [(contender, Cell("smd151", contender.jobs[0])) for contender in select(PYTHON, names)]
    samples = interleaved(pairs, RUNS, scale=SCALE)
    times = {name: median(sample.cpu_ns_per_frame for sample in runs) for (name, _), runs in samples.items()}
    return Counts(times, times)


def failures(bounds: tuple[Bound, ...] = BOUNDS, measured: Callable[[Iterable[str]], Counts] = measure) -> list[str]:
    """Return one line for each bound that is exceeded in every attempt."""
    lines: list[str] = []
    for _ in range(ATTEMPTS):
        times = measured(dict.fromkeys(name for bound in bounds for name in (bound.path, bound.reference)))
        show(table_of_bounds("CPU time over a real socket", times, bounds))
        bounds = tuple(bound for bound in bounds if bound.ratio(times) > bound.limit)
        lines = bound_failures(times, bounds)
        if not bounds:
            break
    return lines
