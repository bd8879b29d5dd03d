"""Cases that picows leaves to its user, each on a real socket, plain and over TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest

from cpapi_fast.errors import HandshakeError, TransportError
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import Certificate
from cpapi_fast.ws.connection import WsClient
from tests.servers.raw import PONG_OPCODE, Peer, RawServer, answer_close, idle
from tests.support.frames import smd, ws_close, ws_frame, ws_frames, ws_ping
from tests.support.loops import until

SESSION = "0123456789abcdef0123456789abcdef"
CERTIFICATE = Certificate.make()

pytestmark = [pytest.mark.each_loop, pytest.mark.parametrize("tls", [False, True])]


def server_tls(tls: bool) -> ssl.SSLContext | None:
    return CERTIFICATE.server_context() if tls else None


async def client_tls(server: RawServer, tls: bool) -> ssl.SSLContext | None:
    if not tls:
        return None
    port = int(server.url.split(":")[2].split("/")[0])
    return await Tls.pinned(CERTIFICATE.fingerprint).context("127.0.0.1", port, timeout_s=5)


@pytest.mark.parametrize(
    "ending",
    [
        ws_ping(b"last in the read"),
        ws_frame(b"", PONG_OPCODE),
        ws_frame(smd(9), fin=False),
        ws_frame(smd(9))[:5],
        ws_frame(smd(9))[:1],
    ],
    ids=["ping", "pong", "fragment", "part of a frame", "part of a header"],
)
async def test_whatever_ends_a_read_does_not_delay_the_frames_before_it(tls: bool, ending: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_frame()
        await peer.send(ws_frames([smd(1), smd(2)]) + ending)
        # Nothing more comes: a batch that waits for a later read would wait for ever.
        await answer_close(peer)

    async with RawServer(script, tls=server_tls(tls)) as server:
        ws = await WsClient.open(server.url, ssl_context=await client_tls(server, tls))
        await ws.send_text("go")
        for conid in (1, 2):
            frame = await ws.next_message()
            assert frame is not None
            assert frame.conid == conid
        await ws.close()


async def test_frames_in_the_same_read_as_the_upgrade_response_are_not_lost(tls: bool) -> None:
    payloads = [smd(number) for number in range(20)]

    async with RawServer(idle, tls=server_tls(tls), with_answer=ws_frames(payloads) + ws_close()) as server:
        ws = await WsClient.open(server.url, ssl_context=await client_tls(server, tls))
        await asyncio.sleep(0.05)
        assert [frame.raw async for frame in ws] == payloads


async def test_frames_of_the_upgrade_read_are_kept_for_a_callback(tls: bool) -> None:
    async with RawServer(answer_close, tls=server_tls(tls), with_answer=ws_frames([smd(1), smd(2)])) as server:
        ws = await WsClient.open(server.url, ssl_context=await client_tls(server, tls))
        await until(lambda: ws.stats.pending == 2)
        seen: list[int | None] = []
        ws.on_frame(lambda frame: seen.append(frame.conid))
        assert seen == [1, 2]
        await ws.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Swit"])
async def test_a_peer_that_closes_during_the_upgrade_is_a_handshake_error(tls: bool, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)

    async with RawServer(script, tls=server_tls(tls), upgrade=False) as server:
        with pytest.raises(HandshakeError) as caught:
            await WsClient.open(server.url, ssl_context=await client_tls(server, tls))
        assert caught.value.is_retryable
        assert caught.value.status is None


async def test_no_redirect_carries_the_cookie_to_another_host(tls: bool) -> None:
    async with RawServer(idle, tls=server_tls(tls)) as elsewhere:

        async def script(peer: Peer) -> None:
            await peer.read_request()
            await peer.send(b"HTTP/1.1 302 Found\r\nLocation: " + elsewhere.url.encode() + b"\r\n\r\n")
            await idle(peer)

        async with RawServer(script, tls=server_tls(tls), upgrade=False) as server:
            headers = [("Cookie", f'api={{"session":"{SESSION}"}}')]
            context = await client_tls(server, tls)
            with pytest.raises(HandshakeError) as caught:
                await WsClient.open(server.url, headers=headers, ssl_context=context)
            assert caught.value.status == 302
        assert not elsewhere.peers


async def test_the_cookie_never_reaches_a_log(tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    logging.getLogger("picows").setLevel(1)

    async with RawServer(idle, tls=server_tls(tls), with_answer=ws_frame(b"x", 3)) as server:
        headers = [("Cookie", f'api={{"session":"{SESSION}"}}')]
        ws = await WsClient.open(server.url, headers=headers, ssl_context=await client_tls(server, tls))
        with pytest.raises(TransportError):
            await ws.next_message()
        assert SESSION.encode() in server.peers[-1].request
    assert SESSION not in caplog.text
