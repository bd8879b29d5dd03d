"""What the numbers mean: which path became slower, and which costs more than it may beside picows and orjson."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .errors import GateError
from .measure import Counts

#: A path may cost this much of the baseline's instructions, and is named as faster below the inverse.
LIMIT: Final = 1.05

ADVICE: Final = (
    'make the path as cheap as it was (CONTRIBUTING.md, "The gate", says how to see where the instructions go), or '
    "accept the price on purpose: name a newer commit in benchmarks/gate_baseline, with the reason"
)


@dataclass(frozen=True)
class Change:
    """One path before and now; None on the side that does not know it."""

    path: str
    before: float | None
    now: float | None

    @property
    def verdict(self) -> str:
        """`same`, `faster` and `new` pass; `slower` and `gone` do not."""
        if self.before is None:
            return "new"
        if self.now is None:
            return "gone"
        if self.now > self.before * LIMIT:
            return "slower"
        return "faster" if self.now * LIMIT < self.before else "same"

    @property
    def is_failure(self) -> bool:
        """Whether the gate fails because of this path."""
        return self.verdict in ("slower", "gone")

    def __str__(self) -> str:
        before, now = ("-" if value is None else f"{value:,.1f}" for value in (self.before, self.now))
        change = "" if self.before is None or self.now is None else f"{self.now / self.before - 1:+.1%}"
        return f"{self.path:<24}{before:>14}{now:>14}{change:>10}  {self.verdict}"


def compare(before: dict[str, float], now: dict[str, float]) -> list[Change]:
    """Every path of either side, in the order of `now`, the vanished ones last."""
    if not now:
        raise GateError("the driver measured no path at all")
    names = [*now, *(name for name in before if name not in now)]
    return [Change(name, before.get(name), now.get(name)) for name in names]


def failures(changes: list[Change]) -> list[str]:
    """One line for each path that fails, with both numbers and what to do."""
    lines = []
    for change in changes:
        if change.verdict == "slower" and change.before is not None and change.now is not None:
            lines.append(
                f"{change.path} is slower: {change.before:,.1f} instructions per frame before, {change.now:,.1f} now "
                f"({change.now / change.before - 1:+.1%}, the limit is {LIMIT - 1:+.0%}); {ADVICE}"
            )
        elif change.verdict == "gone" and change.before is not None:
            lines.append(
                f"{change.path} is no longer measured ({change.before:,.1f} instructions per frame before, nothing "
                "now); put it back into benchmarks/gate/driver.py, or name a newer commit in "
                "benchmarks/gate_baseline, with the reason"
            )
    return lines


@dataclass(frozen=True)
class Bound:
    """A path may cost at most `limit` times a reference, both measured in one run."""

    path: str
    reference: str
    limit: float
    why: str

    def ratio(self, counts: Counts) -> float:
        """What it costs now, in units of the reference."""
        for name, known in ((self.path, counts.paths), (self.reference, counts.references)):
            if name not in known:
                raise GateError(f"the driver did not measure {name}, which has a limit in benchmarks/gate/verdict.py")
        return counts.paths[self.path] / counts.references[self.reference]


#: What holds without a baseline, and across machines, compilers and versions of Python. `floor` is picows with a
#: listener that only counts, `orjson` is orjson.loads of the same frame. Each limit is the most that CPython 3.10 to
#: 3.13 gave with GCC 12, and a fifth more: another compiler must not break it; a second pass over the payload must.
#: Paths made of Python (pull, subscribe) have none: they cost what the interpreter costs, on 3.10 twice as much.
BOUNDS: Final = (
    Bound("classify/tail", "orjson", 0.019, "to find the route decodes nothing"),
    Bound("classify/walk", "orjson", 0.18, "the walk goes over each byte once"),
    Bound("read/batch", "floor", 0.58, "one copy and one route per frame, no Python object"),
    Bound("read/batches", "floor", 0.78, "as read/batch, and a task that takes each batch"),
    Bound("read/sink", "floor", 0.42, "one route per frame, no copy, no Python object"),
    Bound("read/on_frame", "orjson", 0.22, "a frame in Python's hands costs less than decoding it"),
    Bound("frame/payload", "orjson", 1.36, "a payload is decoded once, and little else happens"),
    Bound("columns/l1", "orjson", 0.28, "six numbers without a Python object"),
    Bound("tracker/scan", "floor", 0.15, "one look-up by the topic's bytes, no Python object"),
    Bound("last_values/update", "orjson", 0.3, "values are copied as they are written, and decoded when asked for"),
    Bound("feed/batch", "floor", 0.95, "as read/batch and tracker/scan, and a few Python calls per read"),
)


def bound_failures(counts: Counts, bounds: tuple[Bound, ...] = BOUNDS) -> list[str]:
    """One line for each bound that is broken."""
    return [
        f"{bound.path} costs {bound.ratio(counts):.3f} times {bound.reference} "
        f"({counts.paths[bound.path]:,.1f} instructions against {counts.references[bound.reference]:,.1f}), the limit "
        f"is {bound.limit:g}: {bound.why}"
        for bound in bounds
        if bound.ratio(counts) > bound.limit
    ]
