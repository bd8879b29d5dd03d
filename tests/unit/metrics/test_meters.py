"""The meters: frames and bytes by kind, and the time until the items of an output are written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.metrics.meters import FrameMeter, WriteMeter
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.batches import batch_of, numbered
from tests.support.frames import smd

HEARTBEAT = b'{"topic":"system","hb":1}'


def ago_ns(seconds: float) -> int:
    return time.time_ns() - int(seconds * 1e9)


def counts_of(received: int, pending: int, dropped: int) -> OutputCounts:
    written = received - pending - dropped
    return OutputCounts(received, written, pending, {"write error": dropped} if dropped else {})


def test_frames_and_bytes_are_counted_by_kind() -> None:
    meter = FrameMeter()
    market_data, other = numbered(1, 3, ago_ns(2)), batch_of([HEARTBEAT, b"no json"], ago_ns(2))
    for batch in (market_data, other):
        meter.on_batch(batch)
    kinds = meter.kinds()
    assert kinds["market_data"] == (3, market_data.nbytes)
    assert kinds["malformed"] == (1, 7)
    assert sum(frames for frames, _ in kinds.values()) == 5 == meter.latency.count
    assert sum(nbytes for _, nbytes in kinds.values()) == market_data.nbytes + other.nbytes
    assert meter.latency.sum_s >= 10.0


@given(st.lists(st.sampled_from([smd(1), HEARTBEAT, b"no json"]), min_size=1, max_size=100))
def test_each_frame_is_counted_with_its_kind(raws: list[bytes]) -> None:
    meter, batch = FrameMeter(), batch_of(raws)
    meter.on_batch(batch)
    expected: dict[str, tuple[int, int]] = {kind.label: (0, 0) for kind in FrameKind}
    for raw, kind in zip(raws, batch.kinds, strict=True):
        frames, nbytes = expected[FrameKind(kind).label]
        expected[FrameKind(kind).label] = (frames + 1, nbytes + len(raw))
    assert meter.kinds() == expected


def test_a_frame_from_the_future_has_no_latency() -> None:
    meter = FrameMeter()
    meter.on_batch(numbered(1, 1, ago_ns(-3600)))
    assert (meter.latency.count, meter.latency.sum_s) == (1, 0.0)


def test_frames_are_measured_when_their_items_are_written() -> None:
    meter = WriteMeter()
    meter.on_batch(numbered(1, 10, ago_ns(20)), counts_of(10, 10, 0))
    meter.on_batch(numbered(1, 5, ago_ns(10)), counts_of(15, 15, 0))
    assert (len(meter), meter.latency.count) == (2, 0)
    meter.settle(counts_of(15, 5, 0))
    assert (len(meter), meter.latency.count) == (1, 10)
    assert 20 <= meter.latency.max_s < 80
    meter.settle(counts_of(15, 0, 0))
    assert (len(meter), meter.latency.count) == (0, 15)


def test_a_batch_without_an_item_of_the_output_is_not_measured() -> None:
    meter = WriteMeter()
    meter.on_batch(numbered(1, 10, ago_ns(20)), counts_of(10, 10, 0))
    meter.on_batch(batch_of([HEARTBEAT], ago_ns(5)), counts_of(10, 10, 0))
    meter.settle(counts_of(10, 0, 0))
    assert meter.latency.count == 10


def test_what_was_dropped_is_not_measured() -> None:
    meter = WriteMeter()
    meter.on_batch(numbered(1, 10, ago_ns(20)), counts_of(10, 10, 0))
    meter.settle(counts_of(10, 0, 10))
    assert (len(meter), meter.latency.count) == (0, 0)


def test_the_receive_times_are_bounded_and_none_is_too_short() -> None:
    meter = WriteMeter()
    count = 20_000
    # One batch per 2 ms, so that none shares the time of the one before.
    start_ns = ago_ns(3600 + count * 0.002)
    for index in range(count):
        meter.on_batch(numbered(1, 1, start_ns + index * 2_000_000), counts_of(index + 1, index + 1, 0))
        assert len(meter) <= 4096
    meter.settle(counts_of(count, 0, 0))
    assert meter.latency.count == count
    mean_s = meter.latency.sum_s / count
    assert 3600 + count * 0.001 <= mean_s < 3700


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60))
def test_each_written_frame_is_measured_once(steps: list[tuple[int, int]]) -> None:
    meter = WriteMeter()
    received = pending = 0
    for index, (added, written) in enumerate(steps):
        received, pending = received + added, pending + added
        if added:
            meter.on_batch(numbered(1, added, 1 + index * 10**9), counts_of(received, pending, 0))
        pending -= min(written, pending)
        meter.settle(counts_of(received, pending, 0))
        assert meter.latency.count <= received - pending
    meter.settle(counts_of(received, 0, 0))
    assert (meter.latency.count, len(meter)) == (received, 0)


@pytest.mark.parametrize("cls", [FrameMeter, WriteMeter])
def test_a_meter_cannot_be_pickled(cls: type) -> None:
    with pytest.raises(TypeError):
        cls().__reduce__()
