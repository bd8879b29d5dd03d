"""`cpapi-fast collect` with bad input or a gateway that refuses it: one line on stderr, and an exit code."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import Certificate, SimulatedGateway
from tests.conftest import StartGateway
from tests.integration.collect.command_harness import (
    FINGERPRINT,
    check_bad_input,
    check_gave_up,
    check_lines,
    gateway_command,
)
from tests.support.commands import Ended, command


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The defaults of the simulator: the command runs in a process, in real time."""
    return {}


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (("--url", "ftp://localhost/v1/api"), "http"),
        (("--url", "localhost:5000"), "http"),
        (("--url", "https://"), "host"),
        (("--url", "https://user:secret@localhost/v1/api"), "user"),
        (("--url", "https://localhost:5000/v1/api", "--fingerprint", "ab12"), "64 hex digits"),
        (("--url", "https://localhost:5000/v1/api", "--ca-file", "missing.pem"), "missing.pem"),
        (("--url", "https://localhost:5000/v1/api", "--seed", "1"), "--seed can only be used with --simulate"),
        (("--simulate", "--fingerprint", FINGERPRINT), "TLS options cannot be used"),
        (("--simulate", "--replay", "missing.jsonl"), "cannot read the replay file missing.jsonl"),
        (("--simulate", "--conids", "99999999999999999999"), "a conid must be a whole number"),
    ],
)
async def test_invalid_arguments(tmp_path: Path, arguments: tuple[str, ...], expected_text: str) -> None:
    result = await command("collect", "--conids", "265598", "--out", tmp_path / "out", *arguments)
    check_bad_input(result, expected_text, 2)
    assert "secret" not in result.err


async def test_unreachable_gateway(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound and not listening: no other program gets the port, and connections are refused.
        taken.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{taken.getsockname()[1]}/v1/api"
        arguments = ("--insecure", "--conids", "1", "--out", tmp_path, "--give-up-after", "1")
        result = await command("collect", "--url", url, *arguments)
    warning, _, rest = result.err.partition("\n")
    assert warning.startswith("cpapi-fast: warning: TLS certificates are not checked")
    check_gave_up(Ended(result.code, result.out, rest), "Start the gateway")


@pytest.mark.gateway(is_logged_in=False)
async def test_not_logged_in(gateway: SimulatedGateway, tmp_path: Path) -> None:
    # A login page may belong to the nightly reset, so the client tries again after 5 s before it asks for a login.
    result = await command(*gateway_command(gateway, tmp_path, "--give-up-after", "8"))
    check_gave_up(result, "Log in to the gateway in a browser")
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("events-")


async def test_wrong_fingerprint_sends_nothing(gateway: SimulatedGateway, tmp_path: Path) -> None:
    result = await command(*gateway_command(gateway, tmp_path, "--fingerprint", FINGERPRINT, tls=False))
    assert list(gateway.requests) == []
    check_bad_input(result, "fingerprint", 1)


@pytest.mark.parametrize("policy", ["verify", "ca-file", "fingerprint"])
async def test_expired_certificate(start_gateway: StartGateway, tmp_path: Path, policy: str) -> None:
    gateway = await start_gateway(certificate=Certificate.expired())
    choices: dict[str, tuple[object, ...]] = {
        "verify": ("--tls-verify",),
        "ca-file": ("--ca-file", gateway.certificate_path),
        "fingerprint": ("--fingerprint", gateway.fingerprint),
    }
    more = (*choices[policy], "--duration", "0.5")
    result = await command(*gateway_command(gateway, tmp_path, *more, tls=False))
    if policy == "fingerprint":
        assert (result.code, result.err) == (0, "")
    else:
        assert result.code == 1
        check_lines(result, 1)
        assert "certificate" in result.err


async def test_good_ca_file(gateway: SimulatedGateway, tmp_path: Path) -> None:
    more = ("--ca-file", gateway.certificate_path, "--duration", "0.5")
    result = await command(*gateway_command(gateway, tmp_path, *more, tls=False))
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("body", "content_type", "expected_text"),
    [
        (b"<html><body>down for maintenance</body></html>", "text/html", "HTML|JSON"),
        (b'{"session":', "application/json", "JSON"),
    ],
)
async def test_responses_of_another_shape(
    gateway: SimulatedGateway, tmp_path: Path, body: bytes, content_type: str, expected_text: str
) -> None:
    gateway.faults.fail_rest("/tickle", status=200, body=body, content_type=content_type, times=None)
    result = await command(*gateway_command(gateway, tmp_path, "--give-up-after", "1"))
    check_gave_up(result, expected_text)


async def test_a_session_that_cannot_be_sent_ends_the_run_at_once(gateway: SimulatedGateway, tmp_path: Path) -> None:
    body = b'{"session":"0123456789abcdef\\r\\nX: y","iserver":{"authStatus":{"authenticated":true}}}'
    gateway.faults.fail_rest("/tickle", status=200, body=body, content_type="application/json", times=None)
    result = await command(*gateway_command(gateway, tmp_path))
    assert result.code == 1
    check_lines(result, 1)
    assert "not valid in a header" in result.err
    assert "0123456789abcdef" not in result.err + result.out


async def test_folder_that_cannot_be_written(gateway: SimulatedGateway, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        check_bad_input(
            await command(*gateway_command(gateway, folder)), "file is a file; give the path of a folder", 2
        )
    assert list(gateway.requests) == []
