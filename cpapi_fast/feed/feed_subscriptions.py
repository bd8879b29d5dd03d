"""FeedSubscriptions: what a feed can subscribe to"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.instruments import market_data_topic
from cpapi_fast.protocol.topics import Fields, Subscription

from .feed_data import FeedData
from .machine import SubscriptionSpec
from .subscription import FeedSubscription, check_texts, send_nothing, spec_of


class FeedSubscriptions(FeedData, ABC):
    """The part of a `Feed` that subscribes. Its methods are possible in any state of the feed."""

    @abstractmethod
    def _subscribe(self, texts: Subscription, spec: SubscriptionSpec) -> FeedSubscription:
        """Subscribe, and return the handle."""

    @abstractmethod
    async def unsubscribe(self, topic: str) -> None:
        """End a subscription by its topic. Idempotent."""

    async def subscribe_market_data(
        self,
        conid: int | str,
        fields: Fields | None = None,
        *,
        exchange: str | None = None,
        usual_interval_s: float | None = None,
        hours: TradingHours | None = None,
    ) -> FeedSubscription:
        """Subscribe to the quotes of an instrument. Possible in any state; a second call changes the fields.

        Args:
            conid: IB's contract id, or the text of an instrument: `265598@NYSE`, `28812380;;;8314/1,8894/-1`.
            fields: their keys or codes, such as `["last_price", "84"]`; `MarketDataFields.default_l1()` by default.
            exchange: for the quotes of one venue.
            usual_interval_s: the usual time between ticks, in seconds; learned when not given.
            hours: the trading hours; outside of them the subscription is never stale.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
            LimitError: all market data lines of the account are in use.
            ConfigError: `usual_interval_s` is not above zero, or `hours` is not TradingHours.
            UsageError: the feed is closed, or belongs to another event loop.
        """
        texts = Subscription.market_data(send_nothing, conid, fields, exchange=exchange)
        spec = spec_of(texts, is_market_data=True, usual_interval_s=usual_interval_s, hours=hours)
        return self._subscribe(texts, spec)

    async def unsubscribe_market_data(self, conid: int | str, *, exchange: str | None = None) -> None:
        """End a market data subscription. Idempotent.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
        """
        await self.unsubscribe(market_data_topic(conid, exchange))

    async def subscribe_orders(self) -> FeedSubscription:
        """Subscribe to order updates. If the gateway refuses, the feed requests `/iserver/accounts` and retries."""
        texts = Subscription.orders(send_nothing)
        return self._subscribe(texts, spec_of(texts))

    async def subscribe_pnl(self) -> FeedSubscription:
        """Subscribe to profit and loss."""
        texts = Subscription.pnl(send_nothing)
        return self._subscribe(texts, spec_of(texts, needs_brokerage=False))

    async def subscribe_executions(self, *, days: int = 1, realtime_only: bool = False) -> FeedSubscription:
        """Subscribe to executions. The gateway first sends those of the last days, also after each reconnect.

        Args:
            days: of how many days, from 1 to 7.
            realtime_only: send no earlier executions, so that those during an outage of the connection are missing.

        Raises:
            SubscriptionError: `days` is invalid.
        """
        texts = Subscription.executions(send_nothing, days=days, realtime_only=realtime_only)
        return self._subscribe(texts, spec_of(texts))

    async def subscribe_account_summary(
        self, account: str, *, keys: Iterable[str] = (), fields: Iterable[str] = ()
    ) -> FeedSubscription:
        """Subscribe to the summary of an account.

        Args:
            account: the account, such as `DU1234567`.
            keys: which values, such as `AccruedCash-S`; all of them by default.
            fields: which members of them, such as `monetaryValue`; all of them by default.

        Raises:
            SubscriptionError: `account`, `keys` or `fields` is invalid.
        """
        texts = Subscription.account_summary(send_nothing, account, keys=keys, fields=fields)
        return self._subscribe(texts, spec_of(texts, needs_brokerage=False))

    async def subscribe_ledger(
        self, account: str, *, keys: Iterable[str] = (), fields: Iterable[str] = ()
    ) -> FeedSubscription:
        """Subscribe to the balances of an account by currency.

        Args:
            account: the account, such as `DU1234567`.
            keys: which balances, such as `LedgerListUSD`; all of them by default.
            fields: which members of them, such as `cashBalance`; all of them by default.

        Raises:
            SubscriptionError: `account`, `keys` or `fields` is invalid.
        """
        texts = Subscription.ledger(send_nothing, account, keys=keys, fields=fields)
        return self._subscribe(texts, spec_of(texts, needs_brokerage=False))

    async def subscribe_topic(
        self,
        topic: str,
        payload: str,
        cancel_payload: str,
        *,
        needs_brokerage: bool = True,
        usual_interval_s: float | None = None,
    ) -> FeedSubscription:
        """Subscribe to any other topic. Market data topics (`smd+...`), such as combinations, are renewed and probed.

        Args:
            topic: the topic of its frames, such as `ssd+DU1234567`.
            payload: the text that subscribes, such as `ssd+DU1234567+{}`.
            cancel_payload: the text that unsubscribes, such as `usd+DU1234567+{}`.
            needs_brokerage: whether it needs the brokerage session; `spl`, `ssd` and `sld` do not.
            usual_interval_s: the usual time between its frames, in seconds. Without it, only market data can become
                stale: other topics may be quiet for days.

        Raises:
            SubscriptionError: one of the texts cannot be sent.
            LimitError, ConfigError, UsageError: as `subscribe_market_data`.
        """
        check_texts(topic, payload, cancel_payload)
        texts = Subscription(name=topic, topic=topic, payload=payload, cancel_payload=cancel_payload, send=send_nothing)
        spec = spec_of(
            texts,
            needs_brokerage=needs_brokerage,
            is_market_data=topic.startswith("smd+"),
            usual_interval_s=usual_interval_s,
        )
        return self._subscribe(texts, spec)
