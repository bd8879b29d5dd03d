"""Creates and runs event loops, uvloop if it is installed, and refuses calls from the wrong loop or thread"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from .errors import MissingDependencyError, UsageError

T = TypeVar("T")


def new_event_loop(*, uvloop: bool | None = None) -> asyncio.AbstractEventLoop:
    """Return a new event loop.

    Args:
        uvloop: True for uvloop, False for asyncio's own, None (the default) for uvloop if it is installed.

    Raises:
        MissingDependencyError: `uvloop` is True and uvloop is not installed.
    """
    if uvloop is not False:
        try:
            import uvloop as uvloop_module
        except ImportError as error:
            if uvloop:
                raise MissingDependencyError("uvloop is not installed: pip install uvloop") from error
        else:
            return uvloop_module.new_event_loop()
    if sys.platform == "win32":
        # The default loop of Windows copies the bytes of each read once more, into the protocol's buffer.
        return asyncio.SelectorEventLoop()
    return asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, T], *, uvloop: bool | None = None) -> T:
    """Run a coroutine on a new loop and return its result, as `asyncio.run` does. Ctrl-C cancels the coroutine.

    In a thread other than the main one, Ctrl-C has no effect on the coroutine.

    Args:
        main: the coroutine. It is closed if it cannot be run.
        uvloop: as in `new_event_loop`.

    Raises:
        UsageError: a loop already runs in this thread, as in a notebook; `main` is not a coroutine.
        MissingDependencyError: `uvloop` is True and uvloop is not installed.
        BaseException: the exception of the coroutine.
    """
    if not asyncio.iscoroutine(main):
        raise UsageError("run needs a coroutine, which the call of an async function returns: cf.run(main())")
    try:
        if running_loop() is not None:
            raise UsageError(
                "an event loop already runs in this thread, as in a notebook or in an async function. Use `await "
                "main()` instead of `cf.run(main())`; a function that is not async can call run in another thread, as "
                "with asyncio.to_thread"
            )
        with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
            return runner.run(main)
    finally:
        # If it never started, Python would warn that it was never awaited.
        main.close()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread; None if there is none."""
    # Unlike `get_running_loop`, it does not raise, which costs more than all the rest of a check.
    return asyncio._get_running_loop()


def required_loop(what: str) -> asyncio.AbstractEventLoop:
    """The loop that runs in this thread.

    Args:
        what: what needs it, for the message.

    Raises:
        UsageError: no loop runs in this thread.
    """
    loop = running_loop()
    if loop is None:
        raise UsageError(
            f"{what} needs a running event loop in this thread. Call it in an async function; from another thread, use "
            "asyncio.run_coroutine_threadsafe or loop.call_soon_threadsafe"
        )
    return loop


class LoopOwner:
    """The event loop that an object belongs to: the one in which it was first used.

    Timers, futures and sockets of a loop must not be used from another loop or thread. asyncio does not report it: the
    call has no effect, or a task waits forever.

    Args:
        what: the object, for messages, such as `a feed`.
        outlives_loop: whether the object can move to another loop once its loop is closed.
    """

    __slots__ = ("_loop", "_outlives_loop", "_thread_id", "_what")

    def __init__(self, what: str, *, outlives_loop: bool = False) -> None:
        self._what: Final = what
        self._outlives_loop: Final = outlives_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0

    def check(self) -> None:
        """Refuse a call from another loop or thread; the first call in a loop decides which one is the right one.

        Without a running loop, a call is accepted in the thread of the loop, and in any thread before the first use.

        Raises:
            UsageError: the object belongs to another loop.
        """
        loop = running_loop()
        if loop is self._loop:
            if loop is not None or self._thread_id in (0, threading.get_ident()):
                return
        elif self._loop is None or (self._outlives_loop and self._loop.is_closed()):
            self._loop, self._thread_id = loop, threading.get_ident()
            return
        elif loop is None and self._thread_id == threading.get_ident():
            return
        if self._loop is not None and self._loop.is_closed():
            raise UsageError(
                f"{self._what} belongs to the event loop in which it was first used, and that loop has ended. Create a "
                "new one in each loop, or do all work in one cf.run(main()): each call of run creates a loop"
            )
        raise UsageError(
            f"{self._what} belongs to the event loop in which it was first used. From another thread, use "
            "asyncio.run_coroutine_threadsafe with that loop, or loop.call_soon_threadsafe for a plain function"
        )

    def check_end(self) -> None:
        """The same for a call that ends the object. It is always accepted when the loop is closed.

        Raises:
            UsageError: the object belongs to another loop.
        """
        if self._loop is None or not self._loop.is_closed():
            self.check()
