"""One reader of a feed: an iterator over frames or batches and events, or a callback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal

from cpapi_fast.errors import UsageError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame

from .consumer_queue import ConsumerQueue

#: What becomes of frames that a consumer is too slow for.
Policy = Literal["drop_oldest", "drop_newest", "conflate", "halt", "block"]


@dataclass(frozen=True)
class ConsumerStats:
    """What one consumer was given and what became of it; a snapshot.

    At every moment received = delivered + conflated + dropped + pending, and events_received = events_delivered +
    events_dropped + events_pending.
    """

    #: Frames put to the consumer, from when it was made until it was closed or halted.
    received: int
    #: Frames handed to the reader or the callback (also to one that then raised); merged ones count once.
    delivered: int
    #: Frames merged into an earlier one.
    conflated: int
    #: Frames dropped by the policy, or waiting when the consumer was closed; merged ones count once.
    dropped: int
    #: Frames that wait, and what they cost: their bytes and 64 for each.
    pending: int
    pending_bytes: int
    #: Events of the feed.
    events_received: int
    events_delivered: int
    events_dropped: int
    events_pending: int
    #: Gaps that the consumer was told of because of its own policy. They are no events of the feed.
    overflow_gaps: int
    #: How often the callback raised.
    callback_errors: int


class Consumer:
    """One reader of a feed: `async for` gives frames and events in one order, `batches()` batches instead of frames.

    Made by `Feed.consumer`; used in the loop's thread, by one task at a time. Cancelling a task that waits loses
    nothing. The iteration ends when the feed or the consumer is closed, after what waited was read; where the feed
    ended by an error, that is raised instead.

    Attributes:
        name: what it is called in messages.
        policy: what becomes of frames that it is too slow for.
        backlog: what waits for it; the delivery's own.
    """

    def __init__(self, name: str, policy: Policy, backlog: ConsumerQueue, on_close: Callable[[Consumer], None]) -> None:
        self.name: Final = name
        self.policy: Final = policy
        self.backlog: Final = backlog
        self._on_close = on_close
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Consumer {self.name!r} {self.policy} {self.stats.pending} pending>"

    # Reading

    def __aiter__(self) -> AsyncIterator[Frame | FeedEvent]:
        return self

    async def __anext__(self) -> Frame | FeedEvent:
        backlog = self.backlog
        batch = backlog.batch
        if batch is not None:
            # The way of every frame but the first of its read.
            cursor = backlog.cursor
            frame = batch[cursor]
            cursor += 1
            backlog.cursor = cursor
            if cursor == backlog.stop:
                backlog.finish(frame.received_ns)
            return frame
        while True:
            item = backlog.next_item() if backlog.waiter is None else None
            if item is not None:
                return item
            await self._wait()

    def batches(self) -> AsyncIterator[Batch | FeedEvent]:
        """Iterate over batches and events, one batch for each read of the socket or part of one."""
        return _Batches(self)

    async def _next_batch(self) -> Batch | FeedEvent:
        backlog = self.backlog
        while True:
            item = backlog.next_batch() if backlog.waiter is None else None
            if item is not None:
                return item
            await self._wait()

    async def _wait(self) -> None:
        backlog = self.backlog
        if backlog.waiter is not None:
            raise UsageError(f"another task reads consumer {self.name!r} already; make a consumer for each reader")
        if backlog.is_ended:
            if backlog.error is not None:
                raise backlog.error.with_traceback(None)
            raise StopAsyncIteration
        backlog.waiter = asyncio.get_running_loop().create_future()
        try:
            await backlog.waiter
        finally:
            backlog.waiter = None

    # State

    @property
    def stats(self) -> ConsumerStats:
        """What it was given and what became of it, now."""
        backlog = self.backlog
        backlog.settle()
        return ConsumerStats(
            received=backlog.received,
            delivered=backlog.delivered,
            conflated=backlog.conflated,
            dropped=backlog.dropped,
            pending=backlog.pending,
            pending_bytes=backlog.pending_bytes,
            events_received=backlog.events_received,
            events_delivered=backlog.events_delivered,
            events_dropped=backlog.events_dropped,
            events_pending=len(backlog.events),
            overflow_gaps=backlog.gaps,
            callback_errors=backlog.callback_errors,
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def close(self) -> None:
        """Want nothing more. What waits is counted as dropped, and a task that waits is woken; twice does no harm."""
        if not self._is_closed:
            self._is_closed = True
            self.backlog.clear()
            self._on_close(self)

    async def __aenter__(self) -> Consumer:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()


class _Batches:
    # No async generator: that would be at its end after its first cancelled read.
    __slots__ = ("_consumer",)

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __aiter__(self) -> AsyncIterator[Batch | FeedEvent]:
        return self

    async def __anext__(self) -> Batch | FeedEvent:
        return await self._consumer._next_batch()
