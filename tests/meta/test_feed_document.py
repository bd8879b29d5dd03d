"""docs/reference/states.md: its states, their edges and its causes are those of the code.

`python -m tests.meta.test_feed_document` writes the column of advice from the code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine.advice import ADVICE
from cpapi_fast.feed.options import FeedOptions
from tests.simulation.simulation import Plan, instruments_of_a_year, simulate

PATH = Path(__file__).parents[2] / "docs" / "reference" / "states.md"
DOCUMENT = PATH.read_text(encoding="utf-8")
EDGES = frozenset(
    (state, target)
    for state, targets in re.findall(r"^\| `([A-Z_]+)` \| .+ \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
    for target in re.findall(r"\w+", targets)
)


def test_every_state_has_a_row_and_edges():
    names = {state.name for state in FeedState}
    assert {name for edge in EDGES for name in edge} == names
    assert re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT, re.MULTILINE) == [state.name for state in FeedState]


def test_every_cause_is_listed_with_its_advice():
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+?) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert [(cause, advice) for cause, _, advice in rows] == [(cause.value, ADVICE[cause]) for cause in Cause]


@pytest.mark.parametrize("options", [FeedOptions(), FeedOptions(competing="reclaim", ready_fallback="reconnect")])
def test_every_change_of_a_simulation_is_an_edge(options: FeedOptions):
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


if __name__ == "__main__":
    for cause, advice in ADVICE.items():
        DOCUMENT = re.sub(
            rf"^(\| `{cause.value}` \| .+? \|) .+ \|$",
            lambda match, advice=advice: f"{match[1]} {advice} |",
            DOCUMENT,
            flags=re.MULTILINE,
        )
    PATH.write_text(DOCUMENT, encoding="utf-8")
