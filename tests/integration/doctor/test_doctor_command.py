"""`cpapi-fast doctor` as a process: exit codes, reports, and the secrets that must not be in them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.doctor import Problem
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions
from tests.integration.doctor.harness import ACCOUNT, DELAYED, LIVE, QUICK, USER
from tests.servers.raw import Peer, RawServer
from tests.support.clocks import SkewedClock
from tests.support.commands import PYTHON, Ended, command, ended, start

#: The step `heartbeat` fails after a second without a heartbeat.
SHORT_WAIT = "import cpapi_fast.doctor.stream as stream; stream.HEARTBEATS_DUE_S = 1.0"


async def doctor(gateway: SimulatedGateway, *more: object, first: str | None = None) -> Ended:
    pin = ("--fingerprint", gateway.fingerprint) if gateway.fingerprint else ()
    result = await ended(await start("doctor", "--url", gateway.url, "--conid", LIVE, *pin, *more, first=first))
    for secret in (gateway.session_id, USER, ACCOUNT, "x-sess-uuid", "0.5e005301"):
        assert secret not in result.out + result.err
    assert "Traceback" not in result.err
    return result


def check(result: Ended, code: int, summary: str, advice: str) -> None:
    assert result.code == code, result
    assert result.err == ""
    *_, summary_line, advice_line = result.out.splitlines()
    assert summary_line.startswith(f"result  {summary}"), result.out
    assert advice_line.startswith("advice  "), result.out
    assert advice.lower() in advice_line.lower()


@pytest.mark.time_limit(90.0)
@pytest.mark.gateway(tls=True)
async def test_healthy(gateway: SimulatedGateway) -> None:
    plain, as_json = await doctor(gateway), await doctor(gateway, "--json", "--asyncio", "--conid", DELAYED)
    check(plain, 0, "healthy", "none")
    assert plain.out.count("\n") == 17 + 3
    report = json.loads(as_json.out)
    assert (as_json.code, as_json.err) == (0, "")
    assert (report["healthy"], report["exit_code"], report["problem"], len(report["steps"])) == (True, 0, None, 17)
    assert report["summary"].startswith("healthy, with a warning: tick: ")
    assert "Client Portal" in report["advice"]


#: Runs the command once per line of its input, so that Python starts only once.
MANY = f"""
import json, sys
{SHORT_WAIT}
from cpapi_fast.cli.main import main
for line in sys.stdin:
    print("exit code", main(json.loads(line)), flush=True)
