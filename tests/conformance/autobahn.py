"""Runs the Autobahn test suite, an independent test of WebSocket clients, against `WsClient`.

    python -m tests.conformance.autobahn WSTEST

WSTEST is the program of `autobahntestsuite`; tools/autobahn.sh installs it. Its fuzzing server sends every valid and
invalid sequence of frames, and judges what the client sends back. Exits with 0 if every case ran and passed, except
those of `TOLERATED`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import cpapi_fast as cf
from tests.support.loops import LOOPS, run

#: The cases to run: framing, PING and PONG, reserved bits, opcodes, fragmentation, UTF-8, closing, large messages.
#: The others are about binary messages, which `WsClient` does not send, and compression, which it does not offer.
CASES: Final = (
    *("1.1.*", "2.*", "3.*", "4.*", "5.*", "6.1.*", "6.2.*", "6.3.*", "6.4.*", "7.*", "9.1.*", "9.5.*", "10.*"),
)
#: How many cases the pinned release has for these patterns.
CASE_COUNT: Final = 119
#: The outcomes that pass. `NON-STRICT`: as RFC 6455 requires, but later than possible. `INFORMATIONAL`: not judged.
PASSED: Final = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
#: The cases that fail on purpose: `WsClient` accepts invalid UTF-8. The gateway's order messages can contain it, and
#: RFC 6455 requires closing the connection for it (docs/reference/behaviour.md).
TOLERATED: Final = frozenset({"6.3.1", "6.3.2", "6.4.1", "6.4.2", "6.4.3", "6.4.4"})

_START_TIMEOUT_S: Final = 60.0
_CASE_TIMEOUT_S: Final = 120.0
_TOTAL_TIMEOUT_S: Final = 1200.0


async def echo_by_iteration(ws: cf.WsClient) -> None:
    """Send every message back, as a program that iterates."""
    async for frame in ws:
        await ws.send_text(frame.raw.decode())


async def echo_by_callback(ws: cf.WsClient) -> None:
    """Send every message back, as a program with a callback."""

    def on_batch(batch: cf.Batch) -> None:
        for frame in batch:
            if ws.is_open:
                ws.send_nowait(frame.raw.decode())

    ws.on_batch(on_batch)
    await ws.wait_closed()


AGENTS: Final[Mapping[str, Callable[[cf.WsClient], Awaitable[None]]]] = {
    "iteration": echo_by_iteration,
    "callback": echo_by_callback,
}


async def ask(url: str) -> Any:
    """Return the JSON that the server sends in reply to a URL."""
    async with await cf.WsClient.open(url) as ws:
        frame = await ws.next_message()
        assert frame is not None, f"no reply to {url}"
        return json.loads(frame.raw)


async def run_cases(url: str, agent: str, numbers: Iterable[int]) -> None:
    """Run these cases of the server at `url`, and let it write its report."""
    for number in numbers:
        ws = await cf.WsClient.open(f"{url}/runCase?case={number}&agent={agent}")
        try:
            async with asyncio.timeout(_CASE_TIMEOUT_S):
                await AGENTS[agent](ws)
        except (cf.TransportError, cf.CallbackError, UnicodeDecodeError):
            pass  # Most cases are violations. The server judges how the client ended the connection.
        finally:
            await ws.close()
    async with await cf.WsClient.open(f"{url}/updateReports?agent={agent}") as ws:
        await ws.wait_closed()


async def run_agent(url: str, agent: str, report_path: Path) -> list[str]:
    """Run all cases with one agent, and return the problems, one line each.

    The server gives a client one second for most replies. A case that failed is repeated once, so that a pause of the
    machine is not a failure of the client.
    """
    count = await ask(f"{url}/getCaseCount")
    assert count == CASE_COUNT, f"the server has {count} cases instead of {CASE_COUNT}"
    numbers = range(1, count + 1)
    problems: dict[str, str] = {}
    for _ in range(2):
        await run_cases(url, agent, numbers)
        problems = problems_of(json.loads(report_path.read_text(encoding="utf-8"))[agent])
        if not problems:
            break
        numbers = [n for n in range(1, count + 1) if (await ask(f"{url}/getCaseInfo?case={n}"))["id"] in problems]
    return list(problems.values())


def problems_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what the report of one agent has against the client, by case."""
    assert len(report) == CASE_COUNT, f"the report has {len(report)} cases instead of {CASE_COUNT}"
    problems = {}
    for case, result in report.items():
        outcomes = f"{result['behavior']}, closing {result['behaviorClose']}"
        is_passed = result["behavior"] in PASSED and result["behaviorClose"] in PASSED
        if not is_passed and case not in TOLERATED:
            problems[case] = f"case {case}: {outcomes}, CLOSE from the client {result['remoteCloseCode']}"
        elif is_passed and case in TOLERATED:
            problems[case] = f"case {case} passes now: {outcomes}. Remove it from TOLERATED."
    return problems


def free_port() -> int:
    """A TCP port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server accepts connections."""
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            assert server.poll() is None, f"the fuzzing server ended with {server.returncode}"
            assert time.monotonic() < deadline_s, "the fuzzing server does not listen"
            time.sleep(0.1)
        else:
            return


def main(wstest: str) -> int:
    """Run the suite on each event loop, and print what failed."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        spec = Path(folder, "spec.json")
        options = {"url": f"ws://127.0.0.1:{port}", "outdir": f"{folder}/reports", "cases": CASES}
        spec.write_text(json.dumps({**options, "exclude-cases": [], "exclude-agent-cases": {}}), encoding="utf-8")
        log = Path(folder, "server.log")
        command = [wstest, "-m", "fuzzingserver", "-s", str(spec)]
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            wait_for(port, server)
            for loop in LOOPS:
                for agent in AGENTS:
                    # The server keeps the reports by agent, and overwrites those of the other loop.
                    coroutine = run_agent(f"ws://127.0.0.1:{port}", agent, Path(folder, "reports", "index.json"))
                    found = run(coroutine, loop=loop, timeout_s=_TOTAL_TIMEOUT_S)
                    problems += [f"{loop}, {agent}: {problem}" for problem in found]
                    print(f"{loop}, {agent}: {CASE_COUNT} cases, {len(TOLERATED)} tolerated, {len(found)} problems")
        except BaseException:
            print(log.read_text(encoding="utf-8", errors="replace")[-5_000:])
            raise
        finally:
            server.terminate()
            server.wait()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
