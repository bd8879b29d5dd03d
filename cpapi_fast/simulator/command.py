"""`cpapi-fast simulate`: runs a simulated gateway until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from cpapi_fast.console import say
from cpapi_fast.loop import run as run_loop

from .gateway import SimulatedGateway
from .options import SimulatorOptions

#: The default port of the Client Portal Gateway too.
_DEFAULT_PORT = 5000


def _conids(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"conids must be whole numbers separated by commas, not {text!r}")
    return tuple(map(int, parts))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `simulate` to a parser."""
    parser.description = (
        "Run a simulated Client Portal Gateway with invented prices, until Ctrl-C is pressed. It prints its URL and "
        "the fingerprint of its certificate."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=_DEFAULT_PORT, help="port to listen on; 0 chooses a free one (default: %(default)s)"
    )
    parser.add_argument("--no-tls", action="store_true", help="serve http and ws instead of https and wss")
    parser.add_argument(
        "--certificate",
        dest="certificate_file",
        metavar="FILE",
        help="PEM file with the key and the certificate, so that a pin stays valid after a restart; created if it does "
        "not exist (default: a new certificate at each start)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the market; the same seed gives the same frames (default: 0)",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="run all timers X times as fast (default: 1)"
    )
    parser.add_argument(
        "--conids",
        type=_conids,
        action="extend",
        metavar="A,B",
        help="conids that have a market; all others are inactive; may be repeated (default: every conid has one)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="FRAMES_PER_S",
        help="market data frames per second over all clients, also for --replay (default: conflated every 500 ms)",
    )
    parser.add_argument(
        "--lines",
        type=int,
        default=100,
        metavar="N",
        help="number of market data lines of the account (default: %(default)s)",
    )
    parser.add_argument(
        "--replay",
        metavar="PATH",
        help="a capture or a folder of captures: send its data to every client that subscribes, at the recorded pace, "
        "in place of invented prices; any other file: send each line once, as a frame, to every client",
    )
    parser.add_argument("--logged-out", action="store_true", help="start without a logged-in user")
    parser.add_argument(
        "--logged-out-response",
        choices=("unauthorized", "redirect", "html", "json"),
        default="unauthorized",
        help="the REST response while no user is logged in (default: %(default)s)",
    )
    parser.add_argument(
        "--require-origin",
        action="store_true",
        help="respond with 401 to REST calls whose Origin is not the gateway's own",
    )


#: Calls a function in the loop when the command is to end, while the context is entered.
StoppedBy = Callable[[Callable[[], object]], AbstractContextManager[None]]


def run(args: argparse.Namespace, stopped_by: StoppedBy) -> int:
    """Run the gateway until it is stopped; returns the exit code.

    Args:
        args: the parsed options.
        stopped_by: what stops it: the signals.

    Raises:
        ConfigError: an option is invalid.
        MissingDependencyError: TLS is on, and `cryptography` is not installed.
    """
    options = SimulatorOptions(
        host=args.host,
        port=args.port,
        tls=not args.no_tls,
        certificate_file=args.certificate_file,
        seed=args.seed,
        speed=args.speed,
        conids=None if args.conids is None else tuple(args.conids),
        rate=args.rate,
        market_data_lines=args.lines,
        replay=args.replay,
        is_logged_in=not args.logged_out,
        logged_out_response=args.logged_out_response,
        require_origin=args.require_origin,
        keep_sent=0,
    )
    run_loop(_serve(options, stopped_by), uvloop=False)
    return 0


async def _serve(options: SimulatorOptions, stopped_by: StoppedBy) -> None:
    stopped = asyncio.Event()
    with stopped_by(stopped.set):
        async with SimulatedGateway(options) as gateway:
            say(*_greeting(gateway))
            await stopped.wait()


def _greeting(gateway: SimulatedGateway) -> list[str]:
    """The lines that tell how to connect. They do not contain the session id, which `/tickle` returns."""
    lines = [f"simulated gateway   {gateway.url}", f"websocket           {gateway.ws_url}"]
    collect = f"cpapi-fast collect --url {gateway.url} --conids 265598 --out data"
    if gateway.fingerprint is not None:
        lines.append(f"SHA-256 fingerprint {gateway.fingerprint}")
        lines.append(f"certificate file    {gateway.certificate_path}")
        collect += f" --fingerprint {gateway.fingerprint}"
    lines.append(f"collect from it:    {collect}")
    return [*lines, "press Ctrl-C to stop"]
