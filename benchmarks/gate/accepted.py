"""Slower paths that were accepted: what each one bought, and the commit since which it may cost more."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final, NamedTuple


class Accepted(NamedTuple):
    """A path that may cost more than in commits up to `before`.

    Attributes:
        path: the name of the path.
        before: the last commit with the earlier cost.
        ratio: the most that it may cost, relative to that commit.
        why: what the instructions are for.
    """

    path: str
    before: str
    ratio: float
    why: str


_BEFORE_0_1: Final = "9a2179ea73b3f8fe3d693b54dbaad3188cc4aab3"

#: Remove an entry when no branch is compared with its commit any more.
ACCEPTED: Final = (
    Accepted("feed/batch", _BEFORE_0_1, 1.15, "the `_updated` of each topic shows late data and frozen streams"),
    Accepted("columns/l1", _BEFORE_0_1, 1.09, "texts and dates have columns too, and mismatches are counted"),
    Accepted("read/waiting", _BEFORE_0_1, 1.08, "a reader in another loop or thread is refused instead of hanging"),
    Accepted("subscribe/send", _BEFORE_0_1, 1.08, "fields are given by key or code, instruments as text too"),
    Accepted("subscribe/text", _BEFORE_0_1, 1.10, "fields are given by key or code, instruments as text too"),
)


def limits(root: Path, baseline: str, accepted: tuple[Accepted, ...] = ACCEPTED) -> dict[str, float]:
    """Return the accepted ratio of each path, for entries whose commit is the baseline or comes after it.

    Args:
        root: the git checkout.
        baseline: the commit that the paths are compared with.
        accepted: the entries.
    """
    return {entry.path: entry.ratio for entry in accepted if _is_ancestor(root, baseline, entry.before)}


def _is_ancestor(root: Path, older: str, newer: str) -> bool:
    # A shallow clone may not have the commit. Then the entry does not apply.
    command = ["git", "merge-base", "--is-ancestor", older, newer]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0
