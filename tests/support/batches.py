"""Batches and events for tests without a socket: numbered frames with a receive time of the test's choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.frame import Frame, FrameCounters
from tests.support.frames import smd

#: The cost of one frame of `numbered`: its bytes and the overhead.
FRAME_COST = 151 + 64


def batch_of(raws: Iterable[bytes], received_ns: int = 1, counters: FrameCounters | None = None) -> Batch:
    """A batch of these frames."""
    builder = BatchBuilder(counters)
    for raw in raws:
        builder.append(raw)
    batch = builder.finish(received_ns)
    assert batch is not None
    return batch


def numbered(first: int, count: int, received_ns: int = 1) -> Batch:
    """Frames whose conids are `first`, `first + 1` and so on."""
    return batch_of((smd(number) for number in range(first, first + count)), received_ns)


def event(number: int) -> StateChange:
    return StateChange(number, FeedState.STREAMING, FeedState.READY, Cause.DATA, "Nothing is to be done.")


def put(delivery: Dispatcher, batch: Batch) -> None:
    delivery.put(batch, 0, len(batch))


def short(item: Any) -> Any:
    """An item of a consumer in a short form for comparisons."""
    if isinstance(item, Frame):
        return item.conid
    if isinstance(item, Batch):
        return list(item.conids)
    if isinstance(item, Gap):
        assert (item.subscription, item.cause) == (None, Cause.CONSUMER_OVERFLOW)
        return ("gap", item.last_good_ns, item.first_good_ns, item.frames_dropped)
    return f"event {item.time_ns}"
