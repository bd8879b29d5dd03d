"""The doctor's steps over REST: the gateway, the login, the brokerage session, the accounts."""

from __future__ import annotations

import asyncio
import json

import pytest

from cpapi_fast.doctor import Diagnosis, Outcome, Problem, Step, diagnose
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.doctor.harness import (
    check,
    diagnose_after,
    diagnose_gateway,
    diagnose_simulated,
    finding_of,
)


@pytest.mark.parametrize("logged_out", ["unauthorized", "redirect", "html", "json"])
async def test_a_gateway_without_a_login(logged_out: str) -> None:
    diagnosis = await diagnose_simulated({"is_logged_in": False, "logged_out_response": logged_out})
    check(
        diagnosis, Problem.LOGIN_NEEDED, Step.SESSION, "login|logged in", r"log in at http://127\.0\.0\.1:\d+ in a br"
    )


async def test_a_session_id_that_is_not_valid_in_a_header() -> None:
    body = b'{"session":"0123456789abcdef\\r\\nX: y","iserver":{}}'
    diagnosis = await diagnose_after(lambda gateway: gateway.faults.fail_rest("/tickle", status=200, body=body))
    check(diagnosis, Problem.LOGIN_NEEDED, Step.SESSION, "not valid in a header", "log in")
    assert "0123456789abcdef" not in json.dumps(diagnosis.as_json())


@pytest.mark.parametrize(
    ("status", "headers", "content_type", "body", "problem", "found", "advice"),
    [
        (503, {}, "text/html", b"<html>down</html>", Problem.GATEWAY_ERROR, "503", "wait"),
        (500, {}, "application/json", b'{"error":"x"}', Problem.GATEWAY_ERROR, "500", "restart"),
        (429, {}, "application/json", b"{}", Problem.RATE_LIMITED, "429", "wait 15 minutes"),
        (403, {}, "text/html", b"Access Denied", Problem.FORBIDDEN, "403", "ips/allow"),
        (404, {}, "text/html", b"what?", Problem.NOT_A_GATEWAY, "status 404", "nothing .* is at /v1/api"),
        (302, {"Location": "https://example.com/x?y=z"}, "", b"", Problem.NOT_A_GATEWAY, "redirect", "in a browser"),
        (200, {}, "text/html", b"<html>welcome</html>", Problem.NOT_A_GATEWAY, "HTML", "in a browser"),
        (200, {}, "text/plain", b"hello", Problem.NOT_A_GATEWAY, "not JSON", "in a browser"),
        (200, {}, "application/json", b'{"hello":1}', Problem.NOT_A_GATEWAY, "unexpected", "in a browser"),
        (200, {}, "application/json", b"[]", Problem.NOT_A_GATEWAY, "unexpected", "in a browser"),
    ],
)
async def test_responses_that_no_gateway_sends(
    status: int, headers: dict[str, str], content_type: str, body: bytes, problem: Problem, found: str, advice: str
) -> None:
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest(
            "/tickle", status=status, body=body, content_type=content_type, headers=headers, times=None
        )
    )
    check(diagnosis, problem, Step.REST, found, advice)


async def test_too_many_requests() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        # Another program has sent too many requests.
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /v1/api/iserver/accounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()
        return await diagnose_gateway(gateway)

    diagnosis = await diagnose_simulated({"enforce_pacing": True, "speed": 0.2}, act)
    check(diagnosis, Problem.RATE_LIMITED, Step.REST, "429", "stop other programs")


async def test_another_base_path() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        return await diagnose(gateway.url.replace("/v1/api", "/v1/portal"), timeout_s=10.0)

    diagnosis = await diagnose_simulated({}, act)
    check(diagnosis, Problem.NOT_A_GATEWAY, Step.REST, "/v1/portal", r"http://127\.0\.0\.1:\d+/v1/api as --url\.$")


async def test_a_gateway_that_hangs() -> None:
    diagnosis = await diagnose_after(lambda gateway: gateway.faults.stall(), fast_step=Step.REST)
    check(diagnosis, Problem.NO_RESPONSE, Step.REST, "no response to POST", "busy or hangs")


