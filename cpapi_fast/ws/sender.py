"""The sending half of a WebSocket client: texts, subscribes and unsubscribes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import picows

from cpapi_fast.errors import SubscriptionError, TransportError
from cpapi_fast.loop import LoopOwner, required_loop
from cpapi_fast.protocol.topics import Fields, Subscription, market_data_unsubscribe_text

from .listener import FrameListener


class Sender(ABC):
    """Sends texts on the connection of `_listener`. Create it in the thread of its event loop."""

    _listener: FrameListener

    def __init__(self) -> None:
        self._loop = required_loop("a connection")
        self._owner = LoopOwner("a connection")
        self._owner.check()
        #: Done when the socket's write buffer has room again; None if it has room.
        self._drained: asyncio.Future[None] | None = None

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether messages can be sent."""

    async def send_text(self, text: str) -> None:
        """Send one text message, such as `tic` or a subscription that has no method here.

        Waits while the socket's write buffer is full. Another task may read at the same time.

        Raises:
            TransportError: the connection has ended or is closing.
            SubscriptionError: `text` is not a str that UTF-8 can encode.
            UsageError: called outside the loop's thread.
        """
        self.send_nowait(text)
        while self._drained is not None and self.is_open:
            await asyncio.shield(self._drained)

    def send_nowait(self, text: str) -> None:
        """Send one text message without waiting. Text that the socket does not accept is buffered without a limit.

        Raises:
            TransportError, SubscriptionError, UsageError: like `send_text`.
        """
        try:
            encoded = text.encode()
        except (AttributeError, UnicodeEncodeError):
            raise SubscriptionError("only a str that UTF-8 can encode can be sent") from None
        self._owner.check()
        transport = self._listener.transport
        if transport is None or not self.is_open:
            raise TransportError("the connection has ended; nothing was sent. Reconnect and subscribe again.")
        transport.send(picows.WSMsgType.TEXT, encoded)

    async def subscribe_market_data(
        self, conid: int | str, fields: Fields | None = None, *, exchange: str | None = None
    ) -> Subscription:
        """Subscribe to the quotes of one instrument: sends `smd+<conid>+{"fields":[…]}`.

        The gateway confirms it only with data. It silently ignores subscribes until it has sent `system` with
        `success`, and silently ends each subscription after 10 minutes.

        Args:
            conid: IB's contract id, or the text of an instrument: `265598@NYSE`, `28812380;;;8314/1,8894/-1`.
            fields: their keys or codes, such as `["last_price", "84"]`; `MarketDataFields.default_l1()` by default.
            exchange: restricts the quotes to one exchange, such as `NYSE`.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
            TransportError: the connection has ended.
        """
        return await self._subscribe(Subscription.market_data(self.send_text, conid, fields, exchange=exchange))

    async def unsubscribe_market_data(self, conid: int | str, *, exchange: str | None = None) -> None:
        """End a market data subscription: sends `umd+<conid>+{}`. The gateway does not confirm it.

        Raises:
            SubscriptionError: `conid` or `exchange` is invalid.
            TransportError: the connection has ended.
        """
        await self.send_text(market_data_unsubscribe_text(conid, exchange=exchange))

    async def subscribe_orders(self) -> Subscription:
        """Subscribe to order updates: sends `sor+{}`. Call `Client.accounts` first.

        Raises:
            TransportError: the connection has ended.
        """
        return await self._subscribe(Subscription.orders(self.send_text))

    async def subscribe_pnl(self) -> Subscription:
        """Subscribe to profit and loss: sends `spl+{}`.

        Raises:
            TransportError: the connection has ended.
        """
        return await self._subscribe(Subscription.pnl(self.send_text))

    async def _subscribe(self, subscription: Subscription) -> Subscription:
        await self.send_text(subscription.payload)
        return subscription

    def _on_write_paused(self, is_paused: bool) -> None:
        if is_paused and self._drained is None:
            self._drained = self._loop.create_future()
        elif not is_paused and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.set_result(None)
