"""StateWaiters: no change of state is missed, and no cancellation is lost."""

from __future__ import annotations

import asyncio

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedState
from cpapi_fast.feed.state_waiters import StateWaiters


async def begin(
    waiting: StateWaiters, *states: FeedState, timeout_s: float | None = None
) -> asyncio.Task[FeedState | None]:
    task = asyncio.ensure_future(waiting.wait(states, timeout_s))
    await asyncio.sleep(0)
    return task


@pytest.mark.each_loop
async def test_a_short_state_is_not_missed():
    waiting = StateWaiters(Clock())
    task = await begin(waiting, FeedState.OPEN, FeedState.STALE)
    other = await begin(waiting, FeedState.STALE)
    for state in (FeedState.CONNECTING, FeedState.OPEN, FeedState.READY):
        waiting.on_state(state)
    assert await task is FeedState.OPEN
    waiting.on_state(FeedState.STALE)
    assert await other is FeedState.STALE


@pytest.mark.each_loop
async def test_a_cancellation_together_with_the_state_is_not_lost():
    waiting = StateWaiters(Clock())
    task = await begin(waiting, FeedState.OPEN, timeout_s=60.0)
    waiting.on_state(FeedState.OPEN)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_end_is_raised_in_every_waiter_and_timeouts_return_none():
    waiting = StateWaiters(Clock(100.0))
    tasks = [await begin(waiting, FeedState.OPEN) for _ in range(2)]
    assert await waiting.wait((FeedState.OPEN,), 1.0) is None
    waiting.end(UsageError("closed"))
    for task in tasks:
        with pytest.raises(UsageError, match="closed"):
            await task
