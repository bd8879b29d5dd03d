"""A callback in the place of a reader: it is handed everything at once, and nothing waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.frame import Frame

from .consumer_queue import ConsumerQueue

#: What is called: with frames or with batches, as asked for, and with events.
Callback = Callable[[Frame | FeedEvent], object] | Callable[[Batch | FeedEvent], object]

_NO_READER: Final = "a callback takes what comes to this consumer; make one without a callback to read from"


class CallbackQueue(ConsumerQueue):
    """Hands frames and events to a callback. Only what it is just being given counts as waiting.

    Args:
        callback: called with each frame, or with each batch, and with each event.
        by_batch: call it with batches.
        on_error: called with what it raised. It is called again with what comes next all the same.
    """

    __slots__ = ("_by_batch", "_callback", "_on_error")

    def __init__(self, callback: Callback, by_batch: bool, on_error: Callable[[BaseException], None]) -> None:
        super().__init__(1, 1, 1)
        self._callback: Callable[[Batch | Frame | FeedEvent], object] = callback  # type: ignore[assignment]
        self._by_batch = by_batch
        self._on_error = on_error

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Hand over frames [start, stop) of a batch."""
        if self.is_ended:
            return
        count = stop - start
        self.received += count
        if self._by_batch:
            self.delivered += count
            self._call(slice_of(batch, start, stop))
            return
        self.pending += count
        self.pending_bytes += cost
        for index in range(start, stop):
            self.pending -= 1
            self.delivered += 1
            self._call(batch[index])
            if self.is_ended:
                # By the callback itself: what was left has been counted as dropped.
                return
        self.pending_bytes -= cost

    def put_event(self, event: FeedEvent) -> None:
        """Hand over an event."""
        if not self.is_ended:
            self.events_received += 1
            self.events_delivered += 1
            self._call(event)

    def next_item(self) -> Frame | FeedEvent | None:
        """Refuse to be read from."""
        raise UsageError(_NO_READER)

    def next_batch(self) -> Batch | FeedEvent | None:
        """Refuse to be read from."""
        raise UsageError(_NO_READER)

    def _call(self, item: Batch | Frame | FeedEvent) -> None:
        try:
            self._callback(item)
        except BaseException as error:  # noqa: BLE001  a user's callback; reported, and it must not stop the others
            self.callback_errors += 1
            self._on_error(error)
