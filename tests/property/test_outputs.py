"""Outputs that fail, stall and drop at random: every frame and event is written or counted once, in order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError
from cpapi_fast.events import Cause, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.contract.options import OutputOptions
from cpapi_fast.outputs.contract.output import CheckedOutput, Output
from cpapi_fast.outputs.recorder import Recorder
from cpapi_fast.outputs.run_events import OutputGap, RecordedEvent
from tests.support.batches import FRAME_COST, event, numbered
from tests.support.loops import run

CLOCK = Clock(10_000.0)


class Random(Output):
    """An output that fails and stalls at random. It keeps what was safe, and what it was told is missing."""

    def __init__(self, name: str, options: OutputOptions, seed: int, failure_rate: float) -> None:
        self.name = name
        self.options = options
        self.safe: list[int | tuple[RecordedEvent, int]] = []
        self._seen: list[int | tuple[RecordedEvent, int]] = []
        self._random = random.Random(seed)
        self._failure_rate = failure_rate

    def _may_fail(self) -> None:
        found = self._random.random()
        if found < self._failure_rate:
            raise self._random.choice([OSError(5, "away"), ValueError(), SystemExit(1), KeyboardInterrupt()])
        if found > 0.98:
            time.sleep(0.002)

    def open(self) -> None:
        self._may_fail()

    def write(self, batch: Batch) -> None:
        self._seen += batch.conids
        self._may_fail()

    def write_event(self, event: RecordedEvent, row: int) -> None:
        self._seen.append((event, row))
        self._may_fail()

    def flush(self) -> None:
        self._may_fail()
        self.safe += self._seen
        self._seen = []

    def recover(self, error: BaseException) -> None:
        self._seen = []

    @property
    def frames(self) -> list[int]:
        return [item for item in self.safe if isinstance(item, int)]

    @property
    def events(self) -> list[tuple[RecordedEvent, int]]:
        return [item for item in self.safe if not isinstance(item, int)]


options_strategy = st.builds(
    OutputOptions,
    policy=st.sampled_from(["block", "drop_oldest", "drop_newest"]),
    max_queue_bytes=st.integers(1, 40).map(lambda frames: frames * FRAME_COST),
    batch_bytes=st.integers(1, 20).map(lambda frames: frames * FRAME_COST),
    batch_delay_s=st.sampled_from([0, 1.0, 20.0]),
    on_failure=st.sampled_from(["stop", "retry", "drop"]),
    retry_attempts=st.sampled_from([1, 2, 5]),
    retry_delay_s=st.just(0.5),
    retry_max_delay_s=st.just(5.0),
)


def check(output: Random, recorder: Recorder, frames: int, events: int, reports: Sequence[RecordedEvent]) -> None:
    (runner,) = (runner for runner in recorder.runners if runner.name == output.name)
    counts, queue = runner.counts, runner.queue_stats
    assert counts.received == queue.received == frames
    assert counts.pending == queue.pending == queue.pending_bytes == queue.events_pending == 0
    assert counts.written == len(output.frames)
    assert counts.received == counts.written + counts.dropped_total
    assert output.frames == sorted(set(output.frames)), "in order, each once"
    # The events of the feed are in order, each after all frames before it that were written.
    changes = [event.time_ns for event, _ in output.events if isinstance(event, StateChange)]
    assert changes == sorted(set(changes))
    assert queue.events_received >= events
    dropped_events = sum(queue.events_dropped.values())
    assert queue.events_received == queue.events_delivered + dropped_events
    if not dropped_events:
        assert len(changes) == events
    place = -1
    for item in output.safe:
        if isinstance(item, int):
            place = item
        elif not isinstance(item[0], OutputGap):
            assert place < item[1], "no frame that the event is not after comes before it"
    # What was dropped is in the gaps that the run reports. What the output itself is told is less by what follows.
    gaps = [report for report in reports if isinstance(report, OutputGap) and report.output == output.name]
    assert sum(gap.frames_dropped for gap in gaps) == counts.dropped_total
    own = [event for event, _ in output.events if isinstance(event, Gap)]
    assert all(gap.cause is Cause.CONSUMER_OVERFLOW for gap in own)
    assert sum(gap.frames_dropped or 0 for gap in own) <= counts.dropped_total
    before = 0
    for item in output.safe:
        # Each jump in the frames has a gap with its length right before it.
        if isinstance(item, int):
            assert item == before, f"{item - before} frames are missing without a gap"
            before = item + 1
        elif isinstance(item[0], Gap):
            before += item[0].frames_dropped or 0


async def run_all(given_options: Sequence[OutputOptions], sizes: Sequence[int], seed: int, failure_rate: float) -> None:
    outputs = [Random(f"own-{n}", one, seed + n, failure_rate) for n, one in enumerate(given_options)]
    reports: list[RecordedEvent] = []
    recorder = Recorder([CheckedOutput(output) for output in outputs], clock=CLOCK, on_event=reports.append)
    is_done = threading.Event()
    broken: list[str] = []

    def watch() -> None:
        # The identity holds in another thread at any time.
        while not is_done.is_set():
            for runner in recorder.runners:
                counts, queue = runner.counts, runner.queue_stats
                if counts.received != counts.written + counts.dropped_total + counts.pending:
                    broken.append(str(counts))
                if queue.received != queue.delivered + queue.dropped_total + queue.pending:
                    broken.append(str(queue))
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    frames = events = 0
    try:
        for size in sizes:
            items: list[Batch | RecordedEvent] = []
            for _ in range(size % 4 + 1):
                if size:
                    items.append(numbered(frames, size, received_ns=frames + 1))
                    frames += size
                else:
                    items.append(event(events))
                    events += 1
            await recorder.write(items)
        try:
            await recorder.close()
        except CpapiError:
            assert any(one.on_failure == "stop" for one in given_options)
    finally:
        is_done.set()
        watcher.join()
    assert broken == []
    for output in outputs:
        check(output, recorder, frames, events, reports)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(options_strategy, min_size=1, max_size=3),
    st.lists(st.integers(0, 7), min_size=1, max_size=60),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.02, 0.3]),
)
def test_random_outputs(options: list[OutputOptions], sizes: list[int], seed: int, failure_rate: float) -> None:
    run(run_all(options, sizes, seed, failure_rate))


@pytest.mark.parametrize("seed", range(3))
def test_many_frames(seed: int) -> None:
    """At load: three outputs, of which one is always behind."""
    chosen = random.Random(seed)
    options = [
        OutputOptions(policy="block", max_queue_bytes=50 * FRAME_COST, batch_delay_s=0, retry_delay_s=0.1),
        OutputOptions(policy="drop_oldest", max_queue_bytes=20 * FRAME_COST, batch_delay_s=0, on_failure="drop"),
        OutputOptions(policy="drop_newest", max_queue_bytes=20 * FRAME_COST, batch_delay_s=0, on_failure="drop"),
    ]
    run(run_all(options, [chosen.randrange(8) for _ in range(1500)], seed, 0.02))
