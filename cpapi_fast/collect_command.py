"""`cpapi-fast collect`: from the arguments to a run, its progress on stderr and its summary on stdout."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from .collector import CollectOptions, Collector
from .errors import ConfigError
from .gateway import Client
from .loop import run as run_loop
from .outputs import import_arrow
from .progress import Progress
from .reports import summary_text
from .tls import Tls
from .tls_options import chosen_tls, is_tls_chosen
from .topics import MarketDataFields

_SIMULATOR_OPTIONS = ("seed", "speed", "rate", "replay")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code. Errors are raised, after the summary was printed."""
    options = CollectOptions(
        conids=args.conids,
        out=Path(args.out),
        fields=MarketDataFields.from_codes(args.fields) if args.fields else MarketDataFields.default_l1(),
        duration_s=args.duration,
        flush_interval_s=args.flush_interval,
        roll_interval_s=args.roll_interval,
    )
    if not options.conids and args.replay is None:
        raise ConfigError("give at least one conid to subscribe to, such as --conids 265598")
    if not args.simulate:
        given = [f"--{name}" for name in _SIMULATOR_OPTIONS if getattr(args, name) is not None]
        if given:
            raise ConfigError(f"{', '.join(given)} only goes with --simulate")
    elif is_tls_chosen(args):
        raise ConfigError("with --simulate the certificate is pinned by itself; give no TLS option")
    # Before anything is connected.
    import_arrow("pyarrow")
    run_loop(_run(args, options), uvloop=False if args.asyncio else None)
    return 0


async def _run(args: argparse.Namespace, options: CollectOptions) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(_stopped_by_signals(stop.set))
        if args.simulate:
            client = await _simulated(args, stack)
        else:
            client = Client(args.url, tls=chosen_tls(args))
        await stack.enter_async_context(client)
        progress: Progress
        collector = Collector(client, options, on_notice=lambda text: progress.notice(f"cpapi-fast: {text}"))
        progress = Progress(collector.status, sys.stderr)
        try:
            with progress:
                await collector.run(stop)
        finally:
            if collector.summary is not None:
                print(summary_text(collector.summary), flush=True)


async def _simulated(args: argparse.Namespace, stack: AsyncExitStack) -> Client:
    from .simulator import Gateway, GatewayOptions

    given: dict[str, Any] = {
        name: getattr(args, name) for name in _SIMULATOR_OPTIONS if getattr(args, name) is not None
    }
    gateway = await stack.enter_async_context(Gateway(GatewayOptions(**given)))
    print(f"cpapi-fast: simulated gateway at {gateway.url}, fingerprint {gateway.fingerprint}", file=sys.stderr)
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else Tls.verify()
    return Client(gateway.url, tls=tls, clock=gateway.clock)


@contextmanager
def _stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks for a clean stop. A second one is on its own again: it ends the process."""
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        # From a signal handler this is the one call into the loop that also wakes it up.
        loop.call_soon_threadsafe(stop)

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.signal(wanted, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
