"""The gate: instructions per frame against a baseline, and against picows and orjson. Fails with what became slower.

Usage: python -m benchmarks.gate [selftest]
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from . import baseline, selftest, timing, trees, verdict
from .errors import GateError
from .measure import Counts

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build" / "gate"


def _counts_of_baseline(copies: trees.Trees) -> Counts | None:
    chosen = baseline.choose(ROOT, os.environ)
    if chosen.commit is None:
        print(f"baseline: none, {chosen.why}; the ratios below decide alone")
        return None
    print(f"baseline: {chosen.commit[:12]}, {chosen.why}", flush=True)
    if not trees.has_driver(ROOT, chosen.commit):
        print("    it is older than the gate and cannot be measured; the ratios below decide alone")
        return None
    return copies.add(partial(trees.copy_of_commit, ROOT, chosen.commit)).counts()


def _counts_now(copies: trees.Trees) -> Counts:
    return copies.add(partial(trees.copy_of_work_tree, ROOT)).counts()


def gate(copies: trees.Trees) -> list[str]:
    """Print every number; return what fails."""
    with ThreadPoolExecutor(2) as workers:
        waiting = workers.submit(_counts_now, copies)
        before = _counts_of_baseline(copies)
        now = waiting.result()
    if before is not None:
        changes = verdict.compare(before.paths, now.paths)
        print(f"{'instructions per frame':<24}{'baseline':>14}{'now':>14}{'change':>10}")
        failed = verdict.failures(changes)
    else:
        changes = verdict.compare({}, now.paths)
        failed = []
    for change in changes:
        print(change)
    if any(change.verdict == "faster" for change in changes):
        print(f"to hold what was gained, name this change's commit in {baseline.FILE}")
    print(f"{'beside what it is held against':<40}{'ratio':>10}{'limit':>10}")
    for bound in verdict.BOUNDS:
        print(f"{bound.path:<24}{'/ ' + bound.reference:<16}{bound.ratio(now):>10.3f}{bound.limit:>10g}")
    return [*failed, *verdict.bound_failures(now)]


def main() -> None:
    start = time.monotonic()
    verb = sys.argv[1] if len(sys.argv) > 1 else "gate"
    try:
        copies = trees.Trees(FOLDER)
        failed = selftest.run(copies, ROOT) if verb == "selftest" else [*gate(copies), *timing.failures()]
        copies.prune()
    except GateError as error:
        sys.exit(f"the gate cannot decide: {error}")
    for line in failed:
        print(f"FAILED {line}")
    print(f"{verb}: {'failed' if failed else 'passed'} in {time.monotonic() - start:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
