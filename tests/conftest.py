"""Fixtures that every test may use, and the rule that nothing is skipped where everything must run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from tests.compiled import compile_in, load

#: Set by `.ci/run`: a skip is then a failure, because something that should have run was missing.
REQUIRE_ALL = os.environ.get("CPAPI_FAST_REQUIRE_ALL", "0") not in ("", "0")


# Neither one example nor the making of one has a time limit: the machine may be busy, and a sanitized build is slow.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CPAPI_FAST_REQUIRE_ALL forbids it: {call.excinfo}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    if REQUIRE_ALL and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, and CPAPI_FAST_REQUIRE_ALL forbids it"
    return report


@pytest.fixture(scope="session")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """tests/native/sinks.pyx, compiled."""
    folder = tmp_path_factory.mktemp("sinks")
    shutil.copy(Path(__file__).parent / "native" / "sinks.pyx", folder)
    compile_in(folder, "-m", "Cython.Build.Cythonize", "-q", "-3", "-i", "sinks.pyx")
    return load(folder, "sinks")
