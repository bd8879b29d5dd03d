"""Machine, socket, REST and timers, tied together: inputs go to the machine as they come, its actions are carried out.

One direction: frames come from the socket, are noted by the tracker, are shown to the machine where that is worth it,
and go on to the consumers, each event at its place between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.errors import CpapiError, TransportError, UsageError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.session import AuthStatus, SessionTicket
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.stats import WsStats

from .backfill import Backfiller
from .control_frames import payload_of, read_answer, read_status
from .failures import cause_of_end, describe_end, failure_of
from .last_values import LastValues
from .machine import (
    Action,
    Activity,
    Arm,
    Call,
    CallKind,
    CloseSocket,
    Disarm,
    Emit,
    Failure,
    Machine,
    Moment,
    OpenSocket,
    Send,
    SessionFacts,
    SubscriptionSpec,
)
from .options import FeedOptions
from .tracker import Tracker

_NEVER: Final = float("inf")
#: After a fault of ours the machine is asked again in a while, not at once without end.
_RETRY_S: Final = 1.0
_SILENT: Final = Activity(0, 0, 0.0)
_NO_STATS: Final = WsStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Driver:
    """Runs a machine against a gateway.

    Args:
        client: the gateway; it stays open.
        options: the policies.
        delivery: where frames and events go.
        on_event: told of each event after the consumers.
        on_misuse: told when nothing can work any more because the client was closed under the feed.
    """

    def __init__(
        self,
        client: Client,
        options: FeedOptions,
        delivery: Dispatcher,
        on_event: Callable[[FeedEvent], None],
        on_misuse: Callable[[UsageError], None],
    ) -> None:
        seed = random.SystemRandom().getrandbits(64) if options.seed is None else options.seed
        self.topics: Final = TopicTable()
        self.last_values: Final = LastValues(self.topics) if options.last_values else None
        self.tracker: Final = Tracker(self.topics, self.last_values)
        self.machine: Final = Machine(options, meter=self.activity, heard_s=lambda: self.tracker.last_s, seed=seed)
        self.calls_failed = 0
        self._client: Final = client
        self._clock: Final = client.clock
        self._options: Final = options
        self._delivery: Final = delivery
        self._on_event: Final = on_event
        self._on_misuse: Final = on_misuse
        self._backfiller: Final = Backfiller(
            options.backfill,
            clock=client.clock,
            send=self._send,
            request=client.history,
            on_backfill=self._emit,
            timeout_s=options.backfill_timeout_s,
        )
        #: By slot: `_updated` of the last frame of a watched topic. The second copy of a snapshot has the same.
        self._updated_ms: Final[dict[int, int]] = {}
        self._ws: WsClient | None = None
        self._is_held = False
        self._ticket: SessionTicket | None = None
        self._session: str | None = None
        self._generation = 0
        self._past: WsStats = _NO_STATS
        self._living: Final[set[WsClient]] = set()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = _NEVER

    # --- what the feed asks -----------------------------------------------------------------------

    def now(self) -> Moment:
        """The moment, as the machine wants it."""
        return Moment(self._clock.monotonic_s(), time.time_ns(), self._clock.time_ns())

    def start(self) -> None:
        """Begin."""
        self.carry_out(self.machine.start(self.now()))

    def halt(self) -> None:
        """End the socket and all timers; what is under way still ends by itself."""
        self.carry_out(self.machine.stop(self.now()))
        self._backfiller.close()

    async def stop(self) -> None:
        """End the socket, calls and timers, and wait for that."""
        self.halt()
        calls = [task for task in self._tasks if task.get_name() != _CLOSING]
        for task in calls:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._backfiller.wait_closed()

    def subscribe(self, spec: SubscriptionSpec) -> None:
        """Subscribe; raises LimitError."""
        is_new = self.topics.find(spec.topic) < 0
        slot = self.topics.add(spec.topic)
        if is_new and self.last_values is not None and spec.is_market_data:
            self.last_values.add(slot)
        try:
            actions = self.machine.subscribe(spec, self.now())
        except BaseException:
            if is_new:
                self._forget(slot)
            raise
        self.carry_out(actions)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe; what is not subscribed to stays so."""
        actions = self.machine.unsubscribe(topic, self.now())
        self.carry_out(actions)
        slot = self.topics.find(topic)
        if slot >= 0:
            self._forget(slot)

    def activity(self, topic: str) -> Activity:
        """What was heard of a topic."""
        slot = self.topics.find(topic)
        return _SILENT if slot < 0 else Activity(*self.tracker.read(slot))

    def hold(self, is_held: bool) -> None:
        """Stop reading the socket, or go on; a socket that is opened meanwhile is not read either."""
        self._is_held = is_held
        if self._ws is not None:
            self._ws.hold_reading(is_held)
            self.carry_out(self.machine.on_paused(is_held, self.now()))

    def stats(self) -> WsStats:
        """The counters of all connections together."""
        total = self._past
        for ws in self._living:
            total = _sum(total, ws.stats)
        return total

    def _forget(self, slot: int) -> None:
        self._updated_ms.pop(slot, None)
        if self.last_values is not None:
            self.last_values.remove(slot)
        self.tracker.clear(slot)
        self.topics.remove(slot)

    # --- actions ----------------------------------------------------------------------------------

    def carry_out(self, actions: list[Action]) -> None:
        """Do what the machine wants done, in order, then set the timer."""
        for action in actions:
            if isinstance(action, Emit):
                self._emit(action.event)
                self._backfiller.on_event(action.event)
            elif isinstance(action, Send):
                self._send(action.text)
            elif isinstance(action, Arm):
                slot = self.topics.find(action.topic)
                if slot >= 0:
                    self.tracker.watch(slot)
            elif isinstance(action, Disarm):
                slot = self.topics.find(action.topic)
                if slot >= 0:
                    self.tracker.unwatch(slot)
                    self._updated_ms.pop(slot, None)
            elif isinstance(action, Call):
                self._spawn(self._call(action), "cpapi_fast feed call")
            elif isinstance(action, OpenSocket):
                self._spawn(self._open(), "cpapi_fast feed open")
            elif isinstance(action, CloseSocket):
                self._close()
        self._set_timer()

    def _emit(self, event: FeedEvent) -> None:
        self._delivery.put_event(event)
        self._on_event(event)

    def _send(self, text: str) -> None:
        if self._ws is not None:
            # The end of the socket is told by the task that waits for it.
            with contextlib.suppress(TransportError):
                self._ws.send_nowait(text)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._report("a cpapi_fast feed failed in an unforeseen way", error)

    def _set_timer(self) -> None:
        due_s = self.machine.due_s
        if due_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_s = due_s
        if due_s != _NEVER:
            delay_s = max(due_s - self._clock.monotonic_s(), 0.0)
            self._timer = self._clock.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_s = None, _NEVER
        try:
            self.carry_out(self.machine.tick(self.now()))
        except Exception as error:  # noqa: BLE001 - a feed without a timer would never notice anything any more
            self._report("a cpapi_fast feed failed in an unforeseen way", error)
            if self._timer is None:
                self._timer_s = self._clock.monotonic_s() + _RETRY_S
                self._timer = self._clock.call_later(_RETRY_S, self._tick)

    # --- REST -------------------------------------------------------------------------------------

    async def _call(self, call: Call) -> None:
        try:
            if call.kind is CallKind.TICKLE:
                facts = self._on_ticket(await self._client.tickle())
            elif call.kind is CallKind.INIT:
                facts = _facts_of(await self._client.init_brokerage_session(compete=call.compete))
            else:
                await self._client.accounts()
                self.carry_out(self.machine.on_accounts(call.number, self.now()))
                return
        except UsageError as error:
            self._on_misuse(error)
            return
        except CpapiError as error:
            self.calls_failed += 1
            failure, retry_after_s = failure_of(error)
            actions = self.machine.on_call_failed(
                call.number, failure, self.now(), retry_after_s=retry_after_s, detail=str(error)
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the feed; the loop is told of it
            self.calls_failed += 1
            self._report("a call of a cpapi_fast feed failed in an unforeseen way", error)
            actions = self.machine.on_call_failed(call.number, Failure.GATEWAY_ERROR, self.now())
        else:
            actions = self.machine.on_facts(call.number, facts, self.now())
        self.carry_out(actions)

    def _on_ticket(self, ticket: SessionTicket) -> SessionFacts:
        self._ticket = ticket
        if ticket.session != self._session:
            # Only that it changed leaves this place, never what it is.
            self._session = ticket.session
            self._generation += 1
        generation = None if ticket.session is None else self._generation
        return SessionFacts(generation, ticket.authenticated, ticket.connected, ticket.competing)

    # --- the socket -------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            ws = await self._connect()
        except UsageError as error:
            self._on_misuse(error)
            return
        except CpapiError as error:
            failure, retry_after_s = failure_of(error)
            self.carry_out(
                self.machine.on_socket_failed(failure, self.now(), retry_after_s=retry_after_s, detail=str(error))
            )
            return
        except Exception as error:  # noqa: BLE001 - as in _call
            self._report("opening the socket of a cpapi_fast feed failed in an unforeseen way", error)
            self.carry_out(self.machine.on_socket_failed(Failure.GATEWAY_ERROR, self.now()))
            return
        self._ws = ws
        self._living.add(ws)
        # Before the first frame is looked at; a feed that was stopped meanwhile closes it here.
        self.carry_out(self.machine.on_socket_opened(self.now()))
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
            self._bury(ws)
        if self._ws is ws:
            self._ws = None
            self._backfiller.on_connection_lost()
            detail = describe_end(ws.close_code) if ended_with is None else str(ended_with)
            self.carry_out(self.machine.on_socket_ended(cause_of_end(ended_with), self.now(), detail=detail))

    async def _connect(self) -> WsClient:
        connecting = asyncio.ensure_future(
            # Frames that this driver fails on would be lost under any other policy, and no gap would tell.
            WsClient.connect(
                self._client,
                ticket=self._ticket,
                options=dataclasses.replace(self._options.ws, callback_errors="close"),
            )
        )
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.cancel()
            (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
            if isinstance(outcome, WsClient):  # It was quicker than its cancellation.
                await outcome.close()
            raise

    def _close(self) -> None:
        ws, self._ws = self._ws, None
        if ws is not None:
            self._backfiller.on_connection_lost()
            self._spawn(self._end(ws), _CLOSING)

    async def _end(self, ws: WsClient) -> None:
        # The peer's CLOSE has to be seen.
        ws.hold_reading(False)
        try:
            await ws.close()
        finally:
            self._bury(ws)

    def _bury(self, ws: WsClient) -> None:
        if ws in self._living and not ws.is_open and ws.stats.pending == 0:
            self._living.discard(ws)
            self._past = _sum(self._past, ws.stats)

    # --- frames -----------------------------------------------------------------------------------

    def _on_batch(self, batch: Batch) -> None:
        now_s = self._clock.monotonic_s()
        looks = self.tracker.scan(batch, now_s)
        if looks is None:
            self._delivery.put(batch, 0, len(batch))
        else:
            self._look(batch, looks)

    def _look(self, batch: Batch, looks: list[int]) -> None:
        """Show the machine what is worth it, and put its events between the frames where they belong."""
        start, now = 0, self.now()
        for index in looks:
            frame = batch[index]
            slot = self.topics.slot_of(batch, index)
            if slot < 0 and self._backfiller.takes(frame):
                # Its bars come after everything that came before them.
                self._delivery.put(batch, start, index + 1)
                start = index + 1
                self._backfiller.on_frame(frame)
                continue
            actions = self._hear_line(frame, slot, now) if slot >= 0 else self._hear_connection(frame, now)
            if actions:
                # A gap is told before the frame that ends it, and a state after the frame that says it.
                cut = index if slot >= 0 else index + 1
                if cut > start and any(isinstance(action, Emit) for action in actions):
                    self._delivery.put(batch, start, cut)
                    start = cut
                self.carry_out(actions)
        self._delivery.put(batch, start, len(batch))

    def _hear_line(self, frame: Frame, slot: int, now: Moment) -> list[Action]:
        topic = frame.topic
        if topic is None:
            return []
        payload = payload_of(frame)
        if "error" in payload:
            return self.machine.on_refused(topic, now)
        if frame.kind is not FrameKind.MARKET_DATA:
            return self.machine.on_subscription_frame(topic, frame.received_ns, now)
        answer = read_answer(payload)
        is_snapshot = answer.has_availability
        if answer.updated_ms is not None:
            is_snapshot = is_snapshot or self._updated_ms.get(slot) == answer.updated_ms
            self._updated_ms[slot] = answer.updated_ms
        return self.machine.on_subscription_frame(
            topic, frame.received_ns, now, is_snapshot=is_snapshot, stream_id=answer.stream_id
        )

    def _hear_connection(self, frame: Frame, now: Moment) -> list[Action]:
        if frame.kind is FrameKind.SYSTEM:
            return self.machine.on_ready(now) if "success" in payload_of(frame) else []
        if frame.kind is FrameKind.OTHER and frame.channel == "sts":
            return self.machine.on_status(*read_status(payload_of(frame)), now)
        return []

    def _report(self, message: str, error: BaseException) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})


_CLOSING: Final = "cpapi_fast feed close"


def _facts_of(status: AuthStatus) -> SessionFacts:
    return SessionFacts(None, status.authenticated, status.connected, status.competing)


def _sum(one: WsStats, other: WsStats) -> WsStats:
    return WsStats(*(getattr(one, name) + getattr(other, name) for name in WsStats.__dataclass_fields__))
