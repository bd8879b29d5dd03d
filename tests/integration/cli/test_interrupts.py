"""Ctrl-C while a command is imported, and signals that arrive again while it exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cpapi_fast import startup
from tests.support.commands import LIMIT_S, PYTHON

if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)

#: Sends a signal to the process when it first imports a module, in the middle of a callback of the import system.
_AT_IMPORT = """
import os, signal, sys
# A shell starts its background jobs, such as these tests, with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""

#: Sends signals again when the command has finished, and when Python exits.
_WHILE_IT_EXITS = """
import atexit, os, signal
def again():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
class AtExit:
    def __del__(self):
        again()
import builtins
builtins.at_exit = AtExit()
import cpapi_fast.loop as loop
run = loop.run
def run_and_again(*args, **kwargs):
    found = run(*args, **kwargs)
    again()
    return found
loop.run = run_and_again
"""

COMMANDS = (
    ("cpapi_fast", "doctor", "--url", "http://127.0.0.1:1"),
    ("cpapi_fast", "tail", "--simulate", "--conids", "265598"),
    ("cpapi_fast", "simulate", "--port", "0"),
    ("cpapi_fast.feed.decisions", "missing"),
)


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH"), str(Path.cwd())])])
    return subprocess.run(
        [*PYTHON, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments[:2]))
@pytest.mark.parametrize("name", ["cpapi_fast.clock", "cpapi_fast.feed.machine", "cpapi_fast.program"])
def test_an_interrupt_during_the_imports_ends_the_command_silently(
    tmp_path: Path, arguments: tuple[str, ...], name: str
) -> None:
    result = run(tmp_path, _AT_IMPORT.format(name=name), *arguments)
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupt_during_the_imports_of_a_program_is_an_exception(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("try:\n    import cpapi_fast\nexcept KeyboardInterrupt:\n    print('handled')\n")
    (tmp_path / "sitecustomize.py").write_text(_AT_IMPORT.format(name="cpapi_fast.clock"))
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH"), str(Path.cwd())])])
    result = subprocess.run(
        [*PYTHON, str(program)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "handled\n", "")


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_arrives_again_while_the_command_exits_changes_nothing(
    tmp_path: Path, first: signal.Signals
) -> None:
    code = _WHILE_IT_EXITS + (
        "import asyncio, threading, time\n"
        f"first = lambda: os.kill(os.getpid(), {int(first)})\n"
        "import cpapi_fast.simulator.command as simulated\n"
        "greeting = simulated._greeting\n"
        "def greet(gateway):\n"
        "    asyncio.get_running_loop().call_later(0.2, first)\n"
        "    return greeting(gateway)\n"
        "simulated._greeting = greet\n"
    )
    result = run(tmp_path, code, "cpapi_fast", "simulate", "--port", "0", "--no-tls")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argv", "original", "expected"),
    [
        (["-m", "tail"], ["python", "-m", "cpapi_fast", "tail"], True),
        (["-m"], ["python", "-Wdefault", "-mcpapi_fast"], True),
        (["-m", "x"], ["python", "-Im", "cpapi_fast.feed.decisions", "x"], True),
        (["-m", "cpapi_fast"], ["python", "-m", "pytest", "cpapi_fast"], False),
        (["-m"], ["python", "-m", "my_cpapi_fast"], False),
        (["/usr/bin/cpapi-fast", "tail"], ["python", "/usr/bin/cpapi-fast", "tail"], True),
        (["C:/Scripts/cpapi-fast.exe"], ["python"], True),
        (["program.py"], ["python", "program.py"], False),
        ([""], ["python"], False),
        ([], ["python"], False),
    ],
)
def test_what_is_a_command(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], original: list[str], expected: bool
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", original)
    assert startup.is_command() is expected
