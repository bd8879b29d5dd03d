"""The histogram: each bound includes its value, the error is bounded, and nothing is lost."""

from __future__ import annotations

import bisect
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast import UsageError
from cpapi_fast.metrics import LatencyHistogram

#: Latencies from below zero to beyond the last bound.
LATENCIES = st.integers(-(10**9), 2**40)


def test_a_new_histogram_is_empty() -> None:
    histogram = LatencyHistogram()
    assert (histogram.count, histogram.sum_s, histogram.max_s, histogram.quantile(0.5)) == (0, 0.0, 0.0, 0.0)
    assert {count for _, count in histogram.cumulative()} == {0}


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_the_bounds_rise_by_the_steps_of_each_doubling(steps: int) -> None:
    bounds = [bound for bound, _ in LatencyHistogram().cumulative(steps)]
    assert bounds == sorted(set(bounds))
    assert bounds[-1] == 67.108864
    assert len([bound for bound in bounds if 1.048576 < bound <= 2.097152]) == steps


@given(st.lists(st.tuples(LATENCIES, st.integers(0, 1000)), max_size=30))
def test_the_counts_are_those_of_a_list(observed: list[tuple[int, int]]) -> None:
    histogram = LatencyHistogram()
    values: list[int] = []
    for latency_ns, count in observed:
        histogram.observe(latency_ns, count)
        values += [max(latency_ns, 0)] * count
    values.sort()
    for bound_s, count in histogram.cumulative(8):
        # The bounds are whole microseconds, and each includes its value.
        assert count == bisect.bisect_right(values, round(bound_s * 1e6) * 1000)
    assert histogram.count == len(values)
    assert histogram.sum_s == pytest.approx(sum(values) / 1e9)
    if values:
        assert histogram.quantile(1.0) == pytest.approx(values[-1] / 1e9)


@given(st.integers(8_000, 67_000_000_000))
def test_a_quantile_is_at_most_an_eighth_too_large(latency_ns: int) -> None:
    histogram = LatencyHistogram()
    histogram.observe(latency_ns)
    histogram.observe(200_000_000_000, 1)
    assert latency_ns / 1e9 <= histogram.quantile(0.5) <= latency_ns / 1e9 * 1.126


def test_wrong_arguments_are_refused() -> None:
    histogram = LatencyHistogram()
    with pytest.raises(UsageError, match="negative"):
        histogram.observe(1, -1)
    with pytest.raises(UsageError, match="1, 2, 4 or 8"):
        histogram.cumulative(3)
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="from 0 to 1"):
            histogram.quantile(fraction)
    with pytest.raises(TypeError):
        pickle.dumps(histogram)
