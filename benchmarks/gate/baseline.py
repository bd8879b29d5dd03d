"""Chooses the commit that the work tree is compared with."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from .measure import GateError

VARIABLE: Final = "CPAPI_FAST_BASELINE"
#: The default branch, by the first of these names that exists.
DEFAULT_BRANCH: Final = ("origin/HEAD", "origin/main", "main")


class Baseline(NamedTuple):
    """The commit to compare with (None if there is no earlier one), and the reason for the choice."""

    commit: str | None
    why: str


def choose(root: Path, variables: Mapping[str, str]) -> Baseline:
    """Return the commit in CPAPI_FAST_BASELINE, else the merge base, else the last release, else the parent of HEAD.

    Raises:
        GateError: `root` is not a git checkout, or the clone does not have the commit.
    """
    if _git(root, "rev-parse", "--git-dir") is None:
        raise GateError("this is not a git checkout, so there is no commit to compare with; run the gate in a clone")
    if name := variables.get(VARIABLE, ""):
        commit = _commit(root, name)
        if commit is None:
            raise GateError(
                f"{VARIABLE} names {name!r}, which this clone does not have; fetch it (git fetch --tags origin) or "
                f"unset {VARIABLE}"
            )
        return Baseline(commit, f"{VARIABLE}={name}")
    branch = next((name for name in DEFAULT_BRANCH if _commit(root, name)), None)
    fork = branch and _git(root, "merge-base", "HEAD", branch)
    if fork and fork != _commit(root, "HEAD"):
        return Baseline(fork, f"where this branch left {branch}")
    tag = _git(root, "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
    if tag and (released := _commit(root, tag)):
        return Baseline(released, f"{tag} is the last release")
    if parent := _commit(root, "HEAD^"):
        return Baseline(parent, "the commit before this one")
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise GateError(
            "this clone is too shallow to have a commit to compare with: run `git fetch --unshallow`, or set "
            "`fetch-depth: 0` in the workflow's checkout"
        )
    return Baseline(None, "this is the first commit")


def _commit(root: Path, name: str) -> str | None:
    return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def _git(root: Path, *arguments: str) -> str | None:
    # Returns the output, or None if git fails.
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        raise GateError("git is not installed, and the gate compares with a commit; install git") from None
    return done.stdout.strip() if done.returncode == 0 else None
