"""Tasks that wait for a state of the feed. Each wakes at the first change to it, even if the state changes again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError
from cpapi_fast.events import FeedState

#: How a wait ends: by a state, by the end of the feed, or (None) by its timeout.
_Result = FeedState | CpapiError | None


class StateWaiters:
    """The tasks that wait for a state of one feed.

    Args:
        clock: measures their timeouts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._waiters: Final[dict[asyncio.Future[_Result], Collection[FeedState]]] = {}

    async def wait(self, states: Collection[FeedState], timeout_s: float | None) -> FeedState | None:
        """Wait for one of these states and return it; None after `timeout_s` seconds of the clock.

        Raises:
            CpapiError: the error that `end` was called with.
        """
        # Not asyncio.wait_for: before Python 3.12 it loses a cancellation that arrives together with the result.
        waiter: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        timer = None if timeout_s is None else self._clock.call_later(timeout_s, _resolve, waiter, None)
        self._waiters[waiter] = states
        try:
            result = await waiter
        finally:
            del self._waiters[waiter]
            if timer is not None:
                timer.cancel()
        if isinstance(result, CpapiError):
            raise result.with_traceback(None)
        return result

    def on_state(self, state: FeedState) -> None:
        """Wake the tasks that wait for this state, which the feed is in now."""
        for waiter, states in self._waiters.items():
            if state in states:
                _resolve(waiter, state)

    def end(self, error: CpapiError) -> None:
        """Raise `error` in every task that waits, because the state will not change any more."""
        for waiter in self._waiters:
            _resolve(waiter, error)


def _resolve(waiter: asyncio.Future[_Result], result: _Result) -> None:
    # An error is set as a result too: as an exception of a future whose task was cancelled, it would be logged.
    if not waiter.done():
        waiter.set_result(result)
