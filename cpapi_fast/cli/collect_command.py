"""`cpapi-fast collect`: collects quotes into files, with the progress on stderr and the summary on stdout."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.reports import CollectStatus, size_text, summary_text
from cpapi_fast.console import say, say_at_end, tell
from cpapi_fast.errors import ConfigError
from cpapi_fast.feed.reports.feed_log import FACTS, LOGGER
from cpapi_fast.loop import run as run_loop
from cpapi_fast.metrics import MetricsServer
from cpapi_fast.metrics.collector import import_prometheus
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.outputs.kafka.librdkafka import import_kafka
from cpapi_fast.protocol.topics import MarketDataFields
from cpapi_fast.rest.urls import BaseUrl

from .collect_progress import LINE_INTERVAL_S, Progress
from .config.check import check_files, effective_lines
from .config.instrument_files import file_lines, instruments_of
from .feed_tuning import feed_options
from .gateway_source import check_source, contract_cache, open_client
from .kafka_options import kafka_options
from .service.log_output import LogOutput, log_to
from .service.reload import Reloader
from .service.systemd import ServiceNotifier
from .signals import stopped_by_signals
from .tls_options import chosen_tls

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
    options = collect_options(args)
    if not (options.conids or options.symbols or options.account_tables) and args.replay is None:
        raise ConfigError(
            "give at least one instrument to subscribe to, such as --conids 265598 or --symbols AAPL@NASDAQ, or what "
            "to collect of an account, such as --orders"
        )
    check_source(args)
    if args.simulate and args.contract_cache is not None:
        raise ConfigError("--contract-cache cannot be used with --simulate, whose contracts are invented")
    if args.metrics_port is None and not (args.metrics_host is None and args.metrics_conids is None):
        raise ConfigError("--metrics-host and --metrics-conids need --metrics-port")
    # Checked before anything is connected.
    import_arrow("pyarrow")
    if options.kafka is not None:
        import_kafka()
    if args.metrics_port is not None:
        import_prometheus()
    if args.log_level is not None and args.log_format is None:
        raise ConfigError("--log-level needs --log-format text or --log-format json")
    if args.progress and (args.quiet or args.log_format == "json"):
        raise ConfigError(f"--progress cannot be used with {'--quiet' if args.quiet else '--log-format json'}")
    if args.check:
        _check(args, options)
        return 0
    run_loop(_run(args, options), uvloop=False if args.asyncio else None)
    return 0


def collect_options(args: argparse.Namespace) -> CollectOptions:
    """The options of the run in the arguments.

    Raises:
        CpapiError: one of them is invalid, or a file of instruments is wrong.
    """
    conids, symbols = instruments_of(args)
    return CollectOptions(
        conids=conids,
        symbols=symbols,
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
        roll_bytes=args.roll_bytes,
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


def _check(args: argparse.Namespace, options: CollectOptions) -> None:
    tls = None
    if not args.simulate and BaseUrl.parse(args.url).scheme == "https":
        tls = chosen_tls(args)
    cache = contract_cache(args)
    check_files(options, tls, args.replay if args.simulate else None, None if cache is None else cache.folder)
    say(*effective_lines(args.settings), *file_lines(args))


async def _run(args: argparse.Namespace, options: CollectOptions) -> None:
    stop = asyncio.Event()
    is_logging = args.log_format is not None
    async with AsyncExitStack() as stack:
        collector: Collector | None = None
        progress: Progress

        def stopping() -> None:
            if not stop.is_set():
                stop.set()
                later = asyncio.get_running_loop().call_later(_PATIENCE_S, lambda: progress.notice(_STILL_FINISHING))
                stack.callback(later.cancel)

        reloader: Reloader | None = None
        reloads: set[asyncio.Task[None]] = set()
        is_early = False

        def reload() -> None:
            nonlocal is_early
            if reloader is None:
                is_early = True
            elif not stop.is_set():
                task = asyncio.create_task(reloader.reload(), name="cpapi_fast reload")
                reloads.add(task)
                task.add_done_callback(reloads.discard)

        def inform(text: str, facts: dict[str, Any]) -> None:
            if is_logging:
                LOGGER.info("collect: %s", text, extra={FACTS: facts})
            elif not args.quiet:
                progress.notice(f"cpapi-fast: {args.names(text)}")

        def warn(text: str) -> None:
            if is_logging:
                LOGGER.warning("collect: %s", text)
            else:
                progress.notice(f"cpapi-fast: warning: {args.names(text)}")

        stack.enter_context(
            stopped_by_signals(
                stopping,
                lambda: loss_text(collector.latest_status) if collector else "no file was written",
                hang_up=reload,
            )
        )
        client = await open_client(args, stack)
        names = args.names
        on_notice = None if is_logging else lambda text: progress.notice(f"cpapi-fast: {names(text)}")
        collector = Collector(client, options, on_notice=on_notice)
        progress = Progress(
            lambda: collector.latest_status,
            sys.stderr,
            names,
            interval_s=_line_interval_s(args),
            has_table=not (is_logging or args.quiet),
        )
        notifier = ServiceNotifier(os.environ, lambda: _service_status(collector.latest_status))
        await _serve_metrics(args, collector, stack)
        try:
            with progress, notifier:
                if is_logging:
                    stack.enter_context(_logged(args, progress.notice))
                # A gateway that is not there yet is no reason to start the service again.
                notifier.ready()
                stopped = asyncio.create_task(_tell_stopping(stop, notifier))
                stack.callback(stopped.cancel)
                reloader = Reloader(args, collector, inform, warn)
                if is_early:
                    reload()
                await collector.run(stop)
        finally:
            for task in reloads:
                task.cancel()
            await asyncio.gather(*reloads, return_exceptions=True)
            if collector.summary is not None and not args.quiet:
                summary = replace(collector.summary, reason=names(collector.summary.reason))
                say_at_end(*summary_text(summary).split("\n"))


async def _tell_stopping(stop: asyncio.Event, notifier: ServiceNotifier) -> None:
    await stop.wait()
    notifier.stopping()


def _service_status(status: CollectStatus) -> str:
    """The status of the run in one line, for `systemctl status`."""
    frames = status.connection.frames_received if status.connection else 0
    counts = f"{frames:,} frames, {len(status.subscriptions):,} instruments, {status.gaps:,} gaps"
    return f"{status.state.replace('_', ' ')}; {counts}{f'; action: {status.advice}' if status.advice else ''}"


def _line_interval_s(args: argparse.Namespace) -> float | None:
    """The time between two lines of progress; None for none. A terminal without a table has them always."""
    if args.quiet or args.log_format == "json":
        return None
    return LINE_INTERVAL_S if args.progress or (sys.stderr.isatty() and args.log_format is None) else None


def _logged(args: argparse.Namespace, write: Callable[[str], object]) -> AbstractContextManager[None]:
    level = args.log_level or ("warning" if args.quiet else "info")
    return log_to(LogOutput(args.log_format, args.names, write), level)


async def _serve_metrics(args: argparse.Namespace, collector: Collector, stack: AsyncExitStack) -> None:
    """Serve metrics until the end of the command, if they are asked for."""
    if args.metrics_port is None:
        return
    server = MetricsServer(
        collector,
        port=args.metrics_port,
        host="127.0.0.1" if args.metrics_host is None else args.metrics_host,
        max_conids=args.metrics_conids or 0,
    )
    await stack.enter_async_context(server)
    tell(f"cpapi-fast: metrics are at {server.url}")


def loss_text(status: CollectStatus) -> str:
    """What is lost if a run ends now, without finishing its files. Finished files stay readable."""
    found = [f"up to {size_text(status.queued_bytes)} of frames that wait for the disk"] if status.queued_bytes else []
    found += [
        f"{counts.pending:,} {_UNITS.get(name, f'rows of {name}')} in memory"
        for name, counts in status.outputs
        if counts.pending
    ]
    return f"the files are not finished; lost: {', '.join(found) or 'what arrived in the last moment'}"
