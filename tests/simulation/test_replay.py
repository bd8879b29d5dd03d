"""The decision record of a simulated run is replayed exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cpapi_fast as cf
from cpapi_fast.feed.machine import Emit

from .simulation import Plan, instruments_of_a_year, simulate


def test_two_days_with_faults_are_replayed_exactly(tmp_path: Path):
    file = tmp_path / "decisions.jsonl"
    report = simulate(Plan(2, 33, instruments_of_a_year(2, 33), faults_a_day=40.0, has_nights=True, record=file))
    decisions = list(cf.replay_decisions(file))
    assert len(decisions) == report.world.inputs
    assert {decision.input for decision in decisions} >= {
        "tick", "on_facts", "on_call_failed", "on_socket_ended", "on_status", "on_refused", "on_subscription_frame",
        "on_paused", "subscribe", "unsubscribe", "start", "stop",
    }  # fmt: skip
    events = [action.event for decision in decisions for action in decision.actions if isinstance(action, Emit)]
    assert events == [event for _, event in report.oracles.events]
    assert Counter(event.cause.value for event in events if isinstance(event, cf.Gap)) == report.oracles.gaps
