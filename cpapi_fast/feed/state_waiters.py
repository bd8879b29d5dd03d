"""Tasks that wait for a state: woken by the first change that brings it, however soon the next one follows."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError
from cpapi_fast.events import FeedState

_Outcome = FeedState | CpapiError | None


class StateWaiters:
    """Those who wait.

    Args:
        clock: what their patience is measured with.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._waiters: Final[dict[asyncio.Future[_Outcome], Collection[FeedState]]] = {}

    async def wait(self, states: Collection[FeedState], timeout_s: float | None) -> FeedState | None:
        """Wait for one of these states, and say which came; None when none did in that time.

        Raises:
            CpapiError: what `end` was told.
        """
        # No asyncio.wait_for: before Python 3.12 it loses a cancellation that comes together with the result.
        waiter: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        timer = None if timeout_s is None else self._clock.call_later(timeout_s, _resolve, waiter, None)
        self._waiters[waiter] = states
        try:
            outcome = await waiter
        finally:
            del self._waiters[waiter]
            if timer is not None:
                timer.cancel()
        if isinstance(outcome, CpapiError):
            raise outcome.with_traceback(None)
        return outcome

    def on_state(self, state: FeedState) -> None:
        """This is the state now."""
        for waiter, states in self._waiters.items():
            if state in states:
                _resolve(waiter, state)

    def end(self, error: CpapiError) -> None:
        """There will be no other state: all who wait are told."""
        for waiter in self._waiters:
            _resolve(waiter, error)


def _resolve(waiter: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    # As a result in any case: an exception that nobody fetches, since its waiter was cancelled, would be logged.
    if not waiter.done():
        waiter.set_result(outcome)
