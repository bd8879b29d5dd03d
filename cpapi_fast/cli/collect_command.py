"""`cpapi-fast collect`: collects quotes into files, with the progress on stderr and the summary on stdout."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.reports import CollectStatus, size_text, summary_text
from cpapi_fast.console import say_at_end
from cpapi_fast.errors import ConfigError
from cpapi_fast.loop import run as run_loop
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.outputs.kafka.librdkafka import import_kafka
from cpapi_fast.protocol.topics import MarketDataFields

from .arguments import feed_options
from .collect_progress import Progress
from .gateway_source import check_source, open_client
from .kafka_options import kafka_options
from .signals import stopped_by_signals

#: After this many seconds of finishing the files, a notice tells how to end at once.
_PATIENCE_S: Final = 2.0

_STILL_FINISHING: Final = (
    "cpapi-fast: the files are still being finished; a second Ctrl-C ends at once and loses what is not written"
)

#: What an output has in memory before it writes it, if not rows.
_UNITS: Final = {
    "capture": "frames of the capture",
    "ticks": "ticks",
    "quotes": "quotes",
    "events": "events",
    "kafka": "frames for Kafka",
}


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code. Errors are raised after the summary is printed."""
    options = CollectOptions(
        conids=args.conids,
        symbols=args.symbols,
        out=Path(args.out),
        fields=MarketDataFields.from_codes(args.fields) if args.fields else MarketDataFields.default_l1(),
        tables=args.tables,
        orders=args.orders,
        executions=args.executions,
        pnl=args.pnl,
        summary=args.summary,
        ledger=args.ledger,
        duration_s=args.duration,
        flush_interval_s=args.flush_interval,
        roll_interval_s=args.roll_interval,
        slow_disk=args.slow_disk.replace("-", "_"),
        lost_files=args.lost_files,
        file_mode=args.file_mode,
        redact_captures=args.redact_captures,
        capture_compression=args.capture_compression,
        trading_hours=None if args.trading_hours == "none" else args.trading_hours,
        kafka=kafka_options(args),
        feed=feed_options(args),
        **({} if args.max_queue_bytes is None else {"max_queue_bytes": args.max_queue_bytes}),
    )
    if not (options.conids or options.symbols or options.account_tables) and args.replay is None:
        raise ConfigError(
            "give at least one instrument to subscribe to, such as --conids 265598 or --symbols AAPL@NASDAQ, or what "
            "to collect of an account, such as --orders"
        )
    check_source(args)
    if args.simulate and args.contract_cache is not None:
        raise ConfigError("--contract-cache cannot be used with --simulate, whose contracts are invented")
    # Checked before anything is connected.
    import_arrow("pyarrow")
    if options.kafka is not None:
        import_kafka()
    run_loop(_run(args, options), uvloop=False if args.asyncio else None)
    return 0


async def _run(args: argparse.Namespace, options: CollectOptions) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        collector: Collector | None = None
        progress: Progress

        def stopping() -> None:
            if not stop.is_set():
                stop.set()
                later = asyncio.get_running_loop().call_later(_PATIENCE_S, lambda: progress.notice(_STILL_FINISHING))
                stack.callback(later.cancel)

        stack.enter_context(
            stopped_by_signals(
                stopping, lambda: loss_text(collector.latest_status) if collector else "no file was written"
            )
        )
        client = await open_client(args, stack)
        names = args.names
        collector = Collector(client, options, on_notice=lambda text: progress.notice(f"cpapi-fast: {names(text)}"))
        progress = Progress(lambda: collector.latest_status, sys.stderr, names)
        try:
            with progress:
                await collector.run(stop)
        finally:
            if collector.summary is not None:
                summary = replace(collector.summary, reason=names(collector.summary.reason))
                say_at_end(*summary_text(summary).split("\n"))


def loss_text(status: CollectStatus) -> str:
    """What is lost if a run ends now, without finishing its files. Finished files stay readable."""
    found = [f"up to {size_text(status.queued_bytes)} of frames that wait for the disk"] if status.queued_bytes else []
    found += [
        f"{counts.pending:,} {_UNITS.get(name, f'rows of {name}')} in memory"
        for name, counts in status.outputs
        if counts.pending
    ]
    return f"the files are not finished; lost: {', '.join(found) or 'what arrived in the last moment'}"
