"""The collectors to measure, from a socket to files: one in each file. Each runs in its own process.

A collector subscribes to market data, and the sender starts with the last subscription. Until the sender closes, it
writes every frame to `capture-*`, an Arrow IPC stream with the columns `received_ns`, `kind`, `conid` and `raw`, and
the whole state after each frame to `quotes-*.parquet`, with the columns of `quotes_schema()`. The receive time is one
per socket read. The files are finished and flushed to the disk before the clock stops. Then it prints one line of JSON:

    frames        the frames that were received, those before the corpus included
    measured      the frames between the start and the stop of the clocks
    wall_ns       the time for them
    cpu_ns        the CPU time of the process for them, user and system
    loop_cpu_ns   the CPU time of the thread that reads the socket
    memory_mb     the memory during the run, one or more samples
    max_rss_kib   the peak memory of the process
    versions      the versions of the packages that matter to the result
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.worker import peak_memory_kib


class Clocks(NamedTuple):
    """Readings of the clocks. Take them in the thread that reads the socket."""

    wall_ns: int
    cpu_ns: int
    loop_cpu_ns: int

    @classmethod
    def now(cls) -> Clocks:
        return cls(time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns())

    def cost_since(self, start: Clocks) -> dict[str, int]:
        """Return the differences, as members of the JSON."""
        return {name: now - before for name, now, before in zip(self._fields, self, start, strict=True)}


def memory_mb() -> float:
    """Return the memory of this process; NaN on systems without /proc."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return math.nan
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6


def max_rss_kib() -> int:
    """Return the peak memory of this process."""
    return peak_memory_kib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def parse(doc: str | None) -> argparse.Namespace:
    """Parse the command line that all collectors have."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="ws://HOST:PORT/PATH")
    parser.add_argument("--conids", required=True, type=_conids, help="instruments to subscribe to, with commas")
    parser.add_argument("--frames", required=True, type=int, help="how many frames the corpus has")
    parser.add_argument("--out", required=True, type=Path, help="the folder for the files")
    parser.add_argument("--tables", default="quotes", help="the tables, with commas; peers have `quotes` only")
    return parser.parse_args()


def _conids(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def report(frames: int, measured: int, cost: dict[str, int], **others: Any) -> dict[str, Any]:
    """Return the members of the JSON."""
    return {"frames": frames, "measured": measured, **cost, "max_rss_kib": max_rss_kib(), **others}
