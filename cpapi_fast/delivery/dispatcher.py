"""Consumers: any number of readers of one feed, each bounded with its own policy, none harmed by another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, get_args

from cpapi_fast.errors import CallbackError, ConfigError, CpapiError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, slice_of

from .callback_consumer import Callback, CallbackQueue
from .conflation import ConflatingQueue
from .consumer import Consumer, Policy
from .consumer_queue import ConsumerQueue, cost_bytes
from .overflow import Block, DropNewest, DropOldest, Halt

#: A consumer that does not read for weeks holds this many events at most.
MAX_PENDING_EVENTS: Final = 1000

_POLICIES: Final[tuple[str, ...]] = get_args(Policy)


class Dispatcher:
    """Hands frames and events to the consumers of one feed, to all in the same order.

    Args:
        hold: called with True when a consumer with the policy `block` is full, and with False when all of them are at
            half or below.
        on_callback_error: called with a `CallbackError` when a callback raised; what it raised is the cause.
    """

    def __init__(self, *, hold: Callable[[bool], None], on_callback_error: Callable[[Exception], None]) -> None:
        self._hold = hold
        self._on_callback_error = on_callback_error
        # Replaced and never changed, since consumers come and go while they are gone through.
        self._consumers: tuple[Consumer, ...] = ()
        self._backlogs: tuple[ConsumerQueue, ...] = ()
        self._blockers: list[Block] = []
        self._is_held = False
        self._is_ended = False
        self._error: CpapiError | None = None
        self._is_busy = False
        # What callbacks gave rise to while others had not got what is being delivered: they get that first.
        self._deferred: deque[Callable[[], None]] = deque()
        self._interrupt: BaseException | None = None

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """All that are neither closed nor halted."""
        return self._consumers

    def add(
        self,
        *,
        name: str,
        policy: Policy,
        max_pending_frames: int,
        max_pending_bytes: int,
        max_pending_events: int = MAX_PENDING_EVENTS,
        callback: Callback | None = None,
        by_batch: bool = False,
    ) -> Consumer:
        """Add a consumer; it gets what comes from now on.

        Args:
            name: what it is called in messages.
            policy: what becomes of frames that it is too slow for.
            max_pending_frames: how many frames may wait.
            max_pending_bytes: how many bytes, with 64 more for each frame. One frame may always wait, however large.
            max_pending_events: how many events may wait; beyond it the oldest is dropped, and counted. Of the oldest
                gaps one is made that spans them: that data is missing is told in any case.
            callback: called at once with each frame (or batch) and event; nothing waits then, and the policy and the
                bounds are of no account.
            by_batch: call it with batches instead of frames.

        Raises:
            ConfigError: an unknown policy, or a bound that is not a whole number above zero.
        """
        if policy not in _POLICIES:
            raise ConfigError(f"policy must be one of {', '.join(_POLICIES)}, not {policy!r}")
        bounds = (max_pending_frames, max_pending_bytes, max_pending_events)
        for bound, value in zip(("frames", "bytes", "events"), bounds, strict=True):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"max_pending_{bound} must be a whole number above zero, not {value!r}")
        backlog: ConsumerQueue
        if callback is not None:
            backlog = CallbackQueue(callback, by_batch, lambda error: self._on_error(error, name))
        elif policy == "drop_oldest":
            backlog = DropOldest(*bounds)
        elif policy == "drop_newest":
            backlog = DropNewest(*bounds)
        elif policy == "conflate":
            backlog = ConflatingQueue(*bounds)
        elif policy == "halt":
            backlog = Halt(*bounds, name, lambda: self._remove(consumer))
        else:
            backlog = Block(*bounds, self._on_full, self._on_less)
            backlog.is_watched = self._is_held
            self._blockers.append(backlog)
        consumer = Consumer(name, policy, backlog, self._remove)
        if self._is_ended:
            backlog.end(self._error)
        else:
            self._set_consumers((*self._consumers, consumer))
        return consumer

    def put(self, batch: Batch, start: int, stop: int) -> None:
        """Hand over frames [start, stop) of a batch."""
        if self._is_busy:
            self._deferred.append(lambda: self._put(batch, start, stop))
            return
        self._is_busy = True
        try:
            self._put(batch, start, stop)
            if self._deferred or self._interrupt is not None:
                self._finish()
        finally:
            self._is_busy = False

    def put_event(self, event: FeedEvent) -> None:
        """Hand over an event, after all frames that were put before it."""
        self._deliver(lambda: self._put_event(event))

    def end(self, error: CpapiError | None) -> None:
        """Nothing more will come; what waits can still be read. The first call counts."""
        self._deliver(lambda: self._end(error))

    def _deliver(self, deliver: Callable[[], None]) -> None:
        self._deferred.append(deliver)
        if not self._is_busy:
            self._is_busy = True
            try:
                self._finish()
            finally:
                self._is_busy = False

    def _finish(self) -> None:
        while self._deferred:
            self._deferred.popleft()()
        if self._interrupt is not None:
            # Ctrl-C and the like go up, now that all have got what was delivered.
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def _put(self, batch: Batch, start: int, stop: int) -> None:
        if self._is_ended or start >= stop:
            return
        cost = cost_bytes(batch, start, stop)
        if 4 * cost < batch.nbytes:
            # A few frames must not hold the memory of a large batch wherever they wait.
            batch, start, stop = slice_of(batch, start, stop), 0, stop - start
        for backlog in self._backlogs:
            backlog.put(batch, start, stop, cost)

    def _put_event(self, event: FeedEvent) -> None:
        for backlog in self._backlogs:
            backlog.put_event(event)

    def _end(self, error: CpapiError | None) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        self._error = error
        for backlog in self._backlogs:
            backlog.end(error)
        self._set_consumers(())
        self._blockers.clear()
        self._release()

    def _on_error(self, error: BaseException, name: str) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._interrupt = error
            return
        report = CallbackError(
            f"the callback of consumer {name!r} raised {type(error).__name__}; it is called again with what comes next"
        )
        report.__cause__ = error
        self._on_callback_error(report)

    def _set_consumers(self, consumers: tuple[Consumer, ...]) -> None:
        self._consumers = consumers
        self._backlogs = tuple(consumer.backlog for consumer in consumers)

    def _remove(self, consumer: Consumer) -> None:
        # It was closed, or halted.
        self._set_consumers(tuple(other for other in self._consumers if other is not consumer))
        if consumer.backlog in self._blockers:
            self._blockers = [other for other in self._blockers if other is not consumer.backlog]
            self._on_less()

    def _on_full(self) -> None:
        self._is_held = True
        for backlog in self._blockers:
            backlog.is_watched = True
        self._hold(True)

    def _on_less(self) -> None:
        if self._is_held and all(backlog.is_at_half() for backlog in self._blockers):
            self._release()

    def _release(self) -> None:
        if self._is_held:
            self._is_held = False
            for backlog in self._blockers:
                backlog.is_watched = False
            self._hold(False)
