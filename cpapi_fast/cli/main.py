"""The command line: `cpapi-fast` and `python -m cpapi_fast`.

Each command imports its modules only when it runs. So `--help` and `--version` are fast, and a missing optional package
is an error only of the command that needs it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from cpapi_fast._version import __version__
from cpapi_fast.console import StreamError, say, tell
from cpapi_fast.errors import ConfigError, CpapiError, HeaderRefusedError, SubscriptionError, UsageError
from cpapi_fast.program import EXIT_FAILURE, EXIT_USAGE, OneLineParser, run_program

from . import arguments
from .config.options import add_config_options, add_log_options
from .feed_tuning import add_feed_tuning
from .files.options import add_convert, add_replay, add_report, add_verify
from .kafka_options import add_kafka
from .tls_options import add_tls_options

if TYPE_CHECKING:
    from .config import Settings


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands; `args.run(args)` of what it parses runs one and returns the exit code.

    Args:
        command: the command that will be parsed. The options of `simulate` and `replay` are only added for that
            command and for `completion`, because the modules that define them take long to import.
    """
    parser = OneLineParser(
        prog="cpapi-fast",
        description="Market data from the Client Portal Web API of Interactive Brokers.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cpapi-fast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_collect(commands.add_parser("collect", help="write quotes to files", allow_abbrev=False))
    _add_doctor(commands.add_parser("doctor", help="diagnose the connection to a gateway", allow_abbrev=False))
    _add_tail(commands.add_parser("tail", help="show live quotes in the terminal", allow_abbrev=False))
    replay = commands.add_parser("replay", help="replay captures", allow_abbrev=False)
    if command in ("replay", "completion"):
        add_replay(replay)
    add_report(commands.add_parser("report", help="write an HTML page about collected files", allow_abbrev=False))
    add_verify(commands.add_parser("verify", help="check the files of runs for damage and gaps", allow_abbrev=False))
    add_convert(commands.add_parser("convert", help="make tables from captures", allow_abbrev=False))
    simulate = commands.add_parser("simulate", help="run a simulated gateway", allow_abbrev=False)
    if command in ("simulate", "completion"):
        _add_simulate(simulate)
    _add_completion(commands.add_parser("completion", help="print a script for your shell", allow_abbrev=False))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    In a thread that is not the main one, it runs without signal handlers. In a thread whose event loop is running, such
    as that of a notebook, it reports an error: use `await asyncio.to_thread(cpapi_fast.cli.main, [...])` there.

    Args:
        argv: the arguments; None for those of the process, whose only work is then this command.
    """
    return run_program(lambda: _run(sys.argv[1:] if argv is None else argv), is_program=argv is None)


def _run(argv: Sequence[str]) -> int:
    # No option before the command takes a value, so the first argument that is not an option is the command.
    command = next((argument for argument in argv if not argument.startswith("-")), None)
    parser = make_parser(command)
    settings = _settings(parser) if command == "collect" else None
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        # Reported by the parser of the command, whose help lists the options.
        is_list = not any(argument.startswith("-") for argument in unknown)
        hint = "; separate the values of an option by commas, as in A,B" if is_list else ""
        args.refuse(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    with ExitStack() as stack:
        return _run_command(args, settings, stack)


def _run_command(args: argparse.Namespace, settings: Settings | None, stack: ExitStack) -> int:
    try:
        if settings is not None:
            from .service.log_output import stderr_in

            # As far as it is known: an error of the settings is told in its form, too.
            stack.enter_context(stderr_in(getattr(args, "log_format", None)))
            settings.complete(args)
            args.settings = settings
            stack.enter_context(stderr_in(args.log_format))
        code: int = args.run(args)
    except CpapiError as exc:
        # The problems of a configuration name its keys.
        texts = [_with_source(text, settings) for text in getattr(exc, "problems", None) or (args.names(str(exc)),)]
        tell(*(f"cpapi-fast: error: {text}" for text in texts))
        # The value in a HeaderRefusedError comes from the gateway, not from the caller.
        is_usage_error = isinstance(exc, (ConfigError, SubscriptionError, UsageError)) and not isinstance(
            exc, HeaderRefusedError
        )
        return EXIT_USAGE if is_usage_error else EXIT_FAILURE
    except (StreamError, BrokenPipeError):
        raise
    except OSError as exc:
        # The file writers raise OutputError, so this is a limit of the system: of open files, say.
        tell(f"cpapi-fast: error: {exc.strerror or exc}")
        return EXIT_FAILURE
    return code


def _settings(parser: argparse.ArgumentParser) -> Settings:
    """The settings of `collect`, which has a configuration."""
    from .config import Settings

    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return Settings(commands.choices["collect"], os.environ)


def _with_source(text: str, settings: Settings | None) -> str:
    """The text of an error, with the file and line of the option that it names, if it is from a configuration."""
    if settings is None:
        return text
    for option in re.findall(r"--[a-z][a-z-]*", text):
        setting = settings.current.get(option[2:])
        if setting is not None and setting.is_configured and setting.where not in text:
            return f"{text} ({option[2:]} is set in: {setting.where})"
    return text


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    from cpapi_fast.simulator.command import add_arguments

    add_arguments(parser)
    arguments.set_command(parser, _simulate)


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a script with which a shell completes commands, options and values: for bash, put "
        '`eval "$(cpapi-fast completion bash)"` into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for fish, '
        "`cpapi-fast completion fish | source` into ~/.config/fish/config.fish."
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")
    arguments.set_command(parser, _completion)


def _completion(args: argparse.Namespace) -> int:
    from .service.completion import completion_script

    say(*completion_script(args.shell, make_parser("completion")).splitlines())
    return 0


def _simulate(args: argparse.Namespace) -> int:
    from cpapi_fast.simulator.command import run

    from .signals import stopped_by_signals

    return run(args, stopped_by_signals)


def _add_collect(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Subscribe to quotes and write them to files: every frame to an Arrow IPC stream, tables of quotes to Parquet "
        "files, and events (state changes, gaps) to JSON lines; on request also orders, executions, profit and loss, "
        "and accounts. The command reconnects automatically after a lost "
        "connection, a nightly reset or a new login, and runs until --duration is over or Ctrl-C is pressed. It prints "
        "progress on a terminal and notices to stderr, and a summary to stdout."
    )
    add_config_options(parser)
    _add_source(parser)
    arguments.add_instruments(parser, "subscribe to", has_symbols=True)
    parser.add_argument(
        "--out", type=arguments.folder, required=True, metavar="DIR", help="folder for the files; created if missing"
    )
    parser.add_argument(
        "--tables",
        type=arguments.tables,
        default=("quotes",),
        metavar="NAMES",
        help="tables to write, separated by commas: quotes (the whole state of an instrument after each frame), ticks "
        "(each frame as sent) (default: quotes)",
    )
    arguments.add_account_tables(parser)
    parser.add_argument("--duration", type=arguments.seconds, metavar="S", help="stop after S seconds (default: never)")
    parser.add_argument(
        "--backfill",
        choices=("smh", "rest"),
        help="request bars of history for every gap, on the socket (smh) or by REST, and write them to the events file",
    )
    arguments.add_feed_options(parser)
    add_tls_options(parser)
    arguments.add_metrics_options(parser)

    tuning = parser.add_argument_group("tuning")
    tuning.add_argument(
        "--flush-interval",
        type=arguments.seconds,
        default=1.0,
        metavar="S",
        help="write frames to the capture at least every S seconds (default: 1)",
    )
    tuning.add_argument(
        "--roll-interval",
        type=arguments.seconds,
        default=300.0,
        metavar="S",
        help="start a new file of the capture and of each table every S seconds (default: 300)",
    )
    tuning.add_argument(
        "--roll-bytes",
        type=arguments.whole_number,
        default=1024**3,
        metavar="N",
        help="start a new file of the capture and of the events after N bytes, too (default: 1073741824)",
    )
    tuning.add_argument(
        "--slow-disk",
        choices=("hold", "drop-oldest", "drop-newest"),
        default="hold",
        help="if the disk is slower than the data: stop reading the socket (hold), or drop frames and report a gap "
        "(default: hold)",
    )
    tuning.add_argument(
        "--max-queue-bytes",
        type=arguments.whole_number,
        metavar="N",
        help="how many bytes may wait for the disk before --slow-disk applies (default: 33554432)",
    )
    tuning.add_argument(
        "--lost-files",
        choices=("recreate", "fail"),
        default="recreate",
        help="if another program deletes, moves or changes a file while it is written: continue in a new file "
        "(recreate), or end (fail); the exit code is 1 in both cases if anything was lost (default: recreate)",
    )
    tuning.add_argument(
        "--file-mode",
        type=arguments.file_mode,
        default=0o600,
        metavar="MODE",
        help="permissions of the files in octal, such as 640 (default: 600, for their owner only)",
    )
    tuning.add_argument(
        "--trading-hours",
        choices=("schedule", "none"),
        default="schedule",
        help="outside of its trading hours, an instrument is not stale: take them from its schedule, or watch it at "
        "all times (none) (default: schedule)",
    )
    tuning.add_argument(
        "--redact-captures",
        action="store_true",
        help="replace session ids, accounts, user names and tokens in the capture, at the same length, so that it can "
        "be attached to a bug report; the tables of orders, executions, P&L and accounts keep their accounts",
    )
    tuning.add_argument(
        "--capture-compression",
        choices=("lz4", "zstd"),
        default="lz4",
        help="compression of the capture: zstd makes it about 40%% smaller, and takes more time (default: lz4)",
    )
    tuning.add_argument(
        "--asyncio", action="store_true", help="use the event loop of asyncio even if uvloop is installed"
    )

    add_kafka(parser)
    add_log_options(parser)
    add_feed_tuning(parser, has_backfill=True)
    _add_simulated(parser)
    arguments.set_command(parser, _collect)


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--url", help="REST base URL of the gateway, such as https://localhost:5000/v1/api")
    source.add_argument("--simulate", action="store_true", help="start a simulated gateway and use it")


def _add_simulated(parser: argparse.ArgumentParser) -> None:
    simulated = parser.add_argument_group("options with --simulate")
    simulated.add_argument(
        "--seed", type=int, metavar="N", help="seed of the market; the same seed gives the same frames (default: 0)"
    )
    simulated.add_argument(
        "--speed", type=arguments.seconds, metavar="X", help="run all timers X times as fast (default: 1)"
    )
    simulated.add_argument(
        "--rate",
        type=arguments.seconds,
        metavar="N",
        help="market data frames per second (default: conflated every 500 ms)",
    )
    simulated.add_argument(
        "--replay",
        metavar="PATH",
        help="send the data of a capture or a folder of captures, or each line of another file as a frame",
    )


def _add_tail(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show live quotes until Ctrl-C is pressed: as a table in a terminal, otherwise as one line per change. While "
        "the connection is lost, the last values stay, with their ages, the cause and the time of the next attempt."
    )
    _add_source(parser)
    arguments.add_instruments(parser, "show")
    parser.add_argument("--duration", type=arguments.seconds, metavar="S", help="stop after S seconds (default: never)")
    parser.add_argument(
        "--interval",
        type=arguments.seconds,
        metavar="S",
        help="update every S seconds (default: 0.25 in a terminal, otherwise 1)",
    )
    arguments.add_feed_options(parser)
    add_tls_options(parser)
    parser.add_argument(
        "--asyncio", action="store_true", help="use the event loop of asyncio even if uvloop is installed"
    )
    add_feed_tuning(parser)
    _add_simulated(parser)
    arguments.set_command(parser, _tail)


def _tail(args: argparse.Namespace) -> int:
    from . import tail_command

    return tail_command.run(args)


def _collect(args: argparse.Namespace) -> int:
    from . import collect_command

    return collect_command.run(args)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check every step from the URL of a gateway to a quote, and report the first failure and how to fix it. The "
        "command changes nothing at the gateway unless --init is given. The exit code is the class of failure: "
        "0 healthy, 2 usage, 10 DNS, 11 TCP, 12 TLS, 20 no gateway, 21 login needed, 22 competing login, 23 gateway "
        "not connected, 24 rate limited, 25 gateway error, 26 address refused, 27 brokerage session not open, 28 no "
        "response, 30 WebSocket, 31 not ready, 32 no quote, 33 no heartbeat, 40 clock."
    )
    parser.add_argument(
        "--url", required=True, help="REST base URL of the gateway, such as https://localhost:5000/v1/api"
    )
    parser.add_argument(
        "--conid",
        type=arguments.instrument,
        default=265598,
        metavar="N",
        help="conid of the quote to request, with or without an exchange (default: 265598)",
    )
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=15.0,
        metavar="S",
        help="time limit of each step in seconds (default: 15)",
    )
    parser.add_argument(
        "--init",
        action="store_true",
        help="open the brokerage session if it is closed; this ends another login of the same user",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    add_tls_options(parser)
    parser.add_argument(
        "--asyncio", action="store_true", help="use the event loop of asyncio even if uvloop is installed"
    )
    arguments.set_command(parser, _doctor)


def _doctor(args: argparse.Namespace) -> int:
    from . import doctor_command

    return doctor_command.run(args)
