"""The simulated gateway's REST calls, their quirks and its TLS."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
from typing import Any

import aiohttp
import pytest

from cpapi_fast.errors import ConfigError, UsageError
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions
from tests.conftest import StartGateway

from .conftest import Connect
from .plain_client import Socket, connected, http, options

STATUS = "/iserver/auth/status"


async def raw_request(gateway: SimulatedGateway, *lines: str) -> bytes:
    """Send header lines as they are and give the head of the answer."""
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return head


async def request(
    gateway: SimulatedGateway, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, str, Any]:
    """Status, content type and body (decoded when it is JSON) of one call."""
    async with http() as session:
        call = session.request(method, gateway.url + path, json=body, headers=headers, allow_redirects=False)
        async with call as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, response.content_type, json.loads(raw) if is_json and raw else raw


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_tickle_has_the_documented_shape_and_sets_its_cookie(
    gateway: SimulatedGateway, session: aiohttp.ClientSession, method: str
) -> None:
    async with session.request(method, gateway.url + "/tickle") as response:
        ticket = await response.json()
        cookie = response.headers["Set-Cookie"]
    assert re.fullmatch("[0-9a-f]{32}", ticket["session"])
    assert ticket["collission"] is False
    assert ticket["hmds"] == {"error": "no bridge"}
    assert type(ticket["ssoExpires"]) is type(ticket["userId"]) is int
    status = ticket["iserver"]["authStatus"]
    assert (status["authenticated"], status["connected"], status["competing"]) == (True, True, False)
    assert set(status["serverInfo"]) == {"serverName", "serverVersion"}
    assert cookie.startswith("x-sess-uuid=")
    assert {"Path=/v1/api", "Secure", "HttpOnly"} <= set(cookie.split("; "))
    again = (await request(gateway, "POST", "/tickle"))[2]
    assert again["session"] == ticket["session"] == gateway.session_id


async def test_post_without_content_length_is_411(gateway: SimulatedGateway) -> None:
    head = await raw_request(gateway, "POST /v1/api/tickle HTTP/1.1", "Host: localhost", "Connection: close")
    assert head.startswith(b"HTTP/1.1 411 ")
    head = await raw_request(
        gateway, "POST /v1/api/tickle HTTP/1.1", "Host: localhost", "Content-Length: 0", "Connection: close"
    )
    assert head.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("origin", "status"), [("own", 200), (None, 401), ("https://elsewhere.example", 401)])
async def test_missing_origin_is_401_by_option(start_gateway: StartGateway, origin: str | None, status: int) -> None:
    gateway = await start_gateway(require_origin=True)
    own = f"http://127.0.0.1:{gateway.port}"
    headers = {} if origin is None else {"Origin": own if origin == "own" else origin}
    assert (await request(gateway, "POST", "/tickle", headers=headers))[0] == status


@pytest.mark.parametrize("path", ["/tickle", "/ws"])
async def test_two_cookies_of_one_name_are_rejected(gateway: SimulatedGateway, path: str) -> None:
    method = "GET" if path == "/ws" else "POST"
    status, _, body = await request(gateway, method, path, headers={"Cookie": "a=1; b=2; a=3"})
    assert (status, set(body)) == (401, {"error", "statusCode"})


async def test_logged_out_is_401(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(is_logged_in=False)
    assert (await request(gateway, "POST", "/tickle"))[0] == 401
    assert (await request(gateway, "POST", STATUS))[0] == 401


async def test_logged_out_redirects_to_the_login_page(
    start_gateway: StartGateway, session: aiohttp.ClientSession
) -> None:
    gateway = await start_gateway(is_logged_in=False, logged_out_response="redirect")
    async with session.post(gateway.url + "/tickle", allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"].startswith("/sso/Login")
    async with session.post(gateway.url + "/tickle") as response:
        assert (response.status, response.content_type) == (200, "text/html")


async def test_logged_out_response_can_be_html_with_status_200(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(is_logged_in=False, logged_out_response="html")
    status, content_type, body = await request(gateway, "POST", "/tickle")
    assert (status, content_type) == (200, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")


async def test_logged_out_response_can_be_json_as_recorded(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(is_logged_in=False, logged_out_response="json")
    _, _, status = await request(gateway, "POST", STATUS)
    assert status == {
        "authenticated": False,
        "established": False,
        "competing": False,
        "connected": False,
        "MAC": None,
    }
    assert set((await request(gateway, "POST", "/tickle"))[2]) == {"error", "statusCode"}


@pytest.mark.parametrize("body", [None, {}, {"publish": False, "compete": True}, {"compete": True}, [1]])
async def test_init_without_publish_is_500(start_gateway: StartGateway, body: Any) -> None:
    gateway = await start_gateway(has_brokerage=False)
    assert (await request(gateway, "POST", "/iserver/auth/ssodh/init", body=body))[0] == 500
    assert (await request(gateway, "POST", STATUS))[2]["authenticated"] is False


async def test_init_opens_the_brokerage_session(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(has_brokerage=False)
    socket = await connect(gateway, is_ready=False)
    before = (await request(gateway, "POST", STATUS))[2]
    assert (before["connected"], before["authenticated"]) == (True, False)
    assert (await request(gateway, "GET", "/iserver/accounts"))[0] == 400
    await socket.topic("sts")
    publish = {"publish": True, "compete": True}
    after = (await request(gateway, "POST", "/iserver/auth/ssodh/init", body=publish))[2]
    assert (after["connected"], after["authenticated"]) == (True, True)
    assert await socket.json() == {"topic": "sts", "args": {"authenticated": True}}
    assert (await socket.json())["topic"] == "act"
    assert (await request(gateway, "POST", STATUS))[2]["fail"] == ""
    assert (await request(gateway, "GET", "/iserver/accounts"))[2]["accounts"] == ["DU1234567"]


async def test_other_session_calls(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(has_brokerage=False)
    assert (await request(gateway, "GET", "/sso/validate"))[2]["RESULT"] is True
    assert (await request(gateway, "POST", "/iserver/reauthenticate"))[2] == {"message": "triggered"}
    assert (await request(gateway, "POST", STATUS))[2]["authenticated"] is True
    assert (await request(gateway, "GET", "/no/such/thing"))[0] == 404
    assert (await request(gateway, "POST", "/logout"))[2] == {"status": True}
    assert (await request(gateway, "POST", "/tickle"))[0] == 401


HISTORY = "/iserver/marketdata/history"


async def test_history_over_rest_is_that_of_the_socket(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(speed=1.0)
    socket = await connect(gateway)
    query = "?conid=265598&period=1d&bar=1h&startTime=20260102-14:30:00"
    status, _, over_rest = await request(gateway, "GET", HISTORY + query)
    assert status == 200
    assert (over_rest["barLength"], over_rest["timePeriod"], over_rest["direction"]) == (3600, "1d", -1)
    assert (len(over_rest["data"]), over_rest["points"]) == (24, 23)
    assert over_rest["data"][-1]["t"] == 1_767_362_400_000
    forward = (await request(gateway, "GET", HISTORY + query + "&direction=1"))[2]
    assert forward["data"][0] == over_rest["data"][-1]
    now = (await request(gateway, "GET", HISTORY + "?conid=265598&period=8h&bar=1h"))[2]
    await socket.send('smh+265598+{"period":"8h","bar":"1h"}')
    over_socket = await socket.topic("smh+265598")
    # A new bar may begin between the two.
    assert sum(bar in now["data"] for bar in over_socket["data"]) >= 7


@pytest.mark.parametrize(
    ("query", "status"), [("", 400), ("?conid=x", 400), ("?conid=7", 500), ("?conid=265598&period=bad", 200)]
)
async def test_history_that_cannot_be_had(start_gateway: StartGateway, query: str, status: int) -> None:
    gateway = await start_gateway(inactive_conids=frozenset({7}))
    assert (await request(gateway, "GET", HISTORY + query))[0] == status


async def test_history_needs_the_brokerage_session(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(has_brokerage=False)
    assert (await request(gateway, "GET", HISTORY + "?conid=265598"))[0] == 400


async def test_rate_limit_responds_429_and_then_starts_the_penalty(start_gateway: StartGateway) -> None:
    # A slow clock, so that all calls fall into one of its seconds.
    gateway = await start_gateway(enforce_pacing=True, speed=0.1)
    statuses = [(await request(gateway, "POST", STATUS))[0] for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    assert (await request(gateway, "POST", "/tickle"))[0] == 429


async def test_tickle_is_paced_to_one_a_second(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(enforce_pacing=True, speed=0.1)
    assert [(await request(gateway, "POST", "/tickle"))[0] for _ in range(2)] == [200, 429]
    assert (await request(gateway, "POST", STATUS))[0] == 200


async def test_calls_can_be_made_to_fail(gateway: SimulatedGateway) -> None:
    gateway.faults.fail_rest("/tickle", status=503, body=b"<html>", content_type="text/html", times=2)
    responses = [await request(gateway, "POST", "/tickle") for _ in range(3)]
    assert [status for status, _, _ in responses] == [503, 503, 200]
    assert responses[0][1:] == ("text/html", b"<html>")
    gateway.faults.fail_rest("/ws", status=500)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with connected(gateway):
            raise AssertionError("the upgrade went through")
    async with connected(gateway):
        assert len(gateway.connections) == 1
    gateway.faults.fail_rest(STATUS, times=None)
    assert [(await request(gateway, "POST", STATUS))[0] for _ in range(3)] == [500] * 3
    gateway.faults.clear_rest_failures()
    assert (await request(gateway, "POST", STATUS))[0] == 200


async def test_requests_are_remembered_with_their_headers(gateway: SimulatedGateway) -> None:
    await request(gateway, "POST", "/tickle", body={"a": 1}, headers={"X-Test": "yes", "Cookie": "b=secret"})
    (received,) = gateway.requests
    assert (received.method, received.path, received.status) == ("POST", "/v1/api/tickle", 200)
    assert received.header("x-test") == "yes"
    assert received.body == b'{"a": 1}'
    assert "secret" not in repr(received)


async def test_session_does_not_show_in_repr(gateway: SimulatedGateway, socket: Socket) -> None:
    shown = repr(gateway) + repr(socket.peer) + repr(gateway.requests) + repr(gateway.options)
    assert gateway.session_id not in shown


# --- TLS and listening -----------------------------------------------------------------------------------------------


@pytest.mark.each_loop
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_certificate_is_trusted_as_a_ca_file_and_has_the_reported_fingerprint(host: str) -> None:
    async with SimulatedGateway(options(tls=True)) as gateway:
        assert gateway.url.startswith("https://127.0.0.1:")
        assert gateway.ws_url.startswith("wss://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(gateway.certificate_path))
        _, writer = await asyncio.open_connection(host, gateway.port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert hashlib.sha256(der).hexdigest() == gateway.fingerprint
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        path = gateway.certificate_path
    assert path is not None
    assert not path.exists()


async def test_an_expired_certificate_is_refused_by_a_client_that_verifies(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(tls=True, certificate=Certificate.expired())
    context = ssl.create_default_context(cafile=str(gateway.certificate_path))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context)


async def test_port_taken_is_a_config_error_of_one_line(gateway: SimulatedGateway) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {gateway.port}") as caught:
        await SimulatedGateway(options(port=gateway.port)).start()
    assert "\n" not in str(caught.value)


async def test_gateway_starts_once() -> None:
    gateway = SimulatedGateway(SimulatorOptions(tls=False))
    with pytest.raises(UsageError):
        assert gateway.port
    async with gateway:
        assert gateway.fingerprint is gateway.certificate_path is gateway.certificate_pem is None
        with pytest.raises(UsageError):
            await gateway.start()
