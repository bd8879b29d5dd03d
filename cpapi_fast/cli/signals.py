"""Clean shutdown of a command on Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` in the loop on the first Ctrl-C or SIGTERM. A second one ends the process.

    The earlier signal handlers are restored on leaving. In a thread that is not the main one, which cannot handle
    signals, this has no effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        # The only call that wakes the loop up from a signal handler.
        loop.call_soon_threadsafe(stop)

    for handled in (signal.SIGINT, signal.SIGTERM):
        before[handled] = signal.signal(handled, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
