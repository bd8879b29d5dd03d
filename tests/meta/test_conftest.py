"""The checks of `tests/conftest.py`: an async test that hangs, leaves a task or leaves an error fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""
TESTS = """\
import asyncio

import pytest

tasks = []


async def test_that_passes():
    await asyncio.sleep(0)


async def test_that_leaves_a_task():
    tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(60)))


async def test_that_leaves_an_error():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)


@pytest.mark.time_limit(0.01)
async def test_that_hangs():
    await asyncio.sleep(60)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """The message of each (outcome, test) of a run of `TESTS`."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "pytest.ini").write_text(SETTINGS)
    (folder / "test_checked.py").write_text(TESTS)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "tests.conftest", "-p", "no:cacheprovider", "test_checked.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    lines = re.findall(r"^(PASSED|FAILED|ERROR) test_checked\.py::test_that_(\w+)\S*(.*)", run.stdout, re.MULTILINE)
    return {(outcome, name): message for outcome, name, message in lines}


def test_a_test_that_leaves_nothing_passes(outcomes: dict[tuple[str, str], str]) -> None:
    assert [outcome for outcome, name in outcomes if name == "passes"] == ["PASSED"]


def test_a_test_over_its_time_limit_fails(outcomes: dict[tuple[str, str], str]) -> None:
    assert "TimeoutError" in outcomes["FAILED", "hangs"]


def test_a_test_that_leaves_a_task_fails(outcomes: dict[tuple[str, str], str]) -> None:
    assert "tasks are left" in outcomes["ERROR", "leaves_a_task"]


def test_a_test_that_leaves_an_unhandled_error_fails(outcomes: dict[tuple[str, str], str]) -> None:
    assert "Exception in callback" in outcomes["ERROR", "leaves_an_error"]
