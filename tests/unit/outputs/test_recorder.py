"""Recorder: order, threads, failures, deadlines, and that every frame and event is written or counted once."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.collect.reports import OutputSummary
from cpapi_fast.errors import ConfigError, CpapiError, OutputError, UsageError
from cpapi_fast.events import Cause, Certainty, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.capture import CaptureWriter, read_capture
from cpapi_fast.outputs.contract.options import OutputOptions
from cpapi_fast.outputs.contract.output import CheckedOutput, Output
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.outputs.recorder import Recorder
from cpapi_fast.outputs.run_events import DiskChange, FileChange, OutputFailure, OutputGap, RecordedEvent
from tests.support.batches import FRAME_COST, batch_of, event, numbered
from tests.support.loops import until

STOP = OutputOptions(policy="block", batch_delay_s=0, on_failure="stop", flush_deadline_s=None)
#: A clock with which retries take no time. A deadline is at least 5 real seconds all the same.
FAST = Clock(1000.0)


class Fake:
    """An output that counts itself, as those of files do. It can be slow, and can fail."""

    unit = "frames"

    def __init__(
        self, name: str = "fake", *, fail_at: int | None = None, fail_on: str = "write", poll_s: float = 60.0
    ) -> None:
        self.name = name
        self.options = STOP
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


class FakeEvents:
    """The same for events."""

    unit = "events"

    def __init__(self, name: str = "fake_events", *, fail_at: int | None = None) -> None:
        self.name = name
        self.options = STOP
        self.counts = OutputCounts()
        self.events: list[tuple[object, int]] = []
        self.is_closed = False
        self._fail_at = fail_at

    def write_event(self, event: object, row: int) -> None:
        self.counts.received += 1
        if len(self.events) == self._fail_at:
            self.counts.drop(1, "write error")
            raise OutputError("cannot write events", path="events")
        self.events.append((event, row))
        self.counts.written += 1

    def discard_event(self, _event: object) -> None:
        self.counts.received += 1
        self.counts.drop(1, "write error")

    def close(self) -> None:
        self.is_closed = True


class Own(Output):
    """An output of a program: it does not count, and does what a test tells it."""

    def __init__(self, name: str = "own", failures: int = 0, error: BaseException | None = None, **options: object):
        self.name = name
        self.options = OutputOptions(**({"batch_delay_s": 0} | options))  # type: ignore[arg-type]
        self.seen: list[object] = []
        self.safe: list[object] = []
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failures = failures
        self._error = error or OSError(5, "the broker is away")

    def open(self) -> None:
        self.calls.append("open")

    def write(self, batch: Batch) -> None:
        self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise self._error
        self.seen += batch.conids

    def write_event(self, event: RecordedEvent, row: int) -> None:
        self.seen.append((event, row))

    def flush(self) -> None:
        self.calls.append("flush")
        self.safe += self.seen
        self.seen = []

    def recover(self, error: BaseException) -> None:
        self.calls.append(f"recover {type(error).__name__}")
        self.seen = []

    def close(self) -> None:
        self.calls.append("close")

    @property
    def frames(self) -> list[object]:
        return [item for item in self.safe if isinstance(item, int)]


def recorder_of(*outputs: object, clock: Clock = FAST, reports: list[RecordedEvent] | None = None) -> Recorder:
    checked = [CheckedOutput(output) for output in outputs]
    return Recorder(checked, clock=clock, on_event=None if reports is None else reports.append)


def counts_of(recorder: Recorder, name: str) -> OutputCounts:
    (found,) = (runner.counts for runner in recorder.runners if runner.name == name)
    return found


def check_identity(recorder: Recorder) -> None:
    for runner in recorder.runners:
        counts, queue = runner.counts, runner.queue_stats
        assert counts.received == counts.written + counts.taken_away + counts.dropped_total + counts.pending
        assert queue.received == queue.delivered + queue.dropped_total + queue.pending
        events = queue.events_delivered + sum(queue.events_dropped.values()) + queue.events_pending
        assert queue.events_received == events


@pytest.mark.each_loop
async def test_all_batches_in_order_to_all_outputs() -> None:
    batches = [batch_of([b"%d" % number]) for number in range(1000)]
    outputs = (Fake("one"), Fake("two"))

    recorder = recorder_of(*outputs)
    for batch in batches:
        await recorder.write([batch])
    await recorder.close()
    await recorder.close()
    with pytest.raises(UsageError):
        await recorder.write([batches[0]])
    for output in outputs:
        assert output.batches == batches
        assert all(batch is same for batch, same in zip(output.batches, batches, strict=True)), "by reference"
        assert output.is_closed
        assert output.threads.isdisjoint({threading.get_ident()}), "never in the loop's thread"
    assert outputs[0].threads.isdisjoint(outputs[1].threads)


async def test_an_output_that_hangs_does_not_stop_another_one() -> None:
    slow, quick = Own("slow", max_queue_bytes=10 * FRAME_COST), Own("quick")
    slow.gate.clear()

    recorder = recorder_of(slow, quick)
    for number in range(1000):
        await recorder.write([numbered(number, 1)])
    await until(lambda: counts_of(recorder, "quick").written == 1000)
    check_identity(recorder)
    slow.gate.set()
    await recorder.close()
    check_identity(recorder)
    assert quick.frames == list(range(1000))
    counts = counts_of(recorder, "slow")
    assert counts.written == len(slow.frames)
    assert counts.dropped == {"queue full": 1000 - counts.written}


async def test_a_blocking_output_holds_the_stream_until_half_is_free() -> None:
    own = Own(policy="block", max_queue_bytes=10 * FRAME_COST, batch_bytes=1)
    own.gate.clear()

    recorder = recorder_of(own)
    for number in range(9):
        await recorder.write([numbered(number, 1)])
    writing = asyncio.create_task(recorder.write([numbered(9, 1)]))
    await asyncio.sleep(0.05)
    assert not writing.done()
    assert recorder.waiting_bytes == FRAME_COST
    own.gate.set()
    await writing
    assert recorder.pending_bytes <= 5 * FRAME_COST
    await recorder.close()
    assert own.frames == list(range(10))


async def test_the_end_of_a_run_holds_nothing() -> None:
    own = Own(policy="block", max_queue_bytes=1, flush_deadline_s=1.0)
    own.gate.clear()

    recorder = recorder_of(own)
    writing = asyncio.create_task(recorder.write([numbered(0, 1)]))
    await asyncio.sleep(0.01)
    recorder.release()
    await writing
    await recorder.write([numbered(1, 1)])
    own.gate.set()
    await recorder.close()
    assert own.frames == [0, 1]


async def test_items_of_a_cancelled_write_are_written_all_the_same() -> None:
    own = Own(policy="block", max_queue_bytes=1)
    own.gate.clear()

    recorder = recorder_of(own)
    writing = asyncio.create_task(recorder.write([numbered(0, 1), numbered(1, 1)]))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    own.gate.set()
    await recorder.close()
    assert own.frames == [0, 1]


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_what_a_queue_drops_is_a_gap_at_its_place(policy: str) -> None:
    own = Own(policy=policy, max_queue_bytes=3 * FRAME_COST, batch_bytes=1)
    own.gate.clear()
    reports: list[RecordedEvent] = []

    recorder = recorder_of(own, reports=reports)
    await recorder.write([numbered(0, 1, received_ns=1000)])
    await until(lambda: recorder.runners[0]._queue._taken != [])
    for number in range(1, 10):
        await recorder.write([numbered(number, 1, received_ns=1000 + number), event(number)])
    own.gate.set()
    await until(lambda: recorder.pending_bytes == 0)
    await recorder.write([numbered(10, 1, received_ns=1010)])
    await recorder.close()
    check_identity(recorder)
    kept = [0, 8, 9, 10] if policy == "drop_oldest" else [0, 1, 2, 10]
    assert own.frames == kept
    assert counts_of(recorder, "own").dropped == {"queue full": 7}
    # All events at their rows, and the gap right before the first frame after it.
    events = [item for item in own.safe if isinstance(item, tuple) and isinstance(item[0], StateChange)]
    assert events == [(event(number), number + 1) for number in range(1, 10)]
    first_good = 8 if policy == "drop_oldest" else 10
    last_good_ns = 1000 if policy == "drop_oldest" else 1002
    gap = Gap(None, last_good_ns, 1000 + first_good, Cause.CONSUMER_OVERFLOW, 7, Certainty.CERTAIN)
    assert own.safe[own.safe.index(first_good) - 1] == (gap, first_good)
    (reported,) = (report for report in reports if isinstance(report, OutputGap))
    assert (reported.output, reported.reason, reported.frames_dropped) == ("own", "queue full", 7)
    assert reported.first_row == (1 if policy == "drop_oldest" else 3)
    assert (reported.last_good_ns, reported.first_good_ns) == (last_good_ns, 1000 + first_good)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_frames_that_are_dropped_last_are_reported_at_the_end(policy: str) -> None:
    own = Own(policy=policy, max_queue_bytes=FRAME_COST, batch_bytes=1, on_failure="drop", failures=10)
    reports: list[RecordedEvent] = []

    recorder = recorder_of(own, reports=reports)
    await recorder.write([numbered(0, 2)])
    await recorder.close()
    check_identity(recorder)
    assert counts_of(recorder, "own").dropped == {"write error": 2}
    (gap,) = (report for report in reports if isinstance(report, OutputGap))
    assert (gap.frames_dropped, gap.reason, gap.first_good_ns, gap.first_row) == (2, "write error", None, 0)


async def test_too_many_events_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cpapi_fast.outputs.contract.output_queue.MAX_EVENTS", 5)
    own = Own(batch_bytes=1)
    own.gate.clear()

    recorder = recorder_of(own)
    await recorder.write([numbered(0, 1)])
    await until(lambda: recorder.runners[0]._queue._taken != [])
    for number in range(1, 9):
        await recorder.write([event(number), numbered(number, 1)])
    own.gate.set()
    await recorder.close()
    check_identity(recorder)
    assert own.frames == list(range(9))
    assert recorder.runners[0].queue_stats.events_dropped == {"queue full": 3}
    assert [item[0] for item in own.safe if isinstance(item, tuple) and not isinstance(item[0], Gap)] == [
        event(number) for number in range(4, 9)
    ]


async def test_an_output_is_retried_and_has_everything_once() -> None:
    own = Own(failures=3, retry_delay_s=0.5, retry_max_delay_s=1.0)
    reports: list[RecordedEvent] = []

    recorder = recorder_of(own, reports=reports)
    for number in range(10):
        await recorder.write([numbered(number, 1), event(number)])
    await until(lambda: counts_of(recorder, "own").written == 10)
    check_identity(recorder)
    await recorder.close()
    assert own.frames == list(range(10))
    assert [item for item in own.safe if isinstance(item, tuple) and item[0] in [event(n) for n in range(10)]] == [
        (event(number), number + 1) for number in range(10)
    ]
    assert own.calls.count("recover OSError") == 3
    assert own.calls[0] == "open"
    assert own.calls[-1] == "close"
    first, last = (report for report in reports if isinstance(report, OutputFailure))
    assert (first.is_failing, first.on_failure, first.error) == (True, "retry", "OSError: [Errno 5] the broker is away")
    assert not last.is_failing
    assert last.duration_s is not None
    assert counts_of(recorder, "own").dropped == {}


async def test_retries_end_after_their_number() -> None:
    own = Own(failures=3, retry_attempts=3, retry_delay_s=0.1, batch_bytes=1)

    recorder = recorder_of(own)
    await recorder.write([numbered(0, 1)])
    await until(lambda: counts_of(recorder, "own").dropped_total == 1)
    await recorder.write([numbered(1, 1)])
    await recorder.close()
    check_identity(recorder)
    assert own.frames == [1]
    assert counts_of(recorder, "own").dropped == {"write error": 1}
    assert any(isinstance(item, tuple) and isinstance(item[0], Gap) for item in own.safe)


async def test_with_drop_the_run_and_the_output_continue() -> None:
    own, other = Own(failures=2, on_failure="drop", batch_bytes=1), Own("other")
    reports: list[RecordedEvent] = []

    recorder = recorder_of(own, other, reports=reports)
    for number in range(5):
        await recorder.write([numbered(number, 1)])
        await until(lambda number=number: recorder.runners[0].queue_stats.received == number + 1)
        await until(lambda: recorder.pending_bytes == 0)
    await recorder.close()
    check_identity(recorder)
    assert own.frames == [2, 3, 4]
    assert other.frames == [0, 1, 2, 3, 4]
    assert counts_of(recorder, "own").dropped == {"write error": 2}
    assert sum(isinstance(report, OutputFailure) and report.is_failing for report in reports) == 1


async def test_with_stop_the_run_ends_and_the_others_are_finished() -> None:
    first, second = Fake("first", fail_at=3), Fake("second")

    recorder = recorder_of(first, second)
    failed = asyncio.create_task(recorder.failed())
    for number in range(20):
        await recorder.write([numbered(2 * number, 2)])
    with pytest.raises(OutputError, match="cannot write fake"):
        await failed
    with pytest.raises(OutputError, match="cannot write fake"):
        await recorder.close()
    check_identity(recorder)
    assert (first.counts.received, first.counts.written) == (40, 6)
    assert first.counts.dropped == {"write error": 34}
    assert second.counts.written == 40
    assert first.is_closed
    assert second.is_closed


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), ValueError("no"), Exception()])
@pytest.mark.parametrize("on_failure", ["stop", "drop"])
async def test_any_exception_is_a_failure(error: BaseException, on_failure: str) -> None:
    own, other = Own(failures=1, error=error, on_failure=on_failure, batch_bytes=1), Own("other")

    recorder = recorder_of(own, other)
    await recorder.write([numbered(0, 1)])
    await until(lambda: counts_of(recorder, "own").dropped_total == 1)
    await recorder.write([numbered(1, 1)])
    if on_failure == "stop":
        with pytest.raises(CpapiError, match=f"the output 'own' raised {type(error).__name__}") as caught:
            await recorder.close()
        assert caught.value.__cause__ is error
    else:
        await recorder.close()
    check_identity(recorder)
    assert other.frames == [0, 1]
    assert own.frames == ([1] if on_failure == "drop" else [])


async def test_an_error_shows_no_secret() -> None:
    own = Own(failures=1, error=ValueError("U1234567 session=0123456789abcdef0123456789abcdef"), on_failure="stop")

    recorder = recorder_of(own)
    await recorder.write([numbered(0, 1)])
    with pytest.raises(OutputError) as caught:
        await recorder.close()
    for secret in ("U1234567", "0123456789abcdef"):
        assert secret not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("on_failure", ["stop", "retry"])
async def test_the_deadline_ends_a_run_whose_output_hangs(on_failure: str) -> None:
    own = Own(flush_deadline_s=0.2, on_failure=on_failure, batch_bytes=1)
    other = Own("other")
    own.gate.clear()
    reports: list[RecordedEvent] = []

    # At this speed the deadline is not shortened.
    recorder = recorder_of(own, other, clock=Clock(1.0), reports=reports)
    for number in range(10):
        await recorder.write([numbered(number, 1)])
    if on_failure == "stop":
        with pytest.raises(OutputError, match=r"'own' has not finished within 0.2 s; 10 frames and 0 events"):
            await recorder.close()
    else:
        await recorder.close()
    check_identity(recorder)
    counts = counts_of(recorder, "own")
    assert counts.dropped == {"flush deadline": 10}
    assert counts.pending == 0
    assert other.frames == list(range(10))
    (gap,) = (report for report in reports if isinstance(report, OutputGap))
    assert (gap.reason, gap.frames_dropped) == ("flush deadline", 10)
    failures = [report for report in reports if isinstance(report, OutputFailure)]
    follows = {"stop": "stop", "retry": "drop"}[on_failure]
    assert [failure.on_failure for failure in failures] == [follows], "nothing is retried after the end"
    own.gate.set()
    recorder.runners[0]._thread.join(60)
    assert counts_of(recorder, "own") == counts, "a thread that is left behind changes nothing"


async def test_the_deadline_ends_retries_too() -> None:
    own = Own(failures=10**9, flush_deadline_s=0.2, retry_delay_s=0.01)

    recorder = recorder_of(own, clock=Clock(1.0))
    await recorder.write([numbered(0, 3), event(0)])
    await recorder.close()
    check_identity(recorder)
    assert counts_of(recorder, "own").dropped == {"flush deadline": 3}


class HangingInClose(Own):
    """An output whose `close` does not return."""

    def close(self) -> None:
        self.gate.clear()
        self.gate.wait()


async def test_a_close_that_hangs_loses_nothing() -> None:
    own = HangingInClose(flush_deadline_s=0.2)

    recorder = recorder_of(own, clock=Clock(1.0))
    await recorder.write([numbered(0, 3)])
    await recorder.close()
    assert (counts_of(recorder, "own").written, counts_of(recorder, "own").dropped) == (3, {})
    own.gate.set()


class FailingToOpen(Own):
    """An output that cannot be opened for a while, or closed."""

    def open(self) -> None:
        super().open()
        if self.calls.count("open") < 3:
            raise ConnectionRefusedError(111, "refused")

    def close(self) -> None:
        raise ValueError("closed before")


async def test_open_is_retried_and_a_failure_of_close_is_reported() -> None:
    own = FailingToOpen(retry_delay_s=0.1)
    reports: list[RecordedEvent] = []

    recorder = recorder_of(own, reports=reports)
    await recorder.write([numbered(0, 3)])
    await recorder.close()
    assert own.frames == [0, 1, 2]
    errors = [report.error for report in reports if isinstance(report, OutputFailure) and report.is_failing]
    assert errors == ["ConnectionRefusedError: [Errno 111] refused", "ValueError: closed before"]


async def test_batch_bytes_and_delay_decide_when_an_output_is_called() -> None:
    by_size, by_time = Own("size", batch_bytes=10 * FRAME_COST, batch_delay_s=10**6), Own("time", batch_delay_s=0.5)

    recorder = recorder_of(by_size, by_time, clock=Clock(1.0))
    for number in range(9):
        await recorder.write([numbered(number, 1)])
    await until(lambda: counts_of(recorder, "time").written == 9)
    assert by_time.calls.count("flush") == 1
    assert by_size.frames == []
    await recorder.write([numbered(9, 1)])
    await until(lambda: counts_of(recorder, "size").written == 10)
    assert by_size.calls.count("flush") == 1
    await recorder.write([numbered(10, 1)])
    await recorder.close()
    assert by_size.frames == list(range(11))


async def test_events_keep_their_place_between_the_frames() -> None:
    frames, events = Fake(), FakeEvents()
    changes = [DiskChange(number, True, "block") for number in range(3)]

    recorder = recorder_of(frames, events)
    recorder.put_event(changes[0])
    await recorder.write([batch_of([b"1", b"2"])])
    recorder.put_event(changes[1])
    await recorder.write([batch_of([b"3"])])
    recorder.put_event(changes[2])
    await recorder.close()
    with pytest.raises(UsageError):
        recorder.put_event(changes[0])
    assert events.events == [(changes[0], 0), (changes[1], 2), (changes[2], 3)]
    assert events.is_closed


async def test_a_failing_output_of_events_ends_the_run_too() -> None:
    frames, events = Fake(), FakeEvents(fail_at=1)

    recorder = recorder_of(frames, events)
    for number in range(3):
        recorder.put_event(DiskChange(number, True, "block"))
    with pytest.raises(OutputError, match="events"):
        await recorder.failed()
    await recorder.write([batch_of([b"1"])])
    with pytest.raises(OutputError, match="events"):
        await recorder.close()
    # The fourth event is the failure.
    counts = counts_of(recorder, "fake_events")
    assert (counts.received, counts.written, counts.dropped_total) == (4, 1, 3)
    assert frames.counts.written == 1


@pytest.mark.parametrize("fail_on", ["poll", "close"])
async def test_other_failures_are_raised_too(fail_on: str) -> None:
    output = Fake(fail_on=fail_on, fail_at=1, poll_s=0.001)

    recorder = recorder_of(output)
    await recorder.write([batch_of([b"x"])])
    if fail_on == "poll":
        with pytest.raises(OutputError):
            await recorder.failed()
    with pytest.raises(OutputError):
        await recorder.close()
    assert output.counts.written == 1


async def test_polls_when_nothing_comes() -> None:
    output = Fake(poll_s=1.0)

    recorder = recorder_of(output, clock=Clock(100.0))
    await until(lambda: output.polls >= 4)
    await recorder.close()


async def test_capture_is_flushed_in_time_without_another_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"

    recorder = Recorder([CheckedOutput(CaptureWriter(path, flush_interval_s=0.05), STOP)])
    await recorder.write([batch_of([b"{}"])])
    started_s = time.monotonic()
    while read_capture(path).read_all().num_rows == 0:
        assert time.monotonic() - started_s < 60
        await asyncio.sleep(0.01)
    await recorder.close()


async def test_each_slow_phase_is_reported_with_its_end() -> None:
    own = Own(policy="block", max_queue_bytes=100 * FRAME_COST)
    own.gate.clear()
    reports: list[RecordedEvent] = []

    recorder = recorder_of(own, reports=reports)
    for number in range(60):
        await recorder.write([numbered(number, 1)])
    own.gate.set()
    await recorder.close()
    first, last = (report for report in reports if isinstance(report, DiskChange))
    assert (first.output, first.is_slow, first.policy, first.duration_s) == ("own", True, "block", None)
    assert (last.output, last.is_slow) == ("own", False)
    assert last.duration_s is not None


class Undiscarding(Fake):
    """An output that fails, and fails again when it only has to count."""

    def discard(self, _batch: Batch) -> None:
        raise ValueError("cannot even count")


async def test_an_output_that_cannot_discard_keeps_nobody_waiting() -> None:
    first, second = Undiscarding("first", fail_at=0), Fake("second")

    recorder = recorder_of(first, second)
    for _ in range(3):
        await recorder.write([batch_of([b"x"]) for _ in range(3)])
    with pytest.raises(OutputError, match="cannot write fake"):
        await recorder.close()
    assert second.counts.written == 9


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
    reports: list[RecordedEvent] = []

    recorder = recorder_of(frames, events, reports=reports)
    await until(lambda: len(reports) == 1)
    await recorder.write([batch_of([b"1", b"2"])])
    await recorder.close()
    assert [report.path for report in reports if isinstance(report, FileChange)] == [
        "during poll",
        "during write",
        "during close",
    ]
    assert [event for event, _ in events.events] == reports
    assert [row for _, row in events.events] == [0, 2, 2]
    assert frames.changes == []


class Dying(Fake):
    """An output whose error has no handler, because it is in the thread's own code."""

    @property
    def changes(self) -> list[FileChange]:
        raise TypeError("no changes")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ended_keeps_nobody_waiting() -> None:
    output = Dying()

    recorder = recorder_of(output)
    for _ in range(3):
        await recorder.write([batch_of([b"x"])])
    with pytest.raises(UsageError, match="the thread of the output 'fake' has ended: TypeError"):
        await recorder.close()
    check_identity(recorder)
    assert output.is_closed


