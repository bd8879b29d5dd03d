"""The event loop to run on: uvloop where it is installed, plain asyncio everywhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_event_loop(*, uvloop: bool | None = None) -> asyncio.AbstractEventLoop:
    """Return a new event loop.

    Args:
        uvloop: True for uvloop, False for asyncio's own, None (the default) for uvloop where it is installed.

    Raises:
        ImportError: uvloop was asked for by name and is not installed.
    """
    if uvloop is not False:
        try:
            import uvloop as uvloop_module
        except ImportError:
            if uvloop:
                raise
        else:
            return uvloop_module.new_event_loop()
    if sys.platform == "win32":
        # The default of Windows copies every read once more into a protocol's own buffer.
        return asyncio.SelectorEventLoop()
    return asyncio.new_event_loop()


class BusyPoll:
    """Keeps a loop from sleeping: it asks the sockets again and again instead of waiting to be woken.

    That saves the time a sleeping thread needs to be woken, which is most of a quiet feed's latency, and costs a whole
    processor core, whether data comes or not. Other tasks of the loop run as before.

    Args:
        loop: the running loop; several may spin on one, each adds its turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_spinning = True
        loop.call_soon(self._spin)

    def _spin(self) -> None:
        # A callback that is always due: with one waiting, a loop polls its sockets without a timeout.
        if self._is_spinning:
            self._loop.call_soon(self._spin)

    def stop(self) -> None:
        """Let the loop sleep again."""
        self._is_spinning = False


def run(main: Coroutine[Any, Any, T], *, uvloop: bool | None = None) -> T:
    """Run `main` to its end on a new loop, as `asyncio.run` does; Ctrl-C cancels it.

    Args:
        main: the coroutine.
        uvloop: as in `new_event_loop`.
    """
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
            return runner.run(main)
    loop = new_event_loop(uvloop=uvloop)
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            # asyncio.Runner's behaviour, which 3.10 lacks: the coroutine gets to clean up before the interrupt goes on.
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            raise
    finally:
        pending = asyncio.all_tasks(loop)
        for other in pending:
            other.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
