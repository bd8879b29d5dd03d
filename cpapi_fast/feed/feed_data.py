"""FeedData: the state that a feed keeps of its messages, and callbacks for its changes"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cpapi_fast.delivery.callback_consumer import CallbackConsumer
from cpapi_fast.events import FeedState, StateChange
from cpapi_fast.frames.batch import Batch

from .driver import Driver
from .feed_status import FeedStatus
from .state import Changes, Quote, read_quote

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock


class FeedData(FeedStatus):
    """The part of a `Feed` with the current data. What it returns may be read in any thread, and does not change.

    Args:
        driver: has the state.
        clock: the clock of the feed.
        check: raises if a callback is added or closed in another loop or thread, or after the end of the feed.
        check_close: the same for `close` of a callback, also after the end of the feed.
        on_error: called with a `CallbackError` after a callback raised.
    """

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        *,
        check: Callable[[], None],
        check_close: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        super().__init__(driver, clock)
        self._check: Final = check
        self._quote_changes: Final[Changes[Quote]] = Changes("quote", on_error, check_close)
        #: The topics whose last change had a current quote.
        self._current_quotes: Final[dict[str, None]] = {}

    def quote(self, conid: int | str, *, exchange: str | None = None) -> Quote:
        """Return the merged quote of a market data subscription, without a value before its first frame.

        It contains at least every frame that a consumer or callback has received. After a lost connection it keeps its
        values, with `is_current` False, until the first frame of the new connection. The cost is that of about two
        `Frame` objects; nothing is added to the cost of a frame. Possible in any thread.

        Args:
            conid: as in `subscribe_market_data`. Subscriptions that share a conid (an exchange, a combination) have
                one quote each.
            exchange: the same.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
            UsageError: there is no such subscription, or `FeedOptions(last_values=False)`.
        """
        topic, last_values, state = self._market_data(conid, exchange)
        topics = self._driver.topics
        slot = topics.find(topic)
        while True:
            since_s = topics.segment_s(slot)
            quote = read_quote(
                last_values,
                slot,
                topic,
                since_s=since_s,
                now_s=self._clock.monotonic_s(),
                is_current=state.state is FeedState.STREAMING and state.open_gap is None,
            )
            # In another thread than the loop's, the feed may have reconnected in between.
            if topics.segment_s(slot) == since_s:
                return quote

    def on_quote(self, callback: Callable[[Quote], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(quote)` after each change of a quote; `close()` of the result stops it.

        The calls are in the loop's thread, after the consumers have the frames: one for each subscription of which a
        socket read had frames, with the quote after all of them, and one when a quote stops being current. Exceptions
        are treated as by `on_item`.

        Raises:
            ConfigError: `callback` is not a plain function.
            UsageError: `FeedOptions(last_values=False)`; called from another event loop or thread than that of the
                feed, or the feed is closed.
            CpapiError: the feed has ended: see `FeedOptions.give_up_after_s`.
        """
        self._check()
        self._check_last_values()
        consumer = self._quote_changes.add(callback, name)
        self._driver.inspector.on_delivered = self._on_delivered
        return consumer

    def _on_delivered(self, batch: Batch) -> None:
        if not self._quote_changes:
            self._driver.inspector.on_delivered = None
            self._current_quotes.clear()
            return
        for topic in self._driver.topics.market_data_in(batch):
            # A callback may have unsubscribed.
            if topic in self._driver.machine.subscriptions:
                self._call_with_quote(topic)

    def _call_with_quote(self, topic: str) -> None:
        quote = self.quote(topic)
        if quote.is_current:
            self._current_quotes[topic] = None
        else:
            self._current_quotes.pop(topic, None)
        self._quote_changes.call(quote)

    def _on_state_change(self, change: StateChange) -> None:
        # Called after the consumers have the event.
        for topic in tuple(self._current_quotes) if self._quote_changes else ():
            if change.subscription in (None, topic):
                state = self._driver.machine.subscriptions.get(topic)
                if state is None:
                    self._current_quotes.pop(topic, None)
                elif state.state is not FeedState.STREAMING:
                    self._call_with_quote(topic)

    def _end_changes(self) -> None:
        self._quote_changes.end()
