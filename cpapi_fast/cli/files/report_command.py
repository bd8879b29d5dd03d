"""`cpapi-fast report`: writes an HTML page about the files of a run or of a folder of runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cpapi_fast.console import say_at_end
from cpapi_fast.report import headline_of, size_text, write_report


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    out = args.out or time.strftime("cpapi-fast-report-%Y%m%dT%H%M%SZ.html", time.gmtime())
    report, nbytes = write_report(args.path, out)
    lines = [f"  {finding.level}: {finding.text}" for finding in report.findings]
    say_at_end(headline_of(report).text, *lines, f"open {Path(out).resolve()} ({size_text(nbytes)})")
    return 0
