"""Proves the gate: the tree against itself passes, and each seeded slowdown fails, with the path that it is in.

A seed is a replacement of text in a copy of the tree. Its anchor has to stand there exactly once: when the code moves
on, the seed has to be moved with it, and until then the self-test fails.
"""

from __future__ import annotations

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
    """A slowdown, the paths that the gate has to name because of it, and some that it must not."""

    name: str
    file: str
    anchor: str
    replacement: str
    slower: frozenset[str]
    spared: frozenset[str]

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
        "cpapi_fast/classifier.pxd",
        "    digits_start = digits_end - count\n",
        "    digits_start = 0\n"
        "    while digits_start < data_len:\n"
        "        if byte_at(data_ptr, data_len, digits_start) == 0:\n"
        "            return False\n"
        "        digits_start += 1\n"
        "    digits_start = digits_end - count\n",
        frozenset({"classify/tail", "read/batch", "read/on_frame", "read/sink"}),
        frozenset({"classify/tail_venue", "frame/payload", "columns/l1", "subscribe/send", "subscribe/text"}),
    ),
    Seed(
        "a second pass over the payload in the batch",
        "cpapi_fast/batch.pyx",
        "        self.kinds_ptr[index] = route.kind\n",
        "        cdef Py_ssize_t seeded = 0\n"
        "        for seeded in range(data_len):\n"
        "            if data_ptr[seeded] == 0:\n"
        "                self.malformed_count += 1\n"
        "        self.kinds_ptr[index] = route.kind\n",
        frozenset({"read/batch", "read/batches"}),
        frozenset({"classify/tail", "classify/tail_venue", "frame/payload", "subscribe/send"}),
    ),
    Seed(
        "a Python call per frame in the frame callback",
        "cpapi_fast/sink.pyx",
        "        if frame.topic_ptr != NULL:\n",
        "        (lambda: None)()\n        if frame.topic_ptr != NULL:\n",
        frozenset({"read/on_frame"}),
        frozenset({"classify/tail", "read/batch", "read/sink", "read/next_message", "frame/payload"}),
    ),
)


def run(copies: Trees, root: Path) -> list[str]:
    """Print what was tried; return what the gate got wrong."""
    with ThreadPoolExecutor(2) as workers:
        jobs = [workers.submit(_seeded, copies, root, seed) for seed in SEEDS]
        tree = copies.add(partial(copy_of_work_tree, root))
        before = tree.counts()
        wrong = judge_same(before, tree.counts(anew=True))
        for seed, job in zip(SEEDS, jobs, strict=True):
            wrong += judge_seeded(seed, before, job.result())
    return wrong


def _seeded(copies: Trees, root: Path, seed: Seed) -> Counts:
    def fill(target: Path) -> None:
        copy_of_work_tree(root, target)
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


def judge_seeded(seed: Seed, before: Counts, after: Counts) -> list[str]:
    """What is wrong with the gate's answer to a seed."""
    changes = compare(before.paths, after.paths)
    named = {change.path for change in changes if change.is_failure}
    print(f"{seed.name}: the gate names {', '.join(sorted(named)) or 'nothing'}")
    for change in changes:
        if change.path in seed.slower | seed.spared:
            print(f"    {change}")
    wrong = [f"{seed.name}: the gate does not name {path}" for path in sorted(seed.slower - named)]
    wrong += [f"{seed.name}: the gate names {path}, which it does not touch" for path in sorted(seed.spared & named)]
    return wrong
