"""Compares counts: finds paths that became slower, and paths that cost too much relative to picows or orjson."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from rich.table import Table

from benchmarks.tables import table

from .measure import Counts, GateError

#: The maximum ratio of a path's instructions to the baseline's. Below the inverse, the path counts as faster.
LIMIT: Final = 1.05

ADVICE: Final = (
    'CONTRIBUTING.md, "The gate", explains how to find the instructions, and how to accept a slower path in '
    "benchmarks/gate/accepted.py"
)


class Change(NamedTuple):
    """The counts of one path before and now, None if the path does not exist there, and the ratio that is accepted."""

    path: str
    before: float | None
    now: float | None
    limit: float = LIMIT

    @property
    def ratio(self) -> float | None:
        """The cost now divided by the cost before; None if there is only one of them."""
        return None if self.before is None or self.now is None else self.now / self.before

    @property
    def verdict(self) -> str:
        """`same`, `faster`, `new` and `accepted` pass; `slower` and `gone` fail."""
        if self.ratio is None:
            return "new" if self.before is None else "gone"
        if self.ratio > LIMIT:
            return "slower" if self.ratio > self.limit else "accepted"
        return "faster" if self.ratio * LIMIT < 1 else "same"

    def __str__(self) -> str:
        numbers = f"{_shown(self.before)} instructions per frame before, {_shown(self.now)} now"
        if self.ratio is None:
            return f"{self.path} is no longer measured: {numbers}; {ADVICE}"
        return f"{self.path} is slower: {numbers} ({self.ratio - 1:+.1%}, the limit is {self.limit - 1:+.0%}); {ADVICE}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def compare(
    before: dict[str, float], now: dict[str, float], accepted: Mapping[str, float] | None = None
) -> list[Change]:
    """Return a change for every path, in the order of `now`, with the removed paths last.

    Args:
        before: the counts of the baseline, by path.
        now: those of the work tree.
        accepted: the ratios that are accepted, by path; `LIMIT` for all others.
    """
    limits = {} if accepted is None else accepted
    if not now:
        raise GateError("the driver measured no path at all")
    return [
        Change(name, before.get(name), now.get(name), limits.get(name, LIMIT))
        for name in dict.fromkeys((*now, *before))
    ]


def failures(changes: list[Change]) -> list[Change]:
    """Return the changes that fail. The `str` of each has both counts and advice."""
    return [change for change in changes if change.verdict in ("slower", "gone")]


def table_of(changes: list[Change]) -> Table:
    """Return a table with one row for each path."""
    made = table("instructions per frame", "path", "baseline", "now", "change", "")
    for change in changes:
        percent = "" if change.ratio is None else f"{change.ratio - 1:+.1%}"
        made.add_row(change.path, _shown(change.before), _shown(change.now), percent, change.verdict)
    return made


class Bound(NamedTuple):
    """A limit on the cost of a path relative to a reference that is measured in the same run."""

    path: str
    reference: str
    limit: float
    why: str

    def ratio(self, counts: Counts) -> float:
        """Return the cost of the path divided by that of the reference."""
        for name, known in ((self.path, counts.paths), (self.reference, counts.references)):
            if name not in known:
                raise GateError(f"the driver did not measure {name}, which has a limit in benchmarks/gate/verdict.py")
        return counts.paths[self.path] / counts.references[self.reference]


#: These limits apply without a baseline, and on all machines, compilers and versions of Python. `floor` is picows with
#: a listener that only counts; `orjson` is orjson.loads of the same frame. Each limit is 20 % above the maximum of
#: CPython 3.10 to 3.13 with GCC 12, so that another compiler does not exceed it, but a second pass over the payload
#: does. Paths in Python (pull, subscribe) have no limit, because the interpreter determines their cost.
BOUNDS: Final = (
    Bound("classify/tail", "orjson", 0.019, "finding the route decodes nothing"),
    Bound("classify/walk", "orjson", 0.18, "the walk reads each byte once"),
    Bound("read/batch", "floor", 0.58, "one copy and one route per frame, no Python object"),
    Bound("read/batches", "floor", 0.78, "as read/batch, and a task that receives each batch"),
    Bound("read/sink", "floor", 0.42, "one route per frame, no copy, no Python object"),
    Bound("read/on_frame", "orjson", 0.22, "a frame for Python costs less than decoding it"),
    Bound("frame/payload", "orjson", 1.36, "a payload is decoded once, and little else happens"),
    Bound("frame/message", "orjson", 1.85, "as frame/payload, and six numbers that are converted from the dict in C"),
    Bound("columns/l1", "orjson", 0.28, "six numbers without a Python object"),
    Bound("tracker/scan", "floor", 0.15, "one lookup of the topic's bytes, no Python object"),
    Bound("last_values/update", "orjson", 0.3, "values are copied as text, and decoded only when they are read"),
    Bound("rows/quotes", "orjson", 0.4, "the walk, and a row in columns, no Python object"),
    Bound("rows/capture", "floor", 0.08, "one copy of each column, no Python object"),
    Bound("feed/batch", "floor", 0.95, "as read/batch and tracker/scan, and a few Python calls per read"),
)


def bound_failures(counts: Counts, bounds: tuple[Bound, ...] = BOUNDS) -> list[str]:
    """Return one line for each bound that is exceeded."""
    return [
        f"{bound.path} costs {bound.ratio(counts):.3f} times {bound.reference} ({counts.paths[bound.path]:,.1f} and "
        f"{counts.references[bound.reference]:,.1f} per frame), the limit is {bound.limit:g}: {bound.why}"
        for bound in bounds
        if bound.ratio(counts) > bound.limit
    ]


def table_of_bounds(title: str, counts: Counts, bounds: tuple[Bound, ...] = BOUNDS) -> Table:
    """Return a table with one row for each bound."""
    made = table(f"{title}: limits on ratios", "path", "reference", "ratio", "limit", texts=2)
    for bound in bounds:
        made.add_row(bound.path, bound.reference, f"{bound.ratio(counts):.3f}", f"{bound.limit:g}")
    return made
