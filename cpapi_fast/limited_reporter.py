"""LimitedReporter: passes the first texts on, then one per interval, with the number of those left out"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .clock import Clock

#: How many texts of one kind are reported at once.
BURST: Final = 5
#: The same for changes of state, of which there are several in one outage.
CHANGE_BURST: Final = 20
#: The time until the next one is, in seconds of the clock.
INTERVAL_S: Final = 30.0


class LimitedReporter:
    """Reports texts of one kind, as many as a person can read, however many there are.

    The first `burst` texts are passed on at once. From then on there is one per interval: the last text, with the
    number of texts since the one before. After an interval without a text, `burst` texts are passed on again.

    Args:
        report: called with each text that is reported.
        clock: measures the interval.
        burst: how many texts are reported at once.
        interval_s: the interval in seconds of the clock.

    Attributes:
        left_out: how many texts were not reported one by one, in total.
    """

    def __init__(
        self, report: Callable[[str], None], clock: Clock, *, burst: int = BURST, interval_s: float = INTERVAL_S
    ) -> None:
        self.left_out = 0
        self._report: Final = report
        self._clock: Final = clock
        self._burst: Final = burst
        self._interval_s: Final = interval_s
        self._since_s = -interval_s
        self._reported = 0
        self._waiting = 0
        self._last: str | Callable[[], str] = ""
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, text: str | Callable[[], str]) -> None:
        """Report a text, or count it.

        Args:
            text: the text, or a function that returns it, which is called only if the text is reported.
        """
        now_s = self._clock.monotonic_s()
        if self._timer is None and now_s - self._since_s >= self._interval_s:
            self._since_s, self._reported = now_s, 0
        if self._reported < self._burst:
            self._reported += 1
            self._report(text if isinstance(text, str) else text())
            return
        self._waiting += 1
        self._last = text
        if self._timer is None:
            self._timer = self._clock.call_later(self._interval_s, self._on_interval)

    def close(self) -> None:
        """Report the number of the texts that were left out, and stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report_waiting()

    def _on_interval(self) -> None:
        self._timer = None
        self._since_s = self._clock.monotonic_s()
        self._report_waiting()

    def _report_waiting(self) -> None:
        count, self._waiting = self._waiting, 0
        last, self._last = self._last, ""
        if count:
            self.left_out += count - 1
            text = last if isinstance(last, str) else last()
            self._report(text if count == 1 else f"{text} (... and {count - 1:,} more like it)")
