"""Clean shutdown of a command on Ctrl-C, SIGTERM and SIGHUP; a second Ctrl-C or SIGTERM ends it at once.

A service has no terminal that could be closed, so SIGHUP can mean something else there.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from cpapi_fast.console import end_now
from cpapi_fast.program import this_process

#: Signals that mean: stop. The second one of them means: at once.
_STOP: Final = (signal.SIGINT, signal.SIGTERM)

#: The terminal was closed: SIGHUP, and SIGBREAK on Windows. A shell and the kernel may both send it, so its repetition
#: means nothing.
_CLOSED: Final = tuple(
    signal.Signals(number)
    for number in (getattr(signal, "SIGHUP", None), getattr(signal, "SIGBREAK", None))
    if number is not None
)

#: A signal within this time after the first one is the same request, in seconds: programs that start others (`uv run`,
#: `npm`) forward the Ctrl-C that the terminal has already sent to all of them.
_SAME_S: Final = 0.1


@contextmanager
def stopped_by_signals(
    stop: Callable[[], object],
    loss: Callable[[], str] | None = None,
    *,
    hang_up: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Call `stop` in the loop on the first Ctrl-C, SIGTERM or SIGHUP. A second Ctrl-C or SIGTERM ends the process.

    The second one ends the process at once, whatever it waits for, with exit code 130, or by SIGTERM. A signal that was
    ignored when the process started, as `nohup` does with SIGHUP, stays ignored. The earlier signal handlers are
    restored on leaving; in a process that runs only this command, a repetition of the first signal is ignored until the
    process has exited. In a thread that is not the main one, which cannot handle signals, this has no effect.

    Args:
        stop: called once or more.
        loss: called on the second signal; returns what is lost.
        hang_up: called in the loop on each SIGHUP instead of `stop`, in a process that has no terminal. None for
            `stop`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}
    first_s: float | None = None
    received: set[int] = set()
    # Windows has no SIGHUP, and its SIGBREAK means the end.
    on_closed = hang_up if hasattr(signal, "SIGHUP") and hang_up is not None and not has_terminal() else None

    def on_signal(number: int, _frame: object) -> None:
        nonlocal first_s
        if number in _CLOSED and on_closed is not None:
            loop.call_soon_threadsafe(on_closed)
            return
        received.add(number)
        if number in _STOP:
            if first_s is None:
                first_s = time.monotonic()
            elif time.monotonic() - first_s > _SAME_S:
                end_now(number, f"cpapi-fast: interrupted{f': {loss()}' if loss is not None else ''}")
        # The only call that wakes the loop up from a signal handler.
        loop.call_soon_threadsafe(stop)

    for handled in (*_STOP, *_CLOSED):
        if handled in _CLOSED and signal.getsignal(handled) is signal.SIG_IGN:
            continue
        before[handled] = signal.signal(handled, on_signal)

    def on_repetition(number: int, _frame: object) -> None:
        # The command has finished, and the process exits.
        if first_s is None or time.monotonic() - first_s > _SAME_S:
            end_now(number)

    try:
        yield
    finally:
        for number, handler in before.items():
            # The repetition of SIGHUP must not end the process while it exits.
            is_repeated = number in _CLOSED and (number in received or (this_process.is_command and bool(received)))
            signal.signal(number, signal.SIG_IGN if is_repeated else handler)
        if this_process.is_command and received:
            for number in _STOP:
                signal.signal(number, on_repetition)
            # After that, Python restores the handlers of the operating system, which end the process.
            atexit.register(_ignore, _STOP)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, whose end sends SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _ignore(numbers: Iterable[signal.Signals]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
