"""Driver: carries out the actions of the machine, and sets its timer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedEvent, FeedState, StateChange
from cpapi_fast.feed.backfill import Backfiller
from cpapi_fast.feed.decisions.decision_recorder import DecisionRecorder
from cpapi_fast.feed.machine import (
    Action,
    Activity,
    Call,
    CloseSocket,
    Emit,
    Machine,
    OpenSocket,
    Send,
    SubscriptionSpec,
    Unwatch,
    Watch,
)
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.state import KeptState
from cpapi_fast.feed.tracked_topics import TrackedTopics
from cpapi_fast.protocol.topics import requested_codes
from cpapi_fast.rest.client import Client
from cpapi_fast.ws.stats import WsStats

from .arrival_watch import ArrivalWatch
from .failures import Explainer
from .frame_inspector import FrameInspector
from .machine_runner import MachineRunner
from .order_lists import OrderLists
from .rest_calls import RestCalls
from .socket_supervisor import SocketSupervisor

_NEVER: Final = float("inf")
#: The pause before the next tick after a tick that raised, which only a bug causes.
_RETRY_S: Final = 1.0
_NO_ACTIVITY: Final = Activity(0, 0, 0.0)
#: The states of a subscription whose subscribe was sent and not refused.
_OPEN: Final = frozenset({FeedState.OPEN, FeedState.STREAMING})
_CLOSING: Final = "cpapi_fast feed close"


class Driver:
    """Runs a machine against a gateway.

    Args:
        client: the gateway; it stays open.
        options: the options of the feed.
        delivery: receives frames and events.
        on_event: called with each event after the consumers have it.
        on_misuse: called if the client was closed while the feed was running.
        on_next_try: called when the time of the next attempt to reach the gateway has changed.
    """

    def __init__(
        self,
        client: Client,
        options: FeedOptions,
        delivery: Dispatcher,
        on_event: Callable[[FeedEvent], None],
        on_misuse: Callable[[UsageError], None],
        *,
        on_next_try: Callable[[], object] = lambda: None,
    ) -> None:
        seed = random.SystemRandom().getrandbits(64) if options.seed is None else options.seed
        self.machine: Final = Machine(options, seed=seed)
        self._recorder: Final = (
            None
            if options.record_decisions is None
            else DecisionRecorder(options.record_decisions, options, seed, on_error=self._on_record_error)
        )
        self._clock: Final = client.clock
        self._delivery: Final = delivery
        self._on_event: Final = on_event
        self._on_next_try: Final = on_next_try
        self._next_try_s: float | None = None
        self.topics: Final = TrackedTopics(keeps_last_values=options.last_values)
        self.state: Final = KeptState(
            max_orders=options.max_orders,
            max_executions=options.max_executions,
            max_account_rows=options.max_account_rows,
            keeps_rows=options.kept_state,
        )
        self.topics.tracker.inspects_kept = options.kept_state
        self._session = self.machine.session
        self._runner: Final = MachineRunner(self.machine, client.clock, self.topics, self._recorder)
        explain = Explainer(client, is_reclaiming=options.competing == "reclaim")
        self._order_lists: Final = OrderLists(client.clock, self._runner, self.carry_out, self.state)
        self._rest: Final = RestCalls(
            client,
            self._runner,
            explain,
            self.carry_out,
            on_misuse,
            self._report,
            self._order_lists.on_response,
            logs=options.log_trouble,
        )
        self._backfiller: Final = Backfiller(
            options.backfill,
            clock=client.clock,
            send=self._send,
            request=client.history,
            on_backfill=self._emit,
            timeout_s=options.backfill_timeout_s,
        )
        self.arrivals: Final = ArrivalWatch(client.clock, options, self.topics, self._runner, self.carry_out)
        self.inspector: Final = FrameInspector(
            client.clock,
            delivery,
            self.topics,
            self._backfiller,
            self._runner,
            self.carry_out,
            self.arrivals,
            self.state,
        )
        self._sockets: Final = SocketSupervisor(
            client,
            options.ws,
            self._runner,
            explain,
            carry_out=self.carry_out,
            on_batch=self.inspector.on_batch,
            on_lost=self._on_lost,
            on_misuse=on_misuse,
            report=self._report,
        )
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = _NEVER

    # --- for the feed -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start to connect.

        Raises:
            OutputError: the decision record cannot be written.
        """
        if self._recorder is not None:
            self._recorder.open()
        self.arrivals.start()
        self.carry_out(self._runner.put(self.machine.start, self._runner.now()))

    def halt(self) -> None:
        """Close the socket and stop all timers, without waiting for their end."""
        self.arrivals.stop()
        self._order_lists.stop()
        self.carry_out(self._runner.put(self.machine.stop, self._runner.now()))
        self._backfiller.close()
        if self._recorder is not None:
            self._recorder.flush()

    async def stop(self) -> None:
        """Close the socket, cancel all calls, stop all timers, and wait for their end."""
        self.halt()
        try:
            calls = [task for task in self._tasks if task.get_name() != _CLOSING]
            for task in calls:
                task.cancel()
            while self._tasks:
                await asyncio.wait(self._tasks)
            await self._backfiller.wait_closed()
        finally:
            if self._recorder is not None:
                self._recorder.close()

    def subscribe(self, spec: SubscriptionSpec) -> None:
        """Subscribe.

        Raises:
            LimitError: all market data lines of the account are in use.
        """
        is_new = spec.topic not in self.topics
        if is_new:
            self.topics.add(spec.topic, is_market_data=spec.is_market_data)
        if spec.is_market_data:
            self.topics.reserve(requested_codes(spec.payload))
        known = self.machine.subscriptions.get(spec.topic)
        before = None if known is None else known.spec
        runner, now = self._runner, self._runner.now()
        try:
            actions = runner.put_for(runner.topics_due(now, spec.topic), self.machine.subscribe, spec, now)
        except BaseException:
            if is_new:
                self.topics.remove(spec.topic)
            raise
        if before is not None and before.payload != spec.payload:
            # The gateway may send other rows from now on, and none of those that are not asked for any more.
            self.state.interrupt(spec.topic)
        self.carry_out(actions)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe; a topic without a subscription is ignored."""
        runner, now = self._runner, self._runner.now()
        self.carry_out(runner.put_for(runner.topics_due(now, topic), self.machine.unsubscribe, topic, now))
        if topic in self.topics:
            self.topics.remove(topic)
        self.state.check_interruptions(self._is_open)
        self.state.flush()

    def hold(self, is_held: bool) -> None:
        """Stop reading the socket, or read again."""
        self._sockets.hold(is_held)

    def activity(self, topic: str) -> Activity:
        """The received frames of a topic."""
        return self.topics.activity((topic,)).get(topic, _NO_ACTIVITY)

    @property
    def frames_untracked(self) -> int:
        """How many market data frames had no subscription."""
        return self.topics.tracker.untracked

    @property
    def calls_failed(self) -> int:
        """How many calls over REST failed."""
        return self._rest.failed

    def stats(self) -> WsStats:
        """The sum of the counters of all connections."""
        return self._sockets.stats()

    # --- actions ----------------------------------------------------------------------------------

    def carry_out(self, actions: list[Action]) -> None:
        """Carry out the machine's actions, in order, then set the timer."""
        for action in actions:
            if isinstance(action, Emit):
                self._emit(action.event)
                self._backfiller.on_event(action.event)
            elif isinstance(action, Send):
                self._send(action.text)
            elif isinstance(action, Watch):
                self.topics.watch(action.topic)
            elif isinstance(action, Unwatch):
                self.topics.unwatch(action.topic)
            elif isinstance(action, Call):
                self._spawn(self._rest.make(action), "cpapi_fast feed call")
            elif isinstance(action, OpenSocket):
                self._spawn(self._sockets.run(self._rest.ticket), "cpapi_fast feed open")
            elif isinstance(action, CloseSocket):
                ws = self._sockets.take()
                if ws is not None:
                    self._spawn(self._sockets.close(ws), _CLOSING)
        if self.machine.session != self._session:
            self._session = self.machine.session
            self.state.on_session_change()
        self.state.flush()
        self._order_lists.check()
        if self.machine.next_try_s != self._next_try_s:
            self._next_try_s = self.machine.next_try_s
            self._on_next_try()
        self._set_timer()

    def _on_lost(self) -> None:
        self.state.on_connection_lost()
        self._backfiller.on_connection_lost()
        self.arrivals.on_connection_lost()

    def _emit(self, event: FeedEvent) -> None:
        if isinstance(event, StateChange):
            # Before the consumers have the event, so that they do not find an old row that counts as current.
            self.state.check_interruptions(self._is_open)
        self._delivery.put_event(event)
        self._on_event(event)

    def _is_open(self, topic: str) -> bool:
        subscription = self.machine.subscriptions.get(topic)
        return subscription is not None and subscription.state in _OPEN

    def _send(self, text: str) -> None:
        self._sockets.send(text)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._report("a cpapi_fast feed failed unexpectedly", error)

    # --- the timer --------------------------------------------------------------------------------

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
            runner, now = self._runner, self._runner.now()
            self.carry_out(runner.put_for(runner.topics_due(now), self.machine.tick, now))
        except Exception as error:  # noqa: BLE001 - without its timer the feed would detect nothing
            self._report("a cpapi_fast feed failed unexpectedly", error)
            if self._timer is None:
                self._timer_s = self._clock.monotonic_s() + _RETRY_S
                self._timer = self._clock.call_later(_RETRY_S, self._tick)

    def _on_record_error(self, error: Exception) -> None:
        self._report("the decision record of a cpapi_fast feed has ended before the feed", error)

    def _report(self, message: str, error: BaseException) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
