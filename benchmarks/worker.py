"""Runs one Python contender in this process, and prints its answer and times as one line of JSON.

All contenders, including the compiled ones, have this command line; see docs/explanation/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .contenders import Address
from .work import JOBS, Task

TIMEOUT_S = 120.0


async def run(name: str, address: Address, task: Task) -> dict[str, Any]:
    contender = importlib.import_module(f"benchmarks.contenders.{name}")
    drain = await contender.connect(address, task)
    gc.collect()
    before, start_ns = resource.getrusage(resource.RUSAGE_SELF), time.monotonic_ns()
    frames = await drain()
    wall_ns, after = time.monotonic_ns() - start_ns, resource.getrusage(resource.RUSAGE_SELF)
    full, common = task.finish()
    return {
        "frames": frames,
        "digest": full or common,
        "digest_full": full,
        "digest_common": common,
        "wall_ns": wall_ns,
        "cpu_ns": round((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9),
        "max_rss_kib": peak_memory_kib(after.ru_maxrss),
        "versions": {name: version(name) for name in contender.PACKAGES},
    }


def peak_memory_kib(otherwise: int) -> int:
    """Return the peak memory of this process in KiB. `ru_maxrss` would include that of the parent at the fork."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else otherwise


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description="Runs one contender.")
    parser.add_argument("name", help="a module of benchmarks/contenders")
    parser.add_argument("--url", required=True, help="ws:// or wss:// URL with its path")
    parser.add_argument("--job", choices=JOBS, required=True)
    parser.add_argument("--cafile", type=Path, help="root certificate of the server")
    parser.add_argument("--check", action="store_true", help="compute the digest of every answer, untimed")
    parser.add_argument("--frames", type=int, help="number of frames to expect")
    parser.add_argument("--stamps", type=Path, help="latency: file for the times, int64 ns of CLOCK_MONOTONIC")
    given = parser.parse_args(arguments)
    if (given.job == "latency") != (given.stamps is not None):
        parser.error("--job latency and --stamps go together")
    return given


def main() -> None:
    given = parse()
    task = Task(given.job, is_checked=given.check, stamps_path=given.stamps, expected_frames=given.frames)
    address = Address(given.url, given.cafile)
    if sys.platform == "win32":
        loop = asyncio.new_event_loop()
    else:
        import uvloop

        loop = uvloop.new_event_loop()
    try:
        result = loop.run_until_complete(asyncio.wait_for(run(given.name, address, task), TIMEOUT_S))
    finally:
        loop.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
