"""Consumer: one reader of a feed, an iterator over frames or batches, with the events between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Generic, TypeVar

from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame

from .consumer_queue import ConsumerQueue
from .overflow import OverflowPolicy
from .stats import ConsumerStats

T = TypeVar("T")


class Consumer:
    """One reader of a feed: `async for` gives frames and events in one order, `batches()` batches instead of frames.

    Made by `Feed.consumer`. Read it in the thread of the feed's loop, one task at a time. Cancelling a task that waits
    loses nothing. The iteration ends when the feed or the consumer is closed, after everything pending was read; if an
    error ended the feed, it is raised instead.

    Attributes:
        name: the name in messages.
        policy: what happens to frames that it is too slow for.
        queue: the frames and events that it has not read yet; private to the feed.
    """

    def __init__(
        self, name: str, policy: OverflowPolicy, queue: ConsumerQueue, on_close: Callable[[Consumer], None]
    ) -> None:
        self.name: Final = name
        self.policy: Final = policy
        self.queue: Final = queue
        self._on_close = on_close
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Consumer {self.name!r} {self.policy} {self.stats.pending} pending>"

    # --- reading ----------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Frame | FeedEvent]:
        return self

    async def __anext__(self) -> Frame | FeedEvent:
        queue = self.queue
        batch = queue.batch
        if batch is not None:
            # Every frame but the first of its slice takes this path.
            cursor = queue.cursor
            frame = batch[cursor]
            cursor += 1
            queue.cursor = cursor
            if cursor == queue.stop:
                queue.finish_slice(frame.received_ns)
            return frame
        while True:
            item = queue.next_item() if queue.waiter is None else None
            if item is not None:
                return item
            await self._wait()

    def batches(self) -> AsyncIterator[Batch | FeedEvent]:
        """Iterate over batches and events, one batch for each read of the socket or part of one."""
        return _Reader(self, self.queue.next_batch)

    def chunks(self, max_bytes: int = 1024 * 1024) -> AsyncIterator[list[Batch | FeedEvent]]:
        """Iterate over lists of batches and events: everything pending, up to the batch that reaches `max_bytes`.

        The frames of a list count as pending until the next list, batch or frame is requested. So the bounds of the
        consumer include what its reader still works on, for example while another thread writes it to a file. A
        consumer that is closed counts the frames of the last list as delivered.

        Args:
            max_bytes: the cost of the frames in one list, in bytes as in `ConsumerStats.pending_bytes`; the last batch
                may exceed it.
        """
        return _Reader(self, lambda: self.queue.next_chunk(max_bytes) or None)

    async def _wait(self) -> None:
        queue = self.queue
        if queue.waiter is not None:
            raise UsageError(f"another task reads consumer {self.name!r} already; make a consumer for each reader")
        if queue.is_ended:
            if queue.error is not None:
                raise queue.error.with_traceback(None)
            raise StopAsyncIteration
        queue.waiter = asyncio.get_running_loop().create_future()
        try:
            await queue.waiter
        finally:
            queue.waiter = None

    # --- state ------------------------------------------------------------------------------------

    @property
    def stats(self) -> ConsumerStats:
        """What the consumer received and what became of it, now."""
        return self.queue.stats()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def close(self) -> None:
        """Receive nothing more. What is pending counts as dropped, and a task that waits is woken. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self.queue.clear()
            self._on_close(self)

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()


class _Reader(Generic[T]):
    # Not an async generator: one would be exhausted after its first cancelled read.
    __slots__ = ("_consumer", "_take")

    def __init__(self, consumer: Consumer, take: Callable[[], T | None]) -> None:
        self._consumer = consumer
        self._take = take

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        consumer = self._consumer
        while True:
            item = self._take() if consumer.queue.waiter is None else None
            if item is not None:
                return item
            await consumer._wait()
