"""Checks every answer, times all contenders, prints tables, and writes the results of every run and the plots.

Usage: python -m benchmarks.report [--smoke | --quick] [--runs N] [--only NAME ...] [--job JOB ...] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from . import collecting, facts, flatness, latency, plots, registry, smoke, tables, targets, throughput
from .work import JOBS

RESULTS: Final = registry.HERE / "results" / "latest"
#: Runs of each measurement, and the share of the usual number of frames in a quick one.
RUNS: Final = 5
LATENCY_RUNS: Final = 3
COLLECT_RUNS: Final = 2
QUICK_RUNS: Final = 2
QUICK_SCALE: Final = 0.2


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--smoke", action="store_true", help="check the answers and time nothing")
    mode.add_argument("--quick", action="store_true", help="fewer and shorter runs: a rough result")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of each measurement, {RUNS} by default")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a contender; may be repeated")
    parser.add_argument("--job", action="append", default=[], choices=(*JOBS, "bytes"), help="a job; may be repeated")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the JSON and the plots")
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error("--runs must be above zero")
    return given


def measure(
    contenders: Sequence[registry.Contender], given: argparse.Namespace
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure each part; yield its name and the results so far, which are the same object each time."""
    runs, scale = (QUICK_RUNS, QUICK_SCALE) if given.quick else (given.runs, 1.0)
    results: dict[str, Any] = {"machine": facts.machine(), "started": facts.now(), "throughput": {}}
    # The fastest part first, so that an interrupted run has as many results as possible.
    if not given.only and not given.job:
        results["classifier"] = flatness.run(runs)
        yield "classifier", results
        count = round(collecting.FRAMES * scale)
        results["collect"] = collecting.measure(COLLECT_RUNS, count, collecting.PEER_TABLES, registry.collectors())
        yield "collect", results
    for setting, rows in throughput.run(contenders, runs, jobs=given.job, scale=scale):
        results["throughput"][setting] = rows
        yield setting, results
    if not given.job or "latency" in given.job:
        results["latency"] = latency.run(contenders, min(runs, LATENCY_RUNS), scale=scale)
        yield "latency", results


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    try:
        contenders = registry.select(registry.contenders(), given.only)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if given.smoke:
        print(f"{smoke.run(contenders, given.job)} answers of {len(contenders)} contenders are right")
        if not given.only and not given.job:
            collecting.check(("ticks", "quotes"))
            peers = registry.collectors()[1:]
            for peer in peers:
                collecting.check(collecting.PEER_TABLES, peer)
            print(f"the files of collect and of {len(peers)} other collectors are right")
        return
    given.out.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    results: dict[str, Any] = {}
    for part, results in measure(contenders, given):
        results["targets"] = targets.evaluate(results)
        (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        print(f"{time.monotonic() - started_s:,.0f} s: {part} done", file=sys.stderr)
    tables.show_results(results)
    if "collect" in results:
        collecting.show(results["collect"])
    plots.write(results, given.out)
    print(f"\nall single results and the plots are in {given.out}")


if __name__ == "__main__":
    main()
