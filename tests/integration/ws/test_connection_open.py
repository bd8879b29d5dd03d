"""WsClient on real sockets: opening, and every failure of it."""

from __future__ import annotations

import asyncio

import pytest

from cpapi_fast.errors import (
    CertificateError,
    ConnectError,
    HandshakeError,
    HeaderRefusedError,
    RequestTimeoutError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_table import ROWS
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import Certificate
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.servers.raw import Peer, RawServer, idle
from tests.support.frames import smd, ws_frame
from tests.support.loops import until

pytestmark = pytest.mark.each_loop

SESSION = "0123456789abcdef0123456789abcdef"


async def test_a_refused_connection_is_a_connect_error() -> None:
    async with RawServer(idle) as server:
        url = server.url
    with pytest.raises(ConnectError) as caught:
        await WsClient.open(url)
    assert caught.value.is_retryable
    with pytest.raises(ConnectError):
        await WsClient.open("ws://no-such-host.invalid/ws")


@pytest.mark.parametrize(
    "headers",
    [
        [("Cookie", "api=secret\r\nX-Evil: 1")],
        [("Cookie", "secret\0")],
        [("Cookie", "secret\xff")],
        [("Bad name", "x")],
        [("", "x")],
    ],
)
async def test_an_invalid_header_is_refused_and_neither_sent_nor_shown(headers: list[tuple[str, str]]) -> None:
    async with RawServer(idle) as server:
        with pytest.raises(HeaderRefusedError) as caught:
            await WsClient.open(server.url, headers=headers)
        assert "secret" not in str(caught.value)
        assert not server.peers


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "wss://", "ws://127.0.0.1:port/", "ws://127.0.0.1/#x", "127.0.0.1"]
)
async def test_an_invalid_websocket_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="WebSocket URL"):
        await WsClient.open(url)


@pytest.mark.parametrize(
    ("answer", "status", "meaning"),
    [
        (
            b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: x-sess-uuid=secret\r\nContent-Length: 6\r\n\r\nsecret",
            401,
            Meaning.LOGIN_REQUIRED,
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/gw/sso/Login?secret\r\n\r\n",
            302,
            Meaning.LOGIN_REQUIRED,
        ),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, Meaning.SERVER_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", 200, Meaning.UPGRADE_REFUSED),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope", 403, Meaning.UPGRADE_REFUSED),
        (b"SSH-2.0-OpenSSH secret\r\n\r\n", None, Meaning.UPGRADE_REFUSED),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            None,
            Meaning.UPGRADE_REFUSED,
        ),
    ],
)
async def test_a_refused_upgrade_is_a_handshake_error(answer: bytes, status: int | None, meaning: Meaning) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)
        await idle(peer)

    async with RawServer(script, upgrade=False) as server:
        with pytest.raises(HandshakeError) as caught:
            await WsClient.open(server.url)
        assert caught.value.meaning is meaning
        assert caught.value.is_retryable is ROWS[meaning].is_retryable
        assert str(caught.value).endswith(caught.value.advice)
        assert caught.value.status in (status, 101 if status is None else status)
        assert "secret" not in repr(caught.value) + str(caught.value.__cause__)


async def test_no_response_in_time_is_a_timeout_and_leaves_no_socket() -> None:
    ended: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.read_request()
        ended.append((await peer.read_frame())[0])

    async with RawServer(script, upgrade=False) as server:
        with pytest.raises(RequestTimeoutError):
            await WsClient.open(server.url, options=WsOptions(open_timeout_s=0.2))
        await until(lambda: ended == [-1])


async def test_cancelling_the_opening_leaves_no_socket() -> None:
    ended: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await asyncio.sleep(0.1)
        await peer.send(peer.upgrade_answer() + ws_frame(smd(1)))
        while (frame := await peer.read_frame())[0] != -1:
            pass
        ended.append(frame[0])

    async with RawServer(script, upgrade=False) as server:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(WsClient.open(server.url), 0.05)
        await until(lambda: ended == [-1])


async def test_a_swapped_certificate_gets_no_cookie() -> None:
    known, other = Certificate.make(), Certificate.make()
    cookie = ("Cookie", f'api={{"session":"{SESSION}"}}')

    async with RawServer(idle, tls=known.server_context()) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        context = await Tls.pinned(known.fingerprint).context("127.0.0.1", port, timeout_s=5)
    async with RawServer(idle, tls=other.server_context()) as impostor:
        with pytest.raises(CertificateError) as caught:
            await WsClient.open(impostor.url, headers=[cookie], ssl_context=context)
        assert not caught.value.is_retryable
        assert all(not peer.request for peer in impostor.peers)
        url = impostor.url.replace("wss", "https").removesuffix("/ws")
        async with Client(url, tls=Tls.pinned(known.fingerprint)) as client:
            with pytest.raises(CertificateError):
                await WsClient.connect(client)
        assert all(SESSION.encode() not in peer.request for peer in impostor.peers)
