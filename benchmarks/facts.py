"""Collects the machine, interpreter and versions that the results depend on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .registry import ROOT


def machine() -> dict[str, Any]:
    """Return the facts of this machine and checkout for the JSON."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "load_at_start": load,
        "revision": revision(),
        "versions": {name: version(name) for name in ("cpapi-fast", "picows", "orjson", "cython", *_loop())},
    }


def now() -> str:
    """Return the current time in UTC as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _loop() -> tuple[str, ...]:
    return () if sys.platform == "win32" else ("uvloop",)


def revision() -> str | None:
    """Return the measured commit, with `+` if files differ from it; None outside a checkout."""
    try:
        describe = ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
        done = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
