"""The doctor against gateways with every fault it knows, each produced for real, and against what is no gateway."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.doctor import Diagnosis, Fault, Finding, Status, Step, diagnose
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions
from cpapi_fast.simulator.market import Market
from cpapi_fast.simulator.wire import encode_frame
from tests.certificates import make
from tests.raw_server import Peer as RawPeer
from tests.raw_server import RawServer, answer_close
from tests.rest_peer import SESSION, TICKLE, Peer, answer
from tests.support import LOOPS, run

USER, ACCOUNT = "user1234", "DU1234567"
#: Instruments of seed 0 by what field 6509 says of them.
BY_AVAILABILITY = {
    letters: next(
        conid
        for conid in range(1, 2000)
        if (instrument := Market(seed=0, conids=None, inactive_conids=frozenset()).instrument(str(conid))) is not None
        and instrument.availability == letters
        and not instrument.is_thin
    )
    for letters in ("RpB", "DPB", "ZB")
}
LIVE, DELAYED = BY_AVAILABILITY["RpB"], BY_AVAILABILITY["DPB"]
#: Beats fast enough that a test does not wait for ten seconds.
QUICK: dict[str, Any] = {"heartbeat_interval_s": 0.1, "ready_delay_s": 0.0, "idle_timeout_s": None}


def found(diagnosis: Diagnosis, step: Step) -> Finding:
    return diagnosis.findings[list(Step).index(step)]


def check(diagnosis: Diagnosis, fault: Fault, step: Step, said: str, to_do: str) -> None:
    """It is this fault in this step; nothing after it was reached, nothing before it failed."""
    failure = diagnosis.failure
    assert failure is not None, diagnosis
    assert (failure.fault, failure.step) == (fault, step), diagnosis.wrong
    assert re.search(said, failure.found), failure.found
    assert re.search(to_do, diagnosis.advice), diagnosis.advice
    assert diagnosis.exit_code == int(fault)
    assert [finding.step for finding in diagnosis.findings] == list(Step)
    position = list(Step).index(step)
    assert all(finding.status is Status.NOT_REACHED for finding in diagnosis.findings[position + 1 :])
    assert all(finding.status in (Status.OK, Status.WARNING) for finding in diagnosis.findings[:position])
    check_one_line_without_secrets(diagnosis)


def check_one_line_without_secrets(diagnosis: Diagnosis, *secrets: str) -> None:
    shown = json.dumps(diagnosis.as_json())
    for secret in (USER, ACCOUNT, SESSION, "x-sess-uuid", "0.5e005301", *secrets):
        assert secret not in shown
    for finding in diagnosis.findings:
        assert "\n" not in finding.found + finding.advice


class HurryClock(Clock):
    """Runs fast during one step, so that what comes in vain is not waited for, and nothing else is short of time."""

    def __init__(self, step: Step | None, speed: float) -> None:
        super().__init__()
        self._step, self._fast = step, speed
        self._since_s, self._now_s = time.monotonic(), 0.0

    def monotonic_s(self) -> float:
        return self._now_s + (time.monotonic() - self._since_s) * self.speed

    def time_ns(self) -> int:
        return time.time_ns()

    def on_finding(self, finding: Finding) -> None:
        """The step after this one begins."""
        following = list(Step)[list(Step).index(finding.step) + 1 :]
        self._now_s, self._since_s = self.monotonic_s(), time.monotonic()
        self.speed = self._fast if self._step in following[:1] else 1.0  # type: ignore[misc]


async def examine_url(
    url: str,
    *,
    hurry: Step | None = None,
    speed: float = 100.0,
    then: Callable[[Finding], object] | None = None,
    **more: Any,
) -> Diagnosis:
    """Examine; the time of the step `hurry` runs fast, and `then` is told every finding."""
    clock = HurryClock(hurry, speed)

    def listen(finding: Finding) -> None:
        clock.on_finding(finding)
        if then is not None:
            then(finding)

    return await diagnose(url, clock=clock, on_finding=listen, **more)


async def examine(gateway: SimulatedGateway, **more: Any) -> Diagnosis:
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else None
    diagnosis = await examine_url(gateway.url, **{"tls": tls, "conid": LIVE, **more})
    check_one_line_without_secrets(diagnosis, gateway.session_id)
    return diagnosis


def scene(
    options: dict[str, Any], act: Callable[[SimulatedGateway], Awaitable[Diagnosis]] = examine, **more: Any
) -> Diagnosis:
    async def body() -> Diagnosis:
        async with SimulatedGateway(SimulatorOptions(**{"tls": False, **QUICK, **options})) as gateway:
            return await act(gateway, **more)

    return run(body())


def after(
    breaking: Callable[[SimulatedGateway], object], options: dict[str, Any] | None = None, **more: Any
) -> Diagnosis:
    """Examine a gateway that something was done to before."""

    async def act(gateway: SimulatedGateway) -> Diagnosis:
        breaking(gateway)
        return await examine(gateway, **more)

    return scene(options or {}, act)


# Healthy


@pytest.mark.parametrize("loop", LOOPS)
def test_healthy_over_tls(loop: str) -> None:
    async def body() -> None:
        told: list[Finding] = []
        async with SimulatedGateway(SimulatorOptions(**QUICK)) as gateway:
            diagnosis = await examine(gateway, then=told.append)
            assert diagnosis.is_healthy, diagnosis.wrong
            assert diagnosis.warnings == ()
            assert (diagnosis.exit_code, diagnosis.wrong, diagnosis.advice) == (0, "nothing", "nothing")
            assert [finding.step for finding in diagnosis.findings] == list(Step)
            assert tuple(told) == diagnosis.findings
            assert diagnosis.url == gateway.url
            assert found(diagnosis, Step.TLS).facts["sha256"] == gateway.fingerprint
            assert found(diagnosis, Step.TICK).facts["availability"] == "RpB"
            assert found(diagnosis, Step.ACCOUNTS).facts["accounts"] == 1
            # It leaves nothing behind, and has not changed anything.
            (connection,) = gateway.connections
            assert connection.close_code == 1000
            await gateway.wait_for(lambda: not gateway.open_connections)
            asked = [request.path.removeprefix("/v1/api") for request in gateway.requests]
            assert asked == ["/tickle", "/iserver/auth/status", "/iserver/accounts", "/ws"]
            texts = [received.text.partition("+{")[0] for received in connection.received]
            assert texts == [f"smd+{LIVE}", f"umd+{LIVE}"]

    run(body(), loop=loop)


@pytest.mark.parametrize(("letters", "said"), [("DPB", "delayed"), ("ZB", "frozen")])
def test_quotes_that_are_not_live_are_a_warning(letters: str, said: str) -> None:
    diagnosis = scene({}, conid=BY_AVAILABILITY[letters])
    assert diagnosis.is_healthy
    (warning,) = diagnosis.warnings
    assert warning.step is Step.TICK
    assert said in warning.found
    assert letters in warning.found


# Below HTTP


def test_a_url_that_cannot_be_one() -> None:
    for url in ("localhost:5000", "https://user:geheim@localhost/v1/api", "ftp://localhost", ""):
        diagnosis = run(diagnose(url))
        check(diagnosis, Fault.USAGE, Step.URL, "base URL|text", "correct")
        assert diagnosis.url == ""
        assert "geheim" not in json.dumps(diagnosis.as_json())


def test_a_certificate_for_a_plain_url() -> None:
    check(
        run(diagnose("http://localhost:5000", tls=Tls.pinned("0" * 64))),
        Fault.USAGE,
        Step.URL,
        "http:// URL",
        "correct",
    )


def test_a_name_that_does_not_resolve() -> None:
    diagnosis = run(diagnose("https://gateway.invalid:5000/v1/api"))
    check(diagnosis, Fault.DNS, Step.DNS, "gateway.invalid", "host in --url|name server")


@pytest.mark.parametrize("loop", LOOPS)
def test_nobody_listens(loop: str) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody else gets the port, and nobody answers.
        taken.bind(("127.0.0.1", 0))
        diagnosis = run(diagnose(f"https://localhost:{taken.getsockname()[1]}/v1/api"), loop=loop)
    check(diagnosis, Fault.TCP, Step.TCP, "no connection to localhost:", "start the gateway|correct the port")


def test_one_of_two_addresses_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_examination: object) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    # Which addresses a name has is the machine's to say; that one of them is dead is made for real.
    monkeypatch.setattr("cpapi_fast.doctor.network._resolve", both)
    diagnosis = scene({"host": "127.0.0.1"})
    assert diagnosis.is_healthy
    assert found(diagnosis, Step.TCP).status is Status.WARNING
    assert "127.0.0.2 (" in found(diagnosis, Step.TCP).found
    assert "give 127.0.0.1" in diagnosis.advice


# The certificate


async def against(
    certificate: Any,
    folder: Path,
    tls: Tls | None,
) -> tuple[Diagnosis, Peer]:
    async with Peer(answer(status=401), tls=certificate.server_context(folder)) as peer:
        diagnosis = await diagnose(peer.url, tls=tls, timeout_s=10.0)
        await peer.settle()
        return diagnosis, peer


@pytest.mark.parametrize("loop", LOOPS)
def test_certificates_that_are_not_trusted(tmp_path: Path, loop: str) -> None:
    authority = make(is_authority=True, name="authority")
    ca = Tls.ca_file(authority.write(tmp_path / "ca.pem"))
    cases = [
        (make(), None, "it is self-signed"),
        (make(ends_days=-1), None, "it expired on .* and it is self-signed"),
        (make(), ca, "it is self-signed"),
        (make(signed_by=authority, ends_days=-1), ca, "it expired on"),
        (make(signed_by=authority, starts_days=1), ca, "not valid before"),
        (make(signed_by=authority, hosts=["gateway.example"]), ca, "it is for gateway.example, not for 127.0.0.1"),
        (make(signed_by=authority), None, "unable to get local issuer|not trusted"),
        (make(hosts=["a.example", "b.example", "c.example", "d.example"]), None, "c.example and others, not for"),
    ]

    async def body() -> None:
        for certificate, policy, said in cases:
            diagnosis, peer = await against(certificate, tmp_path, policy)
            check(diagnosis, Fault.TLS, Step.TLS, said, f"--fingerprint {certificate.fingerprint}")
            assert found(diagnosis, Step.TLS).facts["sha256"] == certificate.fingerprint
            assert peer.payload_bytes == 0, "nothing is said to a stranger"

    run(body(), loop=loop)


def test_a_pin_that_is_another(tmp_path: Path) -> None:
    certificate = make()
    diagnosis, peer = run(against(certificate, tmp_path, Tls.pinned("0" * 64)))
    check(diagnosis, Fault.TLS, Step.TLS, "not the pinned one", f"--fingerprint {certificate.fingerprint}")
    assert peer.payload_bytes == 0


def test_a_pinned_certificate_may_be_as_bad_as_it_likes(tmp_path: Path) -> None:
    certificate = make(ends_days=-1, hosts=["gateway.example"])
    diagnosis, _ = run(against(certificate, tmp_path, Tls.pinned(certificate.fingerprint)))
    check(diagnosis, Fault.LOGIN_NEEDED, Step.SESSION, "401", "log in at https://127.0.0.1")
    said = found(diagnosis, Step.TLS)
    assert said.status is Status.OK
    assert "expired" in said.found
    assert "gateway.example" in said.found
    assert (said.facts["expired"], said.facts["fits_host"], said.facts["self_signed"]) == (True, False, True)


@pytest.mark.parametrize(("ends_days", "status"), [(100, Status.OK), (5, Status.WARNING)])
def test_a_trusted_certificate_that_expires_soon_is_a_warning(tmp_path: Path, ends_days: int, status: Status) -> None:
    authority = make(is_authority=True)
    ca = Tls.ca_file(authority.write(tmp_path / "ca.pem"))
    diagnosis, _ = run(against(make(signed_by=authority, ends_days=ends_days), tmp_path, ca))
    assert found(diagnosis, Step.TLS).status is status
    assert diagnosis.exit_code == Fault.LOGIN_NEEDED


@pytest.mark.filterwarnings("ignore::cpapi_fast.InsecureTlsWarning")
def test_insecure_is_a_warning_with_the_fingerprint(tmp_path: Path) -> None:
    certificate = make()
    diagnosis, _ = run(against(certificate, tmp_path, Tls.insecure()))
    said = found(diagnosis, Step.TLS)
    assert said.status is Status.WARNING
    assert said.advice == f"in place of --insecure give --fingerprint {certificate.fingerprint}"


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    diagnosis, _ = run(against(make(), tmp_path, Tls.ca_file(tmp_path / "missing.pem")))
    check(diagnosis, Fault.USAGE, Step.TLS, "missing.pem", "correct the option")


def test_https_where_plain_http_is_spoken() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        return await diagnose(gateway.url.replace("http:", "https:"), timeout_s=10.0)

    diagnosis = scene({}, act)
    check(diagnosis, Fault.TLS, Step.TLS, "speaks plain http", r"give --url http://127\.0\.0\.1:\d+/v1/api$")


def test_http_where_tls_is_spoken() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        return await diagnose(gateway.url.replace("https:", "http:"), timeout_s=10.0)

    diagnosis = scene({"tls": True}, act)
    check(diagnosis, Fault.TLS, Step.REST, "speaks TLS", r"give --url https://127\.0\.0\.1:\d+/v1/api$")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_that_speaks_something_else(scheme: str) -> None:
    async def greet(peer: RawPeer) -> None:
        await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
        await peer.reader.read(100)

    async def body() -> Diagnosis:
        async with RawServer(greet, upgrade=False) as server:
            url = server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")
            return await diagnose(url, timeout_s=10.0)

    step = Step.REST if scheme == "http" else Step.TLS
    check(run(body()), Fault.NOT_A_GATEWAY, step, "http", "correct the port")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_that_hangs(scheme: str) -> None:
    async def listen(peer: RawPeer) -> None:
        await peer.reader.read()

    async def body() -> Diagnosis:
        async with RawServer(listen, upgrade=False) as server:
            url = server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")
            return await examine_url(url, hurry=Step.REST if scheme == "http" else Step.TLS)

    diagnosis = run(body())
    if scheme == "http":
        check(diagnosis, Fault.NO_ANSWER, Step.REST, "no answer|lost", "busy|restart")
    else:
        check(diagnosis, Fault.TLS, Step.TLS, "no TLS handshake within 15 s", "restart the gateway")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_that_hangs_up(scheme: str) -> None:
    async def leave(peer: RawPeer) -> None:
        peer.close(reset=True)

    async def body() -> Diagnosis:
        async with RawServer(leave, upgrade=False) as server:
            url = server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")
            return await diagnose(url, timeout_s=10.0)

    diagnosis = run(body())
    if scheme == "http":
        check(diagnosis, Fault.NO_ANSWER, Step.REST, "lost", "busy|restart")
    else:
        check(diagnosis, Fault.TLS, Step.TLS, "no TLS with", "log why it hangs up")


if sys.platform != "win32":  # where 0.0.0.0 is no address to connect to

    def test_plain_http_that_leaves_the_machine_is_a_warning() -> None:
        async def act(gateway: SimulatedGateway) -> Diagnosis:
            return await diagnose(gateway.url, conid=LIVE)

        diagnosis = scene({"host": "0.0.0.0"}, act)
        assert diagnosis.is_healthy
        assert found(diagnosis, Step.TLS).status is Status.WARNING
        assert "listenSsl: true" in diagnosis.advice


# REST


@pytest.mark.parametrize("logged_out", ["unauthorized", "redirect", "html", "json"])
def test_nobody_is_logged_in(logged_out: str) -> None:
    diagnosis = scene({"is_logged_in": False, "logged_out_response": logged_out})
    check(diagnosis, Fault.LOGIN_NEEDED, Step.SESSION, "login|logged in", r"log in at http://127\.0\.0\.1:\d+ in a br")


def test_a_session_that_cannot_stand_in_a_header() -> None:
    body = b'{"session":"0123456789abcdef\\r\\nX: y","iserver":{}}'
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/tickle", status=200, body=body))
    check(diagnosis, Fault.LOGIN_NEEDED, Step.SESSION, "cannot stand in a header", "log in")
    assert "0123456789abcdef" not in json.dumps(diagnosis.as_json())


@pytest.mark.parametrize(
    ("status", "headers", "content_type", "body", "fault", "said", "to_do"),
    [
        (503, {}, "text/html", b"<html>down</html>", Fault.GATEWAY_ERROR, "503", "wait"),
        (500, {}, "application/json", b'{"error":"x"}', Fault.GATEWAY_ERROR, "500", "restart"),
        (429, {}, "application/json", b"{}", Fault.RATE_LIMITED, "429", "wait 15 minutes"),
        (403, {}, "text/html", b"Access Denied", Fault.FORBIDDEN, "403", "ips/allow"),
        (404, {}, "text/html", b"what?", Fault.NOT_A_GATEWAY, "nothing is at /v1/api", "in a browser"),
        (302, {"Location": "https://example.com/x?y=z"}, "", b"", Fault.NOT_A_GATEWAY, "redirect", "in a browser"),
        (200, {}, "text/html", b"<html>welcome</html>", Fault.NOT_A_GATEWAY, "HTML", "in a browser"),
        (200, {}, "text/plain", b"hello", Fault.NOT_A_GATEWAY, "not JSON", "in a browser"),
        (200, {}, "application/json", b'{"hello":1}', Fault.NOT_A_GATEWAY, "unexpected", "in a browser"),
        (200, {}, "application/json", b"[]", Fault.NOT_A_GATEWAY, "unexpected", "in a browser"),
    ],
)
def test_answers_that_are_none(
    status: int, headers: dict[str, str], content_type: str, body: bytes, fault: Fault, said: str, to_do: str
) -> None:
    diagnosis = after(
        lambda gateway: gateway.faults.fail_rest(
            "/tickle", status=status, body=body, content_type=content_type, headers=headers, times=None
        )
    )
    check(diagnosis, fault, Step.REST, said, to_do)


def test_the_penalty_box() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        # Some other program has asked too often.
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /v1/api/iserver/accounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()
        return await examine(gateway)

    diagnosis = scene({"enforce_pacing": True, "speed": 0.2}, act)
    check(diagnosis, Fault.RATE_LIMITED, Step.REST, "429", "stop every program")


def test_another_base_path() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        return await diagnose(gateway.url.replace("/v1/api", "/v1/portal"), timeout_s=10.0)

    diagnosis = scene({}, act)
    check(diagnosis, Fault.NOT_A_GATEWAY, Step.REST, "/v1/portal", r"give --url http://127\.0\.0\.1:\d+/v1/api$")


def test_a_gateway_that_hangs() -> None:
    diagnosis = after(lambda gateway: gateway.faults.stall(), hurry=Step.REST)
    check(diagnosis, Fault.NO_ANSWER, Step.REST, "no answer to POST", "busy or hangs")


# The session


def test_a_competing_login() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        gateway.faults.start_competing()
        diagnosis = await examine(gateway)
        assert not [request for request in gateway.requests if "init" in request.path], "nothing was taken over"
        return diagnosis

    check(scene({}, act), Fault.COMPETING, Step.COMPETING, "another login", "--init")


def test_a_competing_login_and_init() -> None:
    diagnosis = after(lambda gateway: gateway.faults.start_competing(), init=True)
    assert diagnosis.is_healthy, diagnosis.wrong
    assert found(diagnosis, Step.COMPETING).status is Status.WARNING
    assert "opened" in found(diagnosis, Step.AUTHENTICATED).found


def test_another_login_that_only_knocks_is_a_warning() -> None:
    body = b'{"authenticated":true,"connected":true,"competing":true}'
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=200, body=body))
    assert diagnosis.is_healthy
    assert found(diagnosis, Step.COMPETING).status is Status.WARNING
    assert "user name of its own" in diagnosis.advice


def test_the_brokerage_session_is_not_open() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        diagnosis = await examine(gateway)
        assert not [request for request in gateway.requests if "init" in request.path]
        return diagnosis

    check(scene({"has_brokerage": False}, act), Fault.NOT_AUTHENTICATED, Step.AUTHENTICATED, "not open", "--init")
    assert scene({"has_brokerage": False}, init=True).is_healthy


def test_a_brokerage_session_that_does_not_open() -> None:
    body = b'{"authenticated":false,"connected":true,"competing":false}'
    diagnosis = after(
        lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=200, body=body, times=None),
        {"has_brokerage": False},
        init=True,
        timeout_s=3.0,
        hurry=Step.AUTHENTICATED,
        speed=3.0,
    )
    check(diagnosis, Fault.NOT_AUTHENTICATED, Step.AUTHENTICATED, "did not open within 3 s", "log in")


def test_the_gateway_is_not_connected() -> None:
    body = b'{"authenticated":false,"connected":false,"competing":false}'
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=200, body=body))
    check(diagnosis, Fault.NOT_CONNECTED, Step.CONNECTED, "does not reach Interactive Brokers", "log in at")


def test_a_status_that_fails() -> None:
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=502))
    check(diagnosis, Fault.GATEWAY_ERROR, Step.CONNECTED, "/iserver/auth/status answered 502", "restart")


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, b'{"error":"Bad Request: no bridge"}', Fault.GATEWAY_ERROR),
        (200, b"[]", Fault.GATEWAY_ERROR),
        (401, b"", Fault.LOGIN_NEEDED),
    ],
)
def test_accounts_that_cannot_be_listed(status: int, body: bytes, fault: Fault) -> None:
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=status, body=body))
    check(diagnosis, fault, Step.ACCOUNTS, "/iserver/accounts", "log in")


def test_no_account() -> None:
    diagnosis = after(
        lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=200, body=b'{"accounts":[]}')
    )
    assert diagnosis.is_healthy
    assert [finding.step for finding in diagnosis.warnings] == [Step.ACCOUNTS]


# The socket


@pytest.mark.parametrize(
    ("status", "fault", "to_do"),
    [
        (401, Fault.WEBSOCKET, "log in"),
        (302, Fault.WEBSOCKET, "log in"),
        (404, Fault.WEBSOCKET, "give --url .*/v1/api"),
        (503, Fault.WEBSOCKET, "wait a minute"),
        (429, Fault.RATE_LIMITED, "15 minutes"),
    ],
)
def test_an_upgrade_that_is_refused(status: int, fault: Fault, to_do: str) -> None:
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/ws", status=status, times=None))
    check(diagnosis, fault, Step.WEBSOCKET, str(status), to_do)


def test_an_upgrade_that_is_not_answered() -> None:
    diagnosis = after(lambda gateway: gateway.faults.fail_rest("/ws", delay_s=30.0), hurry=Step.WEBSOCKET)
    check(diagnosis, Fault.WEBSOCKET, Step.WEBSOCKET, "no WebSocket within", "restart")


def test_never_ready() -> None:
    diagnosis = scene({"ready_delay_s": None}, hurry=Step.READY)
    check(diagnosis, Fault.NOT_READY, Step.READY, "no `system` with `success` within 15 s", "log in")


def test_a_session_that_the_socket_does_not_take() -> None:
    body = TICKLE.replace(SESSION.encode(), b"f" * 32)
    diagnosis = after(
        lambda gateway: gateway.faults.fail_rest("/tickle", status=200, body=body), hurry=Step.READY, speed=10.0
    )
    check(diagnosis, Fault.NOT_READY, Step.READY, "waits for a session", "log in")


def test_a_socket_that_is_closed_at_once() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        # Between the last call and the upgrade: the socket is then closed with 1000.
        def log_out(finding: Finding) -> None:
            if finding.step is Step.ACCOUNTS:
                gateway.faults.log_out()

        return await examine(gateway, then=log_out)

    check(scene({}, act), Fault.WEBSOCKET, Step.READY, "with code 1000", "log in")


def when(step: Step, breaking: Callable[[SimulatedGateway], object], **options: Any) -> Diagnosis:
    """Examine a gateway that something is done to right after a step."""

    async def act(gateway: SimulatedGateway) -> Diagnosis:
        def listen(finding: Finding) -> None:
            if finding.step is step:
                breaking(gateway)

        return await examine(gateway, then=listen, hurry=Step.TICK, speed=10.0)

    return scene(options, act)


def test_a_socket_that_is_cut() -> None:
    diagnosis = when(Step.READY, lambda gateway: gateway.faults.drop_sockets(), heartbeat_interval_s=1000.0)
    failure = diagnosis.failure
    assert failure is not None
    # Whichever step notices.
    check(diagnosis, Fault.WEBSOCKET, failure.step, "without a word", "log in")
    assert failure.step in (Step.STS, Step.HEARTBEAT)


@pytest.mark.parametrize("step", [Step.WEBSOCKET, Step.HEARTBEAT])
def test_a_socket_that_is_cut_later_or_sooner(step: Step) -> None:
    diagnosis = when(step, lambda gateway: gateway.faults.drop_sockets(), market_data_lines=0, ready_delay_s=0.2)
    following = list(Step)[list(Step).index(step) + 1]
    check(diagnosis, Fault.WEBSOCKET, following, "without a word", "log in")


@pytest.mark.parametrize(
    ("fragment", "fault"),
    [
        (b'{"topic":"sts","args":{"authenticated":false}}', Fault.NOT_AUTHENTICATED),
        (b'{"topic":"sts","args":{"authenticated":false,"competing":true}}', Fault.COMPETING),
        (b'{"topic":"sts","args":{"authenticated":false,"connected":false}}', Fault.NOT_CONNECTED),
    ],
)
def test_the_socket_disagrees_with_rest(fragment: bytes, fault: Fault, tmp_path: Path) -> None:
    async def serve(peer: RawPeer) -> None:
        await peer.send(encode_frame(b'{"topic":"system","success":"user1234"}') + encode_frame(fragment))
        await answer_close(peer)

    async def body() -> Diagnosis:
        async with RawServer(serve) as server, Peer(rest_of_a_gateway) as rest, Joined(rest, server) as url:
            return await diagnose(url, timeout_s=10.0)

    check(run(body()), fault, Step.STS, "the socket says", "--init|log in")


def rest_of_a_gateway(request: bytes) -> bytes:
    if b"/tickle" in request:
        return answer(TICKLE)
    if b"/accounts" in request:
        return answer(b'{"accounts":["DU1234567"]}')
    return answer(b'{"authenticated":true,"connected":true,"competing":false}')


class Joined:
    """One port before two servers: upgrades go to one, all else to the other."""

    def __init__(self, rest: Peer, sockets: RawServer) -> None:
        self._rest_port = rest.port
        self._socket_port = int(sockets.url.split(":")[2].split("/")[0])
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/api"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            first = await reader.read(65536)
            port = self._socket_port if b"/ws " in first.split(b"\r\n")[0] else self._rest_port
            peer_reader, peer_writer = await asyncio.open_connection("127.0.0.1", port)
            peer_writer.write(first)
            await asyncio.gather(pump(reader, peer_writer), pump(peer_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()
            if first:
                peer_writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
    except ConnectionError:
        writer.close()


def test_a_socket_that_does_not_tell_the_session() -> None:
    async def serve(peer: RawPeer) -> None:
        beat = b'{"topic":"system","hb":%d}' % (Clock().time_ns() // 1_000_000)
        quote = b'{"topic":"smd+265598","31":"1.00"}'
        await peer.send(encode_frame(b'{"topic":"system","success":"x"}') + encode_frame(beat) + encode_frame(quote))
        await answer_close(peer)

    async def body() -> Diagnosis:
        async with RawServer(serve) as server, Peer(rest_of_a_gateway) as rest, Joined(rest, server) as url:
            return await examine_url(url, hurry=Step.STS)

    diagnosis = run(body())
    assert diagnosis.is_healthy, diagnosis.wrong
    assert {finding.step for finding in diagnosis.warnings} == {Step.STS, Step.TICK}
    assert "no 6509" in found(diagnosis, Step.TICK).found


def test_no_heartbeats() -> None:
    diagnosis = scene({"heartbeat_interval_s": 1000.0}, hurry=Step.HEARTBEAT)
    check(diagnosis, Fault.NO_HEARTBEAT, Step.HEARTBEAT, "none within 15 s", "log in")


def test_no_heartbeats_within_less_than_they_take() -> None:
    diagnosis = scene({"heartbeat_interval_s": 1000.0}, timeout_s=2.0)
    assert diagnosis.is_healthy
    assert found(diagnosis, Step.HEARTBEAT).status is Status.WARNING
    assert "--timeout 15" in found(diagnosis, Step.HEARTBEAT).advice


# The quote


def test_a_conid_that_nobody_knows() -> None:
    diagnosis = scene({"conids": (8314,)})
    check(diagnosis, Fault.NO_DATA, Step.TICK, f"no instrument {LIVE}", "--conid")


def test_no_line_left() -> None:
    diagnosis = scene({"market_data_lines": 0}, hurry=Step.TICK)
    check(diagnosis, Fault.NO_DATA, Step.TICK, "no frame of .* within 15 s, and no refusal", "market data lines")


@pytest.mark.parametrize(
    ("frame", "said", "to_do"),
    [
        (b'{"6509":"N","topic":"smd+%d"}', "not subscribed", "subscribe to the data"),
        (b'{"6509":"N","31":"1.00","topic":"smd+%d"}', "not subscribed", "subscribe to the data"),
        (b'{"6509":"O","topic":"smd+%d"}', "acknowledgement", "acknowledgement"),
        (b'{"6509":"DPB","topic":"smd+%d"}', "without a price", "--conid"),
        (b'{"error":"not for DU1234567","code":500,"topic":"smd+%d"}', "refused: not for", "--conid"),
    ],
)
def test_a_quote_that_is_none(frame: bytes, said: str, to_do: str) -> None:
    diagnosis = when(Step.STS, lambda gateway: gateway.faults.send_frame(frame % LIVE), market_data_lines=0)
    check(diagnosis, Fault.NO_DATA, Step.TICK, said, to_do)


def test_a_halted_instrument() -> None:
    frame = b'{"6509":"RB","31":"H12.00","topic":"smd+%d"}' % LIVE
    diagnosis = when(Step.STS, lambda gateway: gateway.faults.send_frame(frame), market_data_lines=0)
    assert diagnosis.is_healthy
    assert "halted" in found(diagnosis, Step.TICK).found


# The clock


class SkewedClock(Clock):
    """A clock that is set wrong."""

    def __init__(self, ahead_s: float) -> None:
        super().__init__()
        self._ahead_ns = int(ahead_s * 1e9)

    def time_ns(self) -> int:
        return super().time_ns() + self._ahead_ns


@pytest.mark.parametrize(
    ("gateway_ahead_s", "said"), [(3600.0, r"3,(600|59.)\.. s behind"), (-3600.0, r"3,(600|59.)\.. s ahead of")]
)
def test_a_clock_that_is_wrong(gateway_ahead_s: float, said: str) -> None:
    async def body() -> Diagnosis:
        async with SimulatedGateway(
            SimulatorOptions(tls=False, **QUICK), clock=SkewedClock(gateway_ahead_s)
        ) as gateway:
            return await examine(gateway)

    diagnosis = run(body())
    check(diagnosis, Fault.CLOCK, Step.CLOCK, said, "NTP")
    facts = found(diagnosis, Step.CLOCK).facts
    assert abs(facts["heartbeat_lead_s"] + gateway_ahead_s) < 10
    # The HTTP server tells the machine's own time: what is wrong is told by the heartbeats.
    assert abs(facts["date_lead_s"]) < 10


def test_a_clock_that_is_a_little_wrong() -> None:
    async def body() -> Diagnosis:
        async with SimulatedGateway(SimulatorOptions(tls=False, **QUICK), clock=SkewedClock(10.0)) as gateway:
            return await examine(gateway)

    diagnosis = run(body())
    assert diagnosis.is_healthy
    assert [finding.step for finding in diagnosis.warnings] == [Step.CLOCK]


def test_slow_answers_are_a_warning() -> None:
    body = b'{"accounts":["DU1234567"]}'
    diagnosis = after(
        lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=200, body=body, delay_s=0.2),
        hurry=Step.ACCOUNTS,
        speed=12.0,
    )
    assert found(diagnosis, Step.PACE).status is Status.WARNING
    assert found(diagnosis, Step.PACE).facts["slowest_answer_s"] >= 2.0


# Leaving


def test_cancelled_it_leaves_nothing_behind() -> None:
    async def body() -> None:
        async with SimulatedGateway(SimulatorOptions(tls=False, heartbeat_interval_s=1000.0)) as gateway:
            task = asyncio.create_task(diagnose(gateway.url, conid=LIVE))
            await gateway.wait_for(lambda: gateway.connections and gateway.connections[0].subscriptions, timeout_s=20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gateway.wait_for(lambda: not gateway.open_connections)

    run(body())


def test_expired_certificates_of_the_simulator_too(tmp_path: Path) -> None:
    certificate = Certificate.expired()

    async def body() -> Diagnosis:
        async with SimulatedGateway(SimulatorOptions(certificate=certificate, **QUICK)) as gateway:
            assert gateway.certificate_path is not None
            return await examine(gateway, tls=Tls.ca_file(gateway.certificate_path))

    check(run(body()), Fault.TLS, Step.TLS, "it expired on", f"--fingerprint {certificate.fingerprint}")
    assert ssl.PEM_cert_to_DER_cert(certificate.certificate_pem.decode())
