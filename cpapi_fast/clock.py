"""Clock: the time of every timer, which a test can speed up for client and simulator together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from .errors import ConfigError


class Clock:
    """Time that runs `speed` times as fast as the system clock, from the creation of the clock.

    Durations in the options of this library are in seconds *of this clock*. With the default speed of 1.0 that is
    ordinary time. Receive times of frames (`received_ns`) are always those of the system clock.

    Args:
        speed: how many seconds of this clock pass in one real second; above zero.

    Raises:
        ConfigError: `speed` is not a finite number above zero.
    """

    __slots__ = ("_start_monotonic_s", "_start_ns", "speed")

    def __init__(self, speed: float = 1.0) -> None:
        if not 0.0 < speed < float("inf"):
            raise ConfigError(f"a clock's speed must be a finite number above zero, not {speed!r}")
        self.speed: Final = float(speed)
        self._start_ns: Final = time.time_ns()
        self._start_monotonic_s: Final = time.monotonic()

    def __repr__(self) -> str:
        return f"Clock(speed={self.speed:g})"

    def monotonic_s(self) -> float:
        """Seconds of this clock since its creation; monotonic."""
        return (time.monotonic() - self._start_monotonic_s) * self.speed

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch on this clock, which starts at the system time.

        At speed 1.0 it is the system clock, including its steps.
        """
        if self.speed == 1.0:
            return time.time_ns()
        return self._start_ns + int(self.monotonic_s() * 1e9)

    def of_machine_ns(self, machine_ns: int) -> int:
        """The time of this clock at `machine_ns` of the system clock, as in `Frame.received_ns`.

        At speed 1.0 the two are equal.
        """
        if self.speed == 1.0:
            return machine_ns
        return self._start_ns + int((machine_ns - self._start_ns) * self.speed)

    def real_s(self, seconds: float) -> float:
        """How many real seconds `seconds` of this clock last, as timeouts of asyncio need it."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of this clock."""
        await asyncio.sleep(seconds / self.speed)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        """Call `callback(*args)` in the running loop after `seconds` of this clock."""
        return asyncio.get_running_loop().call_later(seconds / self.speed, callback, *args)


#: The system clock, the default everywhere.
SYSTEM_CLOCK: Final = Clock()
