"""A bug in any part of a command: one line and a report in a file, and no traceback on stdout or stderr."""

from __future__ import annotations

import os
import re
import stat
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.support.commands import PYTHON, Ended, ended
from tests.support.hostile import assert_harmless

SESSION = "0123456789abcdef0123456789abcdef"

#: What the injected errors say: a secret, and what a terminal obeys.
BREAK = f"""
def broken(*args, **kwargs):
    raise RuntimeError("BUG \\x1b[31m of DU1234567\\nsession={SESSION}")
"""

COLLECT = ("collect", "--simulate", "--conids", "265598", "--duration", "1", "--out", "out")
TAIL = ("tail", "--simulate", "--conids", "265598", "--duration", "1")
#: Nothing listens there.
DOCTOR = ("doctor", "--url", "http://127.0.0.1:1/v1/api", "--timeout", "1")
SIMULATE = ("simulate", "--port", "0", "--no-tls")

IN_A_THREAD = """
import threading
from cpapi_fast.collect.collector import Collector
status = Collector.status
Collector.status = lambda self: threading.Thread(target=broken).start() or status(self)
"""

IN_A_DESTRUCTOR = """
from cpapi_fast.collect.collector import Collector
status = Collector.status
Collector.status = lambda self: type("Broken", (), {"__del__": broken})() and status(self)
"""

#: The command, what breaks, and whether the command fails by it.
CASES = [
    (COLLECT, "import sys, cpapi_fast.cli; sys.modules['cpapi_fast.cli.main'].make_parser = broken", True),
    (COLLECT, "from cpapi_fast.cli import collect_command; collect_command.run = broken", True),
    (COLLECT, "import sys; sys.modules['cpapi_fast.cli.collect_progress'] = None", True),
    (COLLECT, "from cpapi_fast.collect.collector import Collector; Collector.run = broken", True),
    (COLLECT, "from cpapi_fast.collect.collector import Collector; Collector._receive = broken", True),
    (COLLECT, "from cpapi_fast.collect.notices import Notices; Notices.on_event = broken", True),
    (COLLECT, "from cpapi_fast.outputs.tables.market_data import QuotesWriter; QuotesWriter.write = broken", True),
    (COLLECT, "from cpapi_fast.outputs.event_log import EventLog; EventLog.write_event = broken", True),
    (COLLECT, "from cpapi_fast.cli import collect_progress as p; p.LineScreen._loop = broken", False),
    (COLLECT, "from cpapi_fast.cli import collect_command; collect_command.summary_text = broken", True),
    (COLLECT, IN_A_DESTRUCTOR, False),
    (COLLECT, IN_A_THREAD, False),
    (COLLECT, "import atexit; atexit.register(broken)", False),
    (COLLECT, "from cpapi_fast.simulator.rest_routes import RestRoutes; RestRoutes._respond = broken", None),
    (COLLECT, "from cpapi_fast.simulator.publisher import Publisher; Publisher.run_market = broken", None),
    (TAIL, "from cpapi_fast.cli import tail_command; tail_command.run = broken", True),
    (TAIL, "from cpapi_fast.cli.tail.view import Tail; Tail.view = broken", True),
    (TAIL, "from cpapi_fast.cli.tail.view import Tail; Tail.on_item = broken", None),
    (TAIL, "from cpapi_fast.feed.machine import Machine; Machine.on_facts = broken", None),
    (DOCTOR, "from cpapi_fast.cli import doctor_command; doctor_command.run = broken", True),
    (DOCTOR, "from cpapi_fast.doctor import network, runner; runner._STEPS = ((runner.Step.DNS, broken),)", True),
    ((*DOCTOR, "--json"), "from cpapi_fast.cli import doctor_command; doctor_command.json_bytes = broken", True),
    (SIMULATE, "from cpapi_fast.simulator import command; command.run = broken", True),
    (SIMULATE, "from cpapi_fast.simulator.gateway import SimulatedGateway as G; G.__aenter__ = broken", True),
]


