"""FeedReading: the part of a feed that waits for its states and reads its frames and events"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from cpapi_fast.clock import Clock
from cpapi_fast.delivery.callback_consumer import CallbackConsumer
from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.delivery.overflow import OverflowPolicy
from cpapi_fast.errors import CpapiError, RequestTimeoutError, UsageError
from cpapi_fast.events import FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.loop import LoopOwner

from .feed_consumers import FeedConsumers
from .feed_status import FeedSource
from .feed_subscriptions import FeedSubscriptions
from .options import FeedOptions
from .state_waiters import StateWaiters
from .trouble import FeedTrouble


class FeedReading(FeedSubscriptions):
    """The part of a `Feed` that is read, which a `Replay` has too. Call `_begin` first, then the initialiser.

    Args:
        driver: where frames and states come from.
        clock: the clock of the feed.
        options: the bounds of the consumers.
        trouble: explains why there is no data.
        default_policy: the policy of the default consumer.
    """

    def __init__(
        self,
        driver: FeedSource,
        clock: Clock,
        options: FeedOptions,
        trouble: FeedTrouble,
        default_policy: OverflowPolicy = "drop_oldest",
    ) -> None:
        super().__init__(
            driver,
            clock,
            check=self._check_adding,
            check_close=self._owner.check_end,
            on_error=self._report_callback_error,
        )
        self._consumers = FeedConsumers(self._dispatcher, options, default_policy)
        self._trouble = trouble
        self._state_waiters = StateWaiters(clock)

    def _begin(self, what: str, hold: Callable[[bool], None]) -> Dispatcher:
        """Create the dispatcher, which the driver needs.

        Args:
            what: `feed` or `replay`, for messages.
            hold: called with True when nothing can be delivered for a while, and with False when it can.
        """
        self._what = what
        self._closed = f"the {what} is closed. Create a new one."
        self._owner = LoopOwner(f"a {what}")
        self._is_started = False
        self._is_closed = False
        # The error of every later call; None while the feed can be used.
        self._ended_with: CpapiError | None = None
        self._error: CpapiError | None = None
        self._dispatcher = Dispatcher(
            hold=hold,
            on_callback_error=self._report_callback_error,
            check_wait=self._check_reading,
            check_close=self._owner.check_end,
        )
        return self._dispatcher

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

    # --- for metrics ------------------------------------------------------------------------------

    def _watch_consumers(self, on_added: Callable[[Consumer | CallbackConsumer], None] | None) -> None:
        # Called with each consumer that is there and that will be added; None ends it.
        self._dispatcher.on_added = on_added
        if on_added is not None:
            for consumer in self._dispatcher.consumers:
                on_added(consumer)

    # --- called by the driver and the dispatcher --------------------------------------------------

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
            raise UsageError(self._closed)

    def _check_adding(self) -> None:
        self._owner.check()
        self._check_not_ended()

    def _check_reading(self) -> None:
        self._owner.check()
        self._check_started()

    def _check_started(self) -> None:
        if not self._is_started:
            raise UsageError(
                f"the {self._what} was not started, so it delivers nothing. Use `async with {self._what}`, or call "
                f"`await {self._what}.start()` first."
            )

    def _on_event(self, event: FeedEvent) -> None:
        if isinstance(event, Gap):
            self._count_gap(event)
        if not isinstance(event, StateChange):
            self._trouble.on_event(event)
        else:
            self._state_changes += 1
            self._trouble.on_change(event)
            self._on_state_change(event)
            if event.subscription is None:
                self._last_change = event
                self._state_waiters.on_state(event.state)

    def _report_callback_error(self, error: Exception) -> None:
        context = {"message": f"a callback of a cpapi_fast {self._what} raised", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
