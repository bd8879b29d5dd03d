"""The REST client: options, requests, closing, and the secrets that it never shows."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpapi_fast._version import __version__
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import (
    CompetingSessionError,
    ConfigError,
    CpapiError,
    DecodeError,
    HeaderRefusedError,
    NoSessionError,
    NotAuthenticatedError,
    SessionError,
    StatusError,
    UsageError,
)
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from tests.servers.certificates import make
from tests.servers.http import SESSION, TICKLE, HttpServer, headers_of, http_response, unpaced
from tests.support.loops import until

URL = "https://localhost:5000/v1/api"


def status_body(**members: object) -> bytes:
    flags = {"authenticated": True, "competing": False, "connected": True, **members}
    return ("{" + ",".join(f'"{name}":{str(value).lower()}' for name, value in flags.items()) + "}").encode()


# Options


def test_the_properties_of_a_client() -> None:
    client = Client("HTTPS://LocalHost:5000/v1/api/")
    assert client.base_url == URL
    assert client.origin == "https://localhost:5000"
    assert client.ws_url == "wss://localhost:5000/v1/api/ws"
    assert client.user_agent == f"cpapi_fast/{__version__}"
    assert client.clock is SYSTEM_CLOCK
    assert not client.is_closed
    assert repr(client) == f"Client('{URL}', tls=Tls.verify())"
    assert Client(URL, user_agent="me/1").user_agent == "me/1"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"base_url": "ftp://localhost"}, "https://"),
        ({"base_url": "https://localhost:5000/v1/api?x"}, "query"),
        ({"tls": "insecure"}, r"Tls\.verify"),
        ({"tls": ssl.create_default_context()}, r"Tls\.verify"),
        ({"base_url": "http://localhost:5000", "tls": Tls.pinned("0" * 64)}, "https://"),
        ({"base_url": "http://localhost:5000", "tls": Tls.ca_file("ca.pem")}, "https://"),
        ({"connect_timeout_s": 0}, "connect_timeout_s"),
        ({"connect_timeout_s": -1.0}, "connect_timeout_s"),
        ({"total_timeout_s": float("nan")}, "total_timeout_s"),
        ({"total_timeout_s": float("inf")}, "total_timeout_s"),
    ],
)
def test_invalid_options(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Client(**{"base_url": URL, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("user_agent", ["", " ", "a\r\nX: geheim", "a\n", "a\x00", "g\u00e4", "a" * 257, 5, b"a"])
def test_a_user_agent_that_is_not_valid_in_a_header(user_agent: object) -> None:
    with pytest.raises(HeaderRefusedError, match="printable ASCII") as caught:
        Client(URL, user_agent=user_agent)  # type: ignore[arg-type]
    assert "geheim" not in str(caught.value)


async def test_http_needs_no_context() -> None:
    async with Client("http://localhost:5000/v1/api") as client:
        assert client.ws_url == "ws://localhost:5000/v1/api/ws"
        assert await client.ssl_context() is None


# Calls


@pytest.mark.each_loop
async def test_tickle() -> None:
    async with HttpServer(http_response(TICKLE)) as peer, Client(peer.url) as client:
        before = time.time_ns()
        ticket = await client.tickle()
        assert before <= ticket.received_ns <= time.time_ns()
        assert ticket.session == SESSION
        assert ticket.raw == TICKLE
        assert ticket.payload["userId"] == 123456789
        assert ticket.authenticated is True
        assert ticket.connected is True
        assert ticket.competing is False
        assert ticket.sso_expires_ms == 415890


async def test_tickle_without_a_session() -> None:
    async with HttpServer(http_response(b'{"error":"no session"}')) as peer, Client(peer.url) as client:
        ticket = await client.tickle()
        assert ticket.session is None
        assert ticket.raw == b'{"error":"no session"}'


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http_response(status=401), NotAuthenticatedError),
        (http_response(status=302, headers=["Location: /sso/Login"]), NotAuthenticatedError),
        (http_response(b"<html>maintenance</html>", content_type="text/html"), DecodeError),
        (http_response(b"[]"), DecodeError),
        (http_response(b'{"session":5}'), DecodeError),
        (http_response(b"{", status=503), StatusError),
    ],
)
async def test_a_tickle_that_fails(reply: bytes, kind: type[SessionError]) -> None:
    async with HttpServer(reply) as peer, Client(peer.url) as client:
        with pytest.raises(kind) as caught:
            await client.tickle()
        assert type(caught.value) is kind
        assert caught.value.path == "/tickle"


async def test_auth_status_and_health() -> None:
    replies = [
        status_body(established=True),
        status_body(competing=True),
        status_body(authenticated=False, connected=False),
        status_body(authenticated=False),
        status_body(authenticated=False, connected=False),
    ]
    async with HttpServer([http_response(body) for body in replies]) as peer, Client(peer.url) as client:
        assert (await client.auth_status()).established is True
        # A competing login is reported, not raised.
        assert (await client.health()).competing is True
        with pytest.raises(NoSessionError, match="not connected") as no_session:
            await client.health()
        assert no_session.value.is_retryable
        with pytest.raises(NotAuthenticatedError, match="init_brokerage_session") as logged_out:
            await client.health()
        assert not logged_out.value.is_retryable
        assert (await client.auth_status()).authenticated is False
    assert {request.split(b" HTTP")[0] for request in peer.requests} == {b"POST /v1/api/iserver/auth/status"}
    assert {headers_of(request)["content-length"][0] for request in peer.requests} == {"0"}


async def test_opening_the_brokerage_session() -> None:
    replies = [status_body(), status_body(authenticated=False, competing=True), status_body(authenticated=False)]
    async with HttpServer([http_response(body) for body in replies]) as peer, Client(peer.url) as client:
        assert (await client.init_brokerage_session()).authenticated
        with pytest.raises(CompetingSessionError, match="compete=True"):
            await client.init_brokerage_session(compete=False)
        assert not (await client.init_brokerage_session()).authenticated
    bodies = [request.partition(b"\r\n\r\n")[2] for request in peer.requests]
    assert bodies == [b'{"publish":true,"compete":true}', b'{"publish":true,"compete":false}', bodies[0]]


async def test_accounts_and_logout() -> None:
    replies = [
        http_response(b'{"accounts":["U1234567"],"selectedAccount":"U1234567"}', headers=["Set-Cookie: a=1"]),
        http_response(b'{"status":true}'),
        http_response(b'{"status":false}'),
        http_response(b"[]"),
    ]
    async with HttpServer(replies) as peer, Client(peer.url) as client:
        assert (await client.accounts()).ids == ("U1234567",)
        assert await client.logout() is True
        assert await client.logout() is False
        with pytest.raises(DecodeError):
            await client.logout()
    cookies = [headers_of(request).get("cookie") for request in peer.requests]
    assert cookies == [None, ["a=1"], None, None]
    assert peer.requests[1].startswith(b"POST /v1/api/logout HTTP/1.1\r\n")


@pytest.mark.each_loop
async def test_concurrent_calls() -> None:
    async with HttpServer(http_response(TICKLE)) as peer, Client(peer.url, pacer=unpaced()) as client:
        tickets = await asyncio.gather(*(client.tickle() for _ in range(20)))
        assert {ticket.session for ticket in tickets} == {SESSION}
        assert len(peer.requests) == 20


# Closing


@pytest.mark.each_loop
async def test_a_closed_client_raises_usage_error(tmp_path: Path) -> None:
    certificate = make()
    async with HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path)) as peer:
        client = Client(peer.url, tls=Tls.pinned(certificate.fingerprint))
        async with client:
            await client.tickle()
        await client.aclose()
        assert client.is_closed
        calls: list[Callable[[], Awaitable[object]]] = [
            client.tickle,
            client.auth_status,
            client.health,
            client.accounts,
            client.init_brokerage_session,
            client.logout,
            client.ssl_context,
            client.__aenter__,
        ]
        for call in calls:
            with pytest.raises(UsageError, match="closed"):
                await call()
        with pytest.raises(UsageError, match="closed"):
            client.spawn_keepalive()


async def test_an_unused_client_needs_no_closing() -> None:
    await Client(URL).aclose()
    async with Client(URL):
        pass


@pytest.mark.each_loop
async def test_the_keepalive_ends_with_the_client() -> None:
    options = {"connect_timeout_s": 20_000.0, "total_timeout_s": 20_000.0, "clock": Clock(1000.0)}
    async with HttpServer(http_response(TICKLE)) as peer, Client(peer.url, **options) as client:
        first, second = client.spawn_keepalive(), client.spawn_keepalive(interval_s=30.0)
        await first.stop()
        await until(lambda: second.ticks >= 3)
        assert second.last_ticket is not None
        assert second.last_ticket.session == SESSION
        third = client.spawn_keepalive()
    assert not first.is_running
    assert not second.is_running
    assert not third.is_running
    seen = len(peer.requests)
    await asyncio.sleep(0.15)
    assert len(peer.requests) == seen


# Secrets

COOKIE = "kekswert"
SECRETS = (SESSION, COOKIE, "U1234567", "DU7654321", "nutzername")

LEAKY = (
    f'{{"session":"{SESSION}","cookie":"{COOKIE}","user":"nutzername","accounts":"DU7654321", "note":"{SESSION} '
    f'{COOKIE} U1234567"}}'
).encode()

#: A body that never ends, so that a request waits until its time limit.
CUT_SHORT = f"HTTP/1.1 200 OK\r\nSet-Cookie: {COOKIE}={SESSION}\r\nContent-Length: 9\r\n\r\n{{".encode()


@pytest.mark.each_loop
@pytest.mark.parametrize(
    "reply",
    [
        http_response(LEAKY, status=500),
        http_response(LEAKY, status=401),
        http_response(b"", status=302, headers=[f"Location: https://x.example/{SESSION}/{COOKIE}?session={SESSION}"]),
        http_response(b"", status=302, headers=[f"Location: /sso/Login?session={SESSION}"]),
        http_response(b"<html>" + LEAKY, content_type="text/html"),
        http_response(b"[" + LEAKY + b"]"),
        http_response(LEAKY + b"x"),
        http_response(b'{"status":"x","session":["' + LEAKY.replace(b'"', b"'") + b'"]}'),
        CUT_SHORT,
        b"HTTP/1.1 200 OK\r\nSet-Cookie: bad name=" + SESSION.encode() + b"\r\nContent-Length: 1\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nBroken " + SESSION.encode() + b"\r\n\r\n",
        SESSION.encode() + b"\r\n\r\n",
        None,
        b"",
    ],
)
async def test_no_message_log_or_chain_shows_a_secret(reply: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    logging.getLogger("aiohttp").setLevel(1)
    good = http_response(TICKLE, headers=[f"Set-Cookie: x-sess-uuid={COOKIE}", "Set-Cookie: bad name=nutzername"])

    asyncio.get_running_loop().set_debug(True)
    served: list[bytes] = []

    def script(request: bytes) -> bytes | None:
        served.append(request)
        return good if len(served) == 1 else reply

    # A gateway that hangs costs the time limit, so once is enough.
    hangs = reply in (b"", CUT_SHORT)
    limit_s = 2.0 if hangs else 30.0
    async with HttpServer(script) as peer, Client(peer.url, total_timeout_s=limit_s, pacer=unpaced()) as client:
        ticket = await client.tickle()
        calls = (client.tickle, client.auth_status, client.accounts, client.logout)[: 1 if hangs else 4]
        for call in calls:
            with pytest.raises(CpapiError) as caught:
                await call()
            error = caught.value
            shown = [str(error), repr(error), repr(vars(error)), repr(client), repr(ticket)]
            shown += ["".join(traceback.format_exception(type(error), error, None))]
            assert error.__cause__ is None
            assert error.__context__ is None
            assert not [secret for secret in SECRETS if any(secret in text for text in shown)]
    assert not [secret for secret in SECRETS if secret in caplog.text]
