"""The configuration of `collect`: a file, variables and files of instruments, and what is said about wrong ones."""

from __future__ import annotations

import argparse
import importlib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from cpapi_fast.cli import arguments, feed_tuning
from cpapi_fast.cli.collect_command import collect_options
from cpapi_fast.cli.config import Settings, SettingsError
from cpapi_fast.cli.config.check import effective_lines
from cpapi_fast.cli.config.instrument_files import instruments_of
from cpapi_fast.cli.config.toml_file import read_toml
from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.kafka.options import KafkaOptions
from tests.conftest import OWN_VARIABLES

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")

#: An account that no text may show.
ACCOUNT: Final = "U7654321"


class RefusedError(Exception):
    """The command line is refused."""


def parsed(*argv: str, environment: dict[str, str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser("collect")
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    settings = Settings(commands.choices["collect"], environment or {})
    args = parser.parse_args(["collect", *argv])
    args.settings = settings

    def refuse(text: str) -> None:
        raise RefusedError(text)

    args.refuse = refuse
    settings.complete(args)
    return args


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "collect.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


# --- values and precedence -------------------------------------------------------------------------------------------

#: A value in TOML, and the same in a variable and on the command line, for each kind of option.
EQUAL: Final = [
    ("flush-interval", "2.5", "2.5", ("--flush-interval", "2.5")),
    ("flush-interval", "'2.5'", "2.5", ("--flush-interval", "2.5")),
    ("max-queue-bytes", "1_000_000", "1000000", ("--max-queue-bytes", "1000000")),
    ("conids", "[265598, '8314@NYSE']", "265598,8314@NYSE", ("--conids", "265598,8314@NYSE")),
    ("conids", "265598", "265598", ("--conids", "265598")),
    ("symbols", "['AAPL', 'EUR.USD']", "AAPL,EUR.USD", ("--symbols", "AAPL,EUR.USD")),
    ("fields", "['last_price', 84]", "last_price,84", ("--fields", "last_price,84")),
    ("tables", "['quotes', 'ticks']", "quotes,ticks", ("--tables", "quotes,ticks")),
    ("orders", "true", "yes", ("--orders",)),
    ("executions", "true", "on", ("--executions",)),
    ("executions", "3", "3", ("--executions", "3")),
    ("executions", "1", "1", ("--executions", "1")),
    ("ledger", f"['{ACCOUNT}']", ACCOUNT, ("--ledger", ACCOUNT)),
    ("file-mode", "'640'", "640", ("--file-mode", "640")),
    ("slow-disk", "'drop-oldest'", "drop-oldest", ("--slow-disk", "drop-oldest")),
    ("nightly-reset", "'23:40-00:45@Europe/Zurich'", "23:40-00:45@Europe/Zurich",
     ("--nightly-reset", "23:40-00:45@Europe/Zurich")),
    ("nightly-reset", "'none'", "none", ("--nightly-reset", "none")),
    ("renew-after", "'100,200'", "100,200", ("--renew-after", "100,200")),
    ("busy-poll", "true", "true", ("--busy-poll",)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "toml", "variable", "flags"), EQUAL)
def test_a_value_is_the_same_from_every_source(
    config: Callable[[str], str], tmp_path: Path, key: str, toml: str, variable: str, flags: tuple[str, ...]
) -> None:
    base = ("--simulate", "--out", str(tmp_path / "data"))
    name = f"CPAPI_FAST_{key.upper().replace('-', '_')}"
    given = collect_options(parsed(*base, *flags))
    assert collect_options(parsed(*base, "--config", config(f"{key} = {toml}"))) == given
    assert collect_options(parsed(*base, environment={name: variable})) == given
    assert collect_options(parsed(*base)) != given or (key, toml) == ("executions", "1") or given is None


def test_the_command_line_precedes_variables_and_these_the_file(config: Callable[[str], str]) -> None:
    path = config('out = "file"\nsimulate = true\nflush-interval = 1\nroll-interval = 1\nduration = 1\nconids = [1, 2]')
    variables = {"CPAPI_FAST_FLUSH_INTERVAL": "2", "CPAPI_FAST_ROLL_INTERVAL": "2", "CPAPI_FAST_CONFIG": path}
    args = parsed("--flush-interval", "3", "--conids", "7", environment=variables)
    assert (args.flush_interval, args.roll_interval, args.duration, args.out) == (3.0, 2.0, 1.0, "file")
    assert args.conids == (7,), "a list is replaced, not extended"
    assert args.lost_files == "recreate"
    wheres = {key: one.where for key, one in args.settings.current.items()}
    assert wheres["flush-interval"] == "command line"
    assert wheres["roll-interval"] == "environment variable CPAPI_FAST_ROLL_INTERVAL"
    assert wheres["duration"] == f"{path}:5"
    assert wheres["lost-files"] == "default"


def test_a_source_with_precedence_replaces_what_excludes_it(config: Callable[[str], str]) -> None:
    path = config('out = "x"\nurl = "https://localhost:5000/v1/api"\ninsecure = true\n')
    args = parsed("--config", path, "--simulate", "--seed", "3")
    assert (args.url, args.insecure, args.simulate, args.seed) == (None, False, True, 3)
    args = parsed("--config", path, "--tls-verify")
    assert (args.insecure, args.tls_verify, args.simulate) == (False, True, False)
    args = parsed("--config", config('out = "x"\nsimulate = true\nseed = 3\n'), "--url", "https://localhost")
    assert (args.simulate, args.seed) == (False, None)


def test_an_empty_variable_is_not_set_and_others_are_left_alone() -> None:
    variables = {"CPAPI_FAST_OUT": "", "CPAPI_FAST_TRACEBACK": "1", "CPAPI_FAST_SOMETHING_ELSE": "1", "HOME": "x"}
    assert parsed("--simulate", "--out", "y", environment=variables).out == "y"


def test_no_variable_of_the_tests_and_the_build_is_an_option_or_resembles_one() -> None:
    assert parsed("--simulate", "--out", "y", environment=dict.fromkeys(OWN_VARIABLES, "x")).seed is None
    root = Path(__file__).parents[3]
    paths = [root / "setup.py", root / "Makefile", root / "CONTRIBUTING.md", root / ".ci" / "run"]
    for folder in ("tests", "tools", "benchmarks", ".github"):
        paths += [path for path in (root / folder).rglob("*") if path.suffix in {".py", ".sh", ".yml", ".md"}]
    found = {
        name
        for path in paths
        if path.is_file() and path.parent != Path(__file__).parent
        for name in re.findall(r"\bCPAPI_FAST_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8"))
    }
    own = {name.removesuffix("_VARIABLE") for name in OWN_VARIABLES}
    services = {"CPAPI_FAST_OUT", "CPAPI_FAST_CONIDS", "CPAPI_FAST_URL"}
    assert found - services <= own, "a variable of the tests is not listed in OWN_VARIABLES"


def test_variables_of_the_simulator_apply_only_to_a_simulated_gateway(config: Callable[[str], str]) -> None:
    url = ("--url", "https://localhost:5000", "--out", "x")
    variables = {"CPAPI_FAST_SEED": "7", "CPAPI_FAST_RATE": "x", "CPAPI_FAST_REPLAY": "none"}
    args = parsed(*url, environment=variables)
    assert (args.seed, args.rate, args.replay) == (None, None, None)
    assert parsed(environment=variables | {"CPAPI_FAST_URL": "https://localhost", "CPAPI_FAST_OUT": "x"}).seed is None
    path = config("simulate = true\nout = 'x'")
    assert parsed("--config", path, environment={"CPAPI_FAST_SEED": "7"}).seed == 7
    with pytest.raises(SettingsError, match="CPAPI_FAST_RATE: rate: 'x' is not a number"):
        parsed("--config", path, environment=variables)


def test_the_command_line_replaces_what_excludes_it_in_what_is_printed(config: Callable[[str], str]) -> None:
    path = config("simulate = true\nout = 'x'\nquiet = true")
    args = parsed("--config", path, "--progress")
    assert (args.quiet, args.progress) == (False, True)
    args = parsed("--config", config("simulate = true\nout = 'x'\nprogress = true"), "--quiet")
    assert (args.quiet, args.progress) == (True, False)
    assert parsed("--config", path, environment={"CPAPI_FAST_QUIET": "false"}).quiet is False


def test_what_is_required_may_come_from_any_source(config: Callable[[str], str]) -> None:
    assert parsed(environment={"CPAPI_FAST_OUT": "x", "CPAPI_FAST_SIMULATE": "1"}).simulate is True
    with pytest.raises(RefusedError, match=r"required: --out; or give it in the file of --config"):
        parsed("--config", config("simulate = true"))
    with pytest.raises(RefusedError, match=r"--url or --simulate"):
        parsed("--config", config('out = "x"\nsimulate = false'))


def test_every_limit_reaches_the_options_of_the_library() -> None:
    limits = {**feed_tuning._FEED, **feed_tuning._WS, **feed_tuning._CLIENT}
    values = {name: 7.0 if limit.parse is arguments.seconds else 7 for name, limit in limits.items()}
    values["renew_after_s"] = (1.0, 2.0)
    flags = [
        word
        for name, limit in limits.items()
        for word in (f"--{limit.name}", "1,2" if name == "renew_after_s" else str(values[name]))
    ]
    more = ("--ready-fallback", "reconnect", "--busy-poll", "--backfill-timeout", "7", "--roll-bytes", "7")
    args = parsed("--simulate", "--out", "x", *flags, *more)
    options = collect_options(args)
    assert {name: getattr(options.feed, name) for name in feed_tuning._FEED} == {
        name: values[name] for name in feed_tuning._FEED
    }
    assert {name: getattr(options.feed.ws, name) for name in feed_tuning._WS} == {
        name: values[name] for name in feed_tuning._WS
    }
    assert feed_tuning.client_limits(args) == {name: values[name] for name in feed_tuning._CLIENT}
    assert (options.feed.ready_fallback, options.feed.backfill_timeout_s) == ("reconnect", 7.0)
    assert (options.feed.ws.busy_poll, options.roll_bytes) == (True, 7)


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("outt = 'x'", 1, "there is no option 'outt'; did you mean out?"),
        ("# a\n\nflush_interval = 1", 3, "did you mean flush-interval?"),
        ("flushinterval = 1", 1, "did you mean flush-interval?"),
        ("zzzzz = 1", 1, "`cpapi-fast collect --help` lists the options"),
        ("check = true", 1, "give --check on the command line"),
        ("flush-interval = 'x'", 1, "flush-interval: 'x' is not a number above zero"),
        ("flush-interval = inf", 1, "not a number above zero"),
        ("flush-interval = true", 1, "must be a text or a number, not true"),
        ("flush-interval = [1]", 1, "not a list"),
        ("flush-interval = 2026-01-01", 1, "not a value of type date"),
        ("flush-interval = {a = 1}", 1, "not a value of type dict"),
        ("orders = 'yes'", 1, "must be true or false, without quotes"),
        ("orders = 1", 1, "must be true or false, without quotes"),
        ("file-mode = 640", 1, 'must be a text in octal, such as "640"'),
        ("slow-disk = 'panic'", 1, "must be one of hold, drop-oldest, drop-newest"),
        ("seed = 'x'", 1, "must be a whole number"),
        ("conids = [\n  265598,\n  'AAPL', # not a conid\n]", 3, "not 'AAPL'"),
        ("conids = [[1]]", 1, "a list must have texts or whole numbers only"),
        ("symbols = ['A', true]", 1, "a list must have texts or whole numbers only"),
        ("executions = 8", 1, "days must be a whole number from 1 to 7"),
        ("a = 1\nb = 2\nout = /x", 3, "not TOML, column 7"),
        ("out = 'x'\nout = 'y'", 2, "not TOML"),
        ("conids = [\n1,\n", 3, "not TOML"),
        ("out = 'x'\nout = 'y'", 2, "remove one of the lines"),
        (f"#\nseed = {'1' * 5000}", 2, "a number has too many digits"),
        (f"#\nseed = 0x{'f' * 5000}", 2, "a number has too many digits"),
        (f"#\nconids = [\n0x{'f' * 5000}]", 2, "a number has too many digits"),
        (f"conids = '{'1' * 5000}'", 1, "conids: "),
        ("[collect]\nout = 'x'", 1, "there are no tables"),
        ("x.y = 1", 1, "there is no option 'x'"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_line_and_correction(
    config: Callable[[str], str], text: str, line: int, expected: str
) -> None:
    path = config(text)
    with pytest.raises(SettingsError) as caught:
        parsed("--config", path, "--simulate", "--out", "x")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:{line}: ")
    assert expected in problem


def test_everything_that_is_wrong_is_reported_at_once(config: Callable[[str], str]) -> None:
    path = config("outt = 1\nflush-interval = 'x'\nurl = 'https://x'\nsimulate = true")
    with pytest.raises(SettingsError) as caught:
        parsed("--config", path, environment={"CPAPI_FAST_FLUSH_INTERVL": "1", "CPAPI_FAST_ORDERS": "maybe"})
    assert caught.value.problems == (
        "environment variable CPAPI_FAST_FLUSH_INTERVL: there is no such option; did you mean "
        "CPAPI_FAST_FLUSH_INTERVAL?",
        "environment variable CPAPI_FAST_ORDERS: orders: must be true or false",
        f"{path}:1: there is no option 'outt'; did you mean out?",
        f"{path}:2: flush-interval: 'x' is not a number above zero",
        f"{path}:4: simulate cannot be used with url ({path}:3); remove one of them",
    )


def test_a_long_file_full_of_errors_has_a_short_answer(config: Callable[[str], str]) -> None:
    path = config("\n".join(f"wrong{number} = 1" for number in range(2000)))
    with pytest.raises(SettingsError) as caught:
        parsed("--config", path, "--simulate", "--out", "x")
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "and 1980 more problems like these"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"out = 1\n\xff\xfe")
    (tmp_path / "nul").write_bytes(b"out = 'x'\n\0")
    (tmp_path / "deep").write_text(f"conids = {'[' * 100_000}", encoding="utf-8")
    for name, expected in (
        ("missing", "No such file"), (".", "Is a directory"), ("binary", "binary:2: not UTF-8"),
        ("nul", "nul:2: not TOML"), ("deep", "deep"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=expected):
            parsed("--config", str(tmp_path / name), "--simulate", "--out", "x")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_lines_of_keys_after_every_kind_of_statement(tmp_path: Path, end: str) -> None:
    path = tmp_path / "x.toml"
    lines = [
        "\ufeff# [x]",
        'a = """',
        "b = 1",
        ']"""',
        "c = [ # ]",
        "  1, # [",
        "  ']',",
        "]",
        "",
        "d = '''",
        "'''",
        "e = 1",
    ]
    path.write_bytes(end.join(lines).encode())
    assert [(entry.key, entry.line) for entry in read_toml(str(path))] == [("a", 2), ("c", 5), ("d", 10), ("e", 12)]


def test_brackets_in_comments_and_texts_do_not_end_a_statement(config: Callable[[str], str]) -> None:
    lines = [f"  {number}, # ] {{ ' \"" for number in range(1, 20_001)]
    texts = ['a = """x""""', "b = " + "'" * 6, "c = {d = ']'}", "seed = 1"]
    path = config("\n".join(["conids = [", *lines, "]", *texts]))
    assert [(entry.key, entry.line) for entry in read_toml(path)] == [
        ("conids", 1), ("a", 20_003), ("b", 20_004), ("c", 20_005), ("seed", 20_006),
    ]  # fmt: skip


def test_a_list_of_thousands_is_read_at_once(config: Callable[[str], str]) -> None:
    path = config("conids = [\n" + "".join(f"  {number},\n" for number in range(1, 5001)) + "]\nseed = 'x'")
    with pytest.raises(SettingsError, match=r":5003: seed"):
        parsed("--config", path, "--simulate", "--out", "x")


def test_no_text_shows_an_account(config: Callable[[str], str]) -> None:
    path = config(f"out = 'x'\nsimulate = true\nledger = ['{ACCOUNT}']\nsummary = '{ACCOUNT}'\n")
    lines = effective_lines(parsed("--config", path).settings)
    assert f'# ledger = ["[redacted]"]  # {path}:3' in lines
    tomllib.loads("\n".join(lines))
    assert ACCOUNT not in "".join(lines)
    for wrong in (f"conids = ['{ACCOUNT}']", f"seed = '{ACCOUNT}'", f"{ACCOUNT} = 1", f"duration = '{ACCOUNT}'"):
        with pytest.raises(SettingsError) as caught:
            parsed("--config", config(wrong), "--simulate", "--out", "x")
        assert ACCOUNT not in str(caught.value)


# --- the effective settings ------------------------------------------------------------------------------------------


def test_the_effective_settings_are_a_file_with_the_same_settings(config: Callable[[str], str], tmp_path: Path) -> None:
    text = "\n".join(
        ["simulate = true", "out = 'd\"\\x7f\u2026 \U0001f600'",
         *{key: f"{key} = {toml}" for key, toml, _, _ in EQUAL if key != "ledger"}.values()]
    )  # fmt: skip
    args = parsed("--config", config(text.replace("\\x7f", "")))
    lines = effective_lines(args.settings)
    tomllib.loads("\n".join(lines))
    again = tmp_path / "again.toml"
    again.write_text("\n".join(lines), encoding="utf-8")
    assert collect_options(parsed("--config", str(again))) == collect_options(args)
    keys = {line.removeprefix("# ").split(" ")[0] for line in lines}
    assert keys == args.settings.actions.keys()


def test_every_option_of_collect_has_a_key_and_a_variable() -> None:
    settings: Any = parsed("--simulate", "--out", "x").settings
    parser = next(
        action for action in cli.make_parser("collect")._actions if isinstance(action, argparse._SubParsersAction)
    ).choices["collect"]
    options = {option for action in parser._actions for option in action.option_strings}
    assert {f"--{key}" for key in settings.actions} == options - {"--help", "-h", "--config", "--check"}


# --- files of instruments --------------------------------------------------------------------------------------------


def test_files_of_instruments(tmp_path: Path) -> None:
    conids, symbols = tmp_path / "conids.txt", tmp_path / "symbols.txt"
    conids.write_text("\ufeff# all\r\n265598 # AAPL\r\n\r\n28812380;;;8314/1,8894/-1\r\n", encoding="utf-8")
    symbols.write_text("EUR.USD\n  AAPL@NASDAQ\n", encoding="utf-8")
    files = ("--conids-file", str(conids), "--symbols-file", str(symbols))
    args = parsed("--simulate", "--out", "x", "--conids", "1", *files)
    assert instruments_of(args) == ((1, 265598, "28812380;;;8314/1,8894/-1"), ("EUR.USD", "AAPL@NASDAQ"))


def test_wrong_lines_of_files_of_instruments(tmp_path: Path) -> None:
    conids, symbols = tmp_path / "conids.txt", tmp_path / "symbols.txt"
    conids.write_text(f"265598\n{ACCOUNT}\n1,2\n", encoding="utf-8")
    symbols.write_text("AAPL\nA@B@C\n", encoding="utf-8")
    args = parsed("--simulate", "--out", "x", "--conids-file", str(conids), "--symbols-file", str(symbols))
    with pytest.raises(SettingsError) as caught:
        instruments_of(args)
    starts = [f"{conids}:2: a conid must be", f"{conids}:3: write one instrument per line", f"{symbols}:2: "]
    assert all(problem.startswith(start) for problem, start in zip(caught.value.problems, starts, strict=True))
    assert ACCOUNT not in str(caught.value)
    with pytest.raises(SettingsError, match="cannot read"):
        instruments_of(parsed("--simulate", "--out", "x", "--conids-file", str(tmp_path / "none")))


def test_the_options_for_kafka_are_in_the_configuration(config: Callable[[str], str], tmp_path: Path) -> None:
    properties = tmp_path / "kafka.properties"
    properties.write_text("sasl.password=hunter2\n")
    path = config(
        f"simulate = true\nout = 'x'\nkafka-servers = 'one:9092,two:9092'\nkafka-tables = ['ticks']\n"
        f"kafka-config = '{properties}'\nkafka-start-without-broker = true\nkafka-spill-bytes = 1_000_000\n"
    )
    variables = {"CPAPI_FAST_KAFKA_TOPIC_PREFIX": "desk.", "CPAPI_FAST_KAFKA_PARTITIONS": "12"}
    args = parsed("--config", path, environment=variables)
    assert collect_options(args).kafka == KafkaOptions(
        servers="one:9092,two:9092",
        topic_prefix="desk.",
        tables=("ticks",),
        partitions=12,
        config={"sasl.password": "hunter2"},
        spill_bytes=1_000_000,
        start_without_broker=True,
    )
    lines = [line.partition("  # ")[0] for line in effective_lines(args.settings)]
    assert f'kafka-config = "{properties}"' in lines
    assert {'kafka-servers = "one:9092,two:9092"', 'kafka-topic-prefix = "desk."'} <= set(lines)
    assert "hunter2" not in "\n".join(lines)
    with pytest.raises(ConfigError, match="need the brokers of the cluster: --kafka-servers"):
        collect_options(parsed("--simulate", "--out", "x", "--config", config("kafka-partitions = 3")))
