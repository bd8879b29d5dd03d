"""Every option of every command with a hostile value: what is written is printable, and no line can be forged.

The cases come from the parsers, so a new option is covered.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile import HOSTILE_ARGUMENTS, assert_harmless

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")

COMMANDS = ("collect", "tail", "doctor", "simulate")

#: Nothing listens there, so every command ends soon, one way or another.
_NOWHERE = "http://127.0.0.1:1/v1/api"

#: Arguments with which a command would work, or fail soon; an option that is tried replaces its own.
_ARGUMENTS = {
    "collect": {"--url": _NOWHERE, "--conids": "1", "--out": "out", "--give-up-after": "0.2"},
    "tail": {"--url": _NOWHERE, "--conids": "1", "--duration": "0.2"},
    "doctor": {"--url": _NOWHERE, "--timeout": "0.2"},
    "simulate": {"--port": "99999"},
}


def parser_of(command: str) -> argparse.ArgumentParser:
    for action in cli.make_parser(command)._actions:
        if isinstance(action, argparse._SubParsersAction):
            parser: argparse.ArgumentParser = action.choices[command]
            return parser
    raise AssertionError


def options() -> Iterator[tuple[str, str]]:
    """Each option that takes a value."""
    for command in COMMANDS:
        for action in parser_of(command)._actions:
            if action.option_strings and action.nargs != 0:
                yield command, action.option_strings[-1]


def run(argv: list[str]) -> int:
    try:
        return cli.main(argv)
    except SystemExit as exc:
        return int(exc.code or 0)


def check(argv: list[str], capfdbinary: pytest.CaptureFixture[bytes], *, is_failure: bool = True) -> None:
    code = run(argv)
    out, err = capfdbinary.readouterr()
    shown = assert_harmless(out) + assert_harmless(err)
    assert code != 70, shown
    assert "Traceback" not in shown
    for line in assert_harmless(err).splitlines():
        assert line.startswith("cpapi-fast") or " frames (" in line, line
    if is_failure:
        assert code != 0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile names of files and folders are created there."""
    monkeypatch.chdir(tmp_path)


def test_there_are_options() -> None:
    found = set(options())
    assert {("collect", "--out"), ("tail", "--url"), ("doctor", "--ca-file"), ("simulate", "--replay")} <= found
    assert len(found) > 30


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_a_hostile_value(command: str, option: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for text in HOSTILE_ARGUMENTS:
        for value in (text, f"1,{text}", f"https://{text}/", f"{_NOWHERE}/{text}"):
            if option == "--out" and value != text:
                continue
            arguments = {**_ARGUMENTS[command], option: value}
            # A record of decisions and a cache may have any name.
            is_failure = option not in ("--record-decisions", "--contract-cache")
            check(
                [command, *(f"{name}={each}" for name, each in arguments.items())], capfdbinary, is_failure=is_failure
            )
            if option not in ("--url", "--out"):
                del arguments["--url" if command != "simulate" else "--port"]
                simulated = ["--simulate"] if command in ("collect", "tail") else []
                check(
                    [command, *simulated, "--duration=0.2", *(f"{name}={each}" for name, each in arguments.items())],
                    capfdbinary,
                    # The record exists by now.
                    is_failure=option != "--contract-cache",
                )


@pytest.mark.parametrize("command", COMMANDS)
def test_hostile_arguments(command: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for text in HOSTILE_ARGUMENTS:
        for argv in ([text], [f"--{text}"], [command, text], [command, f"--{text}"], [command, f"--{text}=1"]):
            check(argv, capfdbinary)


@pytest.mark.parametrize("text", HOSTILE_ARGUMENTS)
def test_a_hostile_folder_that_works(text: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The names of its files are in the summary, and in the notice about what an earlier run has left."""
    folder = Path(text.replace("/", "|"))
    folder.mkdir()
    (folder / f"quotes-{folder.name}.part").write_bytes(b"")
    check(
        ["collect", "--simulate", "--conids", "1", "--out", str(folder), "--duration", "0.5"],
        capfdbinary,
        is_failure=False,
    )
    assert len(list(folder.glob("events-*.jsonl"))) == 1


@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERM", "TZ", "LANG", "NO_COLOR", "TMPDIR", "HOME", "PATH"])
def test_a_hostile_environment(
    name: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in HOSTILE_ARGUMENTS:
        monkeypatch.setitem(os.environ, name, text)
        check(["collect", "--out", "out"], capfdbinary)
        check(["doctor", f"--url={_NOWHERE}"], capfdbinary)
        check(["collect", "--help"], capfdbinary, is_failure=False)
