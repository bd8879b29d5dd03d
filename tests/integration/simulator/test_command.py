"""`cpapi-fast simulate` as a process: its output, its end, and its error when it cannot start."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

LIMIT_S = 60.0


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cpapi_fast", "simulate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def greeting_of(process: subprocess.Popen[str]) -> str:
    """Everything up to the line that ends the greeting."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal_and_ends_with_0(number: signal.Signals) -> None:
    with start("--port", "0", "--no-tls", "--conids", "265598,8314", "--speed", "10", "--rate", "100") as process:
        greeting = greeting_of(process)
        match = re.search(r"(http://127\.0\.0\.1:\d+/v1/api)$", greeting, re.MULTILINE)
        assert match is not None, greeting
        request = urllib.request.Request(match[1] + "/tickle", method="POST", headers={"Content-Length": "0"})
        with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
            body = response.read().decode()
        process.send_signal(number)
        out, complaints = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, complaints) == (0, "")
        session = re.search(r'"session":"([0-9a-f]{32})"', body)
        assert session is not None
        assert session[1] not in greeting + out


def test_prints_fingerprint_and_how_to_connect() -> None:
    with start("--port", "0") as process:
        greeting = greeting_of(process)
        process.terminate()
        process.communicate(timeout=LIMIT_S)
    fingerprint = re.search(r"fingerprint ([0-9a-f]{64})$", greeting, re.MULTILINE)
    assert fingerprint is not None, greeting
    assert f"--fingerprint {fingerprint[1]}" in greeting
    assert "wss://127.0.0.1:" in greeting


def test_taken_port_is_one_line_and_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with start("--port", port, "--no-tls") as process:
            out, complaints = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (2, "")
    assert complaints.count("\n") == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in complaints


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (("--replay", "no-such-file.jsonl"), "cannot read the replay file no-such-file.jsonl"),
        (("--speed", "0"), "speed must be a finite number above zero"),
        (("--port", "99999"), "port must be from 0"),
        (("--speed", "1e18"), "speed must be from 0.000001 to 1,000,000"),
        (("--speed", "1e-300"), "speed must be from 0.000001 to 1,000,000"),
        *((("--host", host), "host must be an address or a host name") for host in ("", "a..b", "é", "a b", "x" * 64)),
    ],
)
def test_invalid_options_are_one_line_and_a_failure(
    arguments: tuple[str, ...], expected_text: str, tmp_path: Path
) -> None:
    with start("--port", "0", "--no-tls", *arguments) as process:
        out, complaints = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (2, "")
    assert complaints.count("\n") == 1
    assert expected_text in complaints


@pytest.mark.parametrize("conids", ["abc", "1,,2", "", "1;2"])
def test_conids_that_are_no_numbers_are_refused(conids: str) -> None:
    with start("--conids", conids) as process:
        _, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert "conids must be whole numbers" in complaints
