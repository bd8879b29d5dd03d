"""The end of one connection: the closing handshake, its time limits, and the error that readers get."""

from __future__ import annotations

import asyncio
from typing import Final

import picows

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CallbackError, ProtocolViolationError, TransportError

from .listener import FrameListener
from .receive_queue import ReceiveQueue

#: The delay in seconds between sending CLOSE and disconnecting. Some event loops drop unsent bytes on disconnect, and
#: the delay lets them send CLOSE first.
_CLOSE_LINGER_S: Final = 0.01

_CLOSE_INTERNAL_ERROR: Final = 1011
_CLOSE_TOO_BIG: Final = 1009

#: What a program does about a lost connection. A feed does it by itself.
_RECONNECT: Final = "Reconnect."
_RESUBSCRIBE: Final = "Reconnect and subscribe again."


class Closing:
    """Ends one connection, and records how it ended.

    `on_close`, `on_violation` and `on_lost` are callbacks for the `FrameListener` in `listener`.

    Args:
        queue: the receive queue, which ends with the connection.
        close_timeout_s: how long to wait for the peer's CLOSE frame, in seconds of the clock.
        clock: measures `close_timeout_s`.

    Attributes:
        listener: the connection's listener; set after creation.
        close_code: the code of the peer's CLOSE frame, 1005 for a frame without a code; None before.
        close_reason: the reason in the peer's CLOSE frame, possibly empty; None before.
        is_closing: whether this side has started to close the connection.
        ended: done when the connection has ended.
    """

    listener: FrameListener

    def __init__(self, queue: ReceiveQueue, close_timeout_s: float, clock: Clock) -> None:
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.is_closing = False
        self._loop = asyncio.get_running_loop()
        self.ended: Final[asyncio.Future[None]] = self._loop.create_future()
        self._queue = queue
        self._close_timeout_s = close_timeout_s
        self._clock = clock

    async def close(self, code: int, reason: str) -> None:
        """Send CLOSE and wait for the peer's CLOSE. Disconnect after `close_timeout_s` or on cancellation."""
        if self.listener.transport is None:
            return
        self.is_closing = True
        # This also resumes reading, which is necessary to receive the peer's CLOSE.
        self._queue.discard()
        self.listener.start_close(code, reason)
        try:
            await asyncio.wait_for(asyncio.shield(self.ended), self._clock.real_limit_s(self._close_timeout_s))
        except TimeoutError:
            self._abort()
            await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            self._abort()
            raise

    def fail(self, error: CallbackError) -> None:
        """Send CLOSE with 1011 because a callback raised. Pending and later frames count as dropped."""
        self._queue.fail(error)
        self.is_closing = True
        self.listener.start_close(_CLOSE_INTERNAL_ERROR, "")
        self._abort_later()

    async def wait(self) -> None:
        """Wait for the end of the connection, and raise the error unless the peer sent CLOSE."""
        await asyncio.shield(self.ended)
        if self._queue.error is not None:
            self._queue.is_error_seen = True
            raise self._queue.error.with_traceback(None)

    def on_close(self, code: int, reason: str) -> None:
        """Record the peer's CLOSE, to which the listener has replied, and disconnect."""
        self.close_code, self.close_reason = code, reason
        self._queue.end(None)
        self._loop.call_later(_CLOSE_LINGER_S, self._disconnect)
        # A graceful disconnect would wait forever for a peer that does not read.
        self._abort_later()

    def on_violation(self, code: int, text: str) -> None:
        """Record a violation of the protocol or a limit, for which the listener has sent CLOSE, and disconnect."""
        option = "max_message_bytes" if code == _CLOSE_TOO_BIG else None
        self._queue.end(_violation(f"the peer sent {text}; this side closed with {code}", option))
        self._loop.call_later(_CLOSE_LINGER_S, self._disconnect)
        self._abort_later()

    def on_lost(self, error: BaseException | None) -> None:
        """Record the end of the connection, with the error of the transport if there is one."""
        if isinstance(error, picows.WSError):
            is_too_long = isinstance(error, picows.WSProtocolError) and error.code == _CLOSE_TOO_BIG
            option = "max_frame_bytes" if is_too_long else None
            reason: TransportError = _violation(f"the peer broke the WebSocket protocol: {error}", option)
        elif error is not None:
            what = f"the connection failed inside this process: {type(error).__name__}"
            reason = TransportError(f"{what}. {_RECONNECT}", advice=_RECONNECT)
            reason.__cause__ = error
        elif self.is_closing:
            reason = TransportError("this side closed the connection, and the peer sent no CLOSE frame")
        else:
            what = "the connection was lost without a CLOSE frame (end of stream or reset)"
            reason = TransportError(f"{what}. {_RESUBSCRIBE}", advice=_RESUBSCRIBE)
        self._queue.end(reason)
        if not self.ended.done():
            self.ended.set_result(None)

    def _abort_later(self) -> None:
        self._loop.call_later(self._clock.real_limit_s(self._close_timeout_s), self._abort)

    def _disconnect(self) -> None:
        if self.listener.transport is not None:
            self.listener.transport.disconnect()

    def _abort(self) -> None:
        if self.listener.transport is not None:
            self.listener.transport.disconnect(False)


def _violation(what: str, option: str | None) -> ProtocolViolationError:
    """The error for a violation of the protocol, or of the limit in an option."""
    if option is None:
        return ProtocolViolationError(f"{what}. {_RECONNECT}", advice=_RECONNECT)
    # Part of the message and no advice, so that a feed, which reconnects by itself, shows it too.
    limit = f"The limit is {option} of WsOptions: raise it if such a long one is right."
    return ProtocolViolationError(f"{what}. {limit}")
