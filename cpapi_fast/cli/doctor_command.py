"""`cpapi-fast doctor`: prints a diagnosis of the connection to a gateway; its exit code is the class of failure."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from cpapi_fast.console import say
from cpapi_fast.doctor import Diagnosis, Finding, Outcome, diagnose, report_line
from cpapi_fast.loop import run as run_loop
from cpapi_fast.printable import json_bytes

from .tls_options import chosen_tls


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code, which identifies the class of failure."""

    def show(finding: Finding) -> None:
        # The closing text lists the steps that were not reached.
        if finding.outcome is not Outcome.NOT_REACHED:
            say(args.names(report_line(finding)))

    diagnosis = run_loop(_diagnosed(args, show), uvloop=False if args.asyncio else None)
    if args.json:
        say(*args.names(json_bytes(diagnosis.as_json(), is_indented=True).decode("ascii")).split("\n"))
    else:
        say(*args.names(diagnosis.closing_text()).split("\n"))
    return diagnosis.exit_code


async def _diagnosed(args: argparse.Namespace, show: Callable[[Finding], None]) -> Diagnosis:
    tls = chosen_tls(args)
    if args.ca_file is not None:
        # Reads the file, so that an unusable one is an error before anything else is checked.
        await tls.context("localhost", 0, timeout_s=args.timeout)
    return await diagnose(
        args.url,
        tls=tls,
        conid=args.conid,
        timeout_s=args.timeout,
        init=args.init,
        on_finding=None if args.json else show,
    )
