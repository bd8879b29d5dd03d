"""The counters of one consumer."""

from __future__ import annotations

from dataclasses import dataclass

from cpapi_fast.redaction import repr_without_accounts


@repr_without_accounts
@dataclass(frozen=True)
class ConsumerStats:
    """The counters of one consumer at one time.

    At all times: received = delivered + conflated + dropped + pending, and events_received = events_delivered +
    events_dropped + events_pending. A merged frame counts once as delivered or dropped.
    """

    #: Frames passed to the consumer, from its creation until it is closed or halted.
    received: int
    #: Frames passed to the reader or the callback, including a callback that then raised.
    delivered: int
    #: Frames merged into an earlier one.
    conflated: int
    #: Frames dropped by the overflow policy, or pending when the consumer was closed.
    dropped: int
    #: Frames in the queue, and those of a chunk that the reader is working on.
    pending: int
    #: The cost of the pending frames: their bytes, and 64 more for each.
    pending_bytes: int
    #: Events of the feed.
    events_received: int
    events_delivered: int
    events_dropped: int
    events_pending: int
    #: Gaps caused by the consumer's own policy. They are not events of the feed.
    overflow_gaps: int
    #: Exceptions raised by the callback; 0 for a consumer without a callback.
    callback_errors: int
