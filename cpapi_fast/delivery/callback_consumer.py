"""CallbackConsumer: calls a function for each frame or batch and each event as soon as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.errors import CpapiError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.frame import Frame
from cpapi_fast.redaction import redact_accounts

from .stats import ConsumerStats

#: A callback for frames or for batches, and for events; or for the state after a change.
Callback = Callable[[Frame | FeedEvent], None] | Callable[[Batch | FeedEvent], None] | Callable[[Any], None]


class CallbackConsumer:
    """A callback that receives the frames or batches and the events of a feed, or changes; `close()` stops the calls.

    Create it with `Feed.on_item` or `Feed.on_batch`, or with those for changes, such as `Feed.on_quote`; their changes
    count as events. It has no queue: only frames of the current socket read can be pending. The feed calls `put`,
    `put_event` and `end`.

    Attributes:
        name: the name in messages.

    Args:
        name: the name in messages.
        callback: a plain function, called with each frame, or with each batch, and with each event.
        by_batch: whether to call the callback with batches instead of frames.
        on_error: called with the exception of the callback. The callback is called again with the next item.
        on_close: called once, by `close`.
        check: raises if `close` is called from another loop or thread.

    Raises:
        ConfigError: the callback is not a plain function.
    """

    __slots__ = (
        "_by_batch",
        "_callback",
        "_callback_errors",
        "_check",
        "_delivered",
        "_dropped",
        "_events",
        "_is_closed",
        "_is_ended",
        "_on_close",
        "_on_error",
        "_pending",
        "_pending_bytes",
        "_received",
        "name",
    )

    def __init__(
        self,
        name: str,
        callback: Callback,
        *,
        by_batch: bool,
        on_error: Callable[[BaseException], None],
        on_close: Callable[[CallbackConsumer], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        check_callback(callback, "the callback")
        self.name: Final = name
        self._check = check
        self._callback: Callable[[Any], object] = callback
        self._by_batch = by_batch
        self._on_error = on_error
        self._on_close = on_close
        self._is_closed = False
        self._is_ended = False
        self._received = 0
        self._delivered = 0
        self._dropped = 0
        self._pending = 0
        self._pending_bytes = 0
        self._events = 0
        self._callback_errors = 0

    def __repr__(self) -> str:
        return f"<CallbackConsumer {redact_accounts(self.name)!r}>"

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Call the callback with frames [start, stop) of a batch."""
        if self._is_ended:
            return
        count = stop - start
        self._received += count
        if self._by_batch:
            self._delivered += count
            self._call(slice_of(batch, start, stop))
            return
        self._pending += count
        self._pending_bytes += cost
        for index in range(start, stop):
            self._pending -= 1
            self._delivered += 1
            self._call(batch[index])
            if self._is_closed:
                # The callback called `close`, which has counted the rest as dropped.
                return
        self._pending_bytes -= cost

    def put_event(self, event: object) -> None:
        """Call the callback with an event, or with the state after a change."""
        if not self._is_ended:
            self._events += 1
            self._call(event)

    def end(self, _error: CpapiError | None) -> None:
        """Stop the calls because the feed has ended."""
        self._is_ended = True

    @property
    def stats(self) -> ConsumerStats:
        """The current counters (`ConsumerStats`)."""
        return ConsumerStats(
            received=self._received,
            delivered=self._delivered,
            conflated=0,
            dropped=self._dropped,
            pending=self._pending,
            pending_bytes=self._pending_bytes,
            events_received=self._events,
            events_delivered=self._events,
            events_dropped=0,
            events_pending=0,
            overflow_gaps=0,
            callback_errors=self._callback_errors,
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def close(self) -> None:
        """Stop the calls. Frames of the current socket read that are still pending count as dropped. Idempotent.

        Raises:
            UsageError: called from another event loop or thread than that of the feed.
        """
        self._check()
        if not self._is_closed:
            self._is_closed = self._is_ended = True
            self._dropped += self._pending
            self._pending = self._pending_bytes = 0
            self._on_close(self)

    def _call(self, item: object) -> None:
        try:
            if (returned := self._callback(item)) is not None:
                refuse_awaitable(returned)
        except BaseException as error:  # noqa: BLE001  a user's callback; reported, and it must not stop the others
            self._callback_errors += 1
            self._on_error(error)
