"""Helpers that tests share: running a coroutine on either loop, with one time limit for all, and waiting in it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cpapi_fast.ws.connection import WsClient

T = TypeVar("T")

#: No test waits longer than this for anything; a hang is a failure, not a stuck run.
TIMEOUT_S = 30.0

#: The loops to run on: uvloop is optional at run time, plain asyncio always works.
LOOPS = ["asyncio"] if sys.platform == "win32" else ["uvloop", "asyncio"]


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return a new event loop, by its name in `LOOPS`."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(coroutine: Coroutine[Any, Any, T], *, loop: str = LOOPS[0], timeout_s: float = TIMEOUT_S) -> T:
    """Run `coroutine` to its end on a fresh loop and fail when it does not end in time.

    Errors that the loop would only log (a task's exception nobody looked at) fail the test too.
    """
    unhandled: list[dict[str, Any]] = []

    async def guarded() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        return await asyncio.wait_for(coroutine, timeout_s)

    event_loop = new_loop(loop)
    try:
        result = event_loop.run_until_complete(guarded())
        event_loop.run_until_complete(event_loop.shutdown_asyncgens())
    finally:
        event_loop.close()
    assert not unhandled, unhandled
    return result


async def until(condition: Callable[[], object]) -> None:
    """Wait for `condition`; the time limit of the test is the limit."""
    while not condition():  # noqa: ASYNC110  any condition, not one event
        await asyncio.sleep(0.001)


async def arrive(ws: WsClient, count: int) -> None:
    """Ask the peer of `on_request` for its next write, and wait until `count` frames have come in all."""
    await ws.send_text("go")
    await until(lambda: ws.stats.frames_received >= count)


def assert_balanced(ws: WsClient) -> None:
    """What was received is accounted for, at this moment."""
    stats = ws.stats
    assert stats.frames_received == stats.delivered + stats.dropped + stats.pending
