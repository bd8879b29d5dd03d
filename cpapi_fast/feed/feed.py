"""Feed: market data that is never silently stale. It survives its connections; nothing of it has to be made anew."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final

from cpapi_fast.delivery.consumer import Consumer, Policy
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.errors import ConfigError, CpapiError, SubscriptionError, UsageError
from cpapi_fast.events import FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch, Frame
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.topics import MarketDataFields, Subscription, market_data_target
from cpapi_fast.redaction import redact
from cpapi_fast.rest.client import Client

from .driver import Driver
from .machine import SessionFacts, SubscriptionSpec
from .options import FeedOptions
from .state_waiters import StateWaiters
from .status import FeedStats, LastField, LastValue, SubscriptionStatus


class FeedSubscription:
    """A subscription of a feed; it outlives connections until it is cancelled."""

    __slots__ = ("_feed", "name", "topic")

    def __init__(self, feed: Feed, name: str, topic: str) -> None:
        #: For people and logs: `market_data:265598`, `orders`, `pnl`; else the topic.
        self.name: Final = name
        #: The topic of its frames: `smd+265598`, `sor`.
        self.topic: Final = topic
        self._feed = feed

    @property
    def status(self) -> SubscriptionStatus | None:
        """Where it stands; None once it is cancelled."""
        return self._feed.status_of(self.topic)

    async def cancel(self) -> None:
        """Unsubscribe. Again, it does nothing."""
        await self._feed.unsubscribe(self.topic)

    def __repr__(self) -> str:
        status = self.status
        # The topics of an account's ledger and summary name it.
        return f"FeedSubscription({redact(self.name)!r}, {status.state.value if status else 'cancelled'})"


class Feed:
    """Subscriptions that are kept alive, and whoever reads them.

    It connects, waits until the gateway listens, subscribes, renews, tells a dead socket from a quiet market and a dead
    subscription from a quiet instrument, reconnects and subscribes again, and puts every change of state and every hole
    into the stream, at its place between the frames. Use it as `async with`, or call `start` and `aclose`. It belongs
    to one event loop.

    `async for item in feed` and `feed.batches()` read through a consumer of the feed's own, which keeps what comes
    from the start on, by the policy `drop_oldest`. `feed.consumer(...)` adds further ones. A program that only uses
    those should make the first before any frame can come: the feed's own is then not kept.

    Args:
        client: the gateway. It stays open when the feed is closed.
        options: policies.
        on_login_required: called once, each time a human has to log in, with the event.
    """

    def __init__(
        self,
        client: Client,
        options: FeedOptions | None = None,
        *,
        on_login_required: Callable[[StateChange], object] | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(on_login_required):
            raise ConfigError(
                "on_login_required must be a plain function; start a task in it for what has to be awaited"
            )
        self.options: Final = FeedOptions() if options is None else options
        self._client = client
        self._clock = client.clock
        self._on_login_required = on_login_required
        self._delivery = Dispatcher(hold=self._hold, on_callback_error=self._report)
        self._driver = Driver(client, self.options, self._delivery, self._on_event, self._on_misuse)
        self._own: Consumer | None = None
        self._is_own_used = False
        self._is_started = False
        self._is_closed = False
        self._consumers = 0
        self._state_changes = 0
        self._gaps = 0
        self._last_change: StateChange | None = None
        self._state_waiters: Final = StateWaiters(client.clock)
        # Why it cannot be used any more; None while it can.
        self._ended_with: CpapiError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Feed {self.state.value}, {len(self._driver.machine.subscriptions)} subscriptions>"

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; does not wait for it. See `wait_for`.

        Raises:
            UsageError: it was started, or closed, before.
        """
        self._check_loop()
        if self._is_started:
            raise UsageError("a feed is started once; it goes on by itself, and once closed a new one has to be made")
        self._is_started = True
        if self._consumers == 0:
            self._own = self._new_consumer("feed", "drop_oldest", None, None)
        self._driver.start()

    async def aclose(self) -> None:
        """End everything. Iterations end after what is pending. Again, it does nothing."""
        self._check_loop()
        if self._is_closed:
            return
        self._is_started = self._is_closed = True
        try:
            await self._driver.stop()
        finally:
            # Cancelled or not: whoever reads or waits must not do so for ever.
            self._delivery.end(None)
            self._end(UsageError("the feed is closed; make a new one"))

    async def __aenter__(self) -> Feed:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def wait_for(self, *states: FeedState, timeout_s: float | None = None) -> FeedState:
        """Wait until the feed is in one of these states, and say in which it was, even if that has passed since.

        Args:
            states: such as `FeedState.STREAMING`.
            timeout_s: in seconds of the clock; None for ever.

        Raises:
            TimeoutError: it was not, in that time.
            UsageError: no state was given, or the feed is closed, or its client was.
        """
        if not states:
            raise UsageError("give at least one state to wait for")
        self._check_loop()
        if self.state in states:
            return self.state
        if self._ended_with is not None:
            raise self._ended_with.with_traceback(None)
        state = await self._state_waiters.wait(states, timeout_s)
        if state is None:
            raise TimeoutError(
                f"the feed is {self.state.value}, not {' or '.join(state.value for state in states)}, after "
                f"{timeout_s:g} s"
            )
        return state

    # --- subscriptions ----------------------------------------------------------------------------

    async def subscribe_market_data(
        self,
        conid: int,
        fields: MarketDataFields | None = None,
        *,
        exchange: str | None = None,
        usual_interval_s: float | None = None,
        hours: TradingHours | None = None,
    ) -> FeedSubscription:
        """Keep the quotes of an instrument coming. In any state, from any task; again, it changes the fields.

        Args:
            conid: IB's contract id.
            fields: what to send; `MarketDataFields.default_l1()` by default.
            exchange: for one venue's quotes.
            usual_interval_s: how often it ticks; learned when not given.
            hours: when it trades; outside of them it is not called stale.

        Raises:
            SubscriptionError: `conid` or `exchange` cannot be right.
            LimitError: the account's market data lines are all in use.
            ConfigError: `usual_interval_s` is not above zero, or `hours` is something else than TradingHours.
            UsageError: the feed is closed, or this is not its event loop.
        """
        if hours is not None and not isinstance(hours, TradingHours):
            raise ConfigError(f"give the hours as TradingHours, not {type(hours).__name__}")
        known = Subscription.market_data(_send_nothing, conid, fields, exchange=exchange)
        return self._subscribe(known, is_market_data=True, usual_interval_s=usual_interval_s, hours=hours)

    async def unsubscribe_market_data(self, conid: int, *, exchange: str | None = None) -> None:
        """End a market data subscription; one that is not there stays so."""
        await self.unsubscribe(f"smd+{market_data_target(conid, exchange)}")

    async def subscribe_orders(self) -> FeedSubscription:
        """Keep order updates coming. A refusal is answered by `/iserver/accounts` and another try."""
        return self._subscribe(Subscription.orders(_send_nothing))

    async def subscribe_pnl(self) -> FeedSubscription:
        """Keep profit and loss coming."""
        return self._subscribe(Subscription.pnl(_send_nothing), needs_brokerage=False)

    async def subscribe_topic(
        self,
        topic: str,
        payload: str,
        cancel_payload: str,
        *,
        needs_brokerage: bool = True,
        usual_interval_s: float | None = None,
    ) -> FeedSubscription:
        """Keep any other topic coming. One of market data, such as a combination's, is cared for as all market data is.

        Args:
            topic: the topic of its frames, such as `ssd+DU1234567`.
            payload: the text that subscribes, such as `ssd+DU1234567+{}`.
            cancel_payload: the text that unsubscribes, such as `usd+DU1234567+{}`.
            needs_brokerage: whether it needs the brokerage session; `spl`, `ssd` and `sld` do not.
            usual_interval_s: how often it usually comes. Without it, only market data is noticed to be silent: other
                topics may rightly say nothing for days.

        Raises:
            SubscriptionError: one of the texts cannot be sent.
            LimitError, ConfigError, UsageError: as `subscribe_market_data`.
        """
        for text in (topic, payload, cancel_payload):
            _check_text(text)
        known = Subscription(
            name=topic, topic=topic, payload=payload, cancel_payload=cancel_payload, send=_send_nothing
        )
        return self._subscribe(
            known,
            needs_brokerage=needs_brokerage,
            is_market_data=topic.startswith("smd+"),
            usual_interval_s=usual_interval_s,
        )

    async def unsubscribe(self, topic: str) -> None:
        """End a subscription by its topic; one that is not there stays so."""
        self._check_loop()
        if self._ended_with is None and not self._is_closed:
            self._driver.unsubscribe(topic)

    def _subscribe(
        self,
        known: Subscription,
        *,
        needs_brokerage: bool = True,
        is_market_data: bool = False,
        usual_interval_s: float | None = None,
        hours: TradingHours | None = None,
    ) -> FeedSubscription:
        self._check_loop()
        if self._is_closed:
            raise UsageError("the feed is closed; make a new one")
        if self._ended_with is not None:
            raise self._ended_with.with_traceback(None)
        if usual_interval_s is not None and not 0.0 < usual_interval_s < float("inf"):
            raise ConfigError(f"usual_interval_s must be a finite number above zero, not {usual_interval_s!r}")
        self._driver.subscribe(
            SubscriptionSpec(
                known.topic,
                known.payload,
                known.cancel_payload,
                needs_brokerage=needs_brokerage,
                is_market_data=is_market_data,
                usual_interval_s=usual_interval_s,
                hours=hours,
            )
        )
        return FeedSubscription(self, known.name, known.topic)

    # --- reading ----------------------------------------------------------------------------------

    def consumer(
        self,
        *,
        policy: Policy = "drop_oldest",
        max_pending_frames: int | None = None,
        max_pending_bytes: int | None = None,
        name: str | None = None,
    ) -> Consumer:
        """Add a reader that gets what comes from now on, bounded and counted on its own.

        Args:
            policy: what becomes of frames that it is too slow for. `block` needs `FeedOptions(overload="block")`.
            max_pending_frames: how many may wait for it; `options.max_pending_frames` by default.
            max_pending_bytes: the same in bytes.
            name: for people and logs.

        Raises:
            ConfigError: an unknown policy or a bound that cannot be right.
        """
        return self._new_consumer(name, policy, max_pending_frames, max_pending_bytes)

    def on_item(self, callback: Callable[[Frame | FeedEvent], object], *, name: str | None = None) -> Consumer:
        """Call `callback(item)` for each frame and event from now on, at once; `close()` of the result ends that.

        What it raises goes to the loop's exception handler, and the next item comes as if nothing had happened.
        """
        return self._new_consumer(name, "drop_oldest", None, None, callback=callback)

    def on_batch(self, callback: Callable[[Batch | FeedEvent], object], *, name: str | None = None) -> Consumer:
        """Call `callback(item)` for each batch and event from now on; otherwise as `on_item`."""
        return self._new_consumer(name, "drop_oldest", None, None, callback=callback, by_batch=True)

    def __aiter__(self) -> AsyncIterator[Frame | FeedEvent]:
        return self._own_consumer().__aiter__()

    def batches(self) -> AsyncIterator[Batch | FeedEvent]:
        """Iterate over batches, one per socket read or part of one, and events in between."""
        return self._own_consumer().batches()

    def _own_consumer(self) -> Consumer:
        if self._own is None:
            self._own = self._new_consumer("feed", "drop_oldest", None, None)
        self._is_own_used = True
        return self._own

    def _new_consumer(
        self,
        name: str | None,
        policy: Policy,
        max_pending_frames: int | None,
        max_pending_bytes: int | None,
        *,
        callback: Callable[[Any], object] | None = None,
        by_batch: bool = False,
    ) -> Consumer:
        options = self.options
        if policy == "block" and options.overload != "block":
            raise ConfigError(
                "a consumer with the policy 'block' holds up all others and hides heartbeats while it does; allow it "
                "with FeedOptions(overload='block')"
            )
        self._consumers += 1
        consumer = self._delivery.add(
            name=f"consumer {self._consumers}" if name is None else name,
            policy=policy,
            max_pending_frames=options.max_pending_frames if max_pending_frames is None else max_pending_frames,
            max_pending_bytes=options.max_pending_bytes if max_pending_bytes is None else max_pending_bytes,
            callback=callback,
            by_batch=by_batch,
        )
        if self._own is not None and not self._is_own_used and self._own is not consumer:
            # Somebody else reads: what nobody asked for is not kept.
            self._own.close()
            self._own = None
        return consumer

    # --- what it knows ----------------------------------------------------------------------------

    @property
    def state(self) -> FeedState:
        """Where it stands."""
        return self._driver.machine.state

    @property
    def last_change(self) -> StateChange | None:
        """The latest change of the feed's own state; None before the first."""
        return self._last_change

    @property
    def next_try_s(self) -> float | None:
        """How many seconds of the clock until the gateway is tried again; None while nothing waits for that."""
        due_s = self._driver.machine.next_try_s
        return None if due_s is None else max(due_s - self._clock.monotonic_s(), 0.0)

    @property
    def session(self) -> SessionFacts:
        """What was last heard of the session: `authenticated`, `connected`, `competing`."""
        return self._driver.machine.session

    @property
    def subscriptions(self) -> tuple[SubscriptionStatus, ...]:
        """All subscriptions and where they stand, in the order in which they were made."""
        return tuple(status for topic in self._driver.machine.subscriptions if (status := self.status_of(topic)))

    def status_of(self, topic: str) -> SubscriptionStatus | None:
        """Where one subscription stands; None when it is not there."""
        line = self._driver.machine.subscriptions.get(topic)
        if line is None:
            return None
        activity = self._driver.activity(topic)
        return SubscriptionStatus(
            topic=topic,
            state=line.state,
            frames=activity.frames,
            ticks=activity.frames - line.request.snapshots,
            last_ns=activity.last_ns,
            age_s=self._clock.monotonic_s() - activity.last_s if activity.frames else None,
            usual_interval_s=line.staleness.interval.usual_s,
            renewals=line.request.renewals,
            is_in_gap=line.open_gap is not None,
        )

    @property
    def stats(self) -> FeedStats:
        """What it has done so far."""
        requests = self._driver.machine.requests
        return FeedStats(
            connection=self._driver.stats(),
            connections=self._driver.machine.connections,
            state_changes=self._state_changes,
            gaps=self._gaps,
            renewals=requests.renewals,
            probes=requests.probes,
            resubscribes=requests.resubscribes,
            calls_failed=self._driver.calls_failed,
            frames_untracked=self._driver.frames_untracked,
        )

    def last_value(self, conid: int, *, exchange: str | None = None) -> LastValue | None:
        """The merged quote of a market data subscription, with the age of each field; None before its first frame.

        It is kept over losses of the connection: look at the ages, and at `is_current`.

        Raises:
            SubscriptionError: `conid` or `exchange` cannot be right.
            UsageError: it is not subscribed to, or `FeedOptions(last_values=False)`.
        """
        topic = f"smd+{market_data_target(conid, exchange)}"
        book = self._driver.last_values
        if book is None:
            raise UsageError("last values are not kept: FeedOptions(last_values=True) keeps them")
        line = self._driver.machine.subscriptions.get(topic)
        if line is None:
            raise UsageError(f"{topic} is not subscribed to; subscribe_market_data({conid}) first")
        values = book.get(topic)
        if not values:
            return None
        now_s = self._clock.monotonic_s()
        fields = {
            code: LastField(value, received_ns, now_s - updated_s)
            for code, (value, received_ns, updated_s) in values.items()
        }
        return LastValue(topic, fields, is_current=line.state is FeedState.STREAMING)

    # --- inside -----------------------------------------------------------------------------------

    def _hold(self, is_held: bool) -> None:
        self._driver.hold(is_held)

    def _on_misuse(self, error: UsageError) -> None:
        self._driver.halt()
        self._delivery.end(error)
        self._end(error)

    def _end(self, error: CpapiError) -> None:
        if self._ended_with is None:
            self._ended_with = error
        self._state_waiters.end(error)

    def _check_loop(self) -> None:
        # Timers and sockets of a loop must not be touched from another thread, and nothing would say so.
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise UsageError(
                "a feed belongs to the event loop that it was first used in; from another thread, use "
                "asyncio.run_coroutine_threadsafe with that loop"
            )

    def _on_event(self, event: FeedEvent) -> None:
        if isinstance(event, Gap):
            self._gaps += 1
        elif isinstance(event, StateChange):
            self._state_changes += 1
            if event.subscription is None:
                self._last_change = event
                self._state_waiters.on_state(event.state)
                is_new = event.state is FeedState.LOGIN_REQUIRED and event.previous is not event.state
                if is_new and self._on_login_required is not None:
                    try:
                        self._on_login_required(event)
                    except Exception as error:  # noqa: BLE001 - handed on to the loop, never swallowed
                        self._report(error)

    def _report(self, error: Exception) -> None:
        context = {"message": "a callback of a cpapi_fast feed raised", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _check_text(text: object) -> None:
    try:
        is_text = isinstance(text, str) and bool(text.encode())
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise SubscriptionError("topic, payload and cancel_payload are texts that UTF-8 can hold, and not empty")


async def _send_nothing(_text: str) -> None:
    """Where a handle of `topics` wants a way to send: the machine sends."""
