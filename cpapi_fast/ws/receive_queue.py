"""The receive queue between a socket and its single reader or callback: counted, and bounded by flow control.

At all times: received = delivered + dropped + pending. When the queue is empty, a sink gets its frames directly from
the listener, which counts them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.errors import CpapiError, UsageError
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.frames.cost import batch_cost_bytes
from cpapi_fast.frames.frame import Frame
from cpapi_fast.frames.sink import FrameSink, end_read, hand_frame
from cpapi_fast.loop import LoopOwner


class ReceiveQueue:
    """Queues the batches of one connection for a reader (pull), or passes them to a callback or sink (push).

    Args:
        max_pending_bytes: when the pending frames cost this much, the socket is not read until they cost half of it.
        hold: called with True to stop reading the socket, and with False to resume.
        attach: called with the sink that gets frames directly from the listener, or with None.
        on_callback_error: called with an exception that a callback raised. It calls `fail` to stop the delivery.
        owner: refuses a reader, a callback or a sink from another loop or thread.
    """

    def __init__(
        self,
        max_pending_bytes: int,
        hold: Callable[[bool], None],
        attach: Callable[[FrameSink | None], None],
        on_callback_error: Callable[[BaseException], None],
        owner: LoopOwner | None = None,
    ) -> None:
        self.delivered = 0
        self.dropped = 0
        self.pending = 0
        self.is_ended = False
        #: The error that ended the connection; None for a CLOSE frame. Valid if `is_ended`.
        self.error: CpapiError | None = None
        #: Whether a reader got `error`.
        self.is_error_seen = False
        self._max_pending_bytes = max_pending_bytes
        self._hold = hold
        self._attach = attach
        self._on_callback_error = on_callback_error
        self._owner = LoopOwner("a connection") if owner is None else owner
        self._queue: deque[Batch] = deque()
        self._cursor = 0
        self._pending_bytes = 0
        self._is_held = False
        self._is_discarding = False
        self._has_failed = False
        self._push: Callable[[Batch], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_pushing(self) -> bool:
        """Whether a callback or sink receives the frames."""
        return self._push is not None

    def put(self, batch: Batch) -> None:
        """Queue a batch, or pass it to the callback or sink."""
        if self._is_discarding:
            self.dropped += len(batch)
            return
        self.pending += len(batch)
        if self._push is not None:
            self._push(batch)
        else:
            self._enqueue(batch)
            if not self._is_held and self._pending_bytes >= self._max_pending_bytes:
                self._is_held = True
                self._hold(True)
            self._wake()

    def end(self, error: CpapiError | None) -> None:
        """Mark the end of the connection. Pending frames can still be read. Only the first call has an effect."""
        if not self.is_ended:
            self.is_ended = True
            self.error = error
            self._wake()

    def discard(self) -> None:
        """Count later frames as dropped. Pending frames can still be read."""
        self._is_discarding = True
        self._attach(None)
        if self._is_held:
            self._is_held = False
            self._hold(False)

    def fail(self, error: CpapiError) -> None:
        """Mark the end with the error of a callback. Pending and later frames count as dropped."""
        self._has_failed = True
        # Replaces an earlier error, because pending frames can be passed to a callback after the connection has ended.
        self.is_ended = True
        self.error = error
        self.is_error_seen = False
        self._wake()
        self.discard()
        while self._queue:
            count = len(self._pop())
            self.pending -= count
            self.dropped += count

    def push_batches(self, callback: Callable[[Batch], object] | None) -> None:
        """Pass every batch to `callback`; with None, queue them for a reader again."""
        if callback is None:
            self._set_push(None)
            return
        check_callback(callback, "the callback of on_batch")

        def push(batch: Batch) -> None:
            self._count_delivered(len(batch))
            try:
                if (returned := callback(batch)) is not None:
                    refuse_awaitable(returned)
            except BaseException as error:  # noqa: BLE001  a user's callback; `on_callback_error` decides
                self._on_callback_error(error)

        self._set_push(push)
        while self._push is push and self._queue:
            push(self._pop())

    def push_sink(self, sink: FrameSink | None) -> None:
        """Pass every frame to `sink`; with None, queue them for a reader again."""
        if sink is None:
            self._set_push(None)
            return

        def push(batch: Batch) -> None:
            # A batch stays in the queue until the sink has its last frame. The sink may remove itself, and the next
            # sink, which may be set before this function returns, gets the rest.
            self._enqueue(batch)
            drain()

        def drain() -> None:
            while self._push is push and self._queue:
                batch, index = self._queue[0], self._cursor
                is_last = self._step()
                try:
                    hand_frame(sink, batch, index)
                except BaseException as error:  # noqa: BLE001  as above
                    self._on_callback_error(error)
                if is_last and self._push is push and not self._has_failed:
                    try:
                        end_read(sink)
                    except BaseException as error:  # noqa: BLE001  as above
                        self._on_callback_error(error)

        self._set_push(push)
        drain()
        if self._push is push and not self.is_ended and not self._is_discarding:
            self._attach(sink)

    def _count_delivered(self, count: int) -> None:
        self.delivered += count
        self.pending -= count

    def _set_push(self, push: Callable[[Batch], None] | None) -> None:
        self._owner.check()
        if self._waiter is not None:
            raise UsageError("a task is waiting for the next message. Cancel it before you set a callback or sink.")
        if push is not None and self._push is not None:
            raise UsageError("a callback or sink is already set. Remove it first, as with on_frame(None).")
        self._attach(None)
        self._push = push

    def _enqueue(self, batch: Batch) -> None:
        self._queue.append(batch)
        self._pending_bytes += batch_cost_bytes(batch)

    def _step(self) -> bool:
        # Counts the next frame as delivered, and returns whether it is the last frame of its batch.
        self._cursor += 1
        self._count_delivered(1)
        is_last = self._cursor == len(self._queue[0])
        if is_last:
            self._cursor = 0
            self._pop()
        return is_last

    def _pop(self) -> Batch:
        # Removes and returns the next batch, without the frames that were read one by one.
        batch = self._queue.popleft()
        self._pending_bytes -= batch_cost_bytes(batch)
        if self._cursor:
            batch = slice_of(batch, self._cursor, len(batch))
            self._cursor = 0
        if self._is_held and self._pending_bytes <= self._max_pending_bytes // 2:
            self._is_held = False
            self._hold(False)
        return batch

    async def next_frame(self) -> Frame | None:
        """Return the next frame, or None after a CLOSE frame.

        Raises:
            CpapiError: the connection ended without a CLOSE frame, or a callback raised.
            UsageError: another task is reading, or a callback or sink is set.
        """
        # `_step` is inlined, because every frame that is read one by one takes this path.
        cursor = self._cursor
        if not cursor:
            # Once per batch.
            self._owner.check()
            if not self._queue and not await self._has_more():
                return None
            # Another reader may have begun the batch meanwhile.
            cursor = self._cursor
        batch = self._queue[0]
        frame = batch[cursor]
        self.delivered += 1
        self.pending -= 1
        cursor += 1
        if cursor == len(batch):
            self._cursor = 0
            self._pop()
        else:
            self._cursor = cursor
        return frame

    async def next_batch(self) -> Batch | None:
        """Return the next batch. Otherwise like `next_frame`."""
        self._owner.check()
        if not self._queue and not await self._has_more():
            return None
        batch = self._pop()
        self._count_delivered(len(batch))
        return batch

    async def _has_more(self) -> bool:
        # The callers have checked the loop: a future of another one would never wake its reader.
        while not self._queue:
            if self.is_ended:
                if self.error is not None:
                    self.is_error_seen = True
                    raise self.error.with_traceback(None)
                return False
            if self._push is not None:
                raise UsageError("a callback or sink receives the frames. Remove it first, as with on_frame(None).")
            if self._waiter is not None:
                raise UsageError("another task is waiting for the next message. Use one reader per connection.")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
