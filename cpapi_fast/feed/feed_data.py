"""FeedData: the state that a feed keeps of its messages, and callbacks for its changes"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from cpapi_fast.delivery.callback_consumer import CallbackConsumer
from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedState, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.messages.orders import Execution, OrderUpdate

from .feed_status import FeedSource, FeedStatus
from .state import (
    AccountValue,
    Changes,
    FeedSession,
    KeptState,
    LedgerBalance,
    Order,
    Pnl,
    PnlRows,
    Quote,
    Row,
    Rows,
    StateKind,
    read_quote,
)

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
        driver: FeedSource,
        clock: Clock,
        *,
        check: Callable[[], None],
        check_close: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        super().__init__(driver, clock)
        self._check: Final = check
        self._quote_changes: Final[Changes[Quote]] = Changes("quote", on_error, check_close, self._on_no_quote_callback)
        self._row_changes: Final[dict[StateKind, Changes[Any]]] = {
            kind: Changes(kind.replace("_", " "), on_error, check_close, self._on_no_row_callback)
            for kind in get_args(StateKind)
        }
        # The rows of profit and loss by name, of a snapshot by topic and name.
        self._pnl: tuple[Rows[tuple[str, str], Pnl], PnlRows] = (Rows({}), PnlRows({}))
        self._last_session = FeedSession()
        self._has_quote_callback = False
        self._meter: Callable[[Batch], None] | None = None
        #: The topics whose last change had a current quote.
        self._current_quotes: Final[dict[str, None]] = {}

    # --- quotes -----------------------------------------------------------------------------------

    def quote(self, conid: int | str, *, exchange: str | None = None) -> Quote:
        """Return the merged quote of a market data subscription, without a value before its first frame.

        It contains at least every frame that a consumer or callback has received. After a lost connection it keeps its
        values, with `is_current` False, until the first frame of the new connection. Values of before and after a gap
        are never in one current quote. A call decodes all fields of the
        quote, which takes a few microseconds; it adds nothing to the cost of a frame. Possible in any thread.

        Args:
            conid: as in `subscribe_market_data`, or the topic of a frame. Subscriptions that share a conid (an
                exchange, a combination) have one quote each.
            exchange: the same.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
            UsageError: there is no such subscription, or `FeedOptions(last_values=False)`.
        """
        topic, last_values, state = self._market_data(conid, exchange)
        topics = self._driver.topics
        while True:
            slot = topics.find(topic)
            since_s = topics.segment_s(slot)
            is_current = state.state is FeedState.STREAMING and state.open_gap is None
            quote = read_quote(
                last_values, slot, topic, since_s=since_s, clock=self._clock.monotonic_s, is_current=is_current
            )
            # In another thread than the loop's, the feed may have reconnected or unsubscribed in between.
            if is_current and topics.deciding_slot == slot:
                quote = quote.not_current()
            if topics.find(topic) == slot and topics.segment_s(slot) == since_s:
                return quote

    def on_quote(self, callback: Callable[[Quote], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(quote)` after each change of a quote; `close()` of the result stops it.

        The calls are in the loop's thread, after the consumers have the frames: one for each subscription of which a
        socket read had frames, with the quote after all of them, and one when a quote stops being current, but not
        because the feed is closed. Exceptions are treated as by `on_item`.

        Raises:
            ConfigError: `callback` is not a plain function.
            UsageError: `FeedOptions(last_values=False)`; called from another event loop or thread than that of the
                feed, or the feed is closed.
            CpapiError: the feed has ended: see `FeedOptions.give_up_after_s`.
        """
        self._check()
        self._check_last_values()
        consumer = self._quote_changes.add(callback, name)
        for topic, state in self._driver.machine.subscriptions.items():
            if state.spec.is_market_data and state.state is FeedState.STREAMING:
                # Its next change may be that it stops being current, without a frame before.
                self._current_quotes[topic] = None
        self._has_quote_callback = True
        self._set_delivered()
        return consumer

    # --- orders and executions --------------------------------------------------------------------

    @property
    def orders(self) -> Mapping[int, Order]:
        """The orders by id, merged from their updates, in the order in which they arrived first.

        They contain at least the updates that a consumer or callback has received. Needs `subscribe_orders`. After each
        subscribe the feed requests the orders over REST, so that those from before are known, too. After a lost
        connection, orders that are not finished stay with `is_current` False until their status and quantity arrive
        again. One that stays so is not in the gateway's list any more, or the request failed: see the log.
        `FeedOptions.max_orders` bounds them.
        """
        return self._rows().orders.snapshot

    @property
    def executions(self) -> Mapping[str, Execution]:
        """The executions by id, each once, with its commission as soon as that arrived.

        Needs `subscribe_executions`. They stay after a lost connection, and what the gateway sends again is merged.
        `FeedOptions.max_executions` bounds them.
        """
        return self._rows().executions.snapshot

    def on_order(self, callback: Callable[[Order], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(order)` for each change of an order; `close()` of the result stops it.

        The calls are in the loop's thread, after the consumers have the frame. An order that stops being current
        counts as a change, but not because the feed is closed. Exceptions are treated as by `on_item`.

        Raises:
            ConfigError: `callback` is not a plain function.
            UsageError: `FeedOptions(kept_state=False)`; called from another event loop or thread than that of the
                feed, or the feed is closed.
            CpapiError: the feed has ended: see `FeedOptions.give_up_after_s`.
        """
        return self._on_row("order", callback, name)

    def on_execution(self, callback: Callable[[Execution], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(execution)` for each new execution, and again for its commission: do not add up the calls.

        It is also called again when anything else of an execution changed. What the gateway repeats without a change
        causes no call. For sums, read `executions`, which has each one once. Otherwise the same as `on_order`.
        """
        return self._on_row("execution", callback, name)

    # --- accounts and session ---------------------------------------------------------------------

    @property
    def pnl(self) -> Mapping[str, Pnl]:
        """The profit and loss by the name of the row, such as `DU1234567.Core`. Needs `subscribe_pnl`.

        The account alone finds its row, too: `pnl["DU1234567"]`. After a lost connection, rows stay with `is_current`
        False until their next update.
        """
        snapshot = self._rows().pnl.snapshot
        known = self._pnl
        if known[0] is not snapshot:
            known = self._pnl = (snapshot, PnlRows({name: row for (_, name), row in snapshot.items()}))
        return known[1]

    @property
    def account_summary(self) -> Mapping[tuple[str, str], AccountValue]:
        """The values of account summaries by account and key: `account_summary["DU1234567", "NetLiquidation"]`.

        Needs `subscribe_account_summary`. After a lost connection, values stay with `is_current` False until their
        next update.
        """
        return self._rows().account_values.snapshot

    @property
    def ledger(self) -> Mapping[tuple[str, str], LedgerBalance]:
        """The balances of accounts by account and key: `ledger["DU1234567", "LedgerListUSD"]`.

        Needs `subscribe_ledger`. After a lost connection, balances stay with `is_current` False until their next
        update.
        """
        return self._rows().ledger_balances.snapshot

    @property
    def session(self) -> FeedSession:
        """The state of the session: by the latest response over REST, and by the messages `sts` and `act`."""
        return self._driver.state.session.session(self._driver.machine.session)

    def on_pnl(self, callback: Callable[[Pnl], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(pnl)` for each change of a row of profit and loss; otherwise the same as `on_order`."""
        return self._on_row("pnl", callback, name)

    def on_account_value(
        self, callback: Callable[[AccountValue], None], *, name: str | None = None
    ) -> CallbackConsumer:
        """Call `callback(value)` for each change of a value of an account summary.

        A new timestamp alone is no change. Otherwise the same as `on_order`.
        """
        return self._on_row("account_value", callback, name)

    def on_ledger_balance(
        self, callback: Callable[[LedgerBalance], None], *, name: str | None = None
    ) -> CallbackConsumer:
        """Call `callback(balance)` for each change of the balances in a currency.

        A new timestamp alone is no change. Otherwise the same as `on_order`.
        """
        return self._on_row("ledger_balance", callback, name)

    def on_session(self, callback: Callable[[FeedSession], None], *, name: str | None = None) -> CallbackConsumer:
        """Call `callback(session)` for each change of the session; otherwise the same as `on_order`."""
        return self._on_row("session", callback, name)

    # --- called by the driver ---------------------------------------------------------------------

    def _rows(self) -> KeptState:
        state = self._driver.state
        if not state.keeps_rows:
            raise UsageError("orders, executions and accounts are not kept. Set FeedOptions(kept_state=True).")
        return state

    def _on_row(self, kind: StateKind, callback: Callable[[Any], None], name: str | None) -> CallbackConsumer:
        self._check()
        if kind != "session":
            self._rows()
        changes = self._row_changes[kind]
        if kind == "session" and not changes:
            self._last_session = self.session
        consumer = changes.add(callback, name)
        self._driver.state.on_change = self._on_change
        return consumer

    def _watch_order_lists(self, callback: Callable[[Sequence[OrderUpdate], int], None]) -> None:
        # For `collect`: called with the orders of each response over REST and its receive time. They are no frames.
        # From then on only the orders are kept, because nobody reads the other rows.
        state = self._rows()
        state.on_list = callback
        state.is_orders_only = True

    def _on_change(self, kind: StateKind, row: Row) -> None:
        if kind != "session":
            self._row_changes[kind].call(row)
            return
        session = self.session
        if session != self._last_session:
            self._last_session = session
            self._row_changes[kind].call(session)

    def _on_no_quote_callback(self) -> None:
        self._has_quote_callback = False
        self._set_delivered()
        self._current_quotes.clear()

    def _on_no_row_callback(self) -> None:
        if not any(self._row_changes.values()):
            self._driver.state.on_change = None

    def _set_meter(self, meter: Callable[[Batch], None] | None) -> None:
        # For `metrics`: called with each batch after the consumers have it, before the callbacks for quotes.
        self._meter = meter
        self._set_delivered()

    def _set_delivered(self) -> None:
        # One function or none, so that a batch costs nothing more while there are no metrics.
        meter, on_delivered = self._meter, self._on_delivered
        if meter is None:
            self._driver.inspector.on_delivered = on_delivered if self._has_quote_callback else None
            return

        def both(batch: Batch) -> None:
            meter(batch)
            on_delivered(batch)

        self._driver.inspector.on_delivered = both if self._has_quote_callback else meter

    def _on_delivered(self, batch: Batch) -> None:
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
        for topic in tuple(self._current_quotes):
            if change.subscription in (None, topic):
                state = self._driver.machine.subscriptions.get(topic)
                if state is None:
                    self._current_quotes.pop(topic, None)
                elif state.state is not FeedState.STREAMING:
                    self._call_with_quote(topic)

    def _end_changes(self) -> None:
        for changes in (self._quote_changes, *self._row_changes.values()):
            changes.end()
        self._on_no_quote_callback()
        self._on_no_row_callback()
