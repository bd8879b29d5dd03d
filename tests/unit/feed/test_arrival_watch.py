"""ArrivalWatch: standstills by two monotonic clocks, and late frames, also when either wall clock is set."""

from __future__ import annotations

import time

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.events import FeedEvent, Standstill, StandstillReason
from cpapi_fast.feed.driver import arrival_watch
from cpapi_fast.feed.driver.arrival_watch import ArrivalWatch
from cpapi_fast.feed.driver.machine_runner import MachineRunner
from cpapi_fast.feed.machine import Action, Emit, Machine
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.tracked_topics import TrackedTopics
from tests.support.batches import batch_of

from .test_event_times import HOUR_MS, START_MS, tick


class TestClock(Clock):
    """A machine whose clocks are moved by hand."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.s = self.suspended_s = self.step_s = 0.0

    def monotonic_s(self) -> float:
        return self.s

    def elapsed_s(self) -> float:
        return self.s + self.suspended_s

    def steady_ns(self) -> int:
        return START_MS * 10**6 + int(self.elapsed_s() * 1e9)

    def machine_ns(self) -> int:
        return self.steady_ns() + int(self.step_s * 1e9)


class Bench:
    """A feed that receives ticks and heartbeats of a gateway, whose clock can be set too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = TestClock()
        self.gateway_step_s = 0.0
        self.events: list[FeedEvent] = []
        self.topics = TrackedTopics(keeps_last_values=False)
        for conid in (1, 2):
            self.topics.add(f"smd+{conid}", is_market_data=True)
        machine = Machine(FeedOptions(seed=1))
        runner = MachineRunner(machine, self.clock, self.topics, None)
        self.watch = ArrivalWatch(self.clock, FeedOptions(), self.topics, runner, self._carry_out)
        machine.start(runner.now())
        monkeypatch.setattr(arrival_watch.time, "time_ns", self.clock.machine_ns)
        self.watch._note_time()
        self.watch._set_clock()
        self.late: list[int] = []
        self.runs(60.0)
        assert self.events == []
        assert self.watch.counts() == {"standstills": 0, "late_frames": 0, "max_lateness_ns": 0}

    def _carry_out(self, actions: list[Action]) -> None:
        self.events += [action.event for action in actions if isinstance(action, Emit)]

    def event_ms(self, ago_s: float = 0.0) -> int:
        return self.clock.steady_ns() // 10**6 + int((self.gateway_step_s - ago_s) * 1e3)

    def receive(self, *frames: bytes) -> None:
        batch = batch_of(list(frames), self.clock.machine_ns())
        self.topics.tracker.scan(batch, self.clock.monotonic_s())
        if self.topics.tracker.may_be_late:
            self.watch.on_batch(batch)
        self.late = list(batch.late_ns or [0] * len(batch))

    def runs(self, duration_s: float) -> None:
        """The loop runs, with two ticks a second and a heartbeat every 10 s."""
        for number in range(int(2 * duration_s)):
            self.clock.s += 0.5
            self.receive(tick(self.event_ms(0.04)), tick(self.event_ms(0.04), 2))
            if number % 20 == 19:
                self.watch.on_heartbeat(self.event_ms(), self.clock.machine_ns())
            self.watch._set_clock()
            self.watch._note_time()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_a_loop_that_stood_still_is_reported_with_its_late_frames(bench: Bench):
    bench.clock.s += 20.0
    bench.receive(*(tick(bench.event_ms(ago_s)) for ago_s in (19.0, 10.0, 2.0, 0.5)))
    (event,) = bench.events
    assert isinstance(event, Standstill)
    assert (event.reason, event.length_ns) == (StandstillReason.PROCESS, 20 * 10**9)
    assert [late_ns / 1e9 for late_ns in bench.late] == pytest.approx([18.96, 9.96, 1.96, 0.0], abs=0.01)
    assert bench.watch.counts()["late_frames"] == 3
    assert bench.watch.latest_ns == pytest.approx(18.96e9, abs=1e7)
    bench.runs(60.0)
    assert len(bench.events) == 1
    assert bench.watch.late_frames == 3


def test_a_suspend_that_the_monotonic_clock_does_not_count_is_reported(bench: Bench):
    bench.clock.suspended_s += 3_600.0
    bench.runs(1.0)
    (event,) = bench.events
    assert isinstance(event, Standstill)
    assert event.reason is StandstillReason.SUSPEND
    assert event.length_ns == pytest.approx(3_600e9, abs=1e9)
    assert bench.watch.late_frames == 0


def test_a_silent_network_is_reported_when_its_late_frames_arrive(bench: Bench):
    for _ in range(40):
        bench.clock.s += 0.5
        bench.watch._set_clock()
        bench.watch._note_time()
    bench.receive(*(tick(bench.event_ms(ago_s)) for ago_s in (19.0, 10.0)))
    (event,) = bench.events
    assert isinstance(event, Standstill)
    assert (event.reason, event.length_ns) == (StandstillReason.NETWORK, 20 * 10**9)
    bench.runs(60.0)
    assert len(bench.events) == 1


@pytest.mark.parametrize("gateway", [False, True], ids=["gateway-keeps", "gateway-too"])
@pytest.mark.parametrize("machine", [False, True], ids=["machine-keeps", "machine-too"])
@pytest.mark.parametrize("step_s", [-3_600.0, -30.0, 30.0, 3_600.0])
def test_a_step_of_a_wall_clock_is_neither_a_standstill_nor_lateness(
    bench: Bench, step_s: float, machine: bool, gateway: bool
):
    for sign in (1, -1):
        bench.clock.step_s += sign * step_s * machine
        bench.gateway_step_s += sign * step_s * gateway
        bench.runs(300.0)
    assert bench.events == []
    assert bench.watch.late_frames == 0
    # Real lateness is still seen.
    bench.clock.s += 20.0
    bench.receive(tick(bench.event_ms(10.0)))
    assert bench.watch.late_frames == 1


def test_a_snapshot_with_an_old_time_is_not_late(bench: Bench):
    bench.receive(tick(bench.event_ms(HOUR_MS / 1e3)))
    assert bench.watch.late_frames == 0
    # The snapshot of the last tick, after a quiet time.
    bench.topics.watch("smd+1")
    old_ms = bench.event_ms(0.04)
    bench.receive(tick(old_ms))
    bench.topics.watch("smd+1")
    bench.topics.last_update(bench.topics.find("smd+1"), old_ms)
    for _ in range(15):
        bench.clock.s += 0.5
        bench.watch._note_time()
    bench.receive(tick(old_ms))
    assert bench.watch.late_frames == 0
    assert bench.events == []


def test_a_gateway_whose_data_is_always_old_is_not_late(monkeypatch: pytest.MonkeyPatch):
    bench = Bench(monkeypatch)
    bench.topics.add("smd+3", is_market_data=True)
    for _ in range(600):
        bench.clock.s += 0.5
        bench.receive(tick(bench.event_ms(900.0), 3))
        bench.watch._note_time()
    assert bench.watch.late_frames == 0


def test_the_real_clock_does_not_count_a_suspend_that_did_not_happen():
    clock = Clock(2.0)
    time.sleep(0.05)
    assert clock.elapsed_s() == pytest.approx(clock.monotonic_s(), abs=0.05)
    assert abs(clock.steady_ns() - clock.time_ns()) < 10**9
