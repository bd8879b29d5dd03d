"""OneLoop: the event loop that an object belongs to. A use in another one is refused with what to do instead."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from cpapi_fast.errors import UsageError


class OneLoop:
    """The event loop of one object: the one in which it is first used.

    Sockets, timers and futures of a loop must not be used in another one, and asyncio does not report it: the other
    loop waits forever, or fails with an error that looks like one of the network.

    Args:
        kind: the object in messages, such as `client`.
        outlives_loop: whether the object can move to another loop once its loop is closed.
    """

    __slots__ = ("_kind", "_loop", "_outlives_loop", "_thread_id")

    def __init__(self, kind: str, *, outlives_loop: bool = False) -> None:
        self._kind: Final = kind
        self._outlives_loop: Final = outlives_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id: int | None = None

    def check_call(self) -> None:
        """Check a plain function, which may also be called while no loop is running.

        Raises:
            UsageError: called from another loop, or from another thread than the one of the loop.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            if threading.get_ident() == self._thread_id:
                return
        else:
            if running is self._loop:
                return
        self.check()

    def check(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, which the first call makes the loop of the object.

        Raises:
            UsageError: the object belongs to another loop, or no loop is running.
        """
        loop = self._loop
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                f"no event loop is running in this thread; use a {self._kind} in a coroutine, as in "
                "cpapi_fast.run(main())"
            ) from None
        if loop is running:
            return running
        if loop is None or (self._outlives_loop and loop.is_closed()):
            self._loop = running
            self._thread_id = threading.get_ident()
            return running
        if loop.is_closed():
            raise UsageError(
                f"this {self._kind} belongs to an event loop that has ended. Create a new one in each loop, or do all "
                "work in one cpapi_fast.run(main()): each call of run creates a loop."
            )
        raise UsageError(
            f"this {self._kind} belongs to the event loop in which it was first used, and this is another one. From "
            f"another thread, pass the coroutine to asyncio.run_coroutine_threadsafe(coroutine, loop) with that loop. "
            f"For another loop, create another {self._kind}."
        )
