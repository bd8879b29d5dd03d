"""Creates and runs event loops: uvloop if it is installed, else asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_event_loop(*, uvloop: bool | None = None) -> asyncio.AbstractEventLoop:
    """Return a new event loop.

    Args:
        uvloop: True for uvloop, False for asyncio's own, None (the default) for uvloop if it is installed.

    Raises:
        ImportError: `uvloop` is True and uvloop is not installed.
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
        # The default loop of Windows copies the bytes of each read once more, into the protocol's buffer.
        return asyncio.SelectorEventLoop()
    return asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, T], *, uvloop: bool | None = None) -> T:
    """Run a coroutine on a new loop and return its result, as `asyncio.run` does. Ctrl-C cancels the coroutine.

    Args:
        main: the coroutine.
        uvloop: as in `new_event_loop`.

    Raises:
        ImportError: `uvloop` is True and uvloop is not installed.
        BaseException: the exception of the coroutine.
    """
    with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
        return runner.run(main)
