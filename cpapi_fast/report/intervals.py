"""Intervals of time: their union, what is left of them, and their length. Pure functions on pairs of ns"""

from __future__ import annotations

from collections.abc import Iterable

#: A start and an end, in ns since the Unix epoch. The end is not part of it.
Interval = tuple[int, int]


def union(intervals: Iterable[Interval], *, join_ns: int = 0) -> list[Interval]:
    """Return the intervals as few that do not overlap, in order of time; empty ones are left out.

    Args:
        intervals: the intervals, in any order.
        join_ns: two intervals with no more than this between them become one, in ns.
    """
    found: list[Interval] = []
    for start, end in sorted(one for one in intervals if one[0] < one[1]):
        if found and start <= found[-1][1] + join_ns:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def without(intervals: Iterable[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """Return what is left of the intervals outside of the holes, in order of time."""
    left: list[Interval] = []
    cuts = union(holes)
    at = 0
    for start, end in union(intervals):
        while at < len(cuts) and cuts[at][1] <= start:
            at += 1
        begin, index = start, at
        while index < len(cuts) and cuts[index][0] < end:
            if begin < cuts[index][0]:
                left.append((begin, cuts[index][0]))
            begin = max(begin, cuts[index][1])
            index += 1
        if begin < end:
            left.append((begin, end))
    return left


def length_ns(intervals: Iterable[Interval]) -> int:
    """Return the length of the union of the intervals, in ns."""
    return sum(end - start for start, end in union(intervals))
