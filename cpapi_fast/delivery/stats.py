"""The counters of one consumer, as a snapshot that adds up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConsumerStats:
    """What one consumer received and what became of it.

    At every moment received = delivered + conflated + dropped + pending, and events_received = events_delivered +
    events_dropped + events_pending. After conflation, a merged frame counts once as delivered or dropped.
    """

    #: Frames put to the consumer, from its creation until it is closed or halted.
    received: int
    #: Frames passed to the reader or the callback, also to a callback that then raised.
    delivered: int
    #: Frames merged into an earlier one.
    conflated: int
    #: Frames dropped by the overflow policy, or pending when the consumer was closed.
    dropped: int
    #: Frames in the queue, and those of a chunk that the reader is working on.
    pending: int
    #: What these cost: their bytes, and 64 more for each frame.
    pending_bytes: int
    #: Events of the feed.
    events_received: int
    events_delivered: int
    events_dropped: int
    events_pending: int
    #: Gaps caused by the consumer's own policy. They are not events of the feed.
    overflow_gaps: int
    #: How often the callback raised; 0 for a consumer without a callback.
    callback_errors: int
