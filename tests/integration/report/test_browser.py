"""The page in a real browser: no error, every plot drawn, no wider than a phone, dark and on paper."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from cpapi_fast.report import write_report
from tests.support import browser
from tests.support.report_runs import hostile_run, two_runs

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "it can run")

PLOTS = 6


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser shows of a page about hostile files."""
    folder = tmp_path_factory.mktemp("page")
    shown = folder / "shown"
    shown.mkdir()
    files = folder / "files"
    (files / "more").mkdir(parents=True)
    two_runs(files)
    hostile_run(files)
    write_report(files, folder / "page.html")
    found = browser.described(folder / "page.html", shown)
    assert sorted(path.stem for path in shown.iterdir()) == sorted(browser.VIEWS)
    shutil.rmtree(shown)
    return found


@pytest.mark.parametrize("view", browser.VIEWS)
def test_a_view(views: dict[str, Any], view: str) -> None:
    found = views[view]
    assert found["messages"] == []
    assert len(found["requests"]) == 1
    assert found["links"] == 0
    assert found["evil"] == "undefined"
    assert found["overflow_px"] <= 0
    assert len(found["drawn"]) == PLOTS
    assert all(pixels > 1_000 for pixels in found["drawn"]), found["drawn"]
    assert all(len(label) > 40 for label in found["labels"])


def test_the_colours_follow_the_device(views: dict[str, Any]) -> None:
    light, dark, paper = (views[name] for name in ("phone", "dark", "print"))
    assert (light["ground"], dark["ground"], paper["ground"]) == (
        "rgb(255, 255, 255)",
        "rgb(20, 24, 28)",
        "rgb(255, 255, 255)",
    )
    assert len(set(dark["axis_text"])) == len(set(light["axis_text"])) == 1
    assert set(dark["axis_text"]).isdisjoint(light["axis_text"])


def test_a_mouse_zooms_and_a_finger_scrolls(views: dict[str, Any]) -> None:
    assert set(views["screen"]["box_zoom"]) == {True}
    assert set(views["phone"]["box_zoom"]) == {False}
    # The page scrolls where a finger is on a plot.
    assert "none" not in views["phone"]["touch_actions"]
