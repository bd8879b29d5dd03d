"""OrderLists: requests the orders after each subscribe to them, because the gateway sends only their changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.feed.machine import Action, Call, CallKind
from cpapi_fast.feed.state import KeptState
from cpapi_fast.rest.endpoints.live_orders import LiveOrders

from .machine_runner import MachineRunner

_TOPIC: Final = "sor"
#: How often to request the orders after a subscribe. The first response of a session may be incomplete.
_MOST_TRIES: Final = 2
#: The pause before another request, and before the next attempt if the budget of requests has no room.
_PAUSE_S: Final = 10.0


class OrderLists:
    """Decides when to request the orders, and merges the response into the state.

    Args:
        clock: the clock of the feed.
        runner: passes the wish to the machine, which counts all requests.
        carry_out: carries out the actions that follow.
        state: receives the orders.
    """

    def __init__(
        self,
        clock: Clock,
        runner: MachineRunner,
        carry_out: Callable[[list[Action]], None],
        state: KeptState,
    ) -> None:
        self._clock: Final = clock
        self._runner: Final = runner
        self._carry_out: Final = carry_out
        self._state: Final = state
        #: How many requests may still be made for the current subscribe.
        self._tries_left = _MOST_TRIES
        self._is_waiting = False
        #: The number of the request whose response is expected; a response to an earlier one is too old.
        self._number: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def check(self) -> None:
        """Request the orders if they were subscribed to since the last call."""
        subscription = self._runner.machine.subscriptions.get(_TOPIC)
        if subscription is None or not subscription.request.is_sent or not self._state.keeps_rows:
            self.stop()
        elif not self._is_waiting:
            self._is_waiting = True
            self._request()

    def stop(self) -> None:
        """Expect no response, and make no request until the next subscribe."""
        self._tries_left, self._is_waiting, self._number = _MOST_TRIES, False, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_response(self, number: int, orders: LiveOrders) -> None:
        """Merge the orders in a response."""
        if number != self._number:
            return
        self._number = None
        self._state.on_order_list(orders.orders, time.time_ns())
        self._state.flush()
        if not orders.is_complete and self._tries_left > 0:
            self._request_later()

    def _request(self) -> None:
        self._timer = None
        runner = self._runner
        actions = runner.put(runner.machine.request_orders, runner.now())
        call = next((action for action in actions if isinstance(action, Call)), None)
        if call is not None and call.kind is CallKind.ORDERS:
            self._tries_left -= 1
            self._number = call.number
            self._state.begin_order_list()
        else:
            self._request_later()
        self._carry_out(actions)

    def _request_later(self) -> None:
        self._timer = self._clock.call_later(_PAUSE_S, self._request)
