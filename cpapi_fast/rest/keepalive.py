"""The task that says `/tickle` again and again, so that the gateway's session does not end for want of requests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError

from .session import SessionTicket


class Keepalive:
    """Tickles at a steady interval and survives every failure. Made by `Client.spawn_keepalive`.

    A failed tick is counted and the next one comes when it is due. An exception of the callback is counted and handed
    to the loop's exception handler, which logs it; the ticks go on.

    Attributes:
        ticks: how many tickles were answered.
        failures: how many failed.
        callback_failures: how many calls of `on_result` raised.
        last_ticket: the latest answer.
        last_error: why the latest tickle failed; None when it did not.
    """

    def __init__(
        self,
        tickle: Callable[[], Awaitable[SessionTicket]],
        *,
        interval_s: float,
        clock: Clock,
        on_result: Callable[[SessionTicket | Exception], object] | None = None,
    ) -> None:
        if not 0.0 < interval_s < float("inf"):
            raise ConfigError(
                f"the keepalive interval must be a finite number of seconds above zero, not {interval_s!r}"
            )
        if inspect.iscoroutinefunction(on_result):
            raise ConfigError("on_result must be a plain function; start a task in it for what has to be awaited")
        self.ticks = 0
        self.failures = 0
        self.callback_failures = 0
        self.last_ticket: SessionTicket | None = None
        self.last_error: Exception | None = None
        self._tickle: Final = tickle
        self._interval_s: Final = interval_s
        self._clock: Final = clock
        self._on_result: Final = on_result
        self._task: Final = asyncio.get_running_loop().create_task(self._run(), name="cpapi_fast keepalive")

    @property
    def is_running(self) -> bool:
        """Whether more ticks will come."""
        return not self._task.done()

    async def stop(self) -> None:
        """End it, a request under way included. Again, it does nothing."""
        self._task.cancel()
        if self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            # From due time to due time, so that slow answers do not stretch the interval; missed ticks are not made up.
            due_s = max(due_s + self._interval_s, self._clock.monotonic_s())
            await self._clock.sleep(due_s - self._clock.monotonic_s())
            await self._tick()

    async def _tick(self) -> None:
        result: SessionTicket | Exception
        try:
            result = self.last_ticket = await self._tickle()
        except Exception as error:  # noqa: BLE001 - whatever it was, the session still wants its next tickle
            self.failures += 1
            result = self.last_error = error
        else:
            self.ticks += 1
            self.last_error = None
        if self._on_result is None:
            return
        try:
            self._on_result(result)
        except Exception as error:  # noqa: BLE001 - handed on to the loop, never swallowed
            self.callback_failures += 1
            context = {"message": "on_result of a cpapi_fast keepalive raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"Keepalive({state}, ticks={self.ticks}, failures={self.failures})"
