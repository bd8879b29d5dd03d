"""Which commit the tree is compared with, and why that one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import GateError

VARIABLE: Final = "CPAPI_FAST_BASELINE"
#: For the one command that may go to the network.
TIMEOUT_S: Final = 120
FILE: Final = "benchmarks/gate_baseline"


@dataclass(frozen=True)
class Baseline:
    """A commit to compare with; None when there is no earlier one at all."""

    commit: str | None
    why: str


def choose(root: Path, variables: Mapping[str, str]) -> Baseline:
    """The baseline of the work tree in `root`.

    Raises:
        GateError: there is none in this clone, or the one that was asked for.
    """
    if _git(root, "rev-parse", "--git-dir") is None:
        raise GateError("this is no git checkout, so there is nothing to compare with; run the gate in a clone")
    asked = variables.get(VARIABLE, "")
    if asked:
        commit = _commit(root, asked)
        if commit is None:
            raise GateError(
                f"{VARIABLE} names {asked!r}, which this clone does not have; fetch it (git fetch --tags origin) or "
                f"unset {VARIABLE}"
            )
        return Baseline(commit, f"{VARIABLE}={asked}")
    if _is_named_elsewhere(root):
        _git(root, "fetch", "--quiet", "--unshallow", "--tags")
        if _is_named_elsewhere(root):
            print(f"the commit that {FILE} names is not in this clone: its gains are not held; name one that is")
    found = _choose(root)
    if found is None and _git(root, "rev-parse", "--is-shallow-repository") == "true":
        # A clone that was cut off short: ask once for the rest.
        _git(root, "fetch", "--quiet", "--unshallow", "--tags")
        found = _choose(root)
    if found is not None:
        return found
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise GateError(
            "this clone is cut off before any commit to compare with, and the rest cannot be fetched: run "
            "`git fetch --unshallow`, set `fetch-depth: 0` in the workflow's checkout, or name a commit in "
            f"{VARIABLE}"
        )
    return Baseline(None, "this is the first commit")


def _choose(root: Path) -> Baseline | None:
    head = _commit(root, "HEAD")
    if head is None:
        return None
    tag = _git(root, "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD")
    released = _commit(root, tag) if tag else None
    if released == head:
        tag = _git(root, "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
        released = _commit(root, tag) if tag else None
    named = _named(root)
    # Moved on purpose after the last release, the file wins over it.
    if named is not None and (released is None or _is_ancestor(root, released, named)):
        return Baseline(named, f"named in {FILE}")
    if released is not None:
        return Baseline(released, f"{tag} is the last release")
    for branch in ("origin/HEAD", "origin/main", "origin/master"):
        if _commit(root, branch) is not None:
            fork = _git(root, "merge-base", "HEAD", branch)
            if fork and fork != head:
                return Baseline(fork, f"where this branch left {branch}")
            break
    parent = _commit(root, "HEAD^")
    return None if parent is None else Baseline(parent, "the commit before this one")


def _named(root: Path) -> str | None:
    # A commit that is not in this clone counts as not named.
    name = _name_in_file(root)
    return None if name is None else _commit(root, name)


def _is_named_elsewhere(root: Path) -> bool:
    name = _name_in_file(root)
    return name is not None and _commit(root, name) is None


def _name_in_file(root: Path) -> str | None:
    # The first line that is no comment.
    path = root / FILE
    if not path.exists():
        return None
    lines = (line.strip() for line in path.read_text().splitlines())
    return next((line for line in lines if line and not line.startswith("#")), None)


def _is_ancestor(root: Path, older: str, newer: str) -> bool:
    return _git(root, "merge-base", "--is-ancestor", older, newer) is not None


def _commit(root: Path, name: str) -> str | None:
    return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def _git(root: Path, *arguments: str) -> str | None:
    # What git answers, or None when it says no. It must not wait for a password.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    except FileNotFoundError:
        raise GateError("git is not installed, and the gate compares with a commit; install git") from None
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
