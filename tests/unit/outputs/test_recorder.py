"""Recorder: the order of what it writes, failures, and that every item is written or counted once."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.errors import OutputError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.capture import CaptureWriter, read_capture
from cpapi_fast.outputs.interface import DiskChange, FileChange, OutputCounts
from cpapi_fast.outputs.recorder import Recorder
from tests.support.batches import batch_of
from tests.support.loops import until


class Fake:
    """An output that can be slow, and can fail."""

    name = "fake"
    unit = "frames"

    def __init__(self, *, fail_at: int | None = None, fail_on: str = "write", poll_s: float = 60.0) -> None:
        self.counts = OutputCounts()
        self.batches: list[Batch] = []
        self.polls = 0
        self.is_closed = False
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self._fail_at = fail_at
        self._fail_on = fail_on
        self._poll_s = poll_s

    @property
    def files(self) -> list[Path]:
        return []

    def write(self, batch: Batch) -> None:
        self.gate.wait()
        self.threads.add(threading.get_ident())
        self.counts.received += len(batch)
        if self._fail_on == "write" and len(self.batches) == self._fail_at:
            self.counts.drop(len(batch), "write error")
            raise OutputError("cannot write fake", path="fake")
        self.batches.append(batch)
        self.counts.written += len(batch)

    def discard(self, batch: Batch) -> None:
        self.counts.received += len(batch)
        self.counts.drop(len(batch), "write error")

    def poll(self) -> float:
        self.polls += 1
        if self._fail_on == "poll" and len(self.batches) == self._fail_at:
            raise OutputError("cannot write fake", path="fake")
        return self._poll_s

    def close(self) -> None:
        self.is_closed = True
        if self._fail_on == "close":
            raise OutputError("cannot write fake", path="fake")


@pytest.mark.each_loop
async def test_all_batches_in_order_to_all_outputs() -> None:
    batches = [batch_of([b"%d" % number]) for number in range(1000)]
    outputs = (Fake(), Fake())

    recorder = Recorder(outputs)
    for batch in batches:
        await recorder.write([batch])
    await recorder.close()
    await recorder.close()
    with pytest.raises(UsageError):
        await recorder.write([batches[0]])
    for output in outputs:
        assert output.batches == batches
        assert output.is_closed
        assert output.threads.isdisjoint({threading.get_ident()}), "never in the loop's thread"


@pytest.mark.each_loop
async def test_write_returns_when_everything_is_written_and_does_not_block_the_loop() -> None:
    output = Fake()
    output.gate.clear()

    recorder = Recorder([output])
    batches = [batch_of([b"x" * 1000]) for _ in range(100)]
    writing = asyncio.create_task(recorder.write(batches))
    await asyncio.sleep(0.05)
    assert not writing.done()
    assert output.batches == []
    output.gate.set()
    await writing
    assert output.batches == batches
    await recorder.close()
    assert output.counts.written == 100


async def test_items_of_a_cancelled_write_are_written_all_the_same() -> None:
    output = Fake()
    output.gate.clear()

    recorder = Recorder([output])
    writing = asyncio.create_task(recorder.write([batch_of([b"x"]), batch_of([b"y"])]))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    output.gate.set()
    await recorder.close()
    assert output.counts.written == 2


async def test_the_first_failure_ends_it_and_everything_is_accounted_for() -> None:
    first, second = Fake(fail_at=3), Fake()

    recorder = Recorder([first, second])
    failed = asyncio.create_task(recorder.failed())

    async def put_for_ever() -> None:
        while True:
            await recorder.write([batch_of([b"{}", b"[]"])])
            await asyncio.sleep(0)

    with pytest.raises(OutputError):
        await put_for_ever()
    with pytest.raises(OutputError):
        await failed
    with pytest.raises(OutputError):
        await recorder.write([batch_of([b"{}"])])
    with pytest.raises(OutputError):
        await recorder.close()
    for output in (first, second):
        counts = output.counts
        assert counts.written == 6
        assert counts.received == counts.written + counts.dropped_total
        assert output.is_closed
    assert first.counts.received == second.counts.received


async def test_a_failure_ends_a_write_that_waits() -> None:
    output = Fake(fail_at=0)
    output.gate.clear()

    recorder = Recorder([output])
    putting = asyncio.create_task(recorder.write([batch_of([b"x"])]))
    await asyncio.sleep(0.01)
    output.gate.set()
    with pytest.raises(OutputError):
        await putting
    with pytest.raises(OutputError):
        await recorder.close()


class FakeEvents(Fake):
    """The same for events."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        super().__init__()
        self.events: list[tuple[object, int]] = []
        self._fail_event_at = fail_at

    def write_event(self, event: object, row: int) -> None:
        self.counts.received += 1
        if len(self.events) == self._fail_event_at:
            self.counts.drop(1, "write error")
            raise OutputError("cannot write events", path="events")
        self.events.append((event, row))
        self.counts.written += 1

    def discard_event(self, event: object) -> None:
        self.counts.received += 1
        self.counts.drop(1, "write error")


