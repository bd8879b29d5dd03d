"""docs/feed.md: its picture, its states and its causes are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine.advice import ADVICE
from cpapi_fast.feed.options import FeedOptions
from tests.simulation.simulation import Plan, instruments_of_a_year, simulate

DOCUMENT = (Path(__file__).parents[2] / "docs" / "feed.md").read_text(encoding="utf-8")
EDGES = frozenset(re.findall(r"^    (\w+) --> (\w+)$", DOCUMENT, re.MULTILINE))


def test_every_state_is_drawn_and_explained():
    names = {state.name for state in FeedState}
    assert {name for edge in EDGES for name in edge} == names
    assert re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT, re.MULTILINE) == [state.name for state in FeedState]


def test_every_cause_is_listed_with_its_advice():
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+?) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert [(cause, advice) for cause, _, advice in rows] == [(cause.value, ADVICE[cause]) for cause in Cause]


@pytest.mark.parametrize("options", [FeedOptions(), FeedOptions(competing="reclaim", ready_fallback="reconnect")])
def test_what_happens_is_drawn(options: FeedOptions):
    report = simulate(Plan(2, 21, instruments_of_a_year(2, 21), 60.0, has_nights=True, options=options))
    happened = {
        (event.previous.name, event.state.name)
        for _, event in report.oracles.events
        if isinstance(event, StateChange)
        and event.subscription is None
        and event.state is not event.previous
        and event.cause is not Cause.STOPPED
    }
    assert len(happened) >= 12
    assert happened <= EDGES
