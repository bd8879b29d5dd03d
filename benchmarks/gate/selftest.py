"""Checks that the gate works: a tree compared with itself passes, and each seeded slowdown fails its path.

A seed replaces its anchor, a text that must occur exactly once, in a copy of the tree. The self-test fails if the code
has changed and the anchor no longer occurs. All seeds are in one copy, each in a different path. The gate must name the
paths that the seeds slow down, and no path without a seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.tables import show

from .measure import Counts
from .trees import Copy, Seed, work_tree
from .verdict import compare, failures, table_of

#: The maximum relative difference of two runs on one tree.
DETERMINISM: Final = 0.005

SEEDS: Final = (
    Seed(
        "a second pass over the payload in the tail probe",
        "cpapi_fast/frames/classifier.pyx",
        "    lowest = end - PROBE_LIMIT\n",
        "    lowest = 0\n"
        "    while lowest < data_len:\n"
        "        if byte_at(data_ptr, data_len, lowest) == 0:\n"
        "            return False\n"
        "        lowest += 1\n"
        "    lowest = end - PROBE_LIMIT\n",
        frozenset({"classify/tail_venue"}),
    ),
    Seed(
        "a second pass over the payload in the batch",
        "cpapi_fast/frames/batch.pyx",
        "        self.kinds_ptr[index] = route.kind\n",
        "        cdef Py_ssize_t seeded = 0\n"
        "        for seeded in range(data_len):\n"
        "            if data_ptr[seeded] == 0:\n"
        "                self.malformed_count += 1\n"
        "        self.kinds_ptr[index] = route.kind\n",
        frozenset({"read/batch", "read/batches", "read/batch_quiet"}),
    ),
    Seed(
        "a Python call per frame in the frame callback",
        "cpapi_fast/frames/sink.pyx",
        "        if frame.topic_ptr != NULL:\n",
        "        (lambda: None)()\n        if frame.topic_ptr != NULL:\n",
        frozenset({"read/on_frame"}),
    ),
    Seed(
        "a second pass over the payload in the columns",
        "cpapi_fast/frames/tick_decoder.pyx",
        "            ticks.rows_ptr[row] = <int32_t>index\n",
        "            while start < batch.offsets_ptr[index + 1]:\n"
        "                if batch.arena_ptr[start] == 0:\n"
        "                    ticks.malformed_count += 1\n"
        "                start += 1\n"
        "            ticks.rows_ptr[row] = <int32_t>index\n",
        frozenset({"columns/l1", "rows/ticks", "rows/quotes"}),
    ),
    Seed(
        "a Python call per frame in the tracker",
        "cpapi_fast/feed/tracker.pyx",
        "            kind = batch.kinds_ptr[index]\n",
        "            kind = batch.kinds_ptr[index]\n            untracked += topics.slot_of(batch, index) < -1\n",
        frozenset({"tracker/scan", "feed/batch"}),
    ),
    Seed(
        "a second pass over the payload in the last values",
        "cpapi_fast/feed/last_values.pyx",
        "            text_ptr = batch.arena_ptr + offset\n",
        "            text_ptr = batch.arena_ptr + offset\n"
        "            while offset < batch.offsets_ptr[index + 1]:\n"
        "                if batch.arena_ptr[offset] == 0:\n"
        "                    self._malformed += 1\n"
        "                offset += 1\n"
        "            offset = batch.offsets_ptr[index]\n",
        frozenset({"last_values/update", "feed/batch_values"}),
    ),
    Seed(
        "a Python object per frame in the capture",
        "cpapi_fast/outputs/pending_frames.pyx",
        "            block.offsets_ptr[first + index] = start + batch.offsets_ptr[index]\n",
        "            block.offsets_ptr[first + index] = start + <object>batch.offsets_ptr[index]\n",
        frozenset({"rows/capture"}),
    ),
    Seed(
        "the text of a subscription put together twice",
        "cpapi_fast/protocol/topics.py",
        """    codes = ",".join(f'"{code}"' for code in fields)\n""",
        """    codes = ",".join(f'"{code}"' for code in fields)\n""" * 2,
        frozenset({"subscribe/text"}),
    ),
)
#: Paths without a seed.
SPARED: Final = frozenset(
    {"classify/tail", "classify/walk", "read/sink", "frame/payload", "frame/message", "frame/route"}
)


def run(root: Path) -> list[str]:
    """Print the counts, and return one line for each wrong result of the gate."""
    tree = work_tree(root)
    with ThreadPoolExecutor(1) as workers:
        seeded = workers.submit(Copy(root, tree, SEEDS).counts)
        before, again = Copy(root, tree).counts(), Copy(root, tree).counts()
        return check_same(before, again) + check_seeded(SEEDS, SPARED, before, seeded.result())


def check_same(before: Counts, again: Counts) -> list[str]:
    """Return one line for each wrong result when a tree is compared with itself."""
    wrong = [f"the tree against itself: {change}" for change in failures(compare(before.paths, again.paths))]
    apart = {path: abs(again.paths.get(path, 0.0) / count - 1) for path, count in before.paths.items()}
    furthest = max(apart, key=lambda path: apart[path])
    print(f"the tree against itself: at most {apart[furthest]:.4%} apart ({furthest})")
    if apart[furthest] > DETERMINISM:
        wrong.append(
            f"two runs on one tree differ by {apart[furthest]:.2%} in {furthest}; the limit is {DETERMINISM:.1%}"
        )
    return wrong


def check_seeded(seeds: Iterable[Seed], spared: frozenset[str], before: Counts, after: Counts) -> list[str]:
    """Return one line for each wrong verdict on the seeds."""
    changes = compare(before.paths, after.paths)
    show(table_of(changes))
    named = {change.path for change in failures(changes)}
    wrong = [f"{path} passes with {seed.name}" for seed in seeds for path in sorted(seed.slower - named)]
    return wrong + [f"{path} fails without a seed" for path in sorted(spared & named)]