"""


def unchanged(_gateway: SimulatedGateway) -> None:
    """No fault: the options make the difference."""


def failing(path: str, status: int, body: bytes = b"{}") -> Callable[[SimulatedGateway], object]:
    return lambda gateway: gateway.faults.fail_rest(path, status=status, body=body, times=None)


NOT_CONNECTED = b'{"authenticated":false,"connected":false,"competing":false}'

#: Exit code, the step that fails, a word of the advice, the fault in the gateway, its options, more arguments.
CLASSES: list[tuple[int, str, str, Callable[[SimulatedGateway], object], dict[str, Any], tuple[str, ...]]] = [
    (21, "session", "log in", lambda gateway: gateway.faults.log_out(), {}, ()),
    (22, "competing", "--init", lambda gateway: gateway.faults.start_competing(), {}, ()),
    (23, "connected", "log in", failing("/iserver/auth/status", 200, NOT_CONNECTED), {}, ()),
    (24, "rest", "15 minutes", failing("/tickle", 429), {}, ()),
    (25, "rest", "wait", failing("/tickle", 503), {}, ()),
    (26, "rest", "ips/allow", failing("/tickle", 403), {}, ()),
    (27, "authenticated", "--init", lambda gateway: gateway.faults.end_brokerage_session(), {}, ()),
    (28, "rest", "hangs", lambda gateway: gateway.faults.stall(), {}, ("--timeout", "2")),
    (30, "websocket", "wait", failing("/ws", 503), {}, ()),
    (
        31,
        "ready",
        "log in",
        unchanged,
        {"ready_delay_s": None},
        ("--timeout", "2"),
    ),
    (32, "tick", "--conid", unchanged, {"conids": (8314,)}, ()),
    (
        33,
        "heartbeat",
        "log in",
        unchanged,
        {"heartbeat_interval_s": 1000.0},
        ("--timeout", "2"),
    ),
    (40, "clock", "NTP", unchanged, {"clock": SkewedClock(3600.0)}, ()),
]


@pytest.mark.time_limit(90.0)
async def test_every_class_of_failure_has_its_exit_code() -> None:
    calls: list[tuple[int, str, str, list[str]]] = []
    secrets = [USER, ACCOUNT, "x-sess-uuid", "0.5e005301"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        unused = f"https://127.0.0.1:{taken.getsockname()[1]}/v1/api"
        calls += [
            (2, "url", "correct", ["--url", "http://user:geheim@localhost"]),
            (10, "dns", "--url", ["--url", "https://gateway.invalid/v1/api"]),
            (11, "tcp", "start the gateway", ["--url", unused]),
        ]
        async with AsyncExitStack() as stack:
            ssh = await stack.enter_async_context(RawServer(greet, upgrade=False))
            url = ssh.url.replace("ws:", "http:").removesuffix("/ws")
            calls.append((20, "rest", "correct the port", ["--url", url]))
            expired = await gateway_with(stack, tls=True, certificate=Certificate.expired())
            calls.append((12, "tls", f"--fingerprint {expired.fingerprint}", ["--url", expired.url]))
            for code, step, advice, breaking, options, more in CLASSES:
                gateway = await gateway_with(stack, **options)
                breaking(gateway)
                secrets.append(gateway.session_id)
                calls.append((code, step, advice, ["--url", gateway.url, "--conid", str(LIVE), *more]))
            process = await asyncio.create_subprocess_exec(*PYTHON, "-c", MANY, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            lines = "".join(json.dumps(["doctor", *arguments]) + "\n" for *_, arguments in calls)
            out, err = await process.communicate(lines.encode())
    assert (process.returncode, err) == (0, b"")
    *reports, rest = re.split(r"exit code (\d+)\n", out.decode())
    assert rest == ""
    assert len(reports) == 2 * len(calls)
    for (code, step, advice, _), report, given in zip(calls, reports[::2], reports[1::2], strict=True):
        check(Ended(int(given), report, ""), code, f"{step}: ", advice)
    assert {code for code, *_ in calls} == {int(problem) for problem in Problem}
    assert not [secret for secret in (*secrets, "geheim") if secret in out.decode()]


async def greet(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    await peer.reader.read(100)


async def gateway_with(stack: AsyncExitStack, **options: Any) -> SimulatedGateway:
    clock = options.pop("clock", None)
    return await stack.enter_async_context(
        SimulatedGateway(SimulatorOptions(**{"tls": False, **QUICK, **options}), clock=clock)
    )


@pytest.mark.parametrize(("code", "word"), [(12, "tls"), (21, "session")])
@pytest.mark.gateway(tls=True, is_logged_in=False)
async def test_exit_codes_of_processes(gateway: SimulatedGateway, code: int, word: str) -> None:
    result = await doctor(gateway, *(("--fingerprint", "0" * 64) if code == 12 else ()))
    check(result, code, f"{word}: ", "")


async def test_json_of_a_failure() -> None:
    result = await command("doctor", "--url", "http://user:geheim@localhost", "--json")
    report = json.loads(result.out)
    assert (result.code, result.err) == (2, "")
    assert (report["exit_code"], report["problem"], report["url"]) == (2, "usage", "")
    assert "geheim" not in result.out


@pytest.mark.gateway(tls=True)
async def test_insecure_prints_a_warning(gateway: SimulatedGateway) -> None:
    result = await command("doctor", "--url", gateway.url, "--conid", LIVE, "--insecure")
    assert result.code == 0
    assert result.err.startswith("cpapi-fast: warning: TLS certificates are not checked")
    advice = f"advice  Pass --fingerprint {gateway.fingerprint} instead of --insecure."
    assert result.out.splitlines()[-1] == advice


@pytest.mark.time_limit(90.0)
@pytest.mark.gateway(tls=True)
async def test_init_takes_the_session_over(gateway: SimulatedGateway) -> None:
    gateway.faults.start_competing()
    assert (await doctor(gateway, "--init")).code == 0


@pytest.mark.gateway(tls=True)
async def test_without_the_optional_packages(gateway: SimulatedGateway, tmp_path: Path) -> None:
    """The command needs none of the extras (rich, pyarrow, cryptography)."""
    without = "import sys; sys.modules.update(dict.fromkeys(('rich', 'pyarrow', 'cryptography')))"

    check(await doctor(gateway, first=without), 0, "healthy", "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--url"),
        (("--url", "http://localhost", "--conid", "x"), "a conid must be a whole number"),
        (("--url", "http://localhost", "--conid", "1,2"), "one conid"),
        (("--url", "http://localhost", "--conid", "99999999999999999999"), "a conid must be a whole number"),
        (("--url", "http://localhost", "--timeout", "0"), "not a number above zero"),
        (("--url", "http://localhost", "--fingerprint", "ab"), "64 hex digits"),
        (("--url", "http://localhost", "--insecure", "--tls-verify"), "not allowed with"),
    ],
)
async def test_invalid_arguments(arguments: tuple[str, ...], message: str) -> None:
    result = await command("doctor", *arguments)
    assert (result.code, result.out) == (2, ""), result
    assert message in result.err
    assert result.err.count("\n") == 1


if sys.platform != "win32":

    @pytest.mark.gateway(tls=True, heartbeat_interval_s=1000.0)
    async def test_ctrl_c_prints_one_line(gateway: SimulatedGateway) -> None:
        process = await start("doctor", "--url", gateway.url, "--fingerprint", gateway.fingerprint)
        await gateway.wait_for(lambda: gateway.connections and gateway.connections[0].subscriptions)
        process.send_signal(signal.SIGINT)
        result = await ended(process)
        await gateway.wait_for(lambda: not gateway.open_connections)
        assert (result.code, result.err) == (130, "cpapi-fast: interrupted\n")
        assert "sts            ok" in result.out


def test_the_clock_of_these_tests_is_wrong() -> None:
    assert SkewedClock(3600.0).time_ns() - Clock().time_ns() > 3_599_000_000_000
