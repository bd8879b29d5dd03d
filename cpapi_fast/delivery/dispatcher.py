"""Dispatcher: passes the batches and events of one feed to all its consumers, in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, get_args

from cpapi_fast.callbacks import callback_error
from cpapi_fast.errors import ConfigError, CpapiError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.cost import cost_bytes
from cpapi_fast.option_values import check_whole

from .callback_consumer import Callback, CallbackConsumer
from .conflation import ConflatingQueue
from .consumer import Consumer
from .consumer_queue import ConsumerQueue
from .overflow import Block, DropNewest, DropOldest, Halt, OverflowPolicy

#: The default bound on the pending events of one consumer.
MAX_PENDING_EVENTS: Final = 1000

_POLICIES: Final[tuple[str, ...]] = get_args(OverflowPolicy)


class Recipient(Protocol):
    """Receives frames and events from the dispatcher: the queue of a consumer, or a callback consumer."""

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Add frames [start, stop) of a batch, whose cost in bytes is `cost`."""

    def put_event(self, event: FeedEvent) -> None:
        """Add an event, after all frames that were put before it."""

    def end(self, error: CpapiError | None) -> None:
        """Accept nothing more. `error` is the reason if the feed failed, else None."""


class Dispatcher:
    """Passes frames and events to the consumers of one feed.

    A slow consumer does not affect the others, except with the policy `block`: then the socket is not read, and all
    consumers wait.

    Args:
        hold: called with True when a consumer with the policy `block` is full, and with False when all of them are at
            half of their bounds or below.
        on_callback_error: called with a `CallbackError` after a callback raised; its cause is the original exception.
        check_wait: called when a reader begins and before it waits; raises if it would wait for nothing, or in the
            wrong loop.
        check_close: raises if a consumer is closed from another loop or thread.
    """

    def __init__(
        self,
        *,
        hold: Callable[[bool], None],
        on_callback_error: Callable[[Exception], None],
        check_wait: Callable[[], None] = lambda: None,
        check_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._hold = hold
        self._on_callback_error = on_callback_error
        self._check_wait = check_wait
        self._check_close = check_close
        #: Called with each consumer that is added; None for nobody.
        self.on_added: Callable[[Consumer | CallbackConsumer], None] | None = None
        # Replaced and never changed in place, because consumers are added and removed while the dispatcher iterates.
        self._consumers: tuple[Consumer | CallbackConsumer, ...] = ()
        self._recipients: tuple[Recipient, ...] = ()
        self._blocking: list[Block] = []
        self._is_held = False
        self._is_ended = False
        self._error: CpapiError | None = None
        self._is_busy = False
        # Actions that callbacks caused during the dispatch of an item. They run after all consumers have the item.
        self._deferred: deque[Callable[[], None]] = deque()
        self._interrupt: BaseException | None = None

    @property
    def consumers(self) -> tuple[Consumer | CallbackConsumer, ...]:
        """All consumers that are neither closed nor halted."""
        return self._consumers

    def add(
        self,
        *,
        name: str,
        policy: OverflowPolicy,
        max_pending_frames: int,
        max_pending_bytes: int,
        max_pending_events: int = MAX_PENDING_EVENTS,
    ) -> Consumer:
        """Add a consumer with a queue, which receives the frames and events from now on.

        Args:
            name: the name in messages.
            policy: the overflow policy for frames beyond the bounds.
            max_pending_frames: how many frames may be pending.
            max_pending_bytes: how many bytes they may have, with 64 more for each frame. One frame of any size may
                always be pending.
            max_pending_events: how many events may be pending. Beyond this bound, the oldest event is dropped and
                counted. A dropped gap is merged into the next gap, or kept in place of the next event, so that missing
                data is always reported.

        Returns:
            The consumer, which the caller closes.

        Raises:
            ConfigError: the policy is unknown, or a bound is not a whole number above zero.
        """
        if policy not in _POLICIES:
            raise ConfigError(f"policy must be one of {', '.join(_POLICIES)}, not {policy!r}")
        bounds = (max_pending_frames, max_pending_bytes, max_pending_events)
        for bound, value in zip(("frames", "bytes", "events"), bounds, strict=True):
            check_whole(f"max_pending_{bound}", value)
        queue: ConsumerQueue
        if policy == "drop_oldest":
            queue = DropOldest(*bounds)
        elif policy == "drop_newest":
            queue = DropNewest(*bounds)
        elif policy == "conflate":
            queue = ConflatingQueue(*bounds)
        elif policy == "halt":
            queue = Halt(*bounds, name, lambda: self._remove(consumer))
        else:
            queue = Block(*bounds, self._on_full, self._on_read)
            queue.is_socket_held = self._is_held
            self._blocking.append(queue)
        consumer = Consumer(
            name, policy, queue, self._remove, check_wait=self._check_wait, check_close=self._check_close
        )
        self._add(consumer)
        return consumer

    def add_callback(self, *, name: str, callback: Callback, by_batch: bool = False) -> CallbackConsumer:
        """Add a callback, which is called with each frame and event from now on, as soon as it arrives.

        Args:
            name: the name in messages.
            callback: a plain function.
            by_batch: whether to call it with batches instead of frames.

        Returns:
            The consumer, whose `close` stops the calls.

        Raises:
            ConfigError: the callback is not a plain function.
        """
        consumer = CallbackConsumer(
            name,
            callback,
            by_batch=by_batch,
            on_error=lambda error: self._on_error(error, name),
            on_close=self._remove,
            check=self._check_close,
        )
        self._add(consumer)
        return consumer

    def put(self, batch: Batch, start: int, stop: int) -> None:
        """Pass frames [start, stop) of a batch to all consumers."""
        if self._is_busy:
            self._deferred.append(lambda: self._put(batch, start, stop))
            return
        self._is_busy = True
        try:
            self._put(batch, start, stop)
            if self._deferred or self._interrupt is not None:
                self._run_deferred()
        finally:
            self._is_busy = False

    def put_event(self, event: FeedEvent) -> None:
        """Pass an event to all consumers, after all frames that were put before it."""
        self._defer(lambda: self._put_event(event))

    def end(self, error: CpapiError | None) -> None:
        """Accept nothing more. Pending items can still be read. Later calls have no effect."""
        self._defer(lambda: self._end(error))

    def _defer(self, action: Callable[[], None]) -> None:
        # Run the action now, or after the item that is being dispatched.
        self._deferred.append(action)
        if not self._is_busy:
            self._is_busy = True
            try:
                self._run_deferred()
            finally:
                self._is_busy = False

    def _run_deferred(self) -> None:
        while self._deferred:
            self._deferred.popleft()()
        if self._interrupt is not None:
            # KeyboardInterrupt and SystemExit are raised after all consumers have received the item.
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def _put(self, batch: Batch, start: int, stop: int) -> None:
        if self._is_ended or start >= stop:
            return
        cost = cost_bytes(batch, start, stop)
        if 4 * cost < batch.nbytes:
            # Copied, so that a few pending frames do not keep the memory of a large batch.
            batch, start, stop = slice_of(batch, start, stop), 0, stop - start
        for recipient in self._recipients:
            recipient.put(batch, start, stop, cost)

    def _put_event(self, event: FeedEvent) -> None:
        for recipient in self._recipients:
            recipient.put_event(event)

    def _end(self, error: CpapiError | None) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        self._error = error
        for recipient in self._recipients:
            recipient.end(error)
        self._set_consumers(())
        self._blocking.clear()
        self._release()

    def _on_error(self, error: BaseException, name: str) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._interrupt = error
            return
        who = f"the callback of consumer {name!r}"
        self._on_callback_error(callback_error(error, who, "it is called again with the next item"))

    def _add(self, consumer: Consumer | CallbackConsumer) -> None:
        if self.on_added is not None:
            self.on_added(consumer)
        if self._is_ended:
            _recipient_of(consumer).end(self._error)
        else:
            self._set_consumers((*self._consumers, consumer))

    def _set_consumers(self, consumers: tuple[Consumer | CallbackConsumer, ...]) -> None:
        self._consumers = consumers
        self._recipients = tuple(map(_recipient_of, consumers))

    def _remove(self, consumer: Consumer | CallbackConsumer) -> None:
        # Called when a consumer is closed or halted.
        self._set_consumers(tuple(other for other in self._consumers if other is not consumer))
        recipient = _recipient_of(consumer)
        if recipient in self._blocking:
            self._blocking = [other for other in self._blocking if other is not recipient]
            self._on_read()

    def _on_full(self) -> None:
        self._is_held = True
        for queue in self._blocking:
            queue.is_socket_held = True
        self._hold(True)

    def _on_read(self) -> None:
        if self._is_held and all(queue.is_at_half() for queue in self._blocking):
            self._release()

    def _release(self) -> None:
        if self._is_held:
            self._is_held = False
            for queue in self._blocking:
                queue.is_socket_held = False
            self._hold(False)


def _recipient_of(consumer: Consumer | CallbackConsumer) -> Recipient:
    return consumer.queue if isinstance(consumer, Consumer) else consumer
