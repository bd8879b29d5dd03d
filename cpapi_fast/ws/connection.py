"""WsClient: one WebSocket connection, which does not reconnect."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Final

from cpapi_fast.callbacks import callback_error, check_callback
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import CallbackError, CertificateError, NoSessionError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame, FrameCounters
from cpapi_fast.frames.sink import CallbackSink, FrameSink
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.topics import KEEPALIVE_INTERVAL_S
from cpapi_fast.rest.session import SessionTicket

from .busy_poll import BusyPoll
from .closing import Closing
from .gateway_client import GatewayClient
from .handshake import open_websocket
from .listener import FrameListener
from .options import WsOptions
from .read_watch import ReadWatch
from .receive_queue import ReceiveQueue
from .sender import Sender
from .stats import WsStats


class WsClient(Sender):
    """One WebSocket connection to the gateway.

    There are two ways to read frames. *Pull*: `next_message()`, `async for frame in ws`, `ws.batches()` and
    `ws.raw_stream()`. While `max_pending_bytes` or more are pending, the socket is not read, so no frame is dropped
    and memory is bounded. *Push*: the callback of `on_batch` is called in the loop's thread after each socket read; the
    callback of `on_frame` and the sink of `use_sink` are called while the read is parsed. Frames that arrive before
    there is a reader or callback are queued for the first one.

    An iteration ends without an error only if the peer sends CLOSE. Every other end raises an error, and its
    `is_retryable` states whether a new connection can succeed.

    Create it with `connect` or `open`. Use it in its event loop: calls from another loop or thread raise UsageError.
    """

    #: The interval at which to send `tic` and `/tickle`, in seconds.
    recommended_keepalive_s: Final = KEEPALIVE_INTERVAL_S

    def __init__(self, options: WsOptions, clock: Clock) -> None:
        super().__init__()
        self.options: Final = options
        self._clock = clock
        self._queue = ReceiveQueue(
            options.max_pending_bytes, self._hold_socket, self._attach_sink, self._on_callback_error, self._owner
        )
        self._closing = Closing(self._queue, options.close_timeout_s, clock)
        self._listener = FrameListener(
            FrameCounters(),
            options.max_frame_bytes,
            options.max_message_bytes,
            self._queue.put,
            self._closing.on_close,
            self._closing.on_violation,
            self._on_lost,
            self._on_write_paused,
            self._on_callback_error,
        )
        self._closing.listener = self._listener
        self._callback_errors = 0
        self._busy_poll: BusyPoll | None = None
        self._read_watch: ReadWatch | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self._closing.ended.done() else "closing"
        return f"<WsClient {state} {self._listener.frames_received} frames>"

    # Opening

    @classmethod
    async def connect(
        cls, client: GatewayClient, *, ticket: SessionTicket | None = None, options: WsOptions | None = None
    ) -> WsClient:
        """Get a session ticket from the gateway and open its WebSocket.

        Args:
            client: provides the ticket, the URL and the TLS policy.
            ticket: a new ticket; by default it is requested with `client.tickle()`.
            options: limits and policies.

        Raises:
            NoSessionError: the ticket has no session.
            HeaderRefusedError: the session id is not valid in a header; nothing was sent.
            SessionError: `/tickle` failed; see `Client.tickle`.
            TransportError: the connection or the upgrade to a WebSocket failed.
        """
        if ticket is None:
            ticket = await client.tickle()
        if ticket.session is None:
            raise NoSessionError(
                "the gateway returned no session from /tickle. Log in to the gateway in a browser, then connect again.",
                path="/tickle",
                meaning=Meaning.LOGIN_REQUIRED,
            )
        headers = [("Cookie", ticket.cookie_header()), ("User-Agent", client.user_agent)]
        context = await client.ssl_context()
        try:
            return await cls.open(
                client.ws_url, headers=headers, ssl_context=context, clock=client.clock, options=options
            )
        except CertificateError as refused:
            error = refused
        # Outside the except block, so that the first error is not the context of this one.
        raise await client.certificate_refused(context, error)

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
        """Open a WebSocket at `url`. Only these headers and those of the upgrade are sent; redirects are not followed.

        Args:
            url: `wss://…` or `ws://…`.
            headers: names and values; checked before anything is sent.
            ssl_context: for `wss`; None for Python's default verification.
            clock: the clock of the durations in `options`.
            options: limits and policies.

        Raises:
            ConfigError: the URL is not a valid URL of a WebSocket.
            HeaderRefusedError: a header is invalid; nothing was sent.
            CertificateError: the TLS context does not trust the peer's certificate.
            ConnectError: the connection was refused or reset, or the host name does not resolve.
            RequestTimeoutError: no WebSocket within `open_timeout_s`.
            HandshakeError: the peer refused the upgrade.
        """
        self = cls(options or WsOptions(), clock)
        await open_websocket(
            self._listener,
            url,
            headers=headers,
            ssl_context=ssl_context,
            timeout_s=clock.real_limit_s(self.options.open_timeout_s),
            max_frame_bytes=self.options.max_frame_bytes,
        )
        listener = self._listener
        if listener.transport is not None and not self._closing.ended.done():
            self._read_watch = ReadWatch.where_needed(
                self._loop, listener.transport.underlying_transport, lambda: listener.reads, clock
            )
            if self.options.busy_poll:
                self._busy_poll = BusyPoll(self._loop)
        return self

    # Reading

    async def next_message(self) -> Frame | None:
        """Return the next frame, or None after the peer's CLOSE frame (see `close_code`). Waits until there is one.

        No frame is lost if the call is cancelled.

        Raises:
            TransportError: the connection ended without a CLOSE frame.
            CallbackError: a callback raised, under the policy `close`.
            UsageError: another task is reading, a callback receives the frames, or this is another event loop.
        """
        return await self._queue.next_frame()

    def __aiter__(self) -> AsyncIterator[Frame]:
        self._owner.check()
        return self

    async def __anext__(self) -> Frame:
        frame = await self._queue.next_frame()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def batches(self) -> AsyncIterator[Batch]:
        """Iterate over batches until close. Raises the same errors as `next_message`.

        A socket read has one batch, or several if it has more than 256 KiB.
        """
        while True:
            batch = await self._queue.next_batch()
            if batch is None:
                return
            yield batch

    async def raw_stream(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes of every frame until close. Raises the same errors as `next_message`."""
        async for frame in self:
            yield frame.raw

    def on_batch(self, callback: Callable[[Batch], None] | None) -> None:
        """Call `callback(batch)` after each socket read, in the loop's thread; None removes the callback.

        Pending frames are passed to the callback immediately. `WsOptions.callback_errors` decides what happens if the
        callback raises. Use `wait_closed()` to detect the end of the connection.

        Raises:
            ConfigError: `callback` is not a plain function: it is a coroutine function, for example.
            UsageError: another callback or sink is set, a reader is waiting, or the connection belongs to another event
                loop.
        """
        self._queue.push_batches(callback)

    def on_frame(self, callback: Callable[[Frame], None] | None) -> None:
        """Call `callback(frame)` for each frame as soon as the frame is parsed. Otherwise like `on_batch`."""
        if callback is not None:
            check_callback(callback, "the callback of on_frame")
        self._queue.push_sink(None if callback is None else CallbackSink(callback, self._listener.counters))

    def use_sink(self, sink: FrameSink | None) -> None:
        """Pass each frame to a `FrameSink` as soon as the frame is parsed. Otherwise like `on_batch`.

        A sink is a `cdef class` that processes frames in C without creating Python objects; see `FrameSink`.

        Raises:
            UsageError: `sink` is not a FrameSink, or its `on_frame` is a coroutine function; another callback or sink
                is set, a reader is waiting, or the connection belongs to another event loop.
        """
        is_async = iscoroutinefunction(getattr(type(sink), "on_frame", None))
        if sink is not None and (is_async or not isinstance(sink, FrameSink)):
            raise UsageError(
                f"{type(sink).__name__} is not a FrameSink that is written in Cython. Subclass FrameSink in Cython, or "
                "use on_frame(callback)."
            )
        self._queue.push_sink(sink)

    def hold_reading(self, is_held: bool) -> None:
        """Stop or resume reading the socket: flow control for callbacks.

        Frames that were already read are still passed on. While reading is stopped, heartbeats and CLOSE are not
        received.

        Args:
            is_held: True to stop reading, False to resume.

        Raises:
            UsageError: the connection belongs to another event loop.
        """
        self._owner.check()
        self._hold_socket(is_held)

    # State

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return not self._queue.is_ended and not self._closing.is_closing

    @property
    def close_code(self) -> int | None:
        """The code of the peer's CLOSE frame, 1005 for a frame without a code; None before."""
        return self._closing.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason in the peer's CLOSE frame, possibly empty; None before."""
        return self._closing.close_reason

    @property
    def stats(self) -> WsStats:
        """A snapshot of the counters."""
        listener, queue, counters = self._listener, self._queue, self._listener.counters
        return WsStats(
            frames_received=listener.frames_received,
            bytes_received=listener.bytes_received,
            delivered=queue.delivered + listener.frames_sunk,
            dropped=queue.dropped,
            pending=queue.pending,
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

    # Closing

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send CLOSE and wait for the peer's CLOSE. Disconnects after `close_timeout_s`. Idempotent.

        Frames that are already received can still be read. Later frames are counted as dropped.

        Args:
            code: 1000, 1001, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            UsageError: the code or the reason is invalid, or the connection belongs to another event loop.
        """
        self._owner.check()
        if not (code in (1000, 1001) or 3000 <= code <= 4999) or len(reason.encode()) > 123:
            raise UsageError("a CLOSE frame has the code 1000, 1001 or 3000 to 4999, and a reason of at most 123 bytes")
        await self._closing.close(code, reason)

    async def wait_closed(self) -> None:
        """Wait until the connection has ended; for connections whose frames are passed to a callback or sink.

        Raises:
            TransportError: the connection did not end with a CLOSE frame.
            CallbackError: a callback raised, under the policy `close`.
            UsageError: the connection belongs to another event loop.
        """
        self._owner.check()
        await self._closing.wait()

    async def __aenter__(self) -> WsClient:
        self._owner.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An error of a callback, and the loss of a connection whose frames are pushed, are not raised anywhere else.
        was_open = self.is_open
        await self.close()
        ended_with = self._queue.error
        is_due = isinstance(ended_with, CallbackError) or (self._queue.is_pushing and not was_open)
        if error is None and ended_with is not None and is_due and not self._queue.is_error_seen:
            self._queue.is_error_seen = True
            raise ended_with.with_traceback(None)

    # Callbacks of the listener and the queue

    def _on_lost(self, error: BaseException | None) -> None:
        self._closing.on_lost(error)
        self._on_write_paused(False)
        if self._busy_poll is not None:
            self._busy_poll.stop()
        if self._read_watch is not None:
            self._read_watch.stop()

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
            # Ctrl-C or sys.exit() in a callback. Raised later, because the socket read would lose its remaining frames.
            self._loop.call_soon(_raise, error)
        elif self.options.callback_errors == "report":
            self._loop.call_exception_handler(
                {"message": "a callback of WsClient raised; it continues with the next frame", "exception": error}
            )
            return
        self._closing.fail(callback_error(error, "a callback", "the connection was closed"))


def _raise(error: BaseException) -> None:
    raise error
