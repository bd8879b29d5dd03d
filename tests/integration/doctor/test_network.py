"""The doctor's steps below HTTP: URL, host name, port, and servers that speak another protocol."""

from __future__ import annotations

import json
import socket
import sys

import pytest

from cpapi_fast.doctor import Diagnosis, Outcome, Problem, Step, diagnose
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.doctor.harness import (
    LIVE,
    check,
    diagnose_fast,
    diagnose_simulated,
    finding_of,
)
from tests.servers.raw import Peer as RawPeer
from tests.servers.raw import RawServer


async def test_an_invalid_url() -> None:
    for url in ("localhost:5000", "https://user:geheim@localhost/v1/api", "ftp://localhost", ""):
        diagnosis = await diagnose(url)
        check(diagnosis, Problem.USAGE, Step.URL, "base URL|text", "correct")
        assert diagnosis.url == ""
        assert "geheim" not in json.dumps(diagnosis.as_json())


async def test_a_certificate_option_with_an_http_url() -> None:
    check(
        await diagnose("http://localhost:5000", tls=Tls.pinned("0" * 64)),
        Problem.USAGE,
        Step.URL,
        "http:// URL",
        "correct",
    )


async def test_a_name_that_does_not_resolve() -> None:
    diagnosis = await diagnose("https://gateway.invalid:5000/v1/api")
    check(diagnosis, Problem.DNS, Step.DNS, "gateway.invalid", "host in --url|name server")


@pytest.mark.each_loop
async def test_a_port_without_a_server() -> None:
    with socket.socket() as taken:
        # Bound but not listening: no other program gets the port, and no connection is accepted.
        taken.bind(("127.0.0.1", 0))
        diagnosis = await diagnose(f"https://localhost:{taken.getsockname()[1]}/v1/api")
    check(diagnosis, Problem.TCP, Step.TCP, "no connection to localhost:", "start the gateway|correct the port")


async def test_one_of_two_addresses_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_examination: object) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    # Only the addresses of the name are made up; that nothing listens on one of them is real.
    monkeypatch.setattr("cpapi_fast.doctor.network._resolve", both)
    diagnosis = await diagnose_simulated({"host": "127.0.0.1"})
    assert diagnosis.is_healthy
    assert finding_of(diagnosis, Step.TCP).outcome is Outcome.WARNING
    assert "127.0.0.2 (" in finding_of(diagnosis, Step.TCP).found
    assert "Use 127.0.0.1" in diagnosis.advice


async def test_https_where_plain_http_is_spoken() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        return await diagnose(gateway.url.replace("http:", "https:"), timeout_s=10.0)

    diagnosis = await diagnose_simulated({}, act)
    check(diagnosis, Problem.TLS, Step.TLS, "speaks plain http", r"--url http://127\.0\.0\.1:\d+/v1/api$")


async def test_http_where_tls_is_spoken() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        return await diagnose(gateway.url.replace("https:", "http:"), timeout_s=10.0)

    diagnosis = await diagnose_simulated({"tls": True}, act)
    check(diagnosis, Problem.TLS, Step.REST, "speaks TLS", r"--url https://127\.0\.0\.1:\d+/v1/api$")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_that_speaks_something_else(scheme: str) -> None:
    async def greet(peer: RawPeer) -> None:
        await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
        await peer.reader.read(100)

    async with RawServer(greet, upgrade=False) as server:
        url = server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")
        diagnosis = await diagnose(url, timeout_s=10.0)
    step = Step.REST if scheme == "http" else Step.TLS
    check(diagnosis, Problem.NOT_A_GATEWAY, step, "http", "correct the port")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_that_hangs(scheme: str) -> None:
    async def listen(peer: RawPeer) -> None:
        await peer.reader.read()

    async with RawServer(listen, upgrade=False) as server:
        url = server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")
        diagnosis = await diagnose_fast(url, fast_step=Step.REST if scheme == "http" else Step.TLS)
    advice = "^check the port in --url.* listenPort .* if the port is right, the gateway is busy or hangs"
    if scheme == "http":
        check(diagnosis, Problem.NO_RESPONSE, Step.REST, "no response to POST .* no Client Portal gateway, or", advice)
    else:
        check(diagnosis, Problem.TLS, Step.TLS, "no TLS handshake within 15 s.* no Client Portal gateway, or", advice)
    # No gateway has answered, so there may be none to restart.
    assert "restart" not in diagnosis.advice


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_that_hangs_up(scheme: str) -> None:
    async def leave(peer: RawPeer) -> None:
        peer.close(reset=True)

    async with RawServer(leave, upgrade=False) as server:
        url = server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")
        diagnosis = await diagnose(url, timeout_s=10.0)
    step, found = (Step.REST, "lost") if scheme == "http" else (Step.TLS, "no TLS with")
    check(diagnosis, Problem.NOT_A_GATEWAY, step, f"{found}.* closes connections without an answer", "correct the port")
    assert "restart" not in diagnosis.advice


if sys.platform != "win32":  # where nothing can connect to 0.0.0.0

    async def test_plain_http_to_another_machine_is_a_warning() -> None:
        async def act(gateway: SimulatedGateway) -> Diagnosis:
            return await diagnose(gateway.url, conid=LIVE)

        diagnosis = await diagnose_simulated({"host": "0.0.0.0"}, act)
        assert diagnosis.is_healthy
        assert finding_of(diagnosis, Step.TLS).outcome is Outcome.WARNING
        assert "listenSsl: true" in diagnosis.advice
