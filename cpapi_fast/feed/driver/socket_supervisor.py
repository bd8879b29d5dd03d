"""SocketSupervisor: opens and closes the sockets of a feed, and passes each end to the machine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Final

from cpapi_fast.errors import CpapiError, TransportError, UsageError
from cpapi_fast.feed.machine import Action, Failure
from cpapi_fast.frames.batch import Batch
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.session import SessionTicket
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from cpapi_fast.ws.stats import WsStats

from .failures import Explainer, cause_of_end, describe_end, detail_of
from .machine_runner import MachineRunner

_NO_STATS: Final = WsStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class SocketSupervisor:
    """The current socket of a feed, and those that are still closing.

    Args:
        client: the gateway.
        options: the options of each connection.
        runner: passes the opening and the end of the socket to the machine.
        explain: explains errors to the machine.
        carry_out: carries out the actions that follow.
        on_batch: receives the frames of the current socket.
        on_lost: called when the current socket has ended or is closed.
        on_misuse: called if the client was closed while the feed was running.
        report: called with errors that are bugs of this library.
    """

    def __init__(
        self,
        client: Client,
        options: WsOptions,
        runner: MachineRunner,
        explain: Explainer,
        *,
        carry_out: Callable[[list[Action]], None],
        on_batch: Callable[[Batch], None],
        on_lost: Callable[[], None],
        on_misuse: Callable[[UsageError], None],
        report: Callable[[str, BaseException], None],
    ) -> None:
        self._client: Final = client
        # With `callback_errors="report"`, frames whose handling fails would be lost without a gap.
        self._options: Final = dataclasses.replace(options, callback_errors="close")
        self._runner: Final = runner
        self._explain: Final = explain
        self._carry_out: Final = carry_out
        self._on_batch: Final = on_batch
        self._on_lost: Final = on_lost
        self._on_misuse: Final = on_misuse
        self._report: Final = report
        self._ws: WsClient | None = None
        self._is_held = False
        #: Sockets whose counters may still change, and the sum of all earlier ones.
        self._open_sockets: Final[set[WsClient]] = set()
        self._past: WsStats = _NO_STATS

    def send(self, text: str) -> None:
        """Send a text on the current socket, if there is one."""
        if self._ws is not None:
            # `run` waits for the end of the socket and reports it.
            with contextlib.suppress(TransportError):
                self._ws.send_nowait(text)

    def hold(self, is_held: bool) -> None:
        """Stop reading the current and the next socket, or read again."""
        self._is_held = is_held
        if self._ws is not None:
            self._ws.hold_reading(is_held)
            self._carry_out(self._runner.put_for((), self._runner.machine.on_paused, is_held, self._runner.now()))

    def stats(self) -> WsStats:
        """The sum of the counters of all sockets."""
        total = self._past
        for ws in self._open_sockets:
            total = _sum(total, ws.stats)
        return total

    async def run(self, ticket: SessionTicket | None) -> None:
        """Open a socket, and wait for its end."""
        ws = await self._open(ticket)
        if ws is None:
            return
        runner = self._runner
        self._ws = ws
        self._open_sockets.add(ws)
        # Before the first frame is inspected. If the feed was stopped in the meantime, this closes the socket.
        self._carry_out(runner.put(runner.machine.on_socket_opened, runner.now()))
        if self._ws is ws:
            ws.on_batch(self._on_batch)
        if self._ws is ws and self._is_held:
            self.hold(True)
        ended_with: CpapiError | None = None
        try:
            await ws.wait_closed()
        except CpapiError as error:
            ended_with = error
            if error.__cause__ is not None:
                self._report("a cpapi_fast feed failed while it handled frames", error.__cause__)
        finally:
            self._retire(ws)
        if self._ws is ws:
            self._ws = None
            self._on_lost()
            detail = describe_end(ws.close_code) if ended_with is None else detail_of(ended_with)
            cause = cause_of_end(ended_with)
            self._carry_out(runner.put(runner.machine.on_socket_ended, cause, runner.now(), detail=detail))

    async def _open(self, ticket: SessionTicket | None) -> WsClient | None:
        runner = self._runner
        on_failed = runner.machine.on_socket_failed
        try:
            return await self._connect(ticket)
        except UsageError as error:
            self._on_misuse(error)
            return None
        except CpapiError as error:
            failure, retry_after_s, detail, advice = self._explain(error)
            actions = runner.put(
                on_failed, failure, runner.now(), retry_after_s=retry_after_s, detail=detail, advice=advice
            )
        except Exception as error:  # noqa: BLE001 - a bug must not end the feed; the loop's handler receives it
            self._report("a cpapi_fast feed failed unexpectedly to open its socket", error)
            actions = runner.put(on_failed, Failure.GATEWAY_ERROR, runner.now())
        self._carry_out(actions)
        return None

    async def _connect(self, ticket: SessionTicket | None) -> WsClient:
        connecting = asyncio.ensure_future(WsClient.connect(self._client, ticket=ticket, options=self._options))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.cancel()
            (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
            if isinstance(outcome, WsClient):  # It was open before the cancellation took effect.
                await outcome.close()
            raise

    def take(self) -> WsClient | None:
        """Remove and return the current socket, so that its end is not an input. Call `close` with it."""
        ws, self._ws = self._ws, None
        if ws is not None:
            self._on_lost()
        return ws

    async def close(self, ws: WsClient) -> None:
        """Close a socket that `take` returned, and wait for its end."""
        # The peer's CLOSE has to be read.
        ws.hold_reading(False)
        try:
            await ws.close()
        finally:
            self._retire(ws)

    def _retire(self, ws: WsClient) -> None:
        if ws in self._open_sockets and not ws.is_open and ws.stats.pending == 0:
            self._open_sockets.discard(ws)
            self._past = _sum(self._past, ws.stats)


def _sum(one: WsStats, other: WsStats) -> WsStats:
    return WsStats(*(getattr(one, name) + getattr(other, name) for name in WsStats.__dataclass_fields__))
