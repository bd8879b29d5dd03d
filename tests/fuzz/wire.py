"""A WebSocket connection without a socket: picows' own parser and our listener on bytes that come in any pieces.

Beside it, what RFC 6455 lets a client take out of the same bytes, written the slow and obvious way.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import itertools
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar

from picows.picows import WSAutoPingStrategy, WSProtocol

from cpapi_fast.clock import SYSTEM_CLOCK
from cpapi_fast.errors import TransportError
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from cpapi_fast.ws.picows_log import PicowsLog
from tests.support import frames

T = TypeVar("T")

MAX_FRAME_BYTES, MAX_MESSAGE_BYTES = 4_000, 6_000

#: The codes below 3000 that picows accepts in a CLOSE frame. 0 is also a frame without a code.
PARSED_CLOSE_CODES = frozenset({0, 1000, 1001, 1002, 1003, *range(1006, 1015)})
#: The codes that a CLOSE frame may have.
CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Outcome(NamedTuple):
    """What one connection brought."""

    messages: list[bytes]
    #: The code of the peer's CLOSE frame (1005: it had none); None when no valid one came.
    close_code: int | None
    #: How many fragments, PINGs and PONGs were taken in.
    fragments: int
    pings: int
    pongs: int
    #: The stream was refused for the content of a CLOSE frame, not for a header; only `expected` sets this.
    is_close_refused: bool = False

    def allows(self, seen: Outcome) -> bool:
        """Whether `seen` is an allowed result for a stream with these contents.

        picows continues parsing after a CLOSE that it has refused. When that CLOSE was the first frame of its read, the
        listener cannot distinguish a frame that ends a later read from an earlier one, and accepts it.
        """
        if self.is_close_refused:
            is_longer = len(seen.messages) - len(self.messages) in (0, 1)
            return is_longer and seen.messages[: len(self.messages)] == self.messages
        return seen == self._replace(is_close_refused=False)


class _Loop(asyncio.AbstractEventLoop):
    """The part of an event loop that picows and the client use. Its time does not pass until `run_all`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []

    def get_debug(self) -> bool:
        return False

    def time(self) -> float:
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_later(0.0, callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self._now + delay, callback, args, self, context)
        heapq.heappush(self._timers, (self._now + delay, next(self._order), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(f"{context.get('message')}: {context.get('exception')!r}") from context.get("exception")

    def run_all(self, *, until: float = float("inf")) -> None:
        """Call everything that is due, in order, and what that brings."""
        while self._timers and self._timers[0][0] <= until:
            self._now, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                handle._run()


class _Transport(asyncio.Transport):
    """The transport of picows: it keeps written data and ends the connection on request."""

    def __init__(self, loop: _Loop, protocol: WSProtocol) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_ended = False
        self.socket: socket.socket | None = None
        self._loop, self._protocol = loop, protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        # Never empty: picows would write to the socket itself.
        return 1

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_ended

    def close(self) -> None:
        if not self.is_ended:
            self.is_ended = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("waits for something that will not come")


def receive(pieces: Iterable[bytes], *, form: str) -> Outcome:
    """What a `WsClient` makes of a stream that comes in these pieces.

    Args:
        pieces: what each read of the socket brings, after the answer to the upgrade; the answer comes with the first.
        form: `batch`, `frame` or `pull`: how the client is read.
    """
    loop = _Loop()
    asyncio._set_running_loop(loop)
    try:
        return _receive(loop, pieces, form)
    finally:
        asyncio._set_running_loop(None)


def _receive(loop: _Loop, pieces: Iterable[bytes], form: str) -> Outcome:
    options = WsOptions(
        max_frame_bytes=MAX_FRAME_BYTES, max_message_bytes=MAX_MESSAGE_BYTES, max_pending_bytes=MAX_MESSAGE_BYTES
    )
    client = WsClient(options, SYSTEM_CLOCK)
    # As ws_connect() makes it, with the switches of handshake.py.
    protocol = WSProtocol(
        *("gateway", "/v1/api/ws", True, lambda: client._listener),
        *(PicowsLog(client._listener.reply_before_refusal), True, None),
        *(False, 10.0, 10.0, WSAutoPingStrategy.PING_WHEN_IDLE, False, MAX_FRAME_BYTES, None, 2048),
    )
    transport = _Transport(loop, protocol)
    # picows sets options on a socket at the start, and never uses it while the transport has something to write.
    with socket.socket() as transport.socket:
        protocol.connection_made(transport)
    request = bytes(transport.written)
    key = request.split(b"Sec-WebSocket-Key: ", 1)[1].split(b"\r\n", 1)[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )

    messages: list[bytes] = []
    if form == "batch":
        client.on_batch(lambda batch: messages.extend(frame.raw for frame in batch))
    elif form == "frame":
        client.on_frame(lambda frame: messages.append(frame.raw))
    for piece in itertools.chain([answer], pieces):
        view = memoryview(piece)
        while len(view) and not transport.is_ended:
            room = protocol.get_buffer(-1)
            taken = min(len(room), len(view))
            room[:taken] = view[:taken]
            protocol.buffer_updated(taken)
            view = view[taken:]
        loop.run_all(until=loop.time())
    transport.close()
    loop.run_all()

    if form == "pull":
        try:
            while (frame := finished(client.next_message())) is not None:
                messages.append(frame.raw)
            is_clean = True
        except TransportError:
            is_clean = False
    else:
        try:
            finished(client.wait_closed())
            is_clean = True
        except TransportError:
            is_clean = False
    assert is_clean is (client.close_code is not None), f"clean end {is_clean}, CLOSE with {client.close_code}"
    stats = client.stats
    assert stats.frames_received == stats.delivered == len(messages), stats
    assert stats.bytes_received == sum(map(len, messages)), stats
    assert (stats.dropped, stats.pending, stats.callback_errors) == (0, 0, 0), stats
    return Outcome(messages, client.close_code, stats.fragments, stats.pings, stats.pongs)


class _Header(NamedTuple):
    first: int
    opcode: int
    is_final: bool
    length: int
    size: int


class _RefusedError(Exception):
    """A header or the content of a CLOSE frame violates the protocol."""


def _header(data: bytes) -> _Header | None:
    """The header at the start of `data`, None while it is not whole; refused as soon as a byte of it is wrong."""
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    opcode, is_final, length, size = first & 0x0F, bool(first & 0x80), second & 0x7F, 2
    is_control = opcode in (frames.CLOSE, frames.PING, frames.PONG)
    if not is_control and opcode not in (frames.CONTINUATION, frames.TEXT, frames.BINARY):
        raise _RefusedError
    if second & 0x80 or (is_control and (not is_final or length > 125)):
        raise _RefusedError
    if length == 126:
        size = 4
        if len(data) < size:
            return None
        (length,) = struct.unpack("!H", data[2:4])
        if length < 126:
            raise _RefusedError
    elif length == 127:
        size = 10
        if len(data) < size:
            return None
        (length,) = struct.unpack("!Q", data[2:10])
        if length < 1 << 16 or length >> 63:
            raise _RefusedError
    if length > MAX_FRAME_BYTES:
        raise _RefusedError
    return _Header(first, opcode, is_final, length, size)


def _close_code(payload: bytes) -> int:
    """The code of a CLOSE frame; 0 when it has none."""
    if len(payload) == 1:
        raise _RefusedError
    code = struct.unpack("!H", payload[:2])[0] if payload else 0
    if code < 3000 and code not in PARSED_CLOSE_CODES:
        raise _RefusedError
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise _RefusedError from None
    return code


def expected(stream: bytes) -> Outcome:
    """What a client may take out of a stream before it ends, however it was cut into pieces."""
    messages: list[bytes] = []
    fragments = pings = pongs = 0
    message: bytes | None = None
    close_code = None
    is_close_refused = False
    try:
        while (header := _header(stream)) is not None and len(stream) >= header.size + header.length:
            payload, stream = stream[header.size :][: header.length], stream[header.size + header.length :]
            # The content of a CLOSE frame is checked before its reserved bits.
            is_close_refused = header.opcode == frames.CLOSE
            code = _close_code(payload) if is_close_refused else 0
            is_close_refused = False
            if header.first & 0x70:
                break
            if header.opcode == frames.CLOSE:
                # The listener refuses the invalid codes that picows accepts.
                close_code = code if code in CLOSE_CODES else None if payload else 1005
                break
            if header.opcode in (frames.PING, frames.PONG):
                pings += header.opcode == frames.PING
                pongs += header.opcode == frames.PONG
                continue
            if (header.opcode == frames.CONTINUATION) is (message is None):
                break
            if header.opcode == frames.CONTINUATION or not header.is_final:
                fragments += 1
            message = (message or b"") + payload
            if len(message) > MAX_MESSAGE_BYTES:
                break
            if header.is_final:
                messages.append(message)
                message = None
    except _RefusedError:
        pass
    return Outcome(messages, close_code, fragments, pings, pongs, is_close_refused)
