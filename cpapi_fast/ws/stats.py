"""The counters of one connection, as a snapshot that adds up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WsStats:
    """What one connection has received and what became of it; a snapshot.

    At every moment frames_received = delivered + dropped + pending.
    """

    #: Messages received; the fragments of one are one. And their payload bytes.
    frames_received: int
    bytes_received: int
    #: Handed to a reader or a callback (also to one that then raised).
    delivered: int
    #: Received after `close()` was called, or after a callback raised under the policy `close`.
    dropped: int
    #: Waiting for a reader.
    pending: int
    #: Socket reads that brought at least one message.
    reads: int
    #: Messages that are not JSON. They are delivered like any other.
    malformed: int
    #: Payloads that were asked for and turned out not to be JSON, although the frame had a route.
    payload_errors: int
    #: Payloads that held invalid UTF-8 and were decoded with U+FFFD in its place.
    payloads_repaired: int
    #: How often a callback raised.
    callback_errors: int
    pings: int
    pongs: int
    fragments: int
    #: Data frames that the peer sent after its own CLOSE, or after breaking the protocol: never delivered, and not
    #: in frames_received.
    frames_after_end: int
