"""Consumer: one reader of a feed, which iterates over frames or batches and events in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Generic, TypeVar

from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.redaction import redact_accounts

from .consumer_queue import ConsumerQueue
from .overflow import OverflowPolicy
from .stats import ConsumerStats

T = TypeVar("T")


class Consumer:
    """One reader of a feed: `async for` iterates over frames and events, `batches()` over batches and events.

    Create it with `Feed.consumer`. Read it in the thread of the feed's loop, with one task at a time. Nothing is lost
    if a waiting task is cancelled. When the feed is closed, the iteration ends after all pending items are read. If the
    feed ended with an error, that error is raised instead. Iterating raises `UsageError` if the feed was never started,
    or if it belongs to another event loop.

    Attributes:
        name: the name in messages.
        policy: the overflow policy for frames beyond the bounds of the queue.
        queue: the frames and events that are not read yet; private to the feed.
    """

    def __init__(
        self,
        name: str,
        policy: OverflowPolicy,
        queue: ConsumerQueue,
        on_close: Callable[[Consumer], None],
        *,
        check_wait: Callable[[], None] = lambda: None,
        check_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name: Final = name
        self.policy: Final = policy
        self.queue: Final = queue
        self._on_close = on_close
        # Called when an iteration begins and before it waits, and by `close`: the feed may refuse it.
        self._check_wait = check_wait
        self._check_close = check_close
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Consumer {redact_accounts(self.name)!r} {self.policy} {self.stats.pending} pending>"

    # --- reading ----------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Frame | FeedEvent]:
        self._check_wait()
        return self

    async def __anext__(self) -> Frame | FeedEvent:
        queue = self.queue
        batch = queue.batch
        if batch is not None:
            # Every frame except the first of its slice takes this path.
            cursor = queue.cursor
            frame = batch[cursor]
            cursor += 1
            queue.cursor = cursor
            if cursor == queue.stop:
                queue.finish_slice(frame.received_ns)
            return frame
        # Once per batch.
        self._check_wait()
        while True:
            item = queue.next_item() if queue.waiter is None else None
            if item is not None:
                return item
            await self._wait()

    def batches(self) -> AsyncIterator[Batch | FeedEvent]:
        """Iterate over batches and events. A batch has frames of one socket read, but not always all of them."""
        return _Reader(self, self.queue.next_batch)

    def chunks(
        self, max_bytes: int = 1024 * 1024, max_items: int = sys.maxsize
    ) -> AsyncIterator[list[Batch | FeedEvent]]:
        """Iterate over lists of batches and events: all pending items, up to the batch that reaches `max_bytes`.

        The frames of a list count as pending until the next list, batch or frame is requested. So the bounds of the
        consumer include the frames that its reader is working on, for example while another thread writes them to a
        file. If the consumer is closed, the frames of the last list count as delivered.

        Args:
            max_bytes: the cost of the frames in one list, in bytes as in `ConsumerStats.pending_bytes`. The last batch
                may exceed it.
            max_items: how many batches and events one list has at most. It bounds the time that a list of small batches
                takes.
        """
        return _Reader(self, lambda: self.queue.next_chunk(max_bytes, max_items) or None)

    async def _wait(self) -> None:
        queue = self.queue
        if queue.waiter is not None:
            raise UsageError(f"another task reads consumer {self.name!r}; create a consumer for each reader")
        if queue.is_ended:
            if queue.error is not None:
                raise queue.error.with_traceback(None)
            raise StopAsyncIteration
        self._check_wait()
        queue.waiter = asyncio.get_running_loop().create_future()
        try:
            await queue.waiter
        finally:
            queue.waiter = None

    # --- state ------------------------------------------------------------------------------------

    @property
    def stats(self) -> ConsumerStats:
        """The current counters (`ConsumerStats`)."""
        return self.queue.stats()

    @property
    def max_pending_bytes(self) -> int:
        """The bound on the cost of the pending frames, in bytes; see `ConsumerStats.pending_bytes`."""
        return self.queue.max_bytes

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def close(self) -> None:
        """Stop receiving. Pending frames and events count as dropped, and a waiting reader ends. Idempotent.

        Raises:
            UsageError: called from another event loop or thread than that of the feed.
        """
        self._check_close()
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
    # Not an async generator, because a cancelled read would end the generator.
    __slots__ = ("_consumer", "_take")

    def __init__(self, consumer: Consumer, take: Callable[[], T | None]) -> None:
        self._consumer = consumer
        self._take = take

    def __aiter__(self) -> AsyncIterator[T]:
        self._consumer._check_wait()
        return self

    async def __anext__(self) -> T:
        consumer = self._consumer
        consumer._check_wait()
        while True:
            item = self._take() if consumer.queue.waiter is None else None
            if item is not None:
                return item
            await consumer._wait()
