"""Copies of the source tree, built side by side with one interpreter and one compiler, cached in build/gate.

A copy's name is a hash of what decides its numbers: its sources, and everything they are built and run with.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from .errors import GateError
from .measure import Counts, valgrind

DRIVER: Final = "benchmarks/gate/measure.py"
#: What decides the numbers of a tree.
DECISIVE: Final = ("cpapi_fast", "benchmarks/gate", "setup.py", "pyproject.toml")
TIMEOUT_S: Final = 600
#: Copies that are kept; a run needs two, its self-test as many again.
KEPT: Final = 12

_BUILT: Final = ".built"
#: Not beside the packages: the interpreter lists that folder, and one name more moves its memory, and a number.
_COUNTS: Final = "build/counts.json"


def run(command: Sequence[str], cwd: Path, *, environment: dict[str, str] | None = None) -> str:
    """The output of a command, or a GateError with the end of what it said."""
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GateError(f"`{' '.join(command)}` did not run: {error}") from error
    if done.returncode != 0:
        raise GateError(f"`{' '.join(command)}` failed in {cwd.name}:\n{(done.stdout + done.stderr).strip()[-3000:]}")
    return done.stdout


def copy_of_work_tree(root: Path, target: Path) -> None:
    """Copy what git knows or would add, as it is on disk now."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], root)
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target / name)


def copy_of_commit(root: Path, commit: str, target: Path) -> None:
    """Unpack a commit."""
    done = subprocess.run(["git", "archive", "--format=tar", commit], cwd=root, capture_output=True)
    if done.returncode != 0:
        raise GateError(f"git cannot unpack {commit}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive.getmembers():
            if member.isfile():
                source = archive.extractfile(member)
                if source is not None:
                    (target / member.name).parent.mkdir(parents=True, exist_ok=True)
                    (target / member.name).write_bytes(source.read())


def has_driver(root: Path, commit: str) -> bool:
    """Whether a commit can be measured: it has this gate's driver."""
    return bool(run(["git", "ls-tree", "-r", "--name-only", commit, "--", DRIVER], root).strip())


def environment() -> str:
    """What besides the sources decides the numbers: interpreter, packages, compiler, valgrind, machine kind."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    facts = {
        "python": [sys.version, str(Path(sys.executable).resolve())],
        "packages": sorted(f"{found.name} {found.version}" for found in importlib.metadata.distributions()),
        "compiler": [*compiler, run([*compiler, "--version"], Path.cwd()).splitlines()[0]],
        "flags": [sysconfig.get_config_var("CFLAGS"), *(os.environ.get(name, "") for name in ("CC", "CFLAGS"))],
        "valgrind": run([valgrind(), "--version"], Path.cwd()).strip(),
        "machine": [platform.machine(), platform.libc_ver()],
    }
    return json.dumps(facts)


class Tree:
    """One built copy."""

    def __init__(self, path: Path, lock: threading.Lock) -> None:
        self.path = path
        self._lock = lock

    def counts(self, *, anew: bool = False) -> Counts:
        """Instructions per frame, measured by the tree's own driver; `anew` does not take them from the cache."""
        # Two threads may have asked for the same sources: one measures, the other reads what it found.
        with self._lock:
            return self._counts(anew=anew)

    def _counts(self, *, anew: bool) -> Counts:
        kept = self.path / _COUNTS
        if anew or not kept.exists():
            printed = run(
                [sys.executable, "-m", "benchmarks.gate.measure"], self.path, environment=_clean_environment()
            )
            try:
                counts = Counts(**json.loads(printed))
            except (TypeError, ValueError) as error:
                raise GateError(f"the driver of {self.path.name} printed no counts: {printed[:200]!r}") from error
            _write(kept, json.dumps(asdict(counts)))
        return Counts(**json.loads(kept.read_text()))


class Trees:
    """The copies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = environment()
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def add(self, fill: Callable[[Path], None]) -> Tree:
        """The built copy of the sources that `fill` puts into an empty folder; built now when there is none yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=self.folder) as folder:
            source = Path(folder) / "tree"
            source.mkdir()
            fill(source)
            target = self.folder / self._name(source)
            lock = self._lock_of(target.name)
            with lock:
                if (target / _BUILT).exists():
                    os.utime(target)
                else:
                    shutil.rmtree(target, ignore_errors=True)
                    source.rename(target)
                    self._build(target)
        return Tree(target, lock)

    def prune(self) -> None:
        """Keep the copies that were used last."""
        copies = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in copies[KEPT:]:
            shutil.rmtree(path)

    def _name(self, source: Path) -> str:
        digest = hashlib.sha256(self._environment.encode())
        for path in sorted(path for part in DECISIVE for path in _files(source / part)):
            digest.update(f"\0{path.relative_to(source)}\0".encode() + path.read_bytes())
        return digest.hexdigest()[:16]

    def _lock_of(self, name: str) -> threading.Lock:
        # Two threads may ask for the same sources.
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())

    def _build(self, path: Path) -> None:
        environment = _clean_environment()
        run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], path, environment=environment)
        # The flags of the extensions themselves; a caller's own come after them, as they do there.
        environment["CFLAGS"] = f"-O3 {environment.get('CFLAGS', '')}"
        cythonize = [sys.executable, "-m", "Cython.Build.Cythonize", "-q", "-i", "benchmarks/gate/native.pyx"]
        run(cythonize, path, environment=environment)
        (path / _COUNTS).parent.mkdir(exist_ok=True)
        _write(path / _BUILT, "")


def _clean_environment() -> dict[str, str]:
    # The switches of a debug build would measure another program.
    dropped = ("CPAPI_FAST_", "PYTHONPATH", "PYTHONHOME")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [found for found in path.rglob("*") if found.is_file() and "__pycache__" not in found.parts]


def _write(path: Path, text: str) -> None:
    # Whole or not at all: the next run trusts what it finds.
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
