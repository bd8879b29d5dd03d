"""WsClient: one ticket, one socket. Mechanism only: it connects, sends, receives and closes, and repairs nothing."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Final, Protocol

import picows

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import (
    CallbackError,
    NoSessionError,
    ProtocolViolationError,
    SubscriptionError,
    TransportError,
    UsageError,
)
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame, FrameCounters
from cpapi_fast.frames.sink import CallbackSink, FrameSink
from cpapi_fast.loop import BusyPoll, ReadWatch
from cpapi_fast.protocol.topics import (
    KEEPALIVE_INTERVAL_S,
    MarketDataFields,
    Subscription,
    market_data_unsubscribe_text,
)

from .handshake import open_websocket
from .listener import FrameListener
from .options import WsOptions
from .receive_queue import ReceiveQueue
from .stats import WsStats

#: Between sending CLOSE and cutting the connection, so that loops which drop unsent bytes on close have sent it.
_CLOSE_LINGER_S: Final = 0.01

_CLOSE_INTERNAL_ERROR: Final = 1011


class Ticket(Protocol):
    """What `GatewayClient.tickle` returns, as far as a connection needs it."""

    @property
    def session(self) -> str | None:
        """The session id, a secret; None when the gateway has none."""

    def cookie_header(self) -> str:
        """The value of the `Cookie` header; `HeaderRefusedError` when the session cannot stand in one."""


class GatewayClient(Protocol):
    """What a connection needs to know of the REST side; `Client` is one."""

    @property
    def ws_url(self) -> str:
        """Where the WebSocket is."""

    @property
    def user_agent(self) -> str:
        """What this side calls itself, on REST and WebSocket alike."""

    @property
    def clock(self) -> Clock:
        """What every duration is measured with."""

    async def tickle(self) -> Ticket:
        """Get a fresh ticket."""

    async def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS policy; None for a plain connection."""


