"""Feed: market data with an event for each state change and each gap. It reconnects and resubscribes automatically."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.delivery.callback_consumer import CallbackConsumer
from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.delivery.overflow import OverflowPolicy
from cpapi_fast.errors import CpapiError, RequestTimeoutError, UsageError
from cpapi_fast.events import FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.loop import LoopOwner
from cpapi_fast.protocol.topics import Subscription
from cpapi_fast.rest.client import Client

from .driver import Driver
from .feed_consumers import FeedConsumers
from .feed_subscriptions import FeedSubscriptions
from .machine import SubscriptionSpec
from .options import FeedOptions
from .state_waiters import StateWaiters
from .subscription import FeedSubscription
from .trouble import FeedTrouble

_CLOSED: Final = "the feed is closed. Create a new one."


class Feed(FeedSubscriptions):
    """Subscriptions that persist across reconnects, and the consumers that read their frames.

    A feed connects, waits until the gateway is ready, subscribes, and renews subscriptions before they end. It detects
    stalled sockets and stale subscriptions, reconnects and resubscribes. Every change of state and every gap in the
    data is an event in the stream, at its place between the frames. Use it as `async with`, or call `start` and
    `aclose`. It belongs to one event loop.

    `async for item in feed` and `feed.batches()` read a default consumer with the policy `drop_oldest`, which keeps
    what arrives after the start. `feed.consumer(...)` adds further consumers. A program that reads only those should
    add the first one before `start`, so that no default consumer is created.

    Args:
        client: the gateway. It stays open when the feed is closed.
        options: policies.
        on_login_required: a plain function that is called with the event each time the state becomes `LOGIN_REQUIRED`.

    Raises:
        ConfigError: `on_login_required` is not a plain function.
    """

    def __init__(
        self,
        client: Client,
        options: FeedOptions | None = None,
        *,
        on_login_required: Callable[[StateChange], None] | None = None,
    ) -> None:
        if on_login_required is not None:
            check_callback(on_login_required, "on_login_required")
        self.options: Final = FeedOptions() if options is None else options
        self._client: Final = client
        self._on_login_required = on_login_required
        self._owner: Final = LoopOwner("a feed")
        self._dispatcher = Dispatcher(
            hold=self._hold,
            on_callback_error=self._report_callback_error,
            check_wait=self._check_reading,
            check_close=self._owner.check_end,
        )
        driver = Driver(client, self.options, self._dispatcher, self._on_event, self._halt)
        super().__init__(
            driver,
            client.clock,
            check=self._check_adding,
            check_close=self._owner.check_end,
            on_error=self._report_callback_error,
        )
        self._consumers = FeedConsumers(self._dispatcher, self.options)
        self._trouble: Final = FeedTrouble(driver.machine, self.options, client.clock, client.base_url, self._halt)
        self._is_started = False
        self._is_closed = False
        self._state_waiters: Final = StateWaiters(client.clock)
        # The error of every later call; None while the feed can be used.
        self._ended_with: CpapiError | None = None
        self._error: CpapiError | None = None

    def __repr__(self) -> str:
        return f"<Feed {self.state.value}, {len(self._driver.machine.subscriptions)} subscriptions>"

    # --- start and end ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start to connect, without waiting for the connection; see `wait_for`.

        Raises:
            UsageError: the feed was started or closed before.
        """
        self._owner.check()
        if self._is_started:
            raise UsageError("a feed can be started only once. Create a new one after `aclose`.")
        self._is_started = True
        self._consumers.start()
        self._driver.start()
        self._trouble.start()

    async def aclose(self) -> None:
        """Close the connection and end all consumers; pending items can still be read. Idempotent."""
        self._owner.check()
        if self._is_closed:
            return
        self._is_started = self._is_closed = True
        # The end of the feed is no change of quotes and rows.
        self._end_changes()
        try:
            await self._driver.stop()
        finally:
            # Also after a cancellation: tasks that read or wait must not do so forever.
            self._dispatcher.end(None)
            self._end(UsageError(_CLOSED))

    async def __aenter__(self) -> Feed:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def wait_for(self, *states: FeedState, timeout_s: float | None = None) -> FeedState:
        """Wait until the feed is in one of these states, and return it, even if the feed has left it again.

        Args:
            states: such as `FeedState.STREAMING`.
            timeout_s: in seconds of the clock; None for no limit.

        Raises:
            RequestTimeoutError (a TimeoutError): the feed was in none of them within that time. The message has the
                last cause, with its advice.
            CpapiError: the feed has ended: see `FeedOptions.give_up_after_s`.
            UsageError: no state was given, the feed was never started, or it or its client is closed.
        """
        if not states:
            raise UsageError("give at least one state to wait for")
        self._owner.check()
        if self.state in states:
            return self.state
        self._check_not_ended()
        self._check_started()
        state = await self._state_waiters.wait(states, timeout_s)
        if state is None:
            wanted = " or ".join(state.value for state in states)
            raise RequestTimeoutError(self._trouble.describe(wanted, timeout_s or 0.0))
        return state

    # --- subscriptions ----------------------------------------------------------------------------

    async def unsubscribe(self, topic: str) -> None:
        """End a subscription by its topic. Idempotent."""
        self._owner.check()
        if self._ended_with is None and not self._is_closed:
            self._driver.unsubscribe(topic)
            self._trouble.update()

    def _subscribe(self, texts: Subscription, spec: SubscriptionSpec) -> FeedSubscription:
        self._owner.check()
        self._check_not_ended()
        self._driver.subscribe(spec)
        self._trouble.update()
        return FeedSubscription(texts.name, texts.topic, self.status_of, self.unsubscribe)

    # --- reading ----------------------------------------------------------------------------------

    def consumer(
        self,
        *,
        policy: OverflowPolicy = "drop_oldest",
        max_pending_frames: int | None = None,
        max_pending_bytes: int | None = None,
        name: str | None = None,
    ) -> Consumer:
        """Add a reader with its own queue and counters; it receives what arrives from now on.

        Args:
            policy: what happens to frames beyond the bounds. `block` needs `FeedOptions(overload="block")`.
            max_pending_frames: how many frames may be pending; `options.max_pending_frames` by default.
            max_pending_bytes: how many bytes, with 64 more for each frame; `options.max_pending_bytes` by default.
            name: the name in logs and error messages.

        Raises:
            ConfigError: an unknown policy, or a bound that is not a whole number above zero.
            UsageError: called from another event loop or thread than that of the feed.
        """
        self._owner.check()
        return self._consumers.add(
            policy=policy, max_pending_frames=max_pending_frames, max_pending_bytes=max_pending_bytes, name=name
        )

    def on_item(self, callback: Callable[[Frame | FeedEvent], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(item)` for each frame and event from now on; `close()` of the result stops it.

        The callback runs in the loop's thread, before the next item. An exception of the callback is passed to the
        loop's exception handler, and the callback is called again with the next item.

        Raises:
            ConfigError: `callback` is not a plain function: it is a coroutine function, for example.
            UsageError: called from another event loop or thread than that of the feed, or the feed is closed.
            CpapiError: the feed has ended: see `FeedOptions.give_up_after_s`.
        """
        self._check_adding()
        return self._consumers.add_callback(callback, name=name)

    def on_batch(self, callback: Callable[[Batch | FeedEvent], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(item)` for each batch and event from now on; otherwise the same as `on_item`."""
        self._check_adding()
        return self._consumers.add_callback(callback, by_batch=True, name=name)

    def __aiter__(self) -> AsyncIterator[Frame | FeedEvent]:
        self._check_reading()
        return self._consumers.default.__aiter__()

    def batches(self) -> AsyncIterator[Batch | FeedEvent]:
        """Iterate over batches, one per socket read or part of one, with the events between them.

        Raises:
            UsageError: the feed was never started, or belongs to another event loop.
        """
        self._check_reading()
        return self._consumers.default.batches()

    @property
    def trouble(self) -> StateChange | None:
        """The change because of which no data arrives now; None while data arrives, and before the first failure."""
        return self._trouble.current

    @property
    def error(self) -> CpapiError | None:
        """The error that ended the feed, such as that of `give_up_after_s`; None while it runs, and after `aclose`.

        Iterations and waits raise it. A callback is not told, so check this where only callbacks are used.
        """
        return self._error

    @property
    def client(self) -> Client:
        """The client of the gateway."""
        return self._client

    # --- for metrics ------------------------------------------------------------------------------

    def _set_meter(self, meter: Callable[[Batch], None] | None) -> None:
        # The counters are read in the loop of the metrics, so it must be that of the feed.
        if meter is not None:
            self._owner.check()
        super()._set_meter(meter)

    def _watch_consumers(self, on_added: Callable[[Consumer | CallbackConsumer], None] | None) -> None:
        # Called with each consumer that is there and that will be added; None ends it.
        self._dispatcher.on_added = on_added
        if on_added is not None:
            for consumer in self._dispatcher.consumers:
                on_added(consumer)

    # --- called by the driver and the dispatcher --------------------------------------------------

    def _hold(self, is_held: bool) -> None:
        # The dispatcher is created before the driver.
        self._driver.hold(is_held)

    def _halt(self, error: CpapiError) -> None:
        self._error = error
        self._driver.halt()
        self._dispatcher.end(error)
        self._end(error)

    def _end(self, error: CpapiError) -> None:
        if self._ended_with is None:
            self._ended_with = error
        self._state_waiters.end(error)
        self._trouble.close()
        self._end_changes()

    def _check_not_ended(self) -> None:
        if self._ended_with is not None:
            raise self._ended_with.with_traceback(None)
        if self._is_closed:
            raise UsageError(_CLOSED)

    def _check_adding(self) -> None:
        self._owner.check()
        self._check_not_ended()

    def _check_reading(self) -> None:
        self._owner.check()
        self._check_started()

    def _check_started(self) -> None:
        if not self._is_started:
            raise UsageError(
                "the feed was not started, so it delivers nothing. Use `async with feed`, or call `await feed.start()` "
                "first."
            )

    def _on_event(self, event: FeedEvent) -> None:
        if isinstance(event, Gap):
            self._count_gap(event)
        elif isinstance(event, StateChange):
            self._state_changes += 1
            self._trouble.on_change(event)
            self._on_state_change(event)
            if event.subscription is None:
                self._last_change = event
                self._state_waiters.on_state(event.state)
                is_new = event.state is FeedState.LOGIN_REQUIRED and event.previous is not event.state
                if is_new and self._on_login_required is not None:
                    try:
                        if (returned := self._on_login_required(event)) is not None:
                            refuse_awaitable(returned)
                    except Exception as error:  # noqa: BLE001 - passed to the loop's exception handler
                        self._report_callback_error(error)

    def _report_callback_error(self, error: Exception) -> None:
        context = {"message": "a callback of a cpapi_fast feed raised", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
