"""Feed: market data with an event for each state change and each gap. It reconnects and resubscribes automatically."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.errors import CpapiError, UsageError
from cpapi_fast.events import FeedEvent, FeedState, StateChange
from cpapi_fast.protocol.topics import Subscription
from cpapi_fast.rest.client import Client

from .driver import Driver
from .feed_reading import FeedReading
from .machine import SubscriptionSpec
from .options import FeedOptions
from .subscription import FeedSubscription
from .trouble import FeedTrouble


class Feed(FeedReading):
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

    _driver: Driver

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
        dispatcher = self._begin("feed", self._hold)
        driver = Driver(
            client,
            self.options,
            dispatcher,
            self._on_event,
            self._halt,
            on_next_try=lambda: self._trouble.on_next_try(),
        )
        trouble = FeedTrouble(driver.machine, self.options, client.clock, client.base_url, self._halt)
        super().__init__(driver, client.clock, self.options, trouble)

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
            self._end(UsageError(self._closed))

    async def __aenter__(self) -> Feed:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

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

    @property
    def client(self) -> Client:
        """The client of the gateway."""
        return self._client

    # --- called by the driver and the dispatcher --------------------------------------------------

    def _hold(self, is_held: bool) -> None:
        # The dispatcher is created before the driver.
        self._driver.hold(is_held)

    def _halt(self, error: CpapiError) -> None:
        self._error = error
        self._driver.halt()
        self._dispatcher.end(error)
        self._end(error)

    def _on_event(self, event: FeedEvent) -> None:
        super()._on_event(event)
        if self._on_login_required is None or not isinstance(event, StateChange) or event.subscription is not None:
            return
        if event.state is FeedState.LOGIN_REQUIRED and event.previous is not event.state:
            try:
                if (returned := self._on_login_required(event)) is not None:
                    refuse_awaitable(returned)
            except Exception as error:  # noqa: BLE001 - passed to the loop's exception handler
                self._report_callback_error(error)