async def test_a_competing_login() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        gateway.faults.start_competing()
        diagnosis = await diagnose_gateway(gateway)
        assert not [request for request in gateway.requests if "init" in request.path], "no session was taken over"
        return diagnosis

    check(await diagnose_simulated({}, act), Problem.COMPETING, Step.COMPETING, "another login", "--init")


async def test_a_competing_login_and_init() -> None:
    diagnosis = await diagnose_after(lambda gateway: gateway.faults.start_competing(), init=True)
    assert diagnosis.is_healthy, diagnosis.summary
    assert finding_of(diagnosis, Step.COMPETING).outcome is Outcome.WARNING
    assert "opened" in finding_of(diagnosis, Step.AUTHENTICATED).found


async def test_a_login_that_competes_without_success_is_a_warning() -> None:
    body = b'{"authenticated":true,"connected":true,"competing":true}'
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=200, body=body)
    )
    assert diagnosis.is_healthy
    assert finding_of(diagnosis, Step.COMPETING).outcome is Outcome.WARNING
    assert "separate user name" in diagnosis.advice


async def test_the_brokerage_session_is_not_open() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        diagnosis = await diagnose_gateway(gateway)
        assert not [request for request in gateway.requests if "init" in request.path]
        return diagnosis

    check(
        await diagnose_simulated({"has_brokerage": False}, act),
        Problem.NOT_AUTHENTICATED,
        Step.AUTHENTICATED,
        "not open",
        "--init",
    )
    assert (await diagnose_simulated({"has_brokerage": False}, init=True)).is_healthy


async def test_a_brokerage_session_that_does_not_open() -> None:
    body = b'{"authenticated":false,"connected":true,"competing":false}'
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=200, body=body, times=None),
        {"has_brokerage": False},
        init=True,
        timeout_s=3.0,
        fast_step=Step.AUTHENTICATED,
        speed=3.0,
    )
    check(diagnosis, Problem.NOT_AUTHENTICATED, Step.AUTHENTICATED, "did not open within 3 s", "log in")


async def test_the_gateway_is_not_connected() -> None:
    body = b'{"authenticated":false,"connected":false,"competing":false}'
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=200, body=body)
    )
    check(diagnosis, Problem.NOT_CONNECTED, Step.CONNECTED, "not connected to Interactive Brokers", "log in at")


async def test_an_auth_status_request_that_fails() -> None:
    diagnosis = await diagnose_after(lambda gateway: gateway.faults.fail_rest("/iserver/auth/status", status=502))
    check(diagnosis, Problem.GATEWAY_ERROR, Step.CONNECTED, "/iserver/auth/status returned status 502", "restart")


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (400, b'{"error":"Bad Request: no bridge"}', Problem.NOT_AUTHENTICATED),
        (200, b"<html>what?</html>", Problem.GATEWAY_ERROR),
        (401, b"", Problem.LOGIN_NEEDED),
    ],
)
async def test_accounts_that_cannot_be_listed(status: int, body: bytes, problem: Problem) -> None:
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=status, body=body)
    )
    check(diagnosis, problem, Step.ACCOUNTS, "/iserver/accounts", "log in|--init")


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"5", b"", b"{}", b'{"accounts":null}', b'{"accounts":{"DU1":1}}', b'{"accounts":[1]}']
)
async def test_a_list_of_accounts_that_cannot_be_read_is_no_failure_because_no_feed_needs_it(body: bytes) -> None:
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=200, body=body)
    )
    assert diagnosis.is_healthy
    assert finding_of(diagnosis, Step.ACCOUNTS).outcome is Outcome.WARNING
    assert "/iserver/accounts returned" in finding_of(diagnosis, Step.ACCOUNTS).found


async def test_an_empty_list_of_accounts() -> None:
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=200, body=b'{"accounts":[]}')
    )
    assert diagnosis.is_healthy
    assert [finding.step for finding in diagnosis.warnings] == [Step.ACCOUNTS]
