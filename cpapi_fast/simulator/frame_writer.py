"""Writes frames to one socket: bounded, counted, logged, and held while the gateway is stalled."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .wire import OPCODE_CONTINUATION, encode_frame

#: Above this many unsent bytes a client counts as not reading, and its market data is conflated.
_CONGESTED_BYTES: Final = 256 * 1024
#: In the frames of a gateway only a topic has this key, and no topic contains an escape.
_TOPIC: Final = re.compile(rb'"topic":"([^"]*)"')


class SentFrame(NamedTuple):
    """A data frame that was written to a socket.

    Attributes:
        sent_ns: when, in ns since the Unix epoch. It is the machine's time at any speed, as in `Frame.received_ns`.
        connection: `ServerConnection.number` of its socket.
        topic: its topic; empty if it has none.
        payload: its payload.
    """

    sent_ns: int
    connection: int
    topic: str
    payload: bytes


def topic_of(payload: bytes) -> str:
    """The topic of a gateway frame; empty if it has none."""
    found = _TOPIC.search(payload)
    return found[1].decode("utf-8", "replace") if found is not None else ""


def reset(transport: asyncio.WriteTransport) -> None:
    """End a connection at once, with RST."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.fileno() != -1:
        # The duplicate shares its socket options; the original belongs to the event loop.
        with socket.fromfd(raw.fileno(), raw.family, raw.type) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@dataclass
class ConnectionCounters:
    """Counters of the data frames of one socket.

    Attributes:
        frames_sent: data frames written to the transport.
        bytes_sent: their payload bytes.
        frames_dropped: data frames dropped because `write_buffer_limit_bytes` were waiting.
        updates_conflated: deltas that were conflated because the client did not read.
    """

    frames_sent: int = 0
    bytes_sent: int = 0
    frames_dropped: int = 0
    updates_conflated: int = 0


class FrameWriter:
    """The writing side of one socket.

    Args:
        transport: the connection's transport; its buffer is the only queue.
        limit_bytes: how many bytes may wait in it.
        keep: how many sent payloads to keep.
        number: the connection's number, for the log.
        log: the list that written data frames are appended to; None for no log.

    Attributes:
        counters: frames sent, dropped and conflated.
        sent: the payloads of the last data frames.
        is_fragmenting: whether each data frame is written as two fragments, split at each position in turn.
    """

    def __init__(
        self, transport: asyncio.Transport, *, limit_bytes: int, keep: int, number: int, log: list[SentFrame] | None
    ) -> None:
        self._transport = transport
        self._limit_bytes = limit_bytes
        self._number = number
        self._log = log
        self.counters = ConnectionCounters()
        self.sent: deque[bytes] = deque(maxlen=keep)
        self.is_fragmenting = False
        self._cuts = 0
        self._is_held = False
        self._held = bytearray()
        self._held_payloads: list[bytes] = []

    @property
    def is_closed(self) -> bool:
        """Whether the transport is closed or closing."""
        return self._transport.is_closing()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes the operating system has not accepted yet."""
        return len(self._held) + self._buffered_bytes()

    @property
    def is_congested(self) -> bool:
        """Whether the client does not read, or writing is on hold."""
        return self._is_held or self._buffered_bytes() > _CONGESTED_BYTES

    def _buffered_bytes(self) -> int:
        # A TLS transport may lose its socket one iteration of the loop before it reports that it is closing.
        try:
            return self._transport.get_write_buffer_size()
        except AttributeError:
            return 0

    def send(self, payloads: Iterable[bytes], *, may_drop: bool = True) -> None:
        """Send data frames in one write. Without `may_drop`, the caller must check `is_congested`."""
        if self._transport.is_closing():
            return
        room = self._limit_bytes - self.waiting_bytes
        counters = self.counters
        wire = []
        written = []
        for payload in payloads:
            frame = self._encode(payload) if self.is_fragmenting else encode_frame(payload)
            room -= len(frame)
            if room < 0 and may_drop:
                # The following frames are dropped too, smaller ones included, so that there is one gap.
                counters.frames_dropped += 1
                continue
            counters.frames_sent += 1
            counters.bytes_sent += len(payload)
            self.sent.append(payload)
            wire.append(frame)
            written.append(payload)
        self.send_raw(b"".join(wire), written)

    def send_raw(self, data: bytes, payloads: Sequence[bytes] = ()) -> None:
        """Write bytes unchanged. `payloads` are those of the data frames in them, for the log."""
        if not data or self._transport.is_closing():
            return
        if self._is_held:
            self._held += data
            self._held_payloads += payloads
            return
        if self._log is not None:
            # Taken before the write, so that no client can receive a frame earlier than this.
            now_ns = time.time_ns()
            self._log += [SentFrame(now_ns, self._number, topic_of(payload), payload) for payload in payloads]
        self._transport.write(data)

    def _encode(self, payload: bytes) -> bytes:
        cut = self._cuts % (len(payload) + 1)
        self._cuts += 1
        first = encode_frame(payload[:cut], fin=False)
        return first + encode_frame(payload[cut:], OPCODE_CONTINUATION)

    def hold(self) -> None:
        """Stop writing and reading; the connection stays open."""
        if not self._is_held and not self._transport.is_closing():
            self._is_held = True
            with contextlib.suppress(AttributeError):  # as in _buffered_bytes
                self._transport.pause_reading()

    def release(self) -> None:
        """Write the held bytes in order, and resume reading."""
        if self._is_held:
            self._is_held = False
            held, self._held = bytes(self._held), bytearray()
            payloads, self._held_payloads = self._held_payloads, []
            self.send_raw(held, payloads)
            if not self._transport.is_closing():
                with contextlib.suppress(AttributeError):  # as in _buffered_bytes
                    self._transport.resume_reading()

    def close(self) -> None:
        """End the connection with FIN, after what was written."""
        self._transport.close()

    def reset(self) -> None:
        """End the connection at once with RST."""
        reset(self._transport)
