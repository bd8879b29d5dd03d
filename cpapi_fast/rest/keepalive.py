"""A task that requests `/tickle` periodically, so that the gateway's session does not expire."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.clock import Clock
from cpapi_fast.loop import LoopOwner, required_loop
from cpapi_fast.option_values import check_positive
from cpapi_fast.redaction import printable

from .session import SessionTicket

_LOGGER: Final = logging.getLogger("cpapi_fast")


class Keepalive:
    """Requests `/tickle` at a fixed interval, even after failures. Create it with `Client.spawn_keepalive`.

    A failed request is counted, and the next one is sent on schedule. Without a callback, the first failure and each
    one with an error of another type is a warning of the logger `cpapi_fast`. An exception of the callback is counted
    and passed to the event loop's exception handler.

    Attributes:
        ticks: the number of successful requests.
        failures: the number of failed requests.
        callback_failures: the number of calls of `on_result` that raised.
        last_ticket: the latest ticket; None before the first.
        last_error: the error of the latest request; None if it succeeded.
    """

    def __init__(
        self,
        tickle: Callable[[], Awaitable[SessionTicket]],
        *,
        interval_s: float,
        clock: Clock,
        on_result: Callable[[SessionTicket | Exception], None] | None = None,
    ) -> None:
        check_positive("interval_s", interval_s, "seconds")
        if on_result is not None:
            check_callback(on_result, "on_result")
        self.ticks = 0
        self.failures = 0
        self.callback_failures = 0
        self.last_ticket: SessionTicket | None = None
        self.last_error: Exception | None = None
        self._tickle: Final = tickle
        self._interval_s: Final = interval_s
        self._clock: Final = clock
        self._on_result: Final = on_result
        self._owner: Final = LoopOwner("a keepalive")
        self._owner.check()
        self._task: Final = required_loop("a keepalive").create_task(self._run(), name="cpapi_fast keepalive")

    @property
    def is_running(self) -> bool:
        """Whether the keepalive still sends requests."""
        return not self._task.done()

    async def stop(self) -> None:
        """Stop sending requests, and cancel a request in flight. Idempotent.

        Raises:
            UsageError: called in another event loop.
        """
        if self._task.done():
            return
        self._owner.check()
        self._task.cancel()
        if self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            # Computed from the last due time, so that slow responses do not prolong the interval. Missed requests are
            # skipped.
            due_s = max(due_s + self._interval_s, self._clock.monotonic_s())
            await self._clock.sleep(due_s - self._clock.monotonic_s())
            await self._tick()

    async def _tick(self) -> None:
        result: SessionTicket | Exception
        try:
            result = self.last_ticket = await self._tickle()
        except Exception as error:  # noqa: BLE001 - the session needs the next request in any case
            self.failures += 1
            if self._on_result is None and type(error) is not type(self.last_error):
                _LOGGER.warning("keepalive: %s", printable(str(error)))
            result = self.last_error = error
        else:
            self.ticks += 1
            self.last_error = None
        if self._on_result is None:
            return
        try:
            if (returned := self._on_result(result)) is not None:
                refuse_awaitable(returned)
        except Exception as error:  # noqa: BLE001 - passed to the exception handler
            self.callback_failures += 1
            context = {"message": "on_result of a cpapi_fast keepalive raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"Keepalive({state}, ticks={self.ticks}, failures={self.failures})"
