"""The command line's own part: what it parses, how it refuses, and that errors become a line and an exit code."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cpapi_fast._version import __version__
from cpapi_fast.errors import (
    ConfigError,
    CpapiError,
    HeaderRefusedError,
    OutputError,
    SubscriptionError,
    TransportError,
    UsageError,
)

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")

COLLECT = ["collect", "--simulate", "--out", "x"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["--nonsense"], "COMMAND"),
        (["collect"], "--out"),
        (["collect", "--out", "x"], "--url or --simulate"),
        ([*COLLECT, "--url", "https://localhost"], "not allowed with"),
        (
            [*COLLECT, "--conids", "AAPL"],
            "a conid must be a whole number such as 265598, or a text such as '265598@NYSE'",
        ),
        ([*COLLECT, "--conids", "265598,"], "a conid must be a whole number"),
        ([*COLLECT, "--conids", "1.5"], "a conid must be a whole number"),
        ([*COLLECT, "--conids", "-1"], "--conids"),
        ([*COLLECT, "--conids", "\N{ARABIC-INDIC DIGIT ONE}"], "a conid must be a whole number"),
        ([*COLLECT, "--conids", ""], "a conid must be a whole number"),
        ([*COLLECT, "--conids", "265598@nyse"], "an exchange must be a name in capitals"),
        ([*COLLECT, "--conids", "265598@NYSE,"], "a conid must be a whole number"),
        ([*COLLECT, "--conids", "8314/1"], "a conid must be a whole number"),
        ([*COLLECT, "--conids", "28812380;;;8314"], "a combination must be a conid, ';;;' and two or more legs"),
        ([*COLLECT, "--conids", "28812380;;;8314/1,8894"], "a combination must be a conid, ';;;' and two or more legs"),
        (["doctor", "--url", "https://localhost", "--conid", "1,2"], "give one conid"),
        ([*COLLECT, "--market-data-lines", "0"], "'0' is not a whole number above zero"),
        ([*COLLECT, "--market-data-lines", "1.5"], "not a whole number above zero"),
        ([*COLLECT, "--max-queue-bytes", "-1"], "not a whole number above zero"),
        ([*COLLECT, "--competing", "fight"], "--competing"),
        ([*COLLECT, "--backfill", "all"], "--backfill"),
        (["tail", "--simulate", "--backfill", "smh"], "unrecognized arguments: --backfill smh"),
        ([*COLLECT, "--nightly-reset", "midnight"], "give it as 23:40-00:45@Europe/Zurich, or none"),
        ([*COLLECT, "--nightly-reset", "23:40-00:45@Nowhere"], "no time zone 'Nowhere'"),
        ([*COLLECT, "--record-decisions", str(Path(__file__))], "exists; files are never overwritten"),
        ([*COLLECT, "--record-decisions", "no/such/folder/x"], "is no folder"),
        (["collect", "--simulate", "--out", str(Path(__file__))], "is a file; give the path of a folder"),
        (["collect", "--simulate", "--out", str(Path(__file__) / "below")], "is a file; give the path of a folder"),
        ([*COLLECT, "--fields", "lastprice"], "or a key such as last_price, not 'lastprice'. Did you mean last_price"),
        ([*COLLECT, "--fields", "31,,84"], "a field must be a code such as 31 or a key such as last_price, not '' ("),
        ([*COLLECT, "--file-mode", "rw"], "'rw' is not a mode in octal, such as 640"),
        ([*COLLECT, "--file-mode", "-600"], "--file-mode"),
        ([*COLLECT, "--lost-files", "ignore"], "--lost-files"),
        ([*COLLECT, "--duration", "soon"], "'soon' is not a number above zero"),
        ([*COLLECT, "--duration", "0"], "not a number above zero"),
        ([*COLLECT, "--duration", "nan"], "not a number above zero"),
        ([*COLLECT, "--give-up-after", "0"], "not a number above zero"),
        ([*COLLECT, "--slow-disk", "panic"], "--slow-disk"),
        ([*COLLECT, "--dur", "1"], "--dur"),
        ([*COLLECT, "--insecure", "--tls-verify"], "not allowed with"),
        (["collect", "--simulate", "--conids", "1", "--out", ""], "--out: give the path of a folder"),
        ([*COLLECT, "--nonsense"], "unrecognized arguments: --nonsense (see cpapi-fast collect --help)"),
        (
            [*COLLECT, "--symbols", "AAPL", "IBM"],
            "arguments: IBM; separate the values of an option by commas",
        ),
        (["simulate", "--nonsense"], "unrecognized arguments: --nonsense (see cpapi-fast simulate --help)"),
        (["simulate", "--port", "x"], "--port"),
        (["simulate", "--conids", "x"], "conids must be whole numbers"),
    ],
)
def test_what_is_refused_is_one_line(argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("cpapi-fast")
    assert expected in err


def parse(*argv: str) -> argparse.Namespace:
    return cli.make_parser(argv[0]).parse_args(argv)


def test_collect_arguments() -> None:
    args = parse(*COLLECT, "--conids", "265598, 8314", "--fields", "31,99999", "--duration", "1.5", "--seed", "3")
    assert args.conids == (265598, 8314)
    assert args.fields == ("31", "99999"), "an unknown number passes: the list grows"
    assert parse(*COLLECT, "--fields", "last_price, 84,mark_price").fields == ("31", "84", "7635")
    assert (args.lost_files, args.file_mode, args.redact_captures) == ("recreate", 0o600, False)
    modes = [parse(*COLLECT, "--file-mode", text).file_mode for text in ("640", "0640", "0o640")]
    assert modes == [0o640] * 3
    assert (args.duration, args.seed, args.speed, args.simulate) == (1.5, 3, None, True)


def test_options_that_may_be_repeated() -> None:
    combination = "28812380;;;8314/1,8894/-1"
    for command in (COLLECT, ["tail", "--simulate"]):
        args = parse(
            *command, "--conids", f"265598@NYSE,{combination}, 8314", "--conids", f"1,0{combination},2@OVERNIGHT"
        )
        assert args.conids == ("265598@NYSE", combination, 8314, 1, combination, "2@OVERNIGHT")
        args = parse(*command, "--fields", "31,84", "--fields", "7635")
        assert args.fields == ("31", "84", "7635")
    assert parse("doctor", "--url", "x", "--conid", "265598@NYSE").conid == "265598@NYSE"
    assert parse("doctor", "--url", "x", "--conid", combination).conid == combination


def test_simulate_arguments() -> None:
    args = parse("simulate", "--port", "0", "--no-tls", "--seed", "1", "--speed", "2", "--conids", "1,2", "--rate", "5")
    assert (args.port, args.no_tls, args.conids) == (0, True, [1, 2])


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["collect", "--help"],
        ["doctor", "--help"],
        ["tail", "--help"],
        ["simulate", "--help"],
        ["--version"],
    ],
)
def test_help_and_version(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    if argv == ["--version"]:
        assert out == f"cpapi-fast {__version__}\n"
    else:
        assert "usage: cpapi-fast" in out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("why"), 2),
        (SubscriptionError("why"), 2),
        (UsageError("why"), 2),
        (HeaderRefusedError("why"), 1),
        (TransportError("why"), 1),
        (OutputError("why", path="x"), 1),
        (CpapiError("why"), 1),
    ],
)
def test_errors_become_a_line_and_an_exit_code(
    error: CpapiError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, error) == code
    assert capsys.readouterr() == ("", "cpapi-fast: error: why\n")


def test_a_second_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "cpapi-fast: interrupted\n")


def test_an_error_of_ours_is_a_line_and_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_with(monkeypatch, ZeroDivisionError("of DU1234567\n")) == 70
    (path,) = tmp_path.iterdir()
    report = f"the full report is in {path}\n"
    assert capsys.readouterr() == (
        "",
        f"cpapi-fast: internal error: ZeroDivisionError: of [redacted]; {report}",
    )


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(_args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(cli, "_collect", fail)
    return cli.main(COLLECT)


@pytest.mark.parametrize("missing", ["pyarrow"])
def test_missing_package_is_a_line(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from cpapi_fast.cli.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", program, *COLLECT, "--conids", "1"], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 1
    assert result.stderr == 'cpapi-fast: error: writing and reading files needs pyarrow: pip install "pyarrow>=17"\n'


def test_module_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cpapi_fast", "--version"], capture_output=True, text=True, timeout=30
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, f"cpapi-fast {__version__}\n", "")


def test_output_into_a_closed_pipe() -> None:
    """`cpapi-fast ... | head` is no traceback."""
    program = (
        "import sys; import cpapi_fast.cli; cli = sys.modules['cpapi_fast.cli.main']; "
        "cli._collect = lambda args: print('x' * 100000, flush=True) or 0; "
        "sys.exit(cli.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *COLLECT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complaints = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), complaints) == (1, b"")


if sys.platform == "linux":

    def test_output_onto_a_full_disk() -> None:
        """`cpapi-fast ... > file`, on the disk that the files have filled: one line, and no second one from Python."""
        program = (
            "import sys; import cpapi_fast.cli; cli = sys.modules['cpapi_fast.cli.main']; "
            "cli._collect = lambda args: print('x', flush=True) or 0; "
            "sys.exit(cli.main())"
        )
        with Path("/dev/full").open("w") as full:
            result = subprocess.run(
                [sys.executable, "-c", program, *COLLECT], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30
            )
        assert result.returncode == 1
        assert result.stderr == f"cpapi-fast: error: {os.strerror(errno.ENOSPC)}\n"
