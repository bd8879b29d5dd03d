"""Advice names what exists where it is read, and whatever the library's options serve, the command line takes.

Every text in the sources of the package that names an option is checked, for each command that may show it.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import cpapi_fast
from cpapi_fast.cli.feed_tuning import feed_options
from cpapi_fast.cli.option_names import OptionNames
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.doctor.runner import diagnose
from cpapi_fast.feed.machine.advice import ADVICE
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.files.convert import convert
from cpapi_fast.files.repair import repair
from cpapi_fast.files.verify import verify
from cpapi_fast.metrics import MetricsServer
from cpapi_fast.replay import Replay
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import SimulatorOptions
from cpapi_fast.ws.options import WsOptions

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")

COMMANDS: Final = ("collect", "tail", "doctor", "replay", "report", "verify", "convert", "simulate")


def parser_of(command: str) -> argparse.ArgumentParser:
    (commands,) = (
        action for action in cli.make_parser(command)._actions if isinstance(action, argparse._SubParsersAction)
    )
    return commands.choices[command]


def options_of(command: str) -> frozenset[str]:
    return frozenset(option for action in parser_of(command)._actions for option in action.option_strings)


OPTIONS: Final = {command: options_of(command) for command in COMMANDS}
NAMES: Final = {command: OptionNames(parser_of(command)) for command in COMMANDS}

# --- every option of the library is on the command line, or there is a reason ----------------------------------------

_KEPT = "no command subscribes to orders, executions or accounts"
_QUEUE = "the command has one consumer, with a queue of its own"

#: Options of the library by command: its option, or the reason why it has none, which is a sentence.
FEED: Final[dict[str, str]] = {
    "competing": "--competing",
    "ready_timeout_s": "--ready-timeout",
    "ready_fallback": "--ready-fallback",
    "keepalive_interval_s": "--keepalive-interval",
    "socket_timeout_s": "--socket-timeout",
    "renew_after_s": "--renew-after",
    "stream_lifetime_s": "--stream-lifetime",
    "send_bytes_per_s": "--send-bytes-per-s",
    "send_burst_bytes": "--send-burst-bytes",
    "give_up_after_s": "--give-up-after",
    "log_trouble": "the command shows the same texts on its screen",
    "answer_timeout_s": "--answer-timeout",
    "stale_factor": "--stale-factor",
    "stale_after_min_s": "--stale-after-min",
    "stale_after_max_s": "--stale-after-max",
    "reconnect_base_s": "--reconnect-base",
    "reconnect_max_s": "--reconnect-max",
    "nightly": "--nightly-reset",
    "login_poll_s": "--login-poll",
    "penalty_s": "--penalty",
    "market_data_lines": "--market-data-lines",
    "backfill": "--backfill",
    "backfill_timeout_s": "--backfill-timeout",
    "overload": _QUEUE,
    "max_pending_frames": _QUEUE,
    "max_pending_bytes": _QUEUE,
    "last_values": "the command decides whether it needs them",
    "kept_state": "the command decides whether it needs it",
    "max_orders": _KEPT,
    "max_executions": _KEPT,
    "max_account_rows": _KEPT,
    "ws": "the options of the connection are options of the command themselves",
    "seed": "for tests that repeat a run",
    "record_decisions": "--record-decisions",
}

#: The options of the connection and of the client, of the same two commands.
CONNECTION: Final[dict[str, str]] = {
    "open_timeout_s": "--open-timeout",
    "close_timeout_s": "--close-timeout",
    "max_frame_bytes": "--max-frame-bytes",
    "max_message_bytes": "--max-message-bytes",
    "callback_errors": "the command has no callbacks of users",
    "busy_poll": "--busy-poll",
    "base_url": "--url",
    "tls": "--fingerprint",
    "user_agent": "the command names itself",
    "connect_timeout_s": "--connect-timeout",
    "total_timeout_s": "--total-timeout",
    "max_body_bytes": "--max-body-bytes",
    "clock": "for tests with compressed time",
    "pacer": "for programs with several clients",
    "contract_cache": "collect has --contract-cache",
}

TABLE: Final[dict[str, tuple[Any, dict[str, str]]]] = {
    "collect": (
        (FeedOptions, CollectOptions, WsOptions, Client, MetricsServer),
        FEED
        | CONNECTION
        | {
            "contract_cache": "--contract-cache",
            "conids": "--conids",
            "symbols": "--symbols",
            "trading_hours": "--trading-hours",
            "out": "--out",
            "fields": "--fields",
            "tables": "--tables",
            "duration_s": "--duration",
            "give_up_after_s": "--give-up-after",
            "flush_interval_s": "--flush-interval",
            "roll_interval_s": "--roll-interval",
            "max_queue_bytes": "--max-queue-bytes",
            "slow_disk": "--slow-disk",
            "output_options": "the outputs of the command write files, for which it has options of its own",
            "roll_bytes": "--roll-bytes",
            "lost_files": "--lost-files",
            "file_mode": "--file-mode",
            "redact_captures": "--redact-captures",
            "orders": "--orders",
            "executions": "--executions",
            "pnl": "--pnl",
            "summary": "--summary",
            "ledger": "--ledger",
            "capture_compression": "--capture-compression",
            "kafka": "--kafka-servers",
            "feed": "the options of the feed are options of the command themselves",
            "source": "the command has one run",
            "port": "--metrics-port",
            "host": "--metrics-host",
            "max_conids": "--metrics-conids",
        },
    ),
    "tail": (
        (FeedOptions,),
        FEED
        | {"backfill": "the screen has no place for bars", "backfill_timeout_s": "the screen has no place for bars"},
    ),
    "doctor": (
        (diagnose,),
        {
            "url": "--url",
            "tls": "--fingerprint",
            "conid": "--conid",
            "timeout_s": "--timeout",
            "init": "--init",
            "clock": "for tests with compressed time",
            "on_finding": "the command prints the findings",
        },
    ),
    "replay": (
        (Replay,),
        {
            "path": "the argument of the command",
            "speed": "--speed",
            "start": "--start",
            "end": "--end",
            "only_run": "--only-run",
            "options": "a command has no use for other bounds",
        },
    ),
    "verify": (
        (verify, repair),
        {"paths": "the arguments of the command", "path": "each file with a problem, with the option --repair"},
    ),
    "convert": (
        (convert,),
        {
            "paths": "the arguments of the command",
            "table": "--to",
            "out": "--out",
            "fields": "--fields",
            "roll_rows": "a command has no use for smaller files",
            "file_mode": "--file-mode",
        },
    ),
    "simulate": (
        (SimulatorOptions,),
        {
            "host": "--host",
            "port": "--port",
            "tls": "--no-tls",
            "certificate_file": "--certificate",
            "seed": "--seed",
            "speed": "--speed",
            "is_logged_in": "--logged-out",
            "logged_out_response": "--logged-out-response",
            "require_origin": "--require-origin",
            "conids": "--conids",
            "rate": "--rate",
            "market_data_lines": "--lines",
            "replay": "--replay",
        },
    ),
}

#: The simulator's other options make faults and rare conditions for tests, which start it in their own process.
ONLY_FOR_TESTS: Final = frozenset(field.name for field in dataclasses.fields(SimulatorOptions))


def names_of(source: Any) -> list[str]:
    if dataclasses.is_dataclass(source):
        return [field.name for field in dataclasses.fields(source) if field.init]
    return list(inspect.signature(source).parameters)


@pytest.mark.parametrize("command", TABLE)
def test_every_option_of_the_library_is_on_the_command_line_or_there_is_a_reason(command: str) -> None:
    sources, listed = TABLE[command]
    names = {name for source in sources for name in names_of(source)}
    if command == "simulate":
        names -= ONLY_FOR_TESTS - listed.keys()
    assert names == listed.keys(), "add an option of the command, or a reason, for each option of the library"
    for name, option in listed.items():
        assert option in OPTIONS[command] or " " in option, f"{name}: {command} has no {option}"


def parse(*argv: str) -> argparse.Namespace:
    return cli.make_parser(argv[0]).parse_args(argv)


def test_the_options_of_the_feed_reach_it(tmp_path: Path) -> None:
    record = str(tmp_path / "decisions.jsonl")
    given = ("--competing", "reclaim", "--market-data-lines", "250", "--record-decisions", record)
    window = ("--nightly-reset", "23:40-00:45@Europe/Zurich")
    for command in (("collect", "--out", "x", "--backfill", "rest"), ("tail",)):
        options = feed_options(parse(*command, "--simulate", *given, *window))
        assert (options.competing, options.market_data_lines, options.record_decisions) == ("reclaim", 250, record)
        assert options.nightly is not None
        assert (options.nightly.start, options.nightly.time_zone) == ("23:40", "Europe/Zurich")
        assert options.backfill == ("rest" if command[0] == "collect" else None)
        assert feed_options(parse(*command[:3], "--simulate", "--nightly-reset", "none")).nightly is None
        assert feed_options(parse(*command[:3], "--simulate")) == FeedOptions()


# --- translation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("collect", "or use competing='reclaim' to take it back.", "or use --competing reclaim to take it back."),
        ("tail", 'set FeedOptions(competing="reclaim")', 'set FeedOptions(competing="reclaim")'),
        ("tail", "set FeedOptions(competing='reclaim').", "set --competing reclaim."),
        ("collect", "raise market_data_lines if", "raise --market-data-lines if"),
        ("collect", "FeedOptions(market_data_lines=250)", "--market-data-lines 250"),
        ("simulate", "market_data_lines must be zero or more", "market_data_lines must be zero or more"),
        ("collect", "give_up_after_s must be above zero", "--give-up-after must be above zero"),
        ("collect", "slow_disk='drop_oldest'", "--slow-disk drop-oldest"),
        ("collect", "CollectOptions(flush_interval_s=0.5)", "--flush-interval 0.5"),
        ("tail", "give_up_after_s=5", "--give-up-after 5"),
        ("doctor", "CA with Tls.ca_file(path), or Tls.pinned('ab:cd')", "CA with --ca-file, or --fingerprint ab:cd"),
        ("collect", "with init_brokerage_session(compete=True).", "with --competing reclaim."),
        ("doctor", "with Client.init_brokerage_session(compete=True).", "with --init."),
        # Words, paths and code that only look alike.
        ("collect", "competing logins; fields and the duration", "competing logins; fields and the duration"),
        ("collect", "cannot write /data/seed=5/rate=1: full", "cannot write /data/seed=5/rate=1: full"),
        ("collect", "cannot write seed=5/x: full", "cannot write seed=5/x: full"),
        ("collect", "cannot read my_ca_file.pem or ca_file.pem", "cannot read my_ca_file.pem or ca_file.pem"),
        ("collect", "SESSION_COMPETING xcompeting='reclaim'", "SESSION_COMPETING xcompeting='reclaim'"),
    ],
)  # fmt: skip
def test_translation(command: str, text: str, expected: str) -> None:
    assert NAMES[command](text) == expected
    assert NAMES[command](expected) == expected, "a second translation changes nothing"


# --- every text ------------------------------------------------------------------------------------------------------

PACKAGE: Final = Path(cpapi_fast.__path__[0])

#: Texts of the library that no command shows, by their start, with the reason.
NOT_SHOWN: Final[dict[str, str]] = {
    "last values are not kept": "tail keeps them",
    "orders, executions and accounts are not kept": "no command reads them",
    "a consumer with the policy 'block'": "collect allows it",
    "consumer {} (policy halt)": "no command has a consumer with the policy `halt`",
    "tls must be Tls.verify()": "only a program passes another object",
    "the options of the output {} must be": "only a program has outputs of its own",
    "use Tls.verify(), ": "only a program calls the class",
    "TLS certificates are not checked: an attacker": "a command prints a warning of its own instead",
    "The limit is {} of WsOptions": "no gateway is known to send frames that long, so only a program raises the limit",
}

#: What a command does not run, so that it shows no text of it.
NOT_RUN: Final = {
    "collect": ("replay/",),
    "doctor": ("feed/", "collect/", "delivery/", "outputs/", "protocol/contracts/", "replay/"),
    "tail": ("collect/", "outputs/", "replay/"),
}

#: Names that are an option of the library, wherever a text has them.
OPTION_NAMES: Final = frozenset(
    name for source in (FeedOptions, WsOptions, CollectOptions) for name in names_of(source) if "_" in name
)


#: The starts of code in texts: what opens a file, a `repr`, the rest of a command line.
_CODE: Final = ("pandas.", "polars.", ", lines=True", ", dtype_backend=", "TickDecoder(", " --")


class Text(NamedTuple):
    module: str
    line: int
    text: str

    @property
    def where(self) -> str:
        return f"{self.module}:{self.line}"


def texts_of(path: Path) -> Iterator[Text]:
    """The texts in a source that a user may read: not docstrings, and not what `repr` returns."""
    module, source = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        for number, line in enumerate(source.splitlines(), 1):
            yield from (
                Text(module, number, text)
                for text in re.findall(r'"([^"]*\s[^"]*)"', line)
                if not text.startswith(_CODE)
            )
        return
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node) is not None:
                skipped.add(id(node.body[0].value))  # type: ignore[attr-defined]
            if getattr(node, "name", "") == "__repr__":
                skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if " " in text and not text.startswith(_CODE):
            yield Text(module, node.lineno, text)


def all_texts() -> list[Text]:
    return [
        text for path in sorted(PACKAGE.rglob("*.py*")) if path.suffix in (".py", ".pyx") for text in texts_of(path)
    ]


#: Modules whose texts are written for certain commands. All others are written for programs.
READ_BY: Final[dict[str, tuple[str, ...]]] = {
    "cli/main.py": (),
    "program.py": (),
    "cli/arguments.py": ("collect", "tail"),
    "cli/feed_tuning.py": ("collect", "tail"),
    "cli/config/": ("collect",),
    "cli/service/completion.py": (),
    "cli/service/": ("collect",),
    "cli/option_names.py": (),
    "program/": (),
    "cli/collect_command.py": ("collect",),
    "cli/collect_progress.py": ("collect",),
    "cli/kafka_options.py": ("collect",),
    "cli/tail_command.py": ("tail",),
    "cli/files/replay_command.py": ("replay",),
    "cli/gateway_source.py": ("collect", "tail"),
    "cli/tls_options.py": ("collect", "tail", "doctor"),
    "cli/doctor_command.py": ("doctor",),
    "doctor/": ("doctor",),
    "cli/files/report_command.py": ("report",),
    "cli/files/verify_command.py": ("verify",),
    "cli/files/convert_command.py": ("convert",),
    # Elements, styles and scripts of a page.
    "report/html/": (),
    "report/": ("report",),
    "simulator/command.py": ("simulate",),
    "simulator/": ("collect", "tail", "simulate"),
}
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
#: Another program's line in a text: `cpapi-fast doctor --url ...`, `openssl x509 ...`.
_COMMAND_LINE: Final = re.compile(r"`[^`]*`|cpapi-fast (\w+) [^;,.]*")


def readers(module: str) -> tuple[str, ...] | None:
    return next((commands for start, commands in READ_BY.items() if module.startswith(start)), None)


def unknown_options(text: str, command: str) -> list[str]:
    """The options in a text that do not exist in the command that it is read in, or that it names."""
    found = [
        option
        for line in _COMMAND_LINE.finditer(text)
        if (named := re.match(r"`?cpapi-fast (\w+)", line[0])) is not None
        for option in _OPTION.findall(line[0])
        if named[1] in OPTIONS and option not in OPTIONS[named[1]]
    ]
    return found + [option for option in _OPTION.findall(_COMMAND_LINE.sub("", text)) if option not in OPTIONS[command]]


def test_there_are_texts_with_options() -> None:
    """The scan finds what is known to be there."""
    texts = [text.text for text in all_texts()]
    assert any("competing='reclaim'" in text for text in texts)
    assert any("market_data_lines" in text for text in texts)
    assert any("Pass another --conid." in text for text in texts)
    assert unknown_options("pass --nonsense", "tail") == ["--nonsense"]
    assert unknown_options("run `cpapi-fast tail --init`", "doctor") == ["--init"]


def test_texts_of_a_command_name_its_options() -> None:
    wrong = [
        f"{text.where}: {command} has no {option}: {text.text}"
        for text in all_texts()
        for command in readers(text.module) or ()
        for option in unknown_options(text.text, command)
    ]
    assert wrong == []


def test_texts_of_the_library_name_no_option_of_a_command() -> None:
    wrong = [
        f"{text.where}: {text.text}"
        for text in all_texts()
        if readers(text.module) is None and _OPTION.search(_COMMAND_LINE.sub("", text.text))
    ]
    assert wrong == [], "write competing='reclaim'; the command line shows it as --competing reclaim"


def keywords() -> set[str]:
    """The names of all keyword arguments of the public interface."""
    found: set[str] = set()
    for name in cpapi_fast.__all__:
        public = getattr(cpapi_fast, name)
        members = [public, *(vars(public).values() if inspect.isclass(public) else ())]
        for member in members:
            function = getattr(member, "__func__", member)
            try:
                found |= set(inspect.signature(function).parameters)
            except (TypeError, ValueError):
                continue
    return found


def library_names(text: str) -> set[str]:
    """What of the library a text names: `name=`, an option with an underscore, `Tls.pinned`, `FeedOptions`."""
    found = {f"{name}=" for name in re.findall(r"(?<![\w./=-])([a-z]\w*)=(?=['\w.])", text)}
    found |= {word for word in re.findall(r"\b[a-z]\w*\b", text) if word in OPTION_NAMES}
    return found | set(re.findall(r"\bTls\.\w+|\b[A-Z]\w+Options\b", text))


def test_texts_of_the_library_name_what_exists_in_it() -> None:
    known = keywords()
    wrong = [
        f"{text.where}: {name}: {text.text}"
        for text in all_texts()
        if readers(text.module) is None and not text.text.startswith(("<", ", ", "pip install"))
        for name in library_names(text.text)
        if name.endswith("=") and name[:-1] not in known
    ]
    assert wrong == []


@pytest.mark.parametrize("command", ["collect", "tail", "doctor"])
def test_texts_of_the_library_are_shown_with_the_options_of_the_command(command: str) -> None:
    wrong = []
    settable = {name for name, option in TABLE[command][1].items() if " " not in option}
    for text in all_texts():
        if readers(text.module) is not None or text.text.startswith(tuple(NOT_SHOWN)):
            continue
        if text.module.startswith(NOT_RUN.get(command, ())):
            continue
        shown = NAMES[command](text.text)
        left = library_names(shown)
        if text.module.endswith("options.py"):
            # Only a program sets an option that the command has not, so only a program can set it wrongly.
            left = {name for name in left if name.rstrip("=") in settable}
        wrong += [f"{text.where}: {name}: {shown}" for name in left | set(unknown_options(shown, command))]
    assert wrong == []


@pytest.mark.parametrize("command", ["collect", "tail"])
@pytest.mark.parametrize("advice", ADVICE.values())
def test_the_advice_of_each_cause_names_options_of_the_command(command: str, advice: str) -> None:
    shown = NAMES[command](advice)
    assert not library_names(shown)
    assert not unknown_options(shown, command)


def test_each_text_that_is_left_out_exists() -> None:
    starts = [text.text for text in all_texts()]
    for start in NOT_SHOWN:
        assert any(text.startswith(start) for text in starts), start


def test_the_policies_of_tls_are_translated() -> None:
    shown = NAMES["tail"]("Tls.verify() Tls.ca_file(path) Tls.pinned(fingerprint) Tls.insecure()")
    assert shown == "--tls-verify --ca-file --fingerprint --insecure"
    assert {name for name in vars(Tls) if name in ("verify", "ca_file", "pinned", "insecure")} == {
        "verify", "ca_file", "pinned", "insecure",
    }  # fmt: skip
