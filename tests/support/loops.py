"""Event loops for tests, their time limit, and waiting for conditions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cpapi_fast.ws.connection import WsClient

T = TypeVar("T")

#: The time limit of a test, so that a test that hangs fails.
TIMEOUT_S = 90.0

#: The loops to run on: uvloop is optional at run time, plain asyncio always works.
LOOPS = ["asyncio"] if sys.platform == "win32" else ["uvloop", "asyncio"]


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return a new event loop, by its name in `LOOPS`."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(coroutine: Coroutine[Any, Any, T], *, loop: str = LOOPS[0], timeout_s: float = TIMEOUT_S) -> T:
    """Run `coroutine` to its end on a new loop, and fail if it exceeds the time limit.

    Errors that the loop would only log, such as the exception of a task that was never awaited, fail the test too.
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
    """Request the next write of the peer of `on_request`, and wait until `count` frames were received in all."""
    await ws.send_text("go")
    await until(lambda: ws.stats.frames_received >= count)


def assert_balanced(ws: WsClient) -> None:
    """Every received frame is delivered, dropped or pending."""
    stats = ws.stats
    assert stats.frames_received == stats.delivered + stats.dropped + stats.pending