async def test_events_keep_their_place_between_the_frames() -> None:
    frames, events = Fake(), FakeEvents()
    changes = [DiskChange(number, True, "hold") for number in range(3)]

    recorder = Recorder([frames], events=events)
    recorder.put_event(changes[0])
    await recorder.write([batch_of([b"1", b"2"])])
    recorder.put_event(changes[1])
    await recorder.write([batch_of([b"3"])])
    recorder.put_event(changes[2])
    assert recorder.outputs == (frames, events)
    await recorder.close()
    with pytest.raises(UsageError):
        recorder.put_event(changes[0])
    assert events.events == [(changes[0], 0), (changes[1], 2), (changes[2], 3)]
    assert events.is_closed
    assert events.batches == []


async def test_a_failing_file_of_events_ends_it_too() -> None:
    frames, events = Fake(), FakeEvents(fail_at=1)

    recorder = Recorder([frames], events=events)
    for number in range(3):
        recorder.put_event(DiskChange(number, True, "hold"))
    with pytest.raises(OutputError, match="events"):
        await recorder.failed()
    with pytest.raises(OutputError, match="events"):
        await recorder.write([batch_of([b"1"])])
    with pytest.raises(OutputError, match="events"):
        await recorder.close()
    assert (events.counts.received, events.counts.written, events.counts.dropped_total) == (3, 1, 2)
    assert (frames.counts.received, frames.counts.dropped_total) == (1, 1)


@pytest.mark.parametrize("fail_on", ["poll", "close"])
async def test_other_failures_are_raised_too(fail_on: str) -> None:
    output = Fake(fail_on=fail_on, fail_at=1, poll_s=0.001)

    recorder = Recorder([output])
    await recorder.write([batch_of([b"x"])])
    if fail_on == "poll":
        with pytest.raises(OutputError):
            await recorder.failed()
    with pytest.raises(OutputError):
        await recorder.close()
    assert output.counts.written == 1


async def test_polls_when_nothing_comes() -> None:
    output = Fake(poll_s=1.0)

    recorder = Recorder([output], clock=Clock(100.0))
    await until(lambda: output.polls >= 4)
    await recorder.close()


async def test_capture_is_flushed_in_time_without_another_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"

    recorder = Recorder([CaptureWriter(path, flush_interval_s=0.05)])
    await recorder.write([batch_of([b"{}"])])
    started_s = time.monotonic()
    while read_capture(path).read_all().num_rows == 0:
        assert time.monotonic() - started_s < 60
        await asyncio.sleep(0.01)
    await recorder.close()


async def test_loop_closed_without_close() -> None:
    output = Fake()

    recorder = Recorder([output])
    recorder._jobs.put(None)
    recorder._thread.join(5)
    assert not recorder._thread.is_alive()
    assert output.is_closed


class Undiscarding(Fake):
    """An output that fails, and fails again when it only has to count."""

    def discard(self, _batch: Batch) -> None:
        raise ValueError("cannot even count")


async def test_an_output_that_cannot_discard_keeps_nobody_waiting() -> None:
    first, second = Undiscarding(fail_at=0), Fake()

    recorder = Recorder([first, second])
    batches = [batch_of([b"x"]) for _ in range(3)]
    for _ in range(3):
        with pytest.raises(OutputError, match="cannot write fake"):
            await recorder.write(batches)
    with pytest.raises(OutputError, match="cannot write fake"):
        await recorder.close()
    assert (second.counts.received, second.counts.dropped_total) == (9, 9), "the other output counts all the same"


class Exiting(Fake):
    """An output with an exit in it, which would end the thread."""

    def write(self, _batch: Batch) -> None:
        raise SystemExit(3)


async def test_an_output_that_exits_keeps_nobody_waiting() -> None:
    output = Exiting()

    recorder = Recorder([output])
    for _ in range(3):
        with pytest.raises(UsageError, match="an output raised SystemExit"):
            await recorder.write([batch_of([b"x"])])
    with pytest.raises(UsageError):
        await recorder.failed()
    with pytest.raises(UsageError):
        await recorder.close()
    assert output.is_closed


class Changing(Fake):
    """An output whose files another program changes."""

    def __init__(self, *at: str) -> None:
        super().__init__()
        self.changes: list[FileChange] = []
        self._at = at

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self._change("write")

    def poll(self) -> float:
        self._change("poll")
        return super().poll()

    def close(self) -> None:
        super().close()
        self._change("close")

    def _change(self, at: str) -> None:
        if at in self._at and (at != "poll" or self.polls == 0):
            self.changes.append(FileChange(1, f"during {at}", "deleted", "frames", 7, "recreate"))


async def test_changes_of_files_are_events_and_notices() -> None:
    frames, events = Changing("write", "poll", "close"), FakeEvents()
    told: list[FileChange] = []

    recorder = Recorder([frames], events=events, on_change=told.append)
    await recorder.write([batch_of([b"1", b"2"])])
    await recorder.close()
    assert [change.path for change in told] == ["during poll", "during write", "during close"]
    assert [event for event, _ in events.events] == told
    assert [row for _, row in events.events] == [0, 2, 2]
    assert frames.changes == []


class Dying(Fake):
    """An output whose error has no handler, because it is in the thread's own code."""

    def poll(self) -> float:
        return "soon"  # type: ignore[return-value]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ended_keeps_nobody_waiting() -> None:
    output = Dying()

    recorder = Recorder([output])
    for _ in range(3):
        with pytest.raises(UsageError, match="the thread of the recorder has ended: TypeError"):
            await recorder.write([batch_of([b"x"])])
    with pytest.raises(UsageError):
        await recorder.close()
    assert output.is_closed
