"""`cpapi-fast collect`: collects quotes into files, with the progress on stderr and the summary on stdout."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.reports import summary_text
from cpapi_fast.errors import ConfigError
from cpapi_fast.loop import run as run_loop
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.protocol.topics import MarketDataFields

from .collect_progress import Progress
from .gateway_source import check_source, open_client
from .signals import stopped_by_signals


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code. Errors are raised after the summary is printed."""
    options = CollectOptions(
        conids=args.conids,
        out=Path(args.out),
        fields=MarketDataFields.from_codes(args.fields) if args.fields else MarketDataFields.default_l1(),
        duration_s=args.duration,
        give_up_after_s=args.give_up_after,
        flush_interval_s=args.flush_interval,
        roll_interval_s=args.roll_interval,
        slow_disk=args.slow_disk.replace("-", "_"),
        lost_files=args.lost_files,
        file_mode=args.file_mode,
        redact_captures=args.redact_captures,
    )
    if not options.conids and args.replay is None:
        raise ConfigError("give at least one conid to subscribe to, such as --conids 265598")
    check_source(args)
    # Checked before anything is connected.
    import_arrow("pyarrow")
    run_loop(_run(args, options), uvloop=False if args.asyncio else None)
    return 0


async def _run(args: argparse.Namespace, options: CollectOptions) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_by_signals(stop.set))
        client = await open_client(args, stack)
        progress: Progress
        collector = Collector(client, options, on_notice=lambda text: progress.notice(f"cpapi-fast: {text}"))
        progress = Progress(lambda: collector.latest_status, sys.stderr)
        try:
            with progress:
                await collector.run(stop)
        finally:
            if collector.summary is not None:
                print(summary_text(collector.summary), flush=True)
