"""Runs of virtual days, with or without faults, and their reports."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cpapi_fast.events import FeedState
from cpapi_fast.feed.decisions.decision_recorder import DecisionRecorder
from cpapi_fast.feed.machine import SubscriptionSpec
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.hours import TradingHours

from .faults import Faults
from .gateway import Habits
from .market import DAY_S, Instrument, local_s, weekday_sessions
from .oracles import Oracles
from .world import World

#: The start of the run, in the first night of the year.
START_S = 1_000.0
HOURS = TradingHours.weekdays("09:30", "16:00", "America/New_York")

SUBSCRIBED = {
    "sor": SubscriptionSpec("sor", "sor+{}", "uor+{}"),
    "spl": SubscriptionSpec("spl", "spl+{}", "upl+{}", needs_brokerage=False),
}


@dataclass
class Report:
    """The result of a run."""

    seed: int
    days: float
    cpu_s: float
    world: World
    oracles: Oracles
    faults: Faults

    @property
    def problems(self) -> list[str]:
        """The violations, as texts."""
        return [f"day {item.at_s / DAY_S:.3f} ({item.at_s:.2f} s): {item.what}" for item in self.oracles.violations]

    def text(self) -> str:
        """A short report."""
        oracles, requests = self.oracles, self.world.machine.requests
        lines = [
            f"{self.days:g} days with seed {self.seed} in {self.cpu_s:.1f} s of CPU: {self.world.inputs:,} inputs",
            f"faults: {sum(self.faults.happened.values()):,}"
            + "".join(f", {name} {count}" for name, count in sorted(self.faults.happened.items())),
            "gaps: " + (", ".join(f"{name} {count:,}" for name, count in sorted(oracles.gaps.items())) or "none"),
            f"subscriptions reported STALE: {oracles.stales:,}, of these streaming: {oracles.false_stales:,}; "
            f"gaps without lost ticks: {oracles.false_gaps:,}",
            f"certain gaps: {oracles.certain_gaps:,}; standstills: "
            + (", ".join(f"{name} {count:,}" for name, count in sorted(oracles.standstills.items())) or "none"),
            f"connections: {self.world.machine.connections:,}; "
            f"most requests in a minute: {oracles.most_requests_a_minute}; "
            + ", ".join(f"{name} {count:,}" for name, count in sorted(oracles.calls.items())),
            f"renewals: {requests.renewals:,}, probes: {requests.probes:,}, resubscribes: {requests.resubscribes:,}",
            "texts: " + ", ".join(f"{name} {count:,}" for name, count in sorted(oracles.texts.items())),
            f"violations: {len(oracles.violations):,}",
        ]
        return "\n".join([*lines, *self.problems[:20]])


@dataclass
class Plan:
    """What to simulate.

    Attributes:
        days: how many.
        seed: of everything random.
        instruments: the instruments to subscribe to.
        faults_a_day: random faults, on average.
        has_nights: the gateway is reset every night, and requires a login every week.
        habits: of the gateway.
        options: of the feed.
        keep_events: keep every event.
        is_exact: see `Oracles`.
        record: write the machine's inputs to this file.
    """

    days: float
    seed: int
    instruments: list[Instrument]
    faults_a_day: float = 0.0
    has_nights: bool = False
    habits: Habits = field(default_factory=Habits)
    options: FeedOptions = field(default_factory=FeedOptions)
    keep_events: bool = True
    is_exact: bool = True
    record: Path | None = None


def instruments_of_a_year(days: int, seed: int) -> list[Instrument]:
    """Instruments with short and long intervals, with known and unknown hours, and one that never closes."""
    random = Random(seed)
    day = weekday_sessions(days, 9.5, 16.0)
    # Frequent ticks take the most time, so frequent instruments trade for a part of the day only.
    start = weekday_sessions(days, 9.5, 10.0)
    hour = weekday_sessions(days, 9.5, 10.5)
    two = weekday_sessions(days, 9.5, 11.5)
    return [
        Instrument("smd+1", 0.5, True, start, None, random),
        Instrument("smd+2", 1.0, True, hour, None, random),
        Instrument("smd+3", 1.5, False, hour, None, random),
        Instrument("smd+4", 20.0, True, day, HOURS, random),
        Instrument("smd+5", 20.0, False, two, None, random),
        Instrument("smd+6", 3_600.0, True, None, None, random),
        Instrument("smd+7@NYSE", 3_600.0, True, day, HOURS, random),
    ]


def simulate(plan: Plan) -> Report:
    """Run it."""
    before_s = time.process_time()
    oracles = Oracles(keep_events=plan.keep_events, is_exact=plan.is_exact)
    recorder = None if plan.record is None else DecisionRecorder(plan.record, plan.options, plan.seed)
    if recorder is not None:
        recorder.open()
    world = World(
        plan.options, seed=plan.seed, habits=plan.habits, observer=oracles, recorder=recorder, start_s=START_S
    )
    random = Random(f"faults {plan.seed}")
    faults = Faults(world, oracles, random)
    world.start()
    for instrument in plan.instruments:
        target = instrument.topic.partition("+")[2]
        spec = SubscriptionSpec(
            instrument.topic,
            f'smd+{target}+{{"fields":["31"]}}',
            f"umd+{target}+{{}}",
            is_market_data=True,
            hours=instrument.hours,
        )
        world.subscribe(spec, instrument)
    if plan.faults_a_day:
        world.subscribe(SUBSCRIBED["sor"])
        world.subscribe(SUBSCRIBED["spl"], Instrument("spl", 2.0, True, plan.instruments[0].sessions, random=random))
        _next_fault(world, faults, random, plan.faults_a_day)
    if plan.has_nights:
        for day in range(1, int(plan.days) + 1):
            world.at(local_s(day, 0.0), faults.maintenance, 600.0)
            if day % 7 == 6:
                world.at(local_s(day, 0.2), faults.logged_out, random.uniform(3_600.0, 36_000.0))
    world.run(START_S + plan.days * DAY_S)
    for subscription in world.subscriptions.values():
        world.socket.settle(subscription)
    world.stop()
    if recorder is not None:
        recorder.close()
    if world.machine.state is not FeedState.DISCONNECTED:
        oracles.fail(world, "a stopped machine is not disconnected")
    return Report(plan.seed, plan.days, time.process_time() - before_s, world, oracles, faults)


def _next_fault(world: World, faults: Faults, random: Random, a_day: float) -> None:
    """Plan the next fault: sometimes during the last one, mostly after it."""
    pause_s = random.uniform(0.0, 200.0) if random.random() < 0.2 else random.expovariate(a_day / DAY_S)
    world.after(pause_s, _fault, world, faults, random, a_day)


def _fault(world: World, faults: Faults, random: Random, a_day: float) -> None:
    faults.begin_random()
    _next_fault(world, faults, random, a_day)
