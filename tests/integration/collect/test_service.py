"""`collect` as a service of systemd: what it tells, and the unit in the examples."""

from __future__ import annotations

import asyncio
import configparser
import importlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import LIMIT_S, start

if sys.platform == "win32":
    pytest.skip("there is no systemd", allow_module_level=True)

#: The module: `cpapi_fast.cli.main` is the function.
cli = importlib.import_module("cpapi_fast.cli.main")

_EXAMPLES = Path(__file__).parents[3] / "examples"
_UNIT = _EXAMPLES / "systemd" / "cpapi-fast-collect.service"
_CONTAINER = _EXAMPLES / "container" / "Containerfile"


async def test_systemd_is_told_about_a_run(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    variables = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(LIMIT_S)

        async def until(text: str) -> None:
            while not any(text in one for one in told):
                told.append((await asyncio.to_thread(listener.recv, 4096)).decode())

        process = await start(
            *("collect", "--simulate", "--conids", "265598", "--out", tmp_path / "data"),
            first=f"import os; os.environ.update({variables})",
        )
        try:
            await until("READY=1")
            told.clear()
            await until("STATUS=streaming; ")
            told.clear()
            await until("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            await until("STOPPING=1")
            await asyncio.wait_for(process.communicate(), LIMIT_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(_UNIT, encoding="utf-8")
    return parser["Service"]


def test_the_commands_of_the_unit_are_valid() -> None:
    for name in ("ExecStart", "ExecStartPre"):
        program, *arguments = shlex.split(unit()[name])
        assert program.endswith("/bin/cpapi-fast")
        args = cli.make_parser("collect")
        commands = next(action for action in args._actions if hasattr(action, "choices") and action.choices)
        options = {option for action in commands.choices["collect"]._actions for option in action.option_strings}
        assert {one for one in arguments if one.startswith("--")} <= options
    assert unit()["Type"] == "notify"
    assert unit()["ExecReload"] == "/bin/kill -HUP $MAINPID"
    # Exit code 2 is a wrong configuration.
    assert unit()["RestartPreventExitStatus"] == "2"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    copy = tmp_path / _UNIT.name
    text = _UNIT.read_text(encoding="utf-8").replace("/opt/cpapi-fast/bin/cpapi-fast", "/bin/true")
    copy.write_text(text.replace("User=cpapi-fast", "User=root"), encoding="utf-8")
    if analyze is not None:
        done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_of_the_container_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _CONTAINER.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    by_word = {line.split()[0]: line for line in lines if line and not line.startswith("#")}
    assert {"FROM", "RUN", "USER", "ENV", "VOLUME", "HEALTHCHECK", "ENTRYPOINT"} <= by_word.keys()
    assert by_word["USER"].split()[1] not in ("root", "0")
    environment = dict(part.split("=", 1) for part in shlex.split(by_word["ENV"])[1:])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CPAPI_FAST_OUT", str(tmp_path / "data"))
    monkeypatch.setenv("CPAPI_FAST_CONIDS", "265598")
    monkeypatch.setenv("CPAPI_FAST_URL", "https://localhost:5000/v1/api")
    entry = json.loads(by_word["ENTRYPOINT"].partition(" ")[2])
    assert entry[0] == "cpapi-fast"
    assert cli.main([*entry[1:], "--check"]) == 0


def test_the_health_check_of_the_container(tmp_path: Path) -> None:
    text = _CONTAINER.read_text(encoding="utf-8").replace("\\\n", " ")
    line = next(line for line in text.splitlines() if line.startswith("HEALTHCHECK"))
    program, *arguments = json.loads(line.partition(" CMD ")[2])
    assert program == "python"

    def code() -> int:
        command = [sys.executable, *(word.replace("/data", str(tmp_path)) for word in arguments)]
        return subprocess.run(command, timeout=LIMIT_S, check=False).returncode

    assert code() == 1
    capture = tmp_path / "date=2026-01-02" / "capture-x.arrows"
    capture.parent.mkdir()
    capture.touch()
    assert code() == 0
    os.utime(capture, (0, 0))
    assert code() == 1