async def test_two_outputs_with_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two outputs with the name 'fake'"):
        recorder_of(Fake(), Fake())


@pytest.mark.parametrize("due_s", [None, "soon"])
async def test_an_output_whose_poll_returns_no_number_has_failed(due_s: float) -> None:
    recorder = recorder_of(Fake(poll_s=due_s))
    with pytest.raises(OutputError, match="the output 'fake' raised TypeError"):
        await recorder.close()
    check_identity(recorder)


class Crowded(Own):
    """An output of a program whose own attributes have names that outputs of files use otherwise."""

    unit = 5
    changes = ("mine",)
    mismatches = None

    def poll(self, _timeout_s: float) -> None:
        raise AssertionError

    def discard(self) -> None:
        raise AssertionError

    def units_of(self, _batch: Batch) -> int:
        raise AssertionError

    def files(self) -> None:
        raise AssertionError


async def test_attributes_of_a_program_are_not_used() -> None:
    output, reports = Crowded(policy="drop_newest", max_queue_bytes=1), []
    recorder = recorder_of(output, reports=reports)
    output.gate.clear()
    for number in range(4):
        await recorder.write([numbered(number, 1)])
    output.gate.set()
    await recorder.close()
    check_identity(recorder)
    assert all(isinstance(report, (DiskChange, OutputGap)) for report in reports)
    summary = OutputSummary.of(recorder.runners[0])
    assert (summary.unit, summary.files, summary.mismatches, summary.left_out) == ("frames", (), {}, 0)


