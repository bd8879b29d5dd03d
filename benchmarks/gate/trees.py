"""Builds copies of the sources in build/gate, with one interpreter and one compiler, and measures them.

The name of a copy is a hash of everything that affects its counts, so each copy is built only once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from .measure import Counts, GateError

#: The sources that affect the counts of a tree.
DECISIVE: Final = ("cpapi_fast", "benchmarks/gate", "setup.py", "pyproject.toml")
TIMEOUT_S: Final = 1_800
#: How many copies are kept in build/gate. A run and its self-test need three.
KEPT: Final = 6


def run(command: Sequence[str], folder: Path, **variables: str) -> bytes:
    """Run a command without the variables of a debug build, and return its output.

    Raises:
        GateError: the command failed. The message has the end of its output.
    """
    dropped = ("CPAPI_FAST_", "PYTHONPATH", "PYTHONHOME")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | variables
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GateError(f"`{' '.join(command)}` did not run: {error}") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise GateError(f"`{' '.join(command)}` failed in {folder.name}:\n{output[-3000:]}")
    return done.stdout


def work_tree(root: Path) -> str:
    """Return the git tree of all files that git does not ignore, as they are on disk."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        run(["git", "add", "--all"], root, **index)
        return run(["git", "write-tree"], root, **index).decode().strip()


def is_measurable(root: Path, commit: str) -> bool:
    """Return whether a commit has a gate that can measure it."""
    return bool(run(["git", "ls-tree", commit, "--", "benchmarks/gate/measure.py"], root))


@dataclass(frozen=True)
class Seed:
    """A slowdown for the self-test: a text replacement in a copy, and the paths that the gate must name."""

    name: str
    file: str
    anchor: str
    replacement: str
    slower: frozenset[str]

    def plant(self, tree: Path) -> None:
        """Replace the anchor in a copy of the tree."""
        path = tree / self.file
        text = path.read_text()
        if text.count(self.anchor) != 1:
            raise GateError(
                f"the seed {self.name!r} finds its anchor {text.count(self.anchor)} times in {self.file}, not once; "
                "adapt it in benchmarks/gate/selftest.py"
            )
        path.write_text(text.replace(self.anchor, self.replacement))


@dataclass(frozen=True)
class Copy:
    """A commit or tree of the repository in `root`, with seeds, built in its own folder."""

    root: Path
    tree: str
    seeds: tuple[Seed, ...] = ()

    @cached_property
    def path(self) -> Path:
        """The folder of the copy."""
        compiler = (sysconfig.get_config_var("CC") or "cc").split()
        facts = [
            *(sys.version, sys.executable, sysconfig.get_config_var("CFLAGS") or ""),
            *sorted(f"{found.name} {found.version}" for found in importlib.metadata.distributions()),
            *(os.environ.get(name, "") for name in ("CC", "CFLAGS")),
            run([*compiler, "--version"], self.root).decode(),
            run(["git", "ls-tree", "-r", self.tree, "--", *DECISIVE], self.root).decode(),
            repr(self.seeds),
        ]
        return self.root / "build" / "gate" / hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]

    def build(self) -> None:
        """Unpack and compile the copy, unless it is already built."""
        built = self.path / ".built"
        if not built.exists():
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            with tarfile.open(fileobj=io.BytesIO(run(["git", "archive", self.tree], self.root))) as archive:
                archive.extractall(self.path, filter="data")
            for seed in self.seeds:
                seed.plant(self.path)
            run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], self.path)
            cythonize = [sys.executable, "-m", "Cython.Build.Cythonize", "-q", "-i", "benchmarks/gate/native.pyx"]
            run(cythonize, self.path, CFLAGS=f"-O3 {os.environ.get('CFLAGS', '')}")
            built.touch()
        os.utime(self.path)

    def counts(self) -> Counts:
        """Build the copy, and count instructions with the driver of the copy."""
        self.build()
        return Counts(**json.loads(run([sys.executable, "-m", "benchmarks.gate.measure"], self.path)))


def counts_of_copies(copies: Sequence[Copy]) -> dict[Copy, Counts]:
    """Return the counts of each copy. Two are measured at a time, and copies of the same sources once."""
    unique = {copy.path: copy for copy in copies}
    with ThreadPoolExecutor(2) as workers:
        counts = dict(zip(unique, workers.map(Copy.counts, unique.values()), strict=True))
    return {copy: counts[copy.path] for copy in copies}


def prune(root: Path) -> None:
    """Remove all copies except for the `KEPT` most recently used ones."""
    copies = sorted((root / "build" / "gate").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in copies[KEPT:]:
        shutil.rmtree(path)
