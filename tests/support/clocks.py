"""Clocks for tests: `HandClock`, which a test moves, and clocks in real time with a wrong time or a changing speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cpapi_fast.clock import Clock

#: The time of day of a new clock, in ns since the Unix epoch; the start of a minute.
START_NS = 1_767_277_800_000_000_000


class HandTimer(asyncio.TimerHandle):
    """A timer that is not registered in a loop."""

    def cancel(self) -> None:
        asyncio.Handle.cancel(self)


class HandClock(Clock):
    """A clock whose time passes only in `advance` and `move`."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._timers: list[HandTimer] = []

    def monotonic_s(self) -> float:
        return self._now_s

    def time_ns(self) -> int:
        return START_NS + int(self._now_s * 1e9)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        handle = HandTimer(self._now_s + seconds, callback, args, asyncio.get_running_loop())
        self._timers.append(handle)
        return handle

    async def sleep(self, seconds: float) -> None:
        is_over = asyncio.Event()
        timer = self.call_later(seconds, is_over.set)
        try:
            await is_over.wait()
        finally:
            timer.cancel()

    @property
    def timers(self) -> int:
        return sum(not timer.cancelled() for timer in self._timers)

    def move(self, seconds: float) -> None:
        """Let time pass, for code without timers. Needs no loop."""
        assert not self._timers, "timers run only in `advance`"
        self._now_s += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass, and run each timer at its time."""
        end_s = self._now_s + seconds
        await settle()
        while due := [timer for timer in self._timers if not timer.cancelled() and timer.when() <= end_s]:
            first = min(due, key=lambda timer: timer.when())
            self._timers.remove(first)
            self._now_s = max(self._now_s, first.when())
            first._run()
            await settle()
        self._now_s = end_s
        self._timers = [timer for timer in self._timers if not timer.cancelled()]


async def settle() -> None:
    """Let every task run until it waits for time or I/O."""
    for _ in range(10):
        await asyncio.sleep(0)


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
        """Set the speed from this moment."""
        self._elapsed_s, self._changed_at_s = self.monotonic_s(), time.monotonic()
        self.speed = speed  # type: ignore[misc]
