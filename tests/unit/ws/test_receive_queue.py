"""The receive queue alone: its counters balance, and it stops and resumes reading at the right moments."""

from __future__ import annotations

import asyncio

import pytest

from cpapi_fast.errors import CallbackError, TransportError, UsageError
from cpapi_fast.frames.frame import FrameCounters
from cpapi_fast.frames.sink import CallbackSink, FrameSink
from cpapi_fast.ws.receive_queue import ReceiveQueue
from tests.support.batches import numbered


class Holder:
    def __init__(self) -> None:
        self.calls: list[bool] = []
        self.sinks: list[FrameSink | None] = []
        self.errors: list[BaseException] = []


def make(max_pending_bytes: int = 1000) -> tuple[ReceiveQueue, Holder]:
    holder = Holder()
    return ReceiveQueue(max_pending_bytes, holder.calls.append, holder.sinks.append, holder.errors.append), holder


async def test_reading_stops_when_the_queue_is_full_and_resumes_at_half() -> None:
    inbox, holder = make(1000)  # a batch of one costs 151 + 64
    for number in range(4):
        inbox.put(numbered(number, 1))
    assert holder.calls == []
    inbox.put(numbered(4, 1))
    inbox.put(numbered(5, 1))
    assert holder.calls == [True]
    for left in (5, 4, 3):
        assert (await inbox.next_frame()) is not None
        assert inbox.pending == left
        assert holder.calls == [True]
    await inbox.next_batch()
    assert holder.calls == [True, False]


def test_discarding_resumes_reading_and_counts() -> None:
    inbox, holder = make(100)
    inbox.put(numbered(0, 3))
    assert holder.calls == [True]
    inbox.discard()
    assert holder.calls == [True, False]
    inbox.put(numbered(0, 5))
    assert (inbox.pending, inbox.dropped, inbox.delivered) == (3, 5, 0)


async def test_pending_frames_are_read_before_the_end() -> None:
    inbox, _ = make()
    inbox.put(numbered(0, 2))
    inbox.end(TransportError("first"))
    inbox.end(None)
    first = await inbox.next_frame()
    assert first is not None
    assert first.conid == 0
    batch = await inbox.next_batch()
    assert batch is not None
    assert batch.conids.tolist() == [1]
    for _ in range(2):
        with pytest.raises(TransportError, match="first"):
            await inbox.next_frame()


async def test_a_waiting_reader_is_woken_by_the_end() -> None:
    inbox, _ = make()
    reader = asyncio.ensure_future(inbox.next_batch())
    await asyncio.sleep(0)
    with pytest.raises(UsageError):
        await inbox.next_frame()
    inbox.end(None)
    assert await reader is None


def test_the_exception_of_a_callback_is_reported_and_every_frame_is_counted() -> None:
    inbox, holder = make()

    def fail(frame: object) -> None:
        assert inbox.delivered + inbox.pending + inbox.dropped == 3
        raise ValueError

    inbox.push_sink(CallbackSink(fail, FrameCounters()))
    inbox.put(numbered(0, 3))
    assert len(holder.errors) == 3
    assert (inbox.delivered, inbox.dropped, inbox.pending) == (3, 0, 0)


@pytest.mark.parametrize("by_frame", [True, False])
def test_after_a_failed_callback_no_pending_frame_is_delivered(by_frame: bool) -> None:
    calls: list[object] = []
    inbox = ReceiveQueue(10_000, lambda is_held: None, lambda sink: None, lambda error: inbox.fail(CallbackError("x")))

    def fail(item: object) -> None:
        calls.append(item)
        raise ValueError

    for number in range(3):
        inbox.put(numbered(number, 2))
    if by_frame:
        inbox.push_sink(CallbackSink(fail, FrameCounters()))
    else:
        inbox.push_batches(fail)
    delivered = 1 if by_frame else 2
    assert len(calls) == 1
    assert (inbox.delivered, inbox.dropped, inbox.pending) == (delivered, 6 - delivered, 0)


def test_frames_pending_at_a_close_can_still_be_pushed() -> None:
    inbox, _ = make(10_000)
    inbox.put(numbered(0, 3))
    inbox.discard()
    seen: list[object] = []
    inbox.push_sink(CallbackSink(seen.append, FrameCounters()))
    assert (len(seen), inbox.delivered, inbox.dropped) == (3, 3, 0)
