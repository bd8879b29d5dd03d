"""Clocks for tests that need real time, or time that a task moves; `tests/hand_clock.py` has the one a test moves."""

from __future__ import annotations

import asyncio
import time

from cpapi_fast.clock import Clock


class SkewedClock(Clock):
    """A clock whose time of day is wrong by a constant."""

    def __init__(self, ahead_s: float) -> None:
        super().__init__()
        self._ahead_ns = int(ahead_s * 1e9)

    def time_ns(self) -> int:
        return super().time_ns() + self._ahead_ns


class VariableSpeedClock(Clock):
    """A clock whose speed a test changes while it runs; its time of day stays the machine's."""

    def __init__(self) -> None:
        super().__init__()
        self._changed_at_s, self._elapsed_s = time.monotonic(), 0.0

    def monotonic_s(self) -> float:
        return self._elapsed_s + (time.monotonic() - self._changed_at_s) * self.speed

    def time_ns(self) -> int:
        return time.time_ns()

    def set_speed(self, speed: float) -> None:
        """Run at this speed from now on."""
        self._elapsed_s, self._changed_at_s = self.monotonic_s(), time.monotonic()
        self.speed = speed  # type: ignore[misc]


class SleepClock(Clock):
    """A clock that only `sleep` moves, so that a busy machine cannot make a task late."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0

    def monotonic_s(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        self._now_s += seconds
        await asyncio.sleep(0)
