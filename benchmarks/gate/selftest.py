"""Proves the gate: the tree against itself passes, and seeded slowdowns fail, each with the path that it is in.

A seed is a replacement of text in a copy of the tree. Its anchor has to stand there exactly once: when the code moves
on, the seed has to be moved with it, and until then the self-test fails. All seeds are planted in one copy, each in a
path of its own: what is slow because of one of them must be named, and what none of them touches must not.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from .errors import GateError
from .measure import Counts
from .trees import Trees, copy_of_work_tree
from .verdict import compare, failures

#: Two runs on one tree may differ by this much.
DETERMINISM: Final = 0.005


@dataclass(frozen=True)
class Seed:
    """A slowdown, and the paths that the gate has to name because of it."""

    name: str
    file: str
    anchor: str
    replacement: str
    slower: frozenset[str]

    def plant(self, tree: Path) -> None:
        """Change the copy."""
        path = tree / self.file
        text = path.read_text()
        if text.count(self.anchor) != 1:
            raise GateError(
                f"the seed {self.name!r} finds its anchor {text.count(self.anchor)} times in {self.file}, not once; "
                "move it along in benchmarks/gate/selftest.py"
            )
        path.write_text(text.replace(self.anchor, self.replacement))


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
        "cpapi_fast/frames/ticks.pyx",
        "            ticks.rows_ptr[row] = <int32_t>index\n",
        "            while start < batch.offsets_ptr[index + 1]:\n"
        "                if batch.arena_ptr[start] == 0:\n"
        "                    ticks._malformed += 1\n"
        "                start += 1\n"
        "            ticks.rows_ptr[row] = <int32_t>index\n",
        frozenset({"columns/l1"}),
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
        "the text of a subscription put together twice",
        "cpapi_fast/protocol/topics.py",
        """    codes = ",".join(f'"{code}"' for code in fields)\n""",
        """    codes = ",".join(f'"{code}"' for code in fields)\n""" * 2,
        frozenset({"subscribe/text"}),
    ),
)
#: Paths that no seed is in.
SPARED: Final = frozenset({"classify/tail", "classify/walk", "read/sink", "frame/payload", "frame/route"})


def run(copies: Trees, root: Path) -> list[str]:
    """Print what was tried; return what the gate got wrong."""
    with ThreadPoolExecutor(2) as workers:
        waiting = workers.submit(_seeded, copies, root)
        tree = copies.add(partial(copy_of_work_tree, root))
        before = tree.counts()
        wrong = judge_same(before, tree.counts(anew=True))
        return wrong + judge_seeded(SEEDS, SPARED, before, waiting.result())


def _seeded(copies: Trees, root: Path) -> Counts:
    def fill(target: Path) -> None:
        copy_of_work_tree(root, target)
        for seed in SEEDS:
            seed.plant(target)

    return copies.add(fill).counts()


def judge_same(before: Counts, again: Counts) -> list[str]:
    """What is wrong when a tree is compared with itself."""
    wrong = [f"the tree against itself: {line}" for line in failures(compare(before.paths, again.paths))]
    furthest = max(before.paths, key=lambda path: abs(again.paths.get(path, 0.0) / before.paths[path] - 1))
    apart = abs(again.paths.get(furthest, 0.0) / before.paths[furthest] - 1)
    print(f"the tree against itself: at most {apart:.4%} apart ({furthest})")
    if apart > DETERMINISM:
        wrong.append(f"two runs on one tree differ by {apart:.2%} in {furthest}; the limit is {DETERMINISM:.1%}")
    return wrong


def judge_seeded(seeds: Iterable[Seed], spared: frozenset[str], before: Counts, after: Counts) -> list[str]:
    """What is wrong with the gate's answer to the seeds."""
    changes = compare(before.paths, after.paths)
    for change in changes:
        print(change)
    named = {change.path for change in changes if change.is_failure}
    wrong = [f"{path} passes with {seed.name}" for seed in seeds for path in sorted(seed.slower - named)]
    return wrong + [f"{path} fails, and no seed is in it" for path in sorted(spared & named)]
