"""RestCalls: makes the machine's REST calls, and passes each outcome to the machine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final

from cpapi_fast.errors import CpapiError, UsageError
from cpapi_fast.feed.machine import Action, Call, CallKind, Failure, SessionFacts
from cpapi_fast.printable import printable
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.endpoints.live_orders import LiveOrders
from cpapi_fast.rest.session import SessionTicket

from .failures import Explainer
from .machine_runner import MachineRunner

_LOGGER: Final = logging.getLogger("cpapi_fast")


class RestCalls:
    """Makes calls to one gateway.

    Args:
        client: the gateway.
        runner: passes the outcomes to the machine.
        explain: explains errors to the machine.
        carry_out: carries out the actions that follow.
        on_misuse: called if the client was closed while the feed was running.
        report: called with errors that are bugs of this library.
        on_orders: called with the number of a call and the orders in its response.
        logs: whether to log that the orders could not be requested.
    """

    def __init__(
        self,
        client: Client,
        runner: MachineRunner,
        explain: Explainer,
        carry_out: Callable[[list[Action]], None],
        on_misuse: Callable[[UsageError], None],
        report: Callable[[str, BaseException], None],
        on_orders: Callable[[int, LiveOrders], None],
        *,
        logs: bool,
    ) -> None:
        #: The latest ticket; a socket is opened with it.
        self.ticket: SessionTicket | None = None
        self.failed = 0
        self._client: Final = client
        self._runner: Final = runner
        self._explain: Final = explain
        self._carry_out: Final = carry_out
        self._on_misuse: Final = on_misuse
        self._report: Final = report
        self._on_orders: Final = on_orders
        self._logs: Final = logs
        self._session: str | None = None
        self._generation = 0

    async def make(self, call: Call) -> None:
        """Make a call, and carry out what follows from its outcome."""
        runner, number = self._runner, call.number
        if call.kind is CallKind.ORDERS:
            await self._request_orders(number)
            return
        on_failed = runner.machine.on_call_failed
        try:
            facts = await self._respond(call)
        except UsageError as error:
            self._on_misuse(error)
            return
        except CpapiError as error:
            self.failed += 1
            failure, retry_after_s, detail, advice = self._explain(error)
            actions = runner.put(
                on_failed, number, failure, runner.now(), retry_after_s=retry_after_s, detail=detail, advice=advice
            )
        except Exception as error:  # noqa: BLE001 - a bug must not end the feed; the loop's handler receives it
            self.failed += 1
            self._report("a call of a cpapi_fast feed failed unexpectedly", error)
            actions = runner.put(on_failed, number, Failure.GATEWAY_ERROR, runner.now())
        else:
            if facts is None:
                actions = runner.put(runner.machine.on_accounts, number, runner.now())
            else:
                actions = runner.put(runner.machine.on_facts, number, facts, runner.now())
        self._carry_out(actions)

    async def _request_orders(self, number: int) -> None:
        runner = self._runner
        try:
            orders = await self._client.live_orders()
            self._on_orders(number, orders)
        except UsageError as error:
            self._on_misuse(error)
        except CpapiError as error:
            # The feed works without them; the next subscribe requests them again.
            self.failed += 1
            failure, retry_after_s, detail, advice = self._explain(error)
            if self._logs:
                text = printable(detail)
                _LOGGER.warning("feed of %s: the orders could not be requested: %s", self._client.base_url, text)
            self._carry_out(
                runner.put(
                    runner.machine.on_call_failed,
                    number,
                    failure,
                    runner.now(),
                    retry_after_s=retry_after_s,
                    detail=detail,
                    advice=advice,
                )
            )
        except Exception as error:  # noqa: BLE001 - a bug must not end the feed; the loop's handler receives it
            self.failed += 1
            self._report("a call of a cpapi_fast feed failed unexpectedly", error)

    async def _respond(self, call: Call) -> SessionFacts | None:
        """The facts in the response; None for `/iserver/accounts`, which contains none."""
        if call.kind is CallKind.ACCOUNTS:
            await self._client.prime_accounts()
            return None
        if call.kind is CallKind.TICKLE:
            return self._take_ticket(await self._client.tickle())
        status = await self._client.init_brokerage_session(compete=call.compete)
        if not status.authenticated and not status.words:
            # The gateway refuses without a reason, and often has it here. Only an explanation: its failure changes
            # nothing.
            with contextlib.suppress(CpapiError):
                status = await self._client.auth_status()
        competing = status.competing or status.is_held_elsewhere
        return SessionFacts(None, status.authenticated, status.connected, competing, status.words)

    def _take_ticket(self, ticket: SessionTicket) -> SessionFacts:
        self.ticket = ticket
        if ticket.session != self._session:
            # The machine gets a number instead of the session id, which is secret.
            self._session = ticket.session
            self._generation += 1
        generation = None if ticket.session is None else self._generation
        # Words here may be those of an earlier request to open the session, so only the response to a new one decides.
        # Without a connection there is no new one.
        competing = ticket.competing or (ticket.connected is False and ticket.is_held_elsewhere)
        return SessionFacts(generation, ticket.authenticated, ticket.connected, competing, ticket.words)