class Unopened(Own):
    """An output that cannot be opened."""

    def open(self) -> None:
        raise ConnectionRefusedError


@pytest.mark.parametrize("on_failure", ["stop", "retry", "drop"])
async def test_what_was_never_opened_is_not_closed(on_failure: str) -> None:
    output = Unopened(on_failure=on_failure, retry_attempts=2)
    recorder = recorder_of(output)
    await recorder.write([numbered(0, 3)])
    if on_failure == "stop":
        with pytest.raises(OutputError, match="ConnectionRefusedError"):
            await recorder.close()
    else:
        await recorder.close()
    check_identity(recorder)
    assert output.calls == []
    assert counts_of(recorder, "own").dropped == {"write error": 3}


class CountingUnopened(Fake):
    """An output that counts itself, and cannot be opened for the first times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.options = OutputOptions(batch_delay_s=0, on_failure="drop")
        self.failures = failures

    def open(self) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise ConnectionRefusedError


async def test_frames_before_an_output_with_counts_is_open_are_counted() -> None:
    output = CountingUnopened(3)
    recorder = recorder_of(output)
    for number in range(5):
        await recorder.write([numbered(number, 2)])
    await recorder.close()
    check_identity(recorder)
    counts, queue = counts_of(recorder, "fake"), recorder.runners[0].queue_stats
    assert (counts.received, counts.written, counts.dropped) == (10, 6, {"write error": 4})
    assert (queue.received, queue.failures, queue.retries) == (10, 3, 0)


async def test_failures_and_retries_are_counted() -> None:
    recorder = recorder_of(Own(failures=3))
    await recorder.write([numbered(0, 1)])
    await recorder.close()
    queue = recorder.runners[0].queue_stats
    assert (queue.delivered, queue.failures, queue.retries) == (1, 3, 3)


async def test_an_idle_output_keeps_no_batch_in_memory() -> None:
    output = Own()
    recorder = recorder_of(output)
    batch = numbered(0, 1)
    before = sys.getrefcount(batch)
    await recorder.write([batch])
    await until(lambda: sys.getrefcount(batch) == before)
    await recorder.close()
    assert output.frames == [0]


class Meter:
    """A meter that keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.settled: list[tuple[int, int]] = []

    def on_batch(self, batch: Batch, counts: OutputCounts, /) -> None:
        assert len(batch)
        self.received.append(counts.received)

    def settle(self, counts: OutputCounts, /) -> None:
        self.settled.append((counts.received, counts.pending))


async def test_the_times_of_written_frames_are_measured() -> None:
    meters: dict[str, Meter] = {}
    outputs = [CheckedOutput(output) for output in (Fake(), Own(failures=1), FakeEvents())]
    recorder = Recorder(outputs, clock=FAST, meter_of=lambda name: meters.setdefault(name, Meter()))
    for number in range(3):
        await recorder.write([numbered(2 * number, 2), event(number)])
    await recorder.close()
    assert list(meters) == ["fake", "own"]
    for meter in meters.values():
        assert meter.received == [2, 4, 6]
        assert meter.settled[-1] == (6, 0)
