"""`cpapi-fast convert`: makes tables from captures, and prints what was made"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cpapi_fast.console import say
from cpapi_fast.files.convert import ConvertedRun, convert


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    started_s = time.perf_counter()
    paths = [Path(path) for path in args.paths]
    done = convert(paths, args.to, Path(args.out), fields=args.fields, file_mode=args.file_mode)
    for one in done:
        _show(one, args.to)
    elapsed_s = time.perf_counter() - started_s
    rows = sum(one.rows for one in done)
    say(f"{rows:,} rows of {len(done):,} runs in {elapsed_s:,.1f} s")
    return 0


def _show(one: ConvertedRun, table: str) -> None:
    dropped = "".join(f", {reason}: {count:,}" for reason, count in sorted(one.dropped.items()) if count)
    say(f"run {one.run}: {one.frames:,} frames, {one.rows:,} rows of {table}{dropped}")
    for path in one.files:
        say(f"  {path}")
    for problem in one.problems:
        say(f"  note: {problem}")
