"""LimitedReporter: a few texts at once, then one per interval with a count, and every text is accounted for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.limited_reporter import LimitedReporter
from tests.support.clocks import HandClock


async def test_many_texts_are_a_few_lines_and_a_count() -> None:
    lines: list[str] = []
    clock = HandClock()
    report = LimitedReporter(lines.append, clock, burst=5, interval_s=30.0)
    for number in range(50_000):
        report(f"error {number}")
    assert lines == [f"error {number}" for number in range(5)]
    await clock.advance(30.0)
    assert lines[5:] == ["error 49999 (... and 49,994 more like it)"]
    assert report.left_out == 49_994
    # Nothing waits any more, and a new interval begins.
    await clock.advance(100.0)
    assert (len(lines), clock.timers) == (6, 0)
    report("another")
    assert lines[6:] == ["another"]


async def test_a_flood_that_lasts_is_one_interval_after_another() -> None:
    lines: list[str] = []
    clock = HandClock()
    report = LimitedReporter(lines.append, clock, burst=2, interval_s=10.0)
    for _ in range(100):
        report("error")
        await clock.advance(1.0)
    report.close()
    assert len(lines) <= 2 + 2 * 10
    assert clock.timers == 0


async def test_the_end_reports_what_was_left_out() -> None:
    lines: list[str] = []
    clock = HandClock()
    report = LimitedReporter(lines.append, clock, burst=1, interval_s=30.0)
    for text in ("a", "b", "c"):
        report(text)
    report.close()
    report.close()
    assert lines == ["a", "c (... and 1 more like it)"]
    assert clock.timers == 0


def test_few_texts_need_no_loop() -> None:
    lines: list[str] = []
    report = LimitedReporter(lines.append, HandClock(), burst=3)
    for text in ("a", "b", "c"):
        report(text)
    report.close()
    assert lines == ["a", "b", "c"]


async def test_a_text_that_is_not_reported_is_not_made() -> None:
    made: list[int] = []

    def text() -> str:
        made.append(1)
        return "text"

    lines: list[str] = []
    report = LimitedReporter(lines.append, HandClock(), burst=5)
    for _ in range(1000):
        report(text)
    report.close()
    assert len(lines) == len(made) == 6


@pytest.mark.filterwarnings("error")
@given(st.lists(st.one_of(st.just("text"), st.floats(0.1, 40.0)), max_size=60), st.integers(1, 4))
async def test_every_text_is_reported_or_counted(steps: list[str | float], burst: int) -> None:
    lines: list[str] = []
    clock = HandClock()
    report = LimitedReporter(lines.append, clock, burst=burst, interval_s=30.0)
    texts = 0
    for step in steps:
        if isinstance(step, str):
            texts += 1
            report("text")
        else:
            await clock.advance(step)
    report.close()
    counted = sum(int(found[1].replace(",", "")) for line in lines if (found := re.search(r"and ([\d,]+) more", line)))
    assert len(lines) + counted == texts
    assert counted == report.left_out
