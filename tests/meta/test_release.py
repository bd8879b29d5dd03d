"""The numbers that are written in more than one place are the same in all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import cpapi_fast
from cpapi_fast._version import PICOWS_VERSION, __version__

ROOT = Path(__file__).parents[2]


def headings() -> list[tuple[str, str]]:
    """(version, text in parentheses) of every release in the changelog, newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## (\S+) \((.+)\)$", text, re.MULTILINE)


def test_the_newest_heading_of_the_changelog_is_the_version():
    assert headings()[0][0] == __version__ == cpapi_fast.__version__


def test_the_changelog_goes_back_in_time():
    versions = [tuple(map(int, version.split("."))) for version, _ in headings()]
    assert versions == sorted(set(versions), reverse=True)
    dates = [date for _, date in headings() if date != "unreleased"]
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", date) for date in dates)
    assert dates == sorted(dates, reverse=True)
    assert all(date != "unreleased" for _, date in headings()[1:])


def test_no_heading_of_the_changelog_is_overlooked():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(headings())


def test_picows_is_the_same_at_build_and_run():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    build = re.search(r"^\[build-system\]\n(.*?)^\[", text, re.MULTILINE | re.DOTALL)
    run = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    # What an editable build without isolation installs.
    group = re.search(r"^build = \[(.*)\]$", text, re.MULTILINE)
    assert build is not None
    assert run is not None
    assert group is not None
    for section in (build[1], run[1], group[1]):
        assert re.findall(r'"picows([^"]*)"', section) == [f"=={PICOWS_VERSION}"]
    assert metadata.version("picows") == PICOWS_VERSION


def test_another_picows_is_refused_before_the_listener_is_imported():
    code = "import importlib.metadata as m, sys; m.version = lambda name: '2.3.0'; import cpapi_fast"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert f"ImportError: cpapi_fast {__version__} is compiled against picows {PICOWS_VERSION}" in done.stderr
    assert f"pip install picows=={PICOWS_VERSION}" in done.stderr
