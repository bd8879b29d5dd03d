"""Clock: the time source of all timers; a test can speed it up for client and simulator together."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Final

from .callbacks import check_callback
from .errors import ConfigError
from .loop import required_loop
from .option_values import check_positive


def _counting_suspend() -> Callable[[], float]:
    """The monotonic clock of this system that also counts the time in which the machine is suspended."""
    # `time.monotonic` stops during a suspend on Linux and macOS, and counts it on Windows.
    name = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC"}.get(sys.platform, "")
    identifier = getattr(time, name, None)
    if identifier is None:
        return time.monotonic
    try:
        time.clock_gettime(identifier)
    except OSError:
        return time.monotonic
    return lambda: time.clock_gettime(identifier)


_elapsed_s: Final = _counting_suspend()

#: The bounds of a clock's speed. Beyond them, times of the clock do not fit into the timers of the system.
MIN_SPEED: Final = 1e-6
MAX_SPEED: Final = 1e6

#: The real seconds below which a fast clock does not shorten the time limit of a connection.
MIN_REAL_LIMIT_S: Final = 5.0


class Clock:
    """Time that runs `speed` times as fast as the system clock, from the creation of the clock.

    Durations in the options of this library are in seconds *of this clock*. At the default speed of 1.0 they are real
    seconds. Receive times of frames (`received_ns`) always use the system clock. A fast clock does not shorten the time
    limits of a connection to less than 5 real seconds, because TCP and TLS do not run faster.

    Args:
        speed: how many seconds of this clock pass in one real second; from 0.000001 to 1,000,000.

    Raises:
        ConfigError: `speed` is outside of these bounds.
    """

    __slots__ = ("_start_elapsed_s", "_start_monotonic_s", "_start_ns", "speed")

    def __init__(self, speed: float = 1.0) -> None:
        check_positive("a clock's speed", speed)
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise ConfigError(f"a clock's speed must be from {MIN_SPEED:f} to {MAX_SPEED:,.0f}, not {speed!r}")
        self.speed: Final = float(speed)
        self._start_ns: Final = time.time_ns()
        self._start_monotonic_s: Final = time.monotonic()
        self._start_elapsed_s: Final = _elapsed_s()

    def __repr__(self) -> str:
        return f"Clock(speed={self.speed:g})"

    def monotonic_s(self) -> float:
        """Return the seconds of this clock since its creation; monotonic."""
        return (time.monotonic() - self._start_monotonic_s) * self.speed

    def elapsed_s(self) -> float:
        """Return the same as `monotonic_s`, but also count the time in which the machine was suspended."""
        suspended_s = _elapsed_s() - self._start_elapsed_s - (time.monotonic() - self._start_monotonic_s)
        return self.monotonic_s() + suspended_s * self.speed

    def steady_ns(self) -> int:
        """Return the time of this clock in ns since the Unix epoch, without the steps of the system clock.

        It starts at the system time, and counts the time in which the machine is suspended.
        """
        return self._start_ns + int(self.elapsed_s() * 1e9)

    def time_ns(self) -> int:
        """Return the time of this clock in ns since the Unix epoch. The clock starts at the system time.

        At speed 1.0 this is the system clock, including its steps.
        """
        if self.speed == 1.0:
            return time.time_ns()
        return self._start_ns + int(self.monotonic_s() * 1e9)

    def of_machine_ns(self, machine_ns: int) -> int:
        """Convert a time of the system clock, such as `Frame.received_ns`, to this clock.

        Both times are in ns since the Unix epoch.

        At speed 1.0 the two are equal.
        """
        if self.speed == 1.0:
            return machine_ns
        return self._start_ns + int((machine_ns - self._start_ns) * self.speed)

    def real_s(self, seconds: float) -> float:
        """Convert `seconds` of this clock to real seconds, the unit of asyncio's timeouts."""
        return seconds / self.speed

    def real_limit_s(self, seconds: float) -> float:
        """Convert the time limit of a connection, in seconds of this clock, to real seconds.

        A fast clock does not speed up TCP, TLS or this machine. The result is therefore at least 5 real seconds, or
        `seconds` if that is less.
        """
        return max(self.real_s(seconds), min(seconds, MIN_REAL_LIMIT_S))

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of this clock."""
        await asyncio.sleep(seconds / self.speed)

    def call_later(self, seconds: float, callback: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        """Call `callback(*args)` in the running loop after `seconds` of this clock.

        Raises:
            ConfigError: `callback` is not a plain function: it is a coroutine function, for example.
            UsageError: no event loop runs in this thread.
        """
        loop = required_loop("a timer")
        check_callback(callback, "the callback of call_later")
        return loop.call_later(seconds / self.speed, callback, *args)


#: The system clock at normal speed: the default of every `clock` argument.
SYSTEM_CLOCK: Final = Clock()
