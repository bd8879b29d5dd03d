"""Runs the benchmarks, prints them as tables, and writes all single results to benchmarks/results/latest.json.

Usage: python -m benchmarks.report [--smoke]    (--smoke checks the answers and times nothing)
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from . import bench_classifier, bench_socket, corpus

RESULTS = Path(__file__).parent / "results" / "latest.json"


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("cpapi-fast", "picows", "orjson", "uvloop", "cython")},
    }


def spread(values: list[float], digits: int = 0) -> str:
    """`median (least .. most)`."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} .. {max(values):,.{digits}f})"


def print_classifier(results: dict[str, list[float]]) -> None:
    print(f"\nfinding the route of one {corpus.FRAME_BYTES}-byte smd frame, topic last")
    print(f"{'':<24}{'ns per frame: median (least .. most)':>40}")
    for name, values in results.items():
        print(f"{name:<24}{spread(values, 1):>40}")


def print_socket(results: dict[str, list[dict[str, Any]]]) -> None:
    frames = bench_socket.TIMED_REPEATS * corpus.FRAMES
    print(f"\n{frames:,} such frames over one loopback socket, uvloop, {bench_socket.RUNS} runs interleaved")
    print(f"{'':<18}{'CPU ns per frame, client':>28}{'wall ns per frame':>28}{'frames/s':>13}{'waits for sender':>18}")
    for name, runs in results.items():
        cpu = [run["cpu_ns"] / frames for run in runs]
        wall = [run["wall_ns"] / frames for run in runs]
        idle = median(1 - run["cpu_ns"] / run["wall_ns"] for run in runs)
        print(f"{name:<18}{spread(cpu):>28}{spread(wall):>28}{1e9 / median(wall):>13,.0f}{max(idle, 0):>17.0%}")
    usual = results["picows_orjson"]
    for name in ("cpapi_on_batch", "cpapi_batches"):
        wall = [other["wall_ns"] / own["wall_ns"] for own, other in zip(results[name], usual, strict=True)]
        cpu = [other["cpu_ns"] / own["cpu_ns"] for own, other in zip(results[name], usual, strict=True)]
        print(f"{name} against picows_orjson: frames/s x {spread(wall, 1)}, by CPU time x {spread(cpu, 1)}")


def main() -> None:
    smoke = "--smoke" in sys.argv[1:]
    classifier = bench_classifier.run(smoke=smoke)
    socket = bench_socket.run(smoke=smoke)
    if smoke:
        print(f"answers right: the classifier and {len(socket)} contenders")
        return
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}, {facts['versions']}")
    print_classifier(classifier)
    print_socket(socket)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": facts, "classifier": classifier, "socket": socket}, indent=1) + "\n")
    print(f"\nall single results: {RESULTS.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
