"""The command line: `cpapi-fast` and `python -m cpapi_fast`.

Heavy modules are imported inside the sub-commands, so that `--help` and `--version` answer at once and a missing
optional package is told by the command that needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cpapi_fast._version import __version__
from cpapi_fast.errors import ConfigError, CpapiError, HeaderRefusedError, SubscriptionError, UsageError

from .tls_options import add_tls_options

#: Exit codes: what the caller gave cannot be right; something failed on the way; ended by a second Ctrl-C.
EXIT_USAGE = 2
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, as every other error of the commands is."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands; `args.run(args)` of what it parses runs one and returns the exit code.

    Args:
        command: the one that is going to be parsed. The simulator, an HTTP server, says itself what its options are,
            and is only imported for its own command.
    """
    parser = _Parser(
        prog="cpapi-fast",
        description="Market data of Interactive Brokers' Client Portal Web API, into files.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cpapi-fast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_collect(commands.add_parser("collect", help="collect quotes into files", allow_abbrev=False))
    _add_doctor(commands.add_parser("doctor", help="find out what is wrong with a gateway", allow_abbrev=False))
    _add_tail(commands.add_parser("tail", help="show quotes as they come", allow_abbrev=False))
    simulate = commands.add_parser("simulate", help="run a simulated gateway", allow_abbrev=False)
    if command == "simulate":
        _add_simulate(simulate)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if argv is None:
        argv = sys.argv[1:]
    # No option of the whole program takes a value, so the command is the first that is no option.
    command = next((argument for argument in argv if not argument.startswith("-")), None)
    args, unknown = make_parser(command).parse_known_args(argv)
    if unknown:
        # The parser of all commands would refer to its own help, which does not list a command's options.
        args.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code: int = args.run(args)
    except CpapiError as exc:
        print(f"cpapi-fast: error: {exc}", file=sys.stderr)
        # What a header refuses is what the gateway gave us, not the caller.
        is_callers = isinstance(exc, (ConfigError, SubscriptionError, UsageError)) and not isinstance(
            exc, HeaderRefusedError
        )
        return EXIT_USAGE if is_callers else EXIT_FAILURE
    except KeyboardInterrupt:
        print("cpapi-fast: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as exc:
        # What writes files has errors of its own, so this is our output: whoever read it has gone (`cpapi-fast ... |
        # head`), or the disk that it goes to is full. Nothing more may be flushed into it.
        if not isinstance(exc, BrokenPipeError):
            print(f"cpapi-fast: error: {exc.strerror or exc}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    return code


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    from cpapi_fast.simulator.command import add_arguments, run

    add_arguments(parser)
    parser.set_defaults(run=run, refuse=parser.error)


def _add_collect(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Subscribe to quotes and write them: every frame to an Arrow IPC stream, the quotes to Parquet files, what "
        "happens to the feed (states, gaps) to JSON lines. Goes on by itself after a lost connection, a nightly reset "
        "or a login; ends with --duration or Ctrl-C. Progress and notices go to stderr, the closing summary to stdout."
    )
    _add_source(parser)
    parser.add_argument("--conids", type=_conids, default=(), metavar="A,B", help="the instruments to subscribe to")
    parser.add_argument("--fields", type=_codes, metavar="31,84", help="field codes (default: 31,84,86,85,88,87)")
    parser.add_argument("--out", type=_folder, required=True, metavar="DIR", help="the folder for the files")
    parser.add_argument("--duration", type=_seconds, metavar="S", help="stop after so many seconds (default: never)")

    parser.add_argument(
        "--give-up-after",
        type=_seconds,
        metavar="S",
        help="end with an error after S seconds without data (default: never)",
    )
    add_tls_options(parser)

    tuning = parser.add_argument_group("tuning")
    tuning.add_argument("--flush-interval", type=_seconds, default=1.0, metavar="S", help="capture flush (default: 1)")
    tuning.add_argument(
        "--roll-interval", type=_seconds, default=300.0, metavar="S", help="length of a quotes file (default: 300)"
    )
    tuning.add_argument(
        "--slow-disk",
        choices=("hold", "drop-oldest", "drop-newest"),
        default="hold",
        help="a disk slower than the data: keep the gateway waiting, or drop frames and say so (default: hold)",
    )
    tuning.add_argument("--asyncio", action="store_true", help="use asyncio's own loop even where uvloop is installed")

    simulated = _add_simulated(parser)
    simulated.add_argument("--replay", metavar="FILE", help="serve the lines of this file as frames")
    parser.set_defaults(run=_collect, refuse=parser.error)


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--url", help="the gateway's REST base, such as https://localhost:5000/v1/api")
    source.add_argument("--simulate", action="store_true", help="use a simulated gateway, started for the run")


def _add_simulated(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    simulated = parser.add_argument_group("with --simulate")
    simulated.add_argument("--seed", type=int, metavar="N", help="repeatable market (default: 0)")
    simulated.add_argument("--speed", type=_seconds, metavar="X", help="run all timers X times as fast (default: 1)")
    simulated.add_argument("--rate", type=_seconds, metavar="N", help="frames per second (default: each 500 ms)")
    return simulated


def _add_tail(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show quotes as they come, until Ctrl-C: on a terminal a table that is drawn in place, elsewhere one line per "
        "change. The values stay when the connection is lost; their ages, the reason and the next try are shown."
    )
    _add_source(parser)
    parser.add_argument("--conids", type=_conids, default=(), metavar="A,B", help="the instruments to show")
    parser.add_argument("--fields", type=_codes, metavar="31,84", help="the columns (default: 31,84,86,85,88,87)")
    parser.add_argument("--duration", type=_seconds, metavar="S", help="stop after so many seconds (default: never)")
    parser.add_argument(
        "--interval", type=_seconds, metavar="S", help="how often to look (default: 0.25 on a terminal, else 1)"
    )
    parser.add_argument(
        "--competing",
        choices=("observe", "reclaim"),
        default="observe",
        help="what to do about another login of this user: wait, or take the session back (default: observe)",
    )
    add_tls_options(parser)
    parser.add_argument("--asyncio", action="store_true", help="use asyncio's own loop even where uvloop is installed")
    _add_simulated(parser)
    parser.set_defaults(run=_tail, refuse=parser.error)


def _tail(args: argparse.Namespace) -> int:
    from . import tail_command

    return tail_command.run(args)


def _collect(args: argparse.Namespace) -> int:
    from . import collect_command

    return collect_command.run(args)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Walk from the address of a gateway to a quote, step by step, and say what is wrong and the one thing to do. "
        "Changes nothing at the gateway unless --init is given. The exit code tells the class of failure: 0 healthy, "
        "2 usage, 10 DNS, 11 TCP, 12 TLS, 20 no gateway, 21 login needed, 22 competing login, 23 gateway not "
        "connected, 24 rate limited, 25 gateway error, 26 address refused, 27 brokerage session not open, 28 no "
        "answer, 30 WebSocket, 31 not ready, 32 no quote, 33 no heartbeat, 40 clock."
    )
    parser.add_argument("--url", required=True, help="the gateway's REST base, such as https://localhost:5000/v1/api")
    parser.add_argument("--conid", type=_conid, default=265598, metavar="N", help="the instrument (default: 265598)")
    parser.add_argument(
        "--timeout", type=_seconds, default=15.0, metavar="S", help="the most that one step waits (default: 15)"
    )
    parser.add_argument(
        "--init",
        action="store_true",
        help="open the brokerage session where it is not open; takes it away from another login of the same user",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of lines")
    add_tls_options(parser)
    parser.add_argument("--asyncio", action="store_true", help="use asyncio's own loop even where uvloop is installed")
    parser.set_defaults(run=_doctor, refuse=parser.error)


def _doctor(args: argparse.Namespace) -> int:
    from . import doctor_command

    return doctor_command.run(args)


def _folder(text: str) -> str:
    # An unset variable of a shell would otherwise mean the current folder.
    if not text:
        raise argparse.ArgumentTypeError("give the path of a folder")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def _conids(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between; what is no number stays for the library to refuse with its own words."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isascii() and part.isdigit()):
            raise argparse.ArgumentTypeError(f"a conid must be a whole number such as 265598, not {part!r}")
    return tuple(int(part) for part in parts)


def _conid(text: str) -> int:
    conids = _conids(text)
    if len(conids) != 1:
        raise argparse.ArgumentTypeError("give one conid, such as 265598")
    return conids[0]


def _codes(text: str) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isascii() and part.isdigit()):
            raise argparse.ArgumentTypeError(f"a field code is made of digits, such as 31, not {part!r}")
    return tuple(parts)
