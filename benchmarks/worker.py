"""Runs one contender in this process and prints what it received and what that cost, as JSON.

Usage: python -m benchmarks.worker CONTENDER PORT [--check]
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import resource
import sys
import time
from typing import Any

import uvloop


async def run(name: str, port: str, check: bool) -> dict[str, Any]:
    contender = importlib.import_module(f"benchmarks.contenders.{name}")
    drain = await contender.connect(f"ws://127.0.0.1:{port}/v1/api/ws", check)
    gc.collect()
    before, start_ns = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter_ns()
    received = await drain()
    wall_ns, after = time.perf_counter_ns() - start_ns, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "frames": received.frames,
        "digest": received.digest,
        "wall_ns": wall_ns,
        "cpu_ns": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9,
        "max_rss_kib": after.ru_maxrss,
    }


def main() -> None:
    name, port, *flags = sys.argv[1:]
    loop = uvloop.new_event_loop()
    try:
        print(json.dumps(loop.run_until_complete(asyncio.wait_for(run(name, port, "--check" in flags), 60))))
    finally:
        loop.close()


if __name__ == "__main__":
    main()