class WsClient:
    """One WebSocket connection to the gateway.

    Frames are read in one of two ways. *Pull*: `next_message()`, `async for frame in ws`, `ws.batches()`,
    `ws.raw_stream()`; the socket is held back while more than `max_pending_bytes` wait, so nothing is dropped and
    nothing grows. *Push*: `on_batch(callback)`, called in the loop's thread as soon as a socket read is done,
    `on_frame(callback)` and `use_sink(sink)`, called while it is being parsed. Frames that came before anybody asked
    are kept for whoever asks first.

    Only a CLOSE frame of the peer ends an iteration cleanly; every other end is an error whose `is_retryable` says
    whether connecting again can help.

    Made by `connect` or `open`; used in one thread, the loop's.
    """

    #: How often to send `tic` (and `/tickle`) to be kept alive.
    recommended_keepalive_s: Final = KEEPALIVE_INTERVAL_S

    def __init__(self, options: WsOptions, clock: Clock) -> None:
        self.options: Final = options
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._inbox = ReceiveQueue(
            options.max_pending_bytes, self._hold_socket, self._attach_sink, self._on_callback_error
        )
        self._listener = FrameListener(
            FrameCounters(),
            options.max_frame_bytes,
            options.max_message_bytes,
            self._inbox.put,
            self._on_close,
            self._on_violation,
            self._on_lost,
            self._on_write_paused,
            self._on_callback_error,
        )
        self._close_code: int | None = None
        self._close_reason: str | None = None
        self._callback_errors = 0
        self._is_closing = False
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] | None = None
        self._busy_poll: BusyPoll | None = None
        self._read_watch: ReadWatch | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self._lost.done() else "closing"
        return f"<WsClient {state} {self._listener.frames_received} frames>"

    # Opening

    @classmethod
    async def connect(
        cls, client: GatewayClient, *, ticket: Ticket | None = None, options: WsOptions | None = None
    ) -> WsClient:
        """Get a ticket from the gateway and open its WebSocket.

        Args:
            client: where the ticket, the URL and the TLS policy come from.
            ticket: a fresh one that is there already; by default `client.tickle()` gets one.
            options: limits and policies.

        Raises:
            NoSessionError: `/tickle` answered without a session.
            HeaderRefusedError: the session cannot stand in a header; it was not sent.
            SessionError: `/tickle` failed; see `Client.tickle`.
            TransportError: no connection, or no WebSocket came of it.
        """
        if ticket is None:
            ticket = await client.tickle()
        if ticket.session is None:
            raise NoSessionError(
                "the gateway answered /tickle without a session; log in to the gateway, then connect again",
                path="/tickle",
            )
        headers = [("Cookie", ticket.cookie_header()), ("User-Agent", client.user_agent)]
        return await cls.open(
            client.ws_url,
            headers=headers,
            ssl_context=await client.ssl_context(),
            clock=client.clock,
            options=options,
        )

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = SYSTEM_CLOCK,
        options: WsOptions | None = None,
    ) -> WsClient:
        """Open a WebSocket at `url` with exactly these headers besides those of the upgrade; follow no redirect.

        Args:
            url: `wss://…` or `ws://…`.
            headers: names and values; checked before anything is sent.
            ssl_context: for `wss`; None for Python's default verification.
            clock: what the durations in `options` are measured with.
            options: limits and policies.

        Raises:
            HeaderRefusedError: a header cannot be sent.
            CertificateError: the TLS policy refuses the peer's certificate.
            ConnectError: nobody there.
            RequestTimeoutError: no WebSocket within `open_timeout_s`.
            HandshakeError: the answer is no WebSocket.
        """
        self = cls(options or WsOptions(), clock)
        await open_websocket(
            self._listener,
            url,
            headers=headers,
            ssl_context=ssl_context,
            timeout_s=clock.real_s(self.options.open_timeout_s),
            max_frame_bytes=self.options.max_frame_bytes,
        )
        listener = self._listener
        if listener.transport is not None and not self._lost.done():
            self._read_watch = ReadWatch.where_needed(
                self._loop, listener.transport.underlying_transport, lambda: listener.reads, clock
            )
            if self.options.busy_poll:
                self._busy_poll = BusyPoll(self._loop)
        return self

    # Reading

    async def next_message(self) -> Frame | None:
        """Wait for the next frame; None once the peer has closed with a CLOSE frame (see `close_code`).

        Cancelling it loses nothing.

        Raises:
            TransportError: the connection ended in another way.
            CallbackError: a callback raised earlier, under the policy `close`.
            UsageError: another task is reading, or a callback takes the frames.
        """
        return await self._inbox.next_frame()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        frame = await self._inbox.next_frame()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def batches(self) -> AsyncIterator[Batch]:
        """Iterate over batches, one per socket read; ends and raises as `next_message` does."""
        while True:
            batch = await self._inbox.next_batch()
            if batch is None:
                return
            yield batch

    async def raw_stream(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes of every frame until close; ends and raises as `next_message` does."""
        async for frame in self:
            yield frame.raw

    def on_batch(self, callback: Callable[[Batch], object] | None) -> None:
        """Call `callback(batch)` for every socket read from now on, in the loop's thread; None removes it.

        What waited is handed over at once. See `WsOptions.callback_errors` for a callback that raises, and
        `wait_closed()` for how the end is noticed.

        Raises:
            UsageError: there is a callback or a waiting reader already.
        """
        self._inbox.push_batches(callback)

    def on_frame(self, callback: Callable[[Frame], object] | None) -> None:
        """Call `callback(frame)` for every frame from now on, as soon as it is parsed; otherwise as `on_batch`."""
        self._inbox.push_sink(None if callback is None else CallbackSink(callback, self._listener.counters))

    def use_sink(self, sink: FrameSink | None) -> None:
        """Lend every frame to a `FrameSink` from now on, as soon as it is parsed; otherwise as `on_batch`.

        A sink is a `cdef class` of yours, called in C without a Python object for the frame: see `FrameSink`.

        Raises:
            UsageError: `sink` is none, or there is a callback or a waiting reader already.
        """
        if sink is not None and not isinstance(sink, FrameSink):
            raise UsageError(
                f"{type(sink).__name__} is no FrameSink; subclass it in Cython, or use on_frame(callback) in Python"
            )
        self._inbox.push_sink(sink)

    def hold_reading(self, is_held: bool) -> None:
        """Stop reading the socket, or go on: the brake for whoever takes frames by a callback.

        What has been read already is still handed over. While reading is held, heartbeats and a CLOSE wait as well.
        """
        self._hold_socket(is_held)

    # Sending

    async def send_text(self, text: str) -> None:
        """Send one text message, such as `tic` or any subscription that has no method of its own.

        Waits while the socket's write buffer is full. May be called while another task reads.

        Raises:
            TransportError: the connection has ended or is closing.
            SubscriptionError: `text` is not text that UTF-8 can hold.
            UsageError: called outside of the loop's thread.
        """
        self.send_nowait(text)
        while self._drained is not None and self.is_open:
            await asyncio.shield(self._drained)

    def send_nowait(self, text: str) -> None:
        """As `send_text`, without waiting: what the socket does not take at once waits in memory, without a bound.

        Raises:
            TransportError, SubscriptionError, UsageError: as `send_text`.
        """
        try:
            encoded = text.encode()
        except (AttributeError, UnicodeEncodeError):
            raise SubscriptionError("only text that UTF-8 can hold can be sent") from None
        if threading.get_ident() != self._thread_id:
            raise UsageError(
                "a connection lives in its loop's thread; use asyncio.run_coroutine_threadsafe from others"
            )
        transport = self._listener.transport
        if transport is None or not self.is_open:
            raise TransportError("the connection has ended; nothing was sent. Connect again and subscribe anew")
        transport.send(picows.WSMsgType.TEXT, encoded)

    async def subscribe_market_data(
        self, conid: int, fields: MarketDataFields | None = None, *, exchange: str | None = None
    ) -> Subscription:
        """Subscribe to the quotes of one instrument: sends `smd+<conid>+{"fields":[…]}`.

        Nothing confirms it but data, and nothing refuses it either: the gateway drops subscribes without a word until
        it has sent `system` with `success`, and ends the stream without a word after 15 minutes.

        Args:
            conid: IB's contract id.
            fields: what to send; `MarketDataFields.default_l1()` by default.
            exchange: for one venue's quotes, such as `NYSE`.

        Raises:
            SubscriptionError: `conid` or `exchange` cannot be right.
            TransportError: the connection has ended.
        """
        return await self._subscribe(Subscription.market_data(self.send_text, conid, fields, exchange=exchange))

    async def unsubscribe_market_data(self, conid: int, *, exchange: str | None = None) -> None:
        """End a market data subscription: sends `umd+<conid>+{}`. Nothing confirms it."""
        await self.send_text(market_data_unsubscribe_text(conid, exchange=exchange))

    async def subscribe_orders(self) -> Subscription:
        """Subscribe to order updates: sends `sor+{}`. `/iserver/accounts` has to be called first."""
        return await self._subscribe(Subscription.orders(self.send_text))

    async def subscribe_pnl(self) -> Subscription:
        """Subscribe to profit and loss: sends `spl+{}`."""
        return await self._subscribe(Subscription.pnl(self.send_text))

    async def _subscribe(self, subscription: Subscription) -> Subscription:
        await self.send_text(subscription.payload)
        return subscription

    # State

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return not self._inbox.is_ended and not self._is_closing and not self._lost.done()

    @property
    def close_code(self) -> int | None:
        """The code of the peer's CLOSE frame, 1005 when it had none; None as long as there was no CLOSE frame."""
        return self._close_code

    @property
    def close_reason(self) -> str | None:
        """The reason in the peer's CLOSE frame, maybe empty; None as long as there was no CLOSE frame."""
        return self._close_reason

    @property
    def stats(self) -> WsStats:
        """What was received and what became of it, now."""
        listener, inbox, counters = self._listener, self._inbox, self._listener.counters
        return WsStats(
            frames_received=listener.frames_received,
            bytes_received=listener.bytes_received,
            delivered=inbox.delivered + listener.frames_sunk,
            dropped=inbox.dropped,
            pending=inbox.pending,
            reads=listener.reads,
            malformed=listener.malformed,
            payload_errors=counters.payload_errors,
            payloads_repaired=counters.payloads_repaired,
            callback_errors=self._callback_errors,
            pings=listener.pings,
            pongs=listener.pongs,
            fragments=listener.fragments,
            frames_after_end=listener.frames_after_end,
        )

    # The end

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send CLOSE, wait for the peer's, and end the connection; at most `close_timeout_s`, then it is cut.

        What was received before can still be read; what comes after the call is counted as dropped. Does nothing when
        the connection has ended already.

        Args:
            code: 1000, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            UsageError: a code or reason that may not be sent.
        """
        if not (code in (1000, 1001) or 3000 <= code <= 4999) or len(reason.encode()) > 123:
            raise UsageError("a CLOSE frame takes code 1000, 1001 or 3000 to 4999, and a reason of at most 123 bytes")
        transport = self._listener.transport
        if transport is None:
            return
        self._is_closing = True
        # Reading goes on, held back or not: the peer's CLOSE has to be seen.
        self._inbox.discard()
        self._listener.start_close(code, reason)
        try:
            await asyncio.wait_for(asyncio.shield(self._lost), self._clock.real_s(self.options.close_timeout_s))
        except TimeoutError:
            self._cut()
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self._cut()
            raise

    async def wait_closed(self) -> None:
        """Wait for the end of the connection: the way to notice it when callbacks take the frames.

        Raises:
            TransportError: it did not end with a CLOSE frame.
            CallbackError: a callback raised, under the policy `close`.
        """
        await asyncio.shield(self._lost)
        if self._inbox.error is not None:
            self._inbox.is_error_seen = True
            raise self._inbox.error.with_traceback(None)

    async def __aenter__(self) -> WsClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A callback's error, or the loss of a connection whose frames a callback took, has nobody else to go to.
        was_open = self.is_open
        await self.close()
        ended_with = self._inbox.error
        is_due = isinstance(ended_with, CallbackError) or (self._inbox.is_pushing and not was_open)
        if error is None and ended_with is not None and is_due and not self._inbox.is_error_seen:
            self._inbox.is_error_seen = True
            raise ended_with.with_traceback(None)

    # What the listener reports

    def _on_close(self, code: int, reason: str) -> None:
        self._close_code, self._close_reason = code, reason
        self._inbox.end(None)
        self._loop.call_later(_CLOSE_LINGER_S, self._disconnect)
        # A peer that reads nothing would keep a graceful end waiting for ever.
        self._loop.call_later(self._clock.real_s(self.options.close_timeout_s), self._cut)

    def _on_violation(self, code: int, text: str) -> None:
        self._inbox.end(ProtocolViolationError(f"the peer sent {text}; closed with {code}. Connect again"))
        self._loop.call_later(_CLOSE_LINGER_S, self._disconnect)
        self._loop.call_later(self._clock.real_s(self.options.close_timeout_s), self._cut)

    def _on_lost(self, error: BaseException | None) -> None:
        if isinstance(error, picows.WSError):
            ended_with: TransportError = ProtocolViolationError(
                f"the peer broke the WebSocket protocol: {error}. Connect again"
            )
        elif error is not None:
            ended_with = TransportError(
                f"the connection failed inside this process: {type(error).__name__}. Connect again"
            )
            ended_with.__cause__ = error
        elif self._is_closing:
            ended_with = TransportError(
                "this side closed the connection, and the peer did not answer with a CLOSE frame"
            )
        else:
            ended_with = TransportError(
                "the connection was lost without a CLOSE frame (end of stream or reset); connect and subscribe again"
            )
        self._inbox.end(ended_with)
        self._on_write_paused(False)
        if self._busy_poll is not None:
            self._busy_poll.stop()
        if self._read_watch is not None:
            self._read_watch.stop()
        if not self._lost.done():
            self._lost.set_result(None)

    def _on_write_paused(self, is_paused: bool) -> None:
        if is_paused and self._drained is None:
            self._drained = self._loop.create_future()
        elif not is_paused and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.set_result(None)

    def _hold_socket(self, is_held: bool) -> None:
        transport = self._listener.transport
        if transport is None or transport.is_disconnected:
            return
        if is_held:
            transport.underlying_transport.pause_reading()
        else:
            transport.underlying_transport.resume_reading()

    def _attach_sink(self, sink: FrameSink | None) -> None:
        self._listener.set_sink(sink)

    def _on_callback_error(self, error: BaseException) -> None:
        self._callback_errors += 1
        if not isinstance(error, (Exception, asyncio.CancelledError)):
            # Ctrl-C or sys.exit() inside a callback: out of the read it would take the rest of the frames with it.
            self._loop.call_soon(_raise, error)
        elif self.options.callback_errors == "report":
            self._loop.call_exception_handler(
                {"message": "a callback of WsClient raised; the next frame is handed over", "exception": error}
            )
            return
        failed = CallbackError(f"a callback raised {type(error).__name__}; the connection was closed")
        failed.__cause__ = error
        self._inbox.fail(failed)
        self._is_closing = True
        self._listener.start_close(_CLOSE_INTERNAL_ERROR, "")
        self._loop.call_later(self._clock.real_s(self.options.close_timeout_s), self._cut)

    def _disconnect(self) -> None:
        if self._listener.transport is not None:
            self._listener.transport.disconnect()

    def _cut(self) -> None:
        if self._listener.transport is not None:
            self._listener.transport.disconnect(False)


def _raise(error: BaseException) -> None:
    raise error
