"""`cpapi-fast verify`: proves that files are whole, prints what is not, and repairs it on request"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cpapi_fast.collect.reports import size_text
from cpapi_fast.console import say, tell
from cpapi_fast.errors import CpapiError
from cpapi_fast.files.repair import repair
from cpapi_fast.files.verify import FileResult, Verification, verify
from cpapi_fast.program import EXIT_FAILURE


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    paths = [Path(path) for path in args.paths]
    started_s = time.perf_counter()
    result = verify(paths)
    _show(result)
    if args.repair:
        for one in result.files:
            if one.problems:
                _repair(one)
        again = verify([one.path for one in result.files if one.path.exists()])
        unproven = sum(bool(one.problems) for one in again.files)
        say(f"after the repair, {unproven:,} files still have problems" if unproven else "every file is whole now")
        return EXIT_FAILURE if unproven or result.problems else 0
    _sum_up(result, time.perf_counter() - started_s)
    return 0 if result.is_proven else EXIT_FAILURE


def _show(result: Verification) -> None:
    for one in result.files:
        state = "a run writes it, left out" if one.is_in_use else f"{one.count:,} {one.unit}"
        say(f"{'damaged' if one.problems else 'ok'}: {one.path}: {state}")
        for problem in one.problems:
            say(f"  {problem}")
        for note in one.notes:
            say(f"  note: {note}")
    for problem in result.problems:
        say(f"missing: {problem}")
    for note in result.notes:
        say(f"note: {note}")


def _sum_up(result: Verification, elapsed_s: float) -> None:
    payload_bytes = sum(one.payload_bytes for one in result.files)
    frames = sum(one.count for one in result.files if one.unit == "frames")
    problems = len(result.problems) + sum(len(one.problems) for one in result.files)
    rate = f", {size_text(payload_bytes / elapsed_s)}/s" if payload_bytes else ""
    say(
        f"{len(result.files):,} files, {frames:,} frames with {size_text(payload_bytes)} in {elapsed_s:,.1f} s{rate}: "
        f"{f'{problems:,} problems' if problems else 'nothing is damaged or missing'}"
    )


def _repair(one: FileResult) -> None:
    try:
        text = repair(one.path)
    except CpapiError as exc:
        tell(f"cpapi-fast: {exc}")
        return
    if text:
        say(text)
