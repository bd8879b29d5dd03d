"""Compares instructions per frame with a baseline, picows and orjson, and fails with the paths that became slower.

Usage: python -m benchmarks.gate [selftest]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.tables import show

from . import accepted, baseline, selftest, timing, verdict
from .measure import Counts, GateError
from .trees import Copy, counts_of_copies, is_measurable, prune, work_tree

ROOT: Final = Path(__file__).resolve().parents[2]


def measured() -> tuple[Counts | None, Counts, dict[str, float]]:
    """Return the counts of the baseline (None without a baseline) and of the work tree, and the accepted ratios."""
    now = Copy(ROOT, work_tree(ROOT))
    chosen = baseline.choose(ROOT, os.environ)
    print(f"baseline: {chosen.commit and chosen.commit[:12]}, {chosen.why}", flush=True)
    if chosen.commit is None or not is_measurable(ROOT, chosen.commit):
        print("    the baseline has no gate to measure it; only the bounds below apply")
        return None, counts_of_copies([now])[now], {}
    before = Copy(ROOT, chosen.commit)
    counts = counts_of_copies([before, now])
    return counts[before], counts[now], accepted.limits(ROOT, chosen.commit)


def gate() -> list[str]:
    """Print all counts, and return one line for each failure."""
    before, now, limits = measured()
    changes = verdict.compare({} if before is None else before.paths, now.paths, limits)
    show(verdict.table_of(changes))
    show(verdict.table_of_bounds("instructions", now))
    return [*map(str, verdict.failures(changes)), *verdict.bound_failures(now), *timing.failures()]


def main() -> None:
    start = time.monotonic()
    verb = sys.argv[1] if len(sys.argv) > 1 else "gate"
    try:
        failed = selftest.run(ROOT) if verb == "selftest" else gate()
        prune(ROOT)
    except GateError as error:
        sys.exit(f"the gate has no result: {error}")
    for line in failed:
        print(f"FAILED {line}")
    print(f"{verb}: {'failed' if failed else 'passed'} in {time.monotonic() - start:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
