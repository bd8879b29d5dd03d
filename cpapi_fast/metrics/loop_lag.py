"""LoopLag: measures how late the event loop runs its timers"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from .histogram import LatencyHistogram

#: How often the loop is measured, in real seconds. uvloop rounds timers to 1 ms.
INTERVAL_S: Final = 0.25


class LoopLag:
    """A timer that measures its own lateness, four times a second.

    Args:
        loop: the event loop, in whose thread this is created and closed.

    Attributes:
        latency: the lateness of the timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.latency: Final = LatencyHistogram()
        self._loop: Final = loop
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._schedule()

    def close(self) -> None:
        """Stop the timer. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._due_s = time.monotonic() + INTERVAL_S
        self._timer = self._loop.call_later(INTERVAL_S, self._measure)

    def _measure(self) -> None:
        self.latency.observe(int((time.monotonic() - self._due_s) * 1e9))
        self._schedule()
