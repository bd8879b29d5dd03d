"""Short runs of the simulation, and the proof that its oracles detect violations."""

from __future__ import annotations

from random import Random

import pytest

from cpapi_fast.events import FeedState, Gap, StateChange
from cpapi_fast.feed.machine import Emit, OpenSocket, Send
from cpapi_fast.feed.options import FeedOptions

from .gateway import Habits
from .market import DAY_S, Instrument, weekday_sessions
from .simulation import HOURS, Plan, Report, instruments_of_a_year, simulate
from .world import World


def run(days: float, seed: int, **choices: object) -> Report:
    """A run without a violation, with the instruments of the year by default."""
    instruments = choices.pop("instruments", None) or instruments_of_a_year(max(int(days), 1), seed)
    report = simulate(Plan(days, seed, instruments, **choices))
    assert report.problems == [], report.text()
    return report


def test_a_week_with_everything_that_goes_wrong():
    report = run(7, 11, faults_a_day=30.0, has_nights=True)
    assert len(report.faults.happened) > 20
    assert report.world.machine.connections > 50


@pytest.mark.parametrize("seed", [21, 22])
def test_many_faults_while_every_instrument_trades(seed: int):
    """Frozen streams are revived, and standstills and stalls make no gap without lost ticks."""
    random = Random(seed)
    instruments = [
        Instrument("smd+1", 0.5, True, None, None, random),
        Instrument("smd+2", 1.0, True, None, None, random),
        Instrument("smd+3", 1.5, False, None, None, random),
        Instrument("smd+4", 8.0, True, None, None, random),
        Instrument("smd+5", 20.0, False, None, None, random),
    ]
    report = run(2, seed, instruments=instruments, faults_a_day=150.0)
    happened = report.faults.happened
    assert min(happened["frozen"], happened["frozen_for_good"], happened["stalled"], happened["blocked"]) > 0
    assert report.oracles.certain_gaps > 0
    assert report.oracles.standstills["process"] > 0


@pytest.mark.parametrize(
    ("habits", "is_exact"),
    [
        (Habits(renewals="unanswered"), False),
        (Habits(renewals="new"), False),
        (Habits(snapshots_marked=False), False),
        (Habits(ticks_marked=True), True),
        (Habits(status_first=True, init_is_needed=False, reads_first=True), True),
    ],
    ids=["renewals-unanswered", "renewals-new-stream", "snapshots-not-marked", "ticks-marked", "other-order"],
)
def test_other_gateways(habits: Habits, is_exact: bool):
    run(3, 12, faults_a_day=30.0, has_nights=True, habits=habits, is_exact=is_exact)


@pytest.mark.parametrize(
    "options",
    [
        FeedOptions(competing="reclaim"),
        FeedOptions(ready_fallback="reconnect", nightly=None),
        FeedOptions(keepalive_interval_s=20.0, login_poll_s=10.0, reconnect_max_s=30.0),
    ],
    ids=["reclaim", "reconnect", "faster"],
)
def test_other_options(options: FeedOptions):
    run(3, 13, faults_a_day=30.0, has_nights=True, options=options)


@pytest.mark.parametrize("renewals", ["same", "new", "unanswered"])
def test_a_quiet_week_of_instruments_that_tick_once_an_hour(renewals: str):
    """No subscription is reported stale, however the gateway treats a repeated subscribe."""
    random = Random(1)
    hours = weekday_sessions(7, 9.5, 16.0)
    instruments = [Instrument(f"smd+{conid}", 3_600.0, conid % 2 == 0, None, None, random) for conid in range(6)]
    instruments += [Instrument(f"smd+{conid}", 3_600.0, conid % 2 == 0, hours, HOURS, random) for conid in range(6, 9)]
    instruments += [Instrument(f"smd+{conid}", 3_600.0, conid % 2 == 0, hours, None, random) for conid in range(9, 12)]
    report = run(7, 14, instruments=instruments, habits=Habits(renewals=renewals), is_exact=renewals == "same")
    assert report.oracles.stales == 0
    assert report.world.machine.state is FeedState.DISCONNECTED
    assert report.world.machine.connections == 1
    if renewals == "same":
        assert sum(report.oracles.gaps.values()) == 0


def test_a_hundred_subscriptions_are_renewed_for_a_week():
    """There is no gap, and at most 20 % more texts than one in six and a half minutes for each."""
    random = Random(2)
    minutes = weekday_sessions(7, 9.5, 9.75)
    instruments = [Instrument(f"smd+{conid}", 3_600.0, conid % 2 == 0, None, None, random) for conid in range(60)]
    instruments += [Instrument(f"smd+{conid}", 20.0, True, minutes, None, random) for conid in range(60, 80)]
    instruments += [Instrument(f"smd+{conid}", 300.0, False, None, None, random) for conid in range(80, 90)]
    instruments += [Instrument(f"smd+{conid}", 1.0, True, minutes, None, random) for conid in range(90, 100)]
    report = run(7, 15, instruments=instruments)
    assert len(report.world.machine.subscriptions) == 100
    assert sum(report.oracles.gaps.values()) == 0
    assert report.oracles.stales == 0
    needed = 100 * 7 * DAY_S / 390.0
    # Some are revived, because a quiet stream cannot be told from a stopped one.
    assert report.oracles.texts["umd"] <= 0.02 * needed
    assert report.oracles.texts["smd"] <= 1.2 * needed


def test_a_quiet_day_needs_one_connection_and_one_call_a_minute():
    """One connection, one call a minute, one `tic` a minute."""
    report = run(1, 16)
    assert report.oracles.calls["TICKLE"] == pytest.approx(1440, abs=3)
    assert report.oracles.texts["tic"] == pytest.approx(1440, abs=3)
    assert report.oracles.calls["ACCOUNTS"] == 1


@pytest.mark.parametrize(
    ("lost", "seen"),
    [
        (lambda action: isinstance(action, Emit) and isinstance(action.event, Gap), "without a gap"),
        (lambda action: isinstance(action, Send) and action.text.startswith("smd+1"), "does not stream after"),
        (lambda action: isinstance(action, Emit) and isinstance(action.event, StateChange), "not reported"),
        (lambda action: isinstance(action, OpenSocket), "after the last fault"),
    ],
    ids=["no-gaps", "no-subscribe", "no-states", "no-socket"],
)
def test_the_oracles_detect_missing_actions(monkeypatch: pytest.MonkeyPatch, lost, seen: str):
    do = World.do
    monkeypatch.setattr(World, "do", lambda world, actions: do(world, [a for a in actions if not lost(a)]))
    report = simulate(Plan(1, 17, instruments_of_a_year(1, 17), faults_a_day=40.0))
    assert any(seen in problem for problem in report.problems), report.text()


def test_the_oracles_detect_an_expired_stream(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.simulation.socket.EXPIRY_S", 400.0)
    report = simulate(Plan(1, 18, instruments_of_a_year(1, 18)))
    assert any("expired" in problem for problem in report.problems)
