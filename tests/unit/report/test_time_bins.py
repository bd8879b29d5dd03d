"""Counts in time bins equal those of a dictionary, for every order of times and while the bins become wider."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.report.intervals import length_ns, union, without
from cpapi_fast.report.sources import time_bins
from cpapi_fast.report.sources.time_bins import MAX_BINS, BinnedCounts, TimeBins

S = 1_000_000_000
INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


@pytest.mark.parametrize("most", [1, 10**9])
@pytest.mark.parametrize("span_s", [1, 1_499, 40_000, 604_800, 40_000_000, 9 * 10**9])
def test_counts_equal_those_of_a_dictionary(span_s: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With 1: the ways that save memory, which small data would not take.
    monkeypatch.setattr(time_bins, "_MAX_DENSE", most)
    monkeypatch.setattr(time_bins, "_MAX_PARTS", most)
    rng = random.Random(span_s)
    bins = TimeBins()
    counts = BinnedCounts(bins)
    items = []
    for chunk in range(6):
        # The first chunks cover little, so that bins become wider later. A clock that is wrong can be before 1970.
        reach = span_s * S * (chunk + 1) // 6
        times = [rng.randrange(-reach, reach) for _ in range(50)]
        rows = [rng.randrange(5) for _ in times]
        bins.cover(min(times), max(times))
        counts.add(np.array(rows, dtype=np.int64), np.array(times, dtype=np.int64))
        items += zip(rows, times, strict=True)
    counts.add(np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    width = bins.width_ns
    expected = Counter((row, time_ns // width) for row, time_ns in items)
    dense = counts.dense(5)
    first = bins.start_ns // width
    assert dense.shape == (5, bins.count)
    assert bins.count <= MAX_BINS
    found = {(row, place + first): dense[row, place] for row in range(5) for place in range(bins.count)}
    assert {key: count for key, count in found.items() if count} == expected


def test_each_width_divides_the_next() -> None:
    widths = time_bins._WIDTHS_S
    assert all(wide % narrow == 0 and wide > narrow for narrow, wide in pairwise(widths))


def steps_of(intervals: list[tuple[int, int]]) -> set[int]:
    return {step for start, end in intervals for step in range(start, end)}


@given(INTERVALS, INTERVALS)
def test_intervals_equal_sets_of_steps(given_intervals: list[tuple[int, int]], holes: list[tuple[int, int]]) -> None:
    whole, left = union(given_intervals), without(given_intervals, holes)
    assert steps_of(whole) == steps_of(given_intervals)
    assert steps_of(left) == steps_of(given_intervals) - steps_of(holes)
    assert length_ns(given_intervals) == len(steps_of(given_intervals))
    for found in (whole, left):
        assert all(start < end for start, end in found)
        assert all(before[1] < after[0] for before, after in pairwise(whole))
        assert found == sorted(found)
