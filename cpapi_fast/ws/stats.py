"""The counters of one WebSocket connection."""

from __future__ import annotations

from dataclasses import dataclass

from cpapi_fast.redaction import repr_without_accounts


@repr_without_accounts
@dataclass(frozen=True)
class WsStats:
    """The counters of one connection at one time.

    At all times: frames_received = delivered + dropped + pending.
    """

    #: Received messages, and their payload bytes. The fragments of one message count as one.
    frames_received: int
    bytes_received: int
    #: Frames passed to a reader or a callback, including a callback that then raised.
    delivered: int
    #: Frames received after `close()`, or after a callback raised under the policy `close`.
    dropped: int
    #: Frames that no reader or callback has received yet.
    pending: int
    #: Socket reads with at least one message.
    reads: int
    #: Messages that are not JSON. They are delivered like all others.
    malformed: int
    #: Payloads that could not be decoded although the frame has a route.
    payload_errors: int
    #: Payloads with invalid UTF-8, which was decoded as U+FFFD.
    payloads_repaired: int
    #: Exceptions raised by callbacks.
    callback_errors: int
    #: Received PING and PONG frames.
    pings: int
    pongs: int
    #: Frames that were part of a fragmented message.
    fragments: int
    #: Data frames that the peer sent after its CLOSE frame or after a protocol violation. They are not delivered, and
    #: frames_received does not include them.
    frames_after_end: int
