"""Clock: compressed time, and how it maps to the system clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError


def test_the_system_clock_is_the_machine_s() -> None:
    assert abs(SYSTEM_CLOCK.time_ns() - time.time_ns()) < 1e9
    assert SYSTEM_CLOCK.real_s(3.0) == 3.0


async def test_a_fast_clock_runs_fast_in_everything() -> None:
    clock = Clock(100.0)

    fired: list[float] = []
    start_s, start_ns, real_s = clock.monotonic_s(), clock.time_ns(), time.monotonic()
    handle = clock.call_later(5.0, fired.append, 1.0)
    await clock.sleep(20.0)
    assert fired == [1.0]
    assert not handle.cancelled()
    assert time.monotonic() - real_s < 5
    assert clock.monotonic_s() - start_s >= 19.9
    assert clock.time_ns() - start_ns >= 19.9e9
    assert clock.real_s(20.0) == 0.2


@pytest.mark.parametrize(
    ("speed", "seconds", "expected_s"),
    [(1.0, 0.2, 0.2), (1.0, 30.0, 30.0), (0.1, 3.0, 30.0), (20.0, 10.0, 5.0), (20.0, 0.2, 0.2), (20.0, 2_000.0, 100.0)],
)
def test_a_fast_clock_leaves_a_connection_the_time_that_it_takes(
    speed: float, seconds: float, expected_s: float
) -> None:
    assert Clock(speed).real_limit_s(seconds) == pytest.approx(expected_s)


def test_a_time_of_the_machine_on_a_fast_clock() -> None:
    assert SYSTEM_CLOCK.of_machine_ns(12_345) == 12_345
    clock = Clock(100.0)
    before_ns = clock.time_ns()
    now_ns = clock.of_machine_ns(time.time_ns())
    assert before_ns - 1_000_000_000 <= now_ns <= clock.time_ns() + 1_000_000_000
    assert clock.of_machine_ns(time.time_ns() + 1_000_000) - now_ns >= 100_000_000


def test_monotonic_time_never_runs_backwards() -> None:
    clock = Clock(7.0)
    times = [clock.monotonic_s() for _ in range(1000)]
    assert times == sorted(times)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_an_invalid_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError):
        Clock(speed)


def test_call_later_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        Clock().call_later(1.0, asyncio.sleep, 0)