async def run(folder: Path, arguments: tuple[str, ...], code: str, **environment: str) -> Ended:
    first = f"{BREAK}\n{code}\nimport runpy\nrunpy.run_module('cpapi_fast', run_name='__main__', alter_sys=True)"
    # Without `-Werror`, which would make a warning about the bug another bug.
    process = await create_subprocess_exec(
        *(PYTHON[0], "-c", first, *arguments),
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), **environment},
    )
    return await ended(process)


def reports(folder: Path) -> list[Path]:
    return list(folder.glob("cpapi-fast-*.txt"))


@pytest.mark.parametrize(("arguments", "code", "is_failure"), CASES)
async def test_a_bug(tmp_path: Path, arguments: tuple[str, ...], code: str, is_failure: bool | None) -> None:
    result = await run(tmp_path, arguments, code)
    shown = assert_harmless((result.out + result.err).encode())
    assert "Traceback" not in shown
    (path,) = reports(tmp_path)
    lines = [line for line in result.err.splitlines() if "internal error" in line]
    assert len(lines) == 1, result.err
    assert re.fullmatch(rf"cpapi-fast: internal error: \w+: .*; the full report is in {path}", lines[0])
    assert all(line.startswith("cpapi-fast: ") for line in result.err.splitlines()), result.err
    if is_failure is not None:
        assert result.code == (70 if is_failure else 0), result
    report = assert_harmless(path.read_bytes())
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert 'File "' in report
    assert SESSION not in report + shown
    assert "DU1234567" not in report + shown
    if "None" not in code:
        assert r"RuntimeError: BUG \x1b[31m of [redacted]" in report


async def test_a_secret_in_the_source_of_a_program_is_not_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(BREAK)
    code = "import sys; sys.path.insert(0, '.'); from faulty import broken; import cpapi_fast.cli"
    result = await run(tmp_path, COLLECT, f"{code}; sys.modules['cpapi_fast.cli.main'].make_parser = broken")
    assert result.code == 70
    (path,) = reports(tmp_path)
    report = path.read_text()
    assert "faulty.py" in report
    assert "raise RuntimeError" in report
    assert SESSION not in report + result.err


async def test_the_report_can_be_shown_at_once(tmp_path: Path) -> None:
    result = await run(tmp_path, COLLECT, CASES[1][1], CPAPI_FAST_TRACEBACK="1")
    assert result.code == 70
    assert "in broken" in assert_harmless(result.err.encode())
    assert SESSION not in result.err


async def test_without_a_folder_for_the_report(tmp_path: Path) -> None:
    code = f"{CASES[1][1]}; import tempfile; tempfile.mkstemp = lambda **_: open('/nowhere/x')"
    result = await run(tmp_path, COLLECT, code)
    assert result.code == 70
    assert result.err.endswith("; a report could not be written\n")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("name", ["redact", "preview", "printable_lines", "tell"])
async def test_a_bug_in_the_report_itself(tmp_path: Path, name: str) -> None:
    code = f"{CASES[1][1]}; from cpapi_fast.program import last_resort; last_resort.{name} = broken"
    result = await run(tmp_path, COLLECT, code)
    assert result.code == 70
    assert result.err == "cpapi-fast: internal error: RuntimeError; reporting it failed: RuntimeError\n"


async def test_an_error_that_repeats_is_one_line(tmp_path: Path) -> None:
    code = (
        "import logging; from cpapi_fast.collect.collector import Collector\n"
        "def status(self):\n"
        "    for number in range(10_000):\n"
        "        logging.getLogger('other').error('an error %d', number, exc_info=ValueError('x' * 500))\n"
        "        logging.getLogger('other').warning('a warning\\n%d', number)\n"
        "        logging.getLogger('cpapi_fast').warning('shown by the command itself')\n"
        "    raise RuntimeError\n"
        "Collector.status = status"
    )
    result = await run(tmp_path, COLLECT, code)
    assert result.code == 70
    assert len(result.err.splitlines()) < 30
    assert r"cpapi-fast: warning: other: a warning 0" in result.err.splitlines()
    assert "shown by" not in result.err
    (path,) = reports(tmp_path)
    assert path.stat().st_size < 1_100_000
