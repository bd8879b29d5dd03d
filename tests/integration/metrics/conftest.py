"""Fixtures for tests with a real Prometheus: its programs, and a server that scrapes a target."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _program(name: str) -> str:
    folder = Path(os.environ.get("CPAPI_FAST_PROMETHEUS") or ROOT / ".venvs" / "prometheus")
    found = folder / name
    path = str(found) if found.exists() else shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}, which `make prometheus` gets")
    return path


@pytest.fixture(scope="session")
def prometheus() -> str:
    """The path of `prometheus`."""
    return _program("prometheus")


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of `promtool`."""
    return _program("promtool")
