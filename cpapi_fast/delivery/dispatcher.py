"""Dispatcher: passes the batches and events of one feed to all of its consumers, in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, get_args

from cpapi_fast.errors import CallbackError, ConfigError, CpapiError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.cost import cost_bytes

from .callback_consumer import Callback, CallbackConsumer
from .conflation import ConflatingQueue
from .consumer import Consumer
from .consumer_queue import ConsumerQueue
from .overflow import Block, DropNewest, DropOldest, Halt, OverflowPolicy

#: The bound on the events of one consumer, however long it does not read.
MAX_PENDING_EVENTS: Final = 1000

_POLICIES: Final[tuple[str, ...]] = get_args(OverflowPolicy)


class Recipient(Protocol):
    """What the dispatcher passes frames and events to: the queue of a consumer, or a callback consumer."""

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Take frames [start, stop) of a batch, whose cost in bytes is `cost`."""

    def put_event(self, event: FeedEvent) -> None:
        """Take an event, after all frames that were put before it."""

    def end(self, error: CpapiError | None) -> None:
        """Take nothing more; `error` is why, if the feed failed."""


class Dispatcher:
    """Passes frames and events to the consumers of one feed; none of them affects what another receives.

    The policy `block` is the exception: it holds up all consumers.

    Args:
        hold: called with True when a consumer with the policy `block` is full, and with False when all of them are at
            half of their bounds or below.
        on_callback_error: called with a `CallbackError` when a callback raised; its cause is what the callback raised.
    """

    def __init__(self, *, hold: Callable[[bool], None], on_callback_error: Callable[[Exception], None]) -> None:
        self._hold = hold
        self._on_callback_error = on_callback_error
        # Replaced and never changed in place: consumers come and go while the dispatcher iterates over them.
        self._consumers: tuple[Consumer | CallbackConsumer, ...] = ()
        self._recipients: tuple[Recipient, ...] = ()
        self._blocking: list[Block] = []
        self._is_held = False
        self._is_ended = False
        self._error: CpapiError | None = None
        self._is_busy = False
        # What callbacks caused while other consumers had not received the current item: they receive that first.
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
        """Add a consumer with a queue; it receives what arrives from now on.

        Args:
            name: the name in messages.
            policy: what happens to frames that it is too slow for.
            max_pending_frames: how many frames may be pending.
            max_pending_bytes: how many bytes, with 64 more for each frame. One frame may always be pending, however
                large it is.
            max_pending_events: how many events may be pending. Beyond it the oldest is dropped and counted. The two
                oldest gaps become one that spans both, so that missing data is reported in any case.

        Raises:
            ConfigError: an unknown policy, or a bound that is not a whole number above zero.
        """
        if policy not in _POLICIES:
            raise ConfigError(f"policy must be one of {', '.join(_POLICIES)}, not {policy!r}")
        bounds = (max_pending_frames, max_pending_bytes, max_pending_events)
        for bound, value in zip(("frames", "bytes", "events"), bounds, strict=True):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"max_pending_{bound} must be a whole number above zero, not {value!r}")
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
        consumer = Consumer(name, policy, queue, self._remove)
        self._add(consumer)
        return consumer

    def add_callback(self, *, name: str, callback: Callback, by_batch: bool = False) -> CallbackConsumer:
        """Add a callback; it is called with each frame and event from now on, as soon as they arrive.

        Args:
            name: the name in messages.
            callback: a plain function.
            by_batch: whether to call it with batches instead of frames.
        """
        consumer = CallbackConsumer(
            name,
            callback,
            by_batch=by_batch,
            on_error=lambda error: self._on_error(error, name),
            on_close=self._remove,
        )
        self._add(consumer)
        return consumer

    def put(self, batch: Batch, start: int, stop: int) -> None:
        """Pass on frames [start, stop) of a batch."""
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
        """Pass on an event, after all frames that were put before it."""
        self._defer(lambda: self._put_event(event))

    def end(self, error: CpapiError | None) -> None:
        """Accept nothing more; what is pending can still be read. Later calls have no effect."""
        self._defer(lambda: self._end(error))

    def _defer(self, action: Callable[[], None]) -> None:
        # Run it now, or after what is being passed on.
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
            # Ctrl-C and the like are raised now that all consumers have received everything.
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def _put(self, batch: Batch, start: int, stop: int) -> None:
        if self._is_ended or start >= stop:
            return
        cost = cost_bytes(batch, start, stop)
        if 4 * cost < batch.nbytes:
            # A few frames must not keep the memory of a large batch while they are pending.
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
        report = CallbackError(
            f"the callback of consumer {name!r} raised {type(error).__name__}; it is called again with the next item"
        )
        report.__cause__ = error
        self._on_callback_error(report)

    def _add(self, consumer: Consumer | CallbackConsumer) -> None:
        if self._is_ended:
            _recipient_of(consumer).end(self._error)
        else:
            self._set_consumers((*self._consumers, consumer))

    def _set_consumers(self, consumers: tuple[Consumer | CallbackConsumer, ...]) -> None:
        self._consumers = consumers
        self._recipients = tuple(map(_recipient_of, consumers))

    def _remove(self, consumer: Consumer | CallbackConsumer) -> None:
        # It was closed, or halted.
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
