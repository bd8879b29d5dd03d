"""The bytes that requests send, and the error for each failure of a real socket."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast._version import __version__
from cpapi_fast.clock import Clock
from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    CpapiError,
    DecodeError,
    NotAuthenticatedError,
    PinMismatchError,
    RedirectError,
    RequestTimeoutError,
    UsageError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.rest import tls as tls_module
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.rest.transport import MAX_BODY_BYTES
from tests.servers.certificates import make
from tests.servers.http import TICKLE, HttpServer, headers_of, http_response, unpaced


async def failure(client: Client) -> CpapiError:
    """The error of a tickle, which has neither cause nor context."""
    with pytest.raises(CpapiError) as caught:
        await client.tickle()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


# Requests


@pytest.mark.each_loop
async def test_the_bytes_of_an_empty_post() -> None:
    async with HttpServer(http_response(TICKLE)) as peer, Client(peer.url + "/") as client:
        await client.tickle()
    lines = peer.requests[0].decode().split("\r\n")
    assert lines[0] == "POST /v1/api/tickle HTTP/1.1"
    assert lines[-2:] == ["", ""]
    assert headers_of(peer.requests[0]) == {
        "host": [f"127.0.0.1:{peer.port}"],
        "user-agent": [f"cpapi_fast/{__version__}"],
        "origin": [f"http://127.0.0.1:{peer.port}"],
        "referer": [f"http://127.0.0.1:{peer.port}/"],
        "accept": ["application/json"],
        "accept-encoding": ["identity"],
        "content-length": ["0"],
    }


async def test_a_get_and_a_post_with_a_body() -> None:
    replies = [http_response(b'{"accounts":[]}'), http_response(b'{"authenticated":true,"connected":true}')]
    async with HttpServer(replies) as peer, Client(peer.url, user_agent="my program/1.0 (x)") as client:
        await client.accounts()
        await client.init_brokerage_session(compete=False)
    get, post = peer.requests
    assert get.startswith(b"GET /v1/api/iserver/accounts HTTP/1.1\r\n")
    assert "content-length" not in headers_of(get)
    assert headers_of(get)["user-agent"] == ["my program/1.0 (x)"]
    assert post.startswith(b"POST /v1/api/iserver/auth/ssodh/init HTTP/1.1\r\n")
    assert post.endswith(b'\r\n\r\n{"publish":true,"compete":false}')
    assert headers_of(post)["content-type"] == ["application/json"]
    assert headers_of(post)["content-length"] == ["32"]


async def test_the_path_is_sent_unchanged() -> None:
    async with HttpServer(http_response(TICKLE)) as peer, Client(peer.url + "/a%2Fb/../c") as client:
        await client.tickle()
        assert peer.requests[0].startswith(b"POST /v1/api/a%2Fb/../c/tickle HTTP/1.1\r\n")


@pytest.mark.each_loop
async def test_cookies_are_sent_once_per_name_also_to_an_ip_address() -> None:
    replies = [
        http_response(TICKLE, headers=["Set-Cookie: x-sess-uuid=1; Path=/v1/api; HttpOnly; Secure", "Set-Cookie: b=2"]),
        http_response(status=500, headers=["Set-Cookie: x-sess-uuid=3; Domain=other.example; Path=/other"]),
        http_response(TICKLE, headers=["Set-Cookie: b=; Max-Age=0"]),
        http_response(TICKLE),
    ]
    async with HttpServer(replies) as peer, Client(peer.url, pacer=unpaced()) as client:
        await client.tickle()
        await failure(client)
        await client.tickle()
        await client.tickle()
    sent = [headers_of(request).get("cookie") for request in peer.requests]
    assert sent == [None, ["x-sess-uuid=1; b=2"], ["x-sess-uuid=3; b=2"], ["x-sess-uuid=3"]]


async def test_cookies_that_were_refused_are_not_sent_again() -> None:
    def script(request: bytes) -> bytes:
        # A gateway that was restarted knows no earlier session.
        if headers_of(request).get("cookie") == ["x-sess-uuid=old"]:
            return http_response(status=401)
        return http_response(TICKLE, headers=["Set-Cookie: x-sess-uuid=new"])

    async with HttpServer(script) as peer, Client(peer.url, pacer=unpaced()) as client:
        client._rest.cookies.update(["x-sess-uuid=old"])
        assert isinstance(await failure(client), NotAuthenticatedError)
        await client.tickle()
        await client.tickle()
    sent = [headers_of(request).get("cookie") for request in peer.requests]
    assert sent == [["x-sess-uuid=old"], None, ["x-sess-uuid=new"]]


async def test_no_redirect_is_followed() -> None:
    async with HttpServer(http_response(TICKLE)) as elsewhere:
        replies = [
            http_response(TICKLE, headers=["Set-Cookie: a=geheim"]),
            http_response(status=302, headers=[f"Location: {elsewhere.url}/tickle"]),
            http_response(status=307, headers=["Location: /v1/api/other"]),
        ]
        async with HttpServer(replies) as peer, Client(peer.url, pacer=unpaced()) as client:
            await client.tickle()
            assert isinstance(await failure(client), RedirectError)
            assert isinstance(await failure(client), RedirectError)
        await elsewhere.settle()
        assert elsewhere.received == []
        assert len(peer.requests) == 3


@pytest.mark.each_loop
async def test_the_socket_has_tcp_keepalive() -> None:
    async with HttpServer(http_response(TICKLE)) as peer, Client(peer.url) as client:
        await client.tickle()
        mine = [
            sock
            for sock in gc.get_objects()
            if type(sock) is socket.socket and sock.fileno() >= 0 and _peer_port(sock) == peer.port
        ]
        assert mine
        assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in mine)


def _peer_port(sock: socket.socket) -> int | None:
    try:
        return int(sock.getpeername()[1])
    except (OSError, IndexError):
        return None


# Connections


@pytest.mark.each_loop
async def test_a_pooled_connection_that_the_peer_closed_is_replaced() -> None:
    # Each connection sends one response and is closed on the second request.
    requests: list[bytes] = []

    def script(request: bytes) -> bytes | None:
        requests.append(request)
        return None if len(requests) == 2 else http_response(TICKLE)

    async with HttpServer(script) as peer, Client(peer.url, pacer=unpaced()) as client:
        await client.tickle()
        await client.tickle()
        assert [len(peer.received), len(peer.requests)] == [2, 3]


async def test_a_new_connection_that_the_peer_closes_is_an_error() -> None:
    async with HttpServer(lambda _: None) as peer, Client(peer.url) as client:
        error = await failure(client)
        assert type(error) is ConnectError
        assert error.is_retryable
        assert "connection was lost" in str(error)
        assert len(peer.requests) == 1


@pytest.mark.each_loop
async def test_unreachable_gateway() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        for scheme in ("http", "https"):
            async with Client(f"{scheme}://127.0.0.1:{reserved.getsockname()[1]}/v1/api") as client:
                error = await failure(client)
                assert type(error) is ConnectError
                assert error.is_retryable
                assert "Start the gateway" in str(error)


async def test_a_name_that_does_not_resolve() -> None:
    async with Client("http://gateway.invalid:5000/v1/api", connect_timeout_s=20.0) as client:
        error = await failure(client)
        assert type(error) is ConnectError
        assert "gateway.invalid:5000" in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\nContent-Length: nan\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"geheim" * 20000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ngeheim",
    ],
)
async def test_a_response_that_is_not_http_or_truncated(reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api") as client:
        error = await failure(client)
        assert type(error) is ConnectError
        assert "geheim" not in str(error)
    server.close()
    await server.wait_closed()


async def test_a_response_that_breaks_off_is_an_error_of_the_server() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api") as client:
        error = await failure(client)
    assert isinstance(error, ConnectError)
    assert error.meaning is Meaning.SERVER_ERROR
    assert error.is_retryable
    assert "broke off" in str(error)
    server.close()
    await server.wait_closed()


async def test_an_endless_body_is_an_error() -> None:
    exact = b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"'
    replies = [http_response(exact), http_response(exact + b" ")]
    async with HttpServer(replies) as peer, Client(peer.url) as client:
        assert "the body is not a JSON object" in str(await failure(client))
        error = await failure(client)
        assert isinstance(error, DecodeError)
        assert f"{MAX_BODY_BYTES:,} bytes, the limit max_body_bytes" in str(error)

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api") as client:
        assert isinstance(await failure(client), DecodeError)
    server.close()
    await server.wait_closed()


# Time


@pytest.mark.each_loop
async def test_a_gateway_that_hangs() -> None:
    # The default time for a request is 30 s: at this speed the least that a connection gets, 5 real seconds.
    async with HttpServer(b"") as peer, Client(peer.url, clock=Clock(100.0), connect_timeout_s=2000.0) as client:
        started = asyncio.get_running_loop().time()
        error = await failure(client)
        assert asyncio.get_running_loop().time() - started > 4.5
        assert type(error) is RequestTimeoutError
        assert isinstance(error, TimeoutError)
        assert error.is_retryable
        assert "within 30 s" in str(error)


@pytest.mark.each_loop
async def test_a_handshake_that_hangs() -> None:
    for tls in (Tls.verify(), Tls.pinned("00" * 32)):
        async with HttpServer(b"") as peer:
            url = peer.url.replace("http:", "https:")
            async with Client(url, tls=tls, connect_timeout_s=0.2) as client:
                error = await failure(client)
                assert type(error) is RequestTimeoutError
                assert "within 0.2 s" in str(error)


# TLS


@pytest.mark.each_loop
async def test_each_policy_trusts_its_gateway(tmp_path: Path) -> None:
    authority = make(is_authority=True)
    signed, expired = make(signed_by=authority), make(ends_days=-1)
    ca_file = Tls.ca_file(authority.write(tmp_path / "ca.pem"))

    for certificate, tls in (
        (signed, ca_file),
        (signed, Tls.pinned(signed.fingerprint)),
        (expired, Tls.pinned(expired.fingerprint)),
    ):
        async with (
            HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path)) as peer,
            Client(peer.url, tls=tls) as client,
        ):
            await client.tickle()
            assert headers_of(peer.requests[0])["origin"] == [f"https://127.0.0.1:{peer.port}"]


@pytest.mark.each_loop
async def test_no_policy_trusts_another_gateway_or_sends_it_anything(tmp_path: Path) -> None:
    authority = make(is_authority=True)
    ca_file = Tls.ca_file(authority.write(tmp_path / "ca.pem"))

    for certificate, tls, kind in (
        (make(), Tls.verify(), CertificateError),
        (make(ends_days=-1), Tls.verify(), CertificateError),
        (make(), ca_file, CertificateError),
        (make(signed_by=authority, ends_days=-1), ca_file, CertificateError),
        (make(signed_by=authority, hosts=["gateway.example"]), ca_file, CertificateError),
        (make(), Tls.pinned("00" * 32), PinMismatchError),
    ):
        async with (
            HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path)) as peer,
            Client(peer.url, tls=tls) as client,
        ):
            error = await failure(client)
            assert type(error) is kind
            assert not error.is_retryable
            assert "pin" in str(error)
            await peer.settle()
            assert peer.payload_bytes == 0


@pytest.mark.each_loop
async def test_a_certificate_swapped_under_a_pinned_client_gets_no_cookie(tmp_path: Path) -> None:
    certificate, other = make(), make()
    secretive = http_response(TICKLE, headers=["Set-Cookie: a=geheim", "Connection: close"])
    async with HttpServer(secretive, tls=certificate.server_context(tmp_path)) as peer:
        client = Client(peer.url, tls=Tls.pinned(certificate.fingerprint), pacer=unpaced())
        await client.tickle()
    async with HttpServer(secretive, tls=other.server_context(tmp_path), port=peer.port) as impostor:
        error = await failure(client)
        assert type(error) is PinMismatchError
        assert "no longer the pinned one" in str(error)
        await impostor.settle()
        assert impostor.payload_bytes == 0
    await client.aclose()


async def test_tls_to_a_plain_port_and_plain_http_to_a_tls_port(tmp_path: Path) -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak_http, "127.0.0.1", 0)
    async with Client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api") as client:
        error = await failure(client)
        assert type(error) is ConnectError
        assert "plain http" in str(error)
    server.close()
    await server.wait_closed()
    async with (
        HttpServer(http_response(TICKLE), tls=make().server_context(tmp_path)) as peer,
        Client(peer.url.replace("https:", "http:")) as client,
    ):
        error = await failure(client)
        assert type(error) is ConnectError
        assert "speak" in str(error)


async def test_a_missing_ca_file() -> None:
    async with Client("https://localhost:5000/v1/api", tls=Tls.ca_file("missing.pem")) as client:
        error = await failure(client)
        assert type(error) is ConfigError
        assert "missing.pem" in str(error)


@pytest.mark.each_loop
async def test_concurrent_requests_share_one_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches = []
    fetch_certificate = tls_module._fetch_certificate

    async def counted(*args: Any) -> bytes:
        fetches.append(args)
        return await fetch_certificate(*args)

    monkeypatch.setattr(tls_module, "_fetch_certificate", counted)

    certificate = make()
    async with (
        HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path)) as peer,
        Client(peer.url, tls=Tls.pinned(certificate.fingerprint)) as client,
    ):
        contexts = await asyncio.gather(*(client.ssl_context() for _ in range(10)))
        assert isinstance(contexts[0], ssl.SSLContext)
        assert len(set(map(id, contexts))) == 1
        await client.tickle()
        assert await client.ssl_context() is contexts[0]
        # Not counted by the peer: some server loops never tell of a connection that closes with its handshake.
        assert len(fetches) == 1


async def test_a_context_that_failed_is_created_again(tmp_path: Path) -> None:
    certificate = make()
    async with HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path)) as peer:
        client = Client(peer.url, tls=Tls.pinned(certificate.fingerprint))
    assert isinstance(await failure(client), ConnectError)
    async with HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path), port=peer.port):
        await client.tickle()
        await client.aclose()


# Closing


@pytest.mark.each_loop
async def test_closing_during_a_request() -> None:
    async with HttpServer(b"") as peer:
        client = Client(peer.url)
        request = asyncio.ensure_future(failure(client))
        await peer.settle()
        await client.aclose()
        error = await request
        assert type(error) is UsageError
        assert "closed" in str(error)
