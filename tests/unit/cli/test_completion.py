"""Completion of commands, options and values in a real bash, and the scripts of the other shells."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")

if sys.platform == "win32":
    pytest.skip("needs bash", allow_module_level=True)


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


#: Prints what bash completes the words to. The functions that need an interactive shell are replaced.
_ASK = """
compopt() { :; }
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cpapi_fast; printf '%s\\n' "${COMPREPLY[*]}"; }
"""


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "c.toml").touch()
    cases = {
        "cpapi-fast colle": "collect",
        "cpapi-fast --v": "--version",
        "cpapi-fast collect --slow": "--slow-disk",
        "cpapi-fast collect --slow-disk ''": "hold drop-oldest drop-newest",
        "cpapi-fast collect --slow-disk drop-o": "drop-oldest",
        "cpapi-fast collect --conids ''": "",
        "cpapi-fast collect --out ''": "data",
        "cpapi-fast collect --config ''": "c.toml data",
        "cpapi-fast tail --slow": "",
        "cpapi-fast doctor --js": "--json",
        "cpapi-fast simulate --po": "--port",
        "cpapi-fast completion ''": "-h --help bash zsh fish",
        "cpapi-fast collect --simulate --ord": "--orders",
    }
    program = script("bash", capsys) + _ASK + "".join(f"ask {words}\n" for words in cases)
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-u"], input=program, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    found = dict(zip(cases, done.stdout.split("\n"), strict=False))
    assert {words: sorted(text.split()) for words, text in found.items()} == {
        words: sorted(text.split()) for words, text in cases.items()
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_has_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for word in ("collect", "tail", "doctor", "simulate", "completion"):
        assert word in text
    for option in ("flush-interval", "competing", "logged-out", "drop-oldest"):
        assert option in text
    path = shutil.which(shell)
    if path is not None:
        subprocess.run([path, "-n"], input=text, capture_output=True, text=True, timeout=60, check=True)
