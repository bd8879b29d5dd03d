"""Trusted certificates that change while a client lives, against real TLS servers: REST, WebSocket, each policy."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cpapi_fast.errors import CertificateError, ConfigError, CpapiError, PinMismatchError
from cpapi_fast.rest import trust
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls
from cpapi_fast.ws.connection import WsClient
from tests.servers.certificates import Certificate, make
from tests.servers.http import TICKLE, HttpServer, http_response, unpaced
from tests.servers.raw import RawServer, answer_close

#: The port stays the same when a gateway is restarted, and pooled connections end with it.
CLOSING = http_response(TICKLE, headers=["Connection: close"])


def serving(certificate: Certificate, folder: Path, port: int = 0, reply: bytes = CLOSING) -> HttpServer:
    return HttpServer(reply, tls=certificate.server_context(folder), port=port)


def client_of(peer: HttpServer, tls: Tls) -> Client:
    return Client(peer.url, tls=tls, pacer=unpaced())


async def failure(client: Client) -> CpapiError:
    with pytest.raises(CpapiError) as caught:
        await client.tickle()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert ".." not in str(caught.value)
    return caught.value


# Ways to replace a file


def in_place(path: Path, pem: bytes) -> None:
    path.write_bytes(pem)


def renamed(path: Path, pem: bytes) -> None:
    path.with_suffix(".new").write_bytes(pem)
    path.with_suffix(".new").replace(path)


def with_the_times_of_the_old_one(path: Path, pem: bytes) -> None:
    status = path.stat()
    path.write_bytes(pem)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def through_a_link(path: Path, pem: bytes) -> None:
    target = path.with_suffix(".target")
    target.write_bytes(pem)
    link = path.with_suffix(".link")
    link.symlink_to(target)
    link.replace(path)


def old(path: Path) -> Path:
    """Give a file times of long ago, so that its times identify its content."""
    os.utime(path, ns=(10**18, 10**18))
    return path


REPLACING = [in_place, renamed, with_the_times_of_the_old_one]
if sys.platform != "win32":
    REPLACING.append(through_a_link)


@pytest.mark.each_loop
@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize("replace", REPLACING)
async def test_a_replaced_ca_file_is_read_at_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: Callable[[Path, bytes], None], is_settled: bool
) -> None:
    if is_settled:
        # The times of the file alone tell of a change, as for a file that was written long ago.
        monkeypatch.setattr(trust, "_SETTLED_NS", 0)
    first, second = make(), make()
    path = old(first.write(tmp_path / "ca.pem"))
    async with serving(first, tmp_path) as peer:
        client = client_of(peer, Tls.ca_file(path))
        await client.tickle()
    # Longer than a step of the file system's clock.
    await asyncio.sleep(0.05)
    replace(path, second.pem)
    async with serving(second, tmp_path, peer.port):
        await client.tickle()
    # And the certificates that are no longer in it are no longer trusted.
    async with serving(first, tmp_path, peer.port) as stale:
        assert type(await failure(client)) is CertificateError
        assert stale.payload_bytes == 0
    await client.aclose()


@pytest.mark.parametrize("replace", REPLACING)
async def test_a_file_replaced_after_a_refusal(tmp_path: Path, replace: Callable[[Path, bytes], None]) -> None:
    first, second = make(), make()
    path = old(first.write(tmp_path / "ca.pem"))
    async with serving(second, tmp_path) as peer, client_of(peer, Tls.ca_file(path)) as client:
        for _ in range(2):
            error = await failure(client)
            assert "read again at each try" in str(error)
        assert peer.payload_bytes == 0
        replace(path, second.pem)
        await client.tickle()


async def test_a_renewed_certificate_of_the_same_authority_needs_no_other_file(tmp_path: Path) -> None:
    authority = make(is_authority=True)
    path = authority.write(tmp_path / "ca.pem")
    async with serving(make(signed_by=authority, ends_days=-1), tmp_path) as peer:
        client = client_of(peer, Tls.ca_file(path))
        error = await failure(client)
        assert "it expired on" in str(error)
        assert "Renew the gateway's certificate" in str(error)
    async with serving(make(signed_by=authority), tmp_path, peer.port):
        await client.tickle()
        await client.aclose()


async def test_a_file_with_the_same_content_keeps_the_pooled_connection(tmp_path: Path) -> None:
    certificate = make()
    path = certificate.write(tmp_path / "ca.pem")
    async with (
        serving(certificate, tmp_path, reply=http_response(TICKLE)) as peer,
        client_of(peer, Tls.ca_file(path)) as client,
    ):
        context = await client.ssl_context()
        for replace in REPLACING:
            replace(path, certificate.pem)
            await client.tickle()
        assert await client.ssl_context() is context
        assert len(peer.received) == 1
        # The connection of the old content is not used for the new one.
        path.write_bytes(make().pem)
        await failure(client)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "No such file|cannot find"),
        (lambda path: path.write_bytes(b""), "no certificate"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes() + make().pem[:100]), "damaged"),
    ],
)
async def test_an_unusable_file_keeps_the_trust_that_works_and_is_the_error_otherwise(
    tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    first, second = make(), make()
    path = old(first.write(tmp_path / "ca.pem"))
    async with serving(first, tmp_path) as peer:
        client = client_of(peer, Tls.ca_file(path))
        await client.tickle()
        damage(path)
        for _ in range(2):
            await client.tickle()
    async with serving(second, tmp_path, peer.port):
        assert type(await failure(client)) is CertificateError
        for _ in range(2):
            error = await failure(client)
            assert type(error) is ConfigError
            with pytest.raises(ConfigError, match=reason):
                raise error
            assert "read again at each try" in str(error)
        path.write_bytes(second.pem)
        await client.tickle()
        await client.aclose()


async def test_the_authorities_of_the_machine_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(is_authority=True, name="first"), make(is_authority=True, name="second")
    path = old(first.write(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with serving(make(signed_by=second), tmp_path) as peer, client_of(peer, Tls.verify()) as client:
        error = await failure(client)
        assert "this machine does not trust the authority that signed it" in str(error)
        path.write_bytes(second.pem)
        await client.tickle()
        old(path)
        contexts = [await client.ssl_context() for _ in range(2)]
        if sys.platform != "win32":  # where a changed file is known by its time of change too
            await asyncio.sleep(2.1)
            contexts = [await client.ssl_context() for _ in range(3)][1:]
        assert contexts[0] is contexts[1]


if sys.platform != "win32":

    async def test_a_pipe_is_read_once(tmp_path: Path) -> None:
        """As in `--ca-file <(command)`: a second read would wait forever, or get nothing."""
        certificate, path = make(), tmp_path / "pipe"
        os.mkfifo(path)
        writer = threading.Thread(target=lambda: path.write_bytes(certificate.pem))
        writer.start()
        async with serving(certificate, tmp_path) as peer:
            client = client_of(peer, Tls.ca_file(path))
            for _ in range(3):
                await client.tickle()
        async with serving(make(), tmp_path, peer.port):
            for _ in range(2):
                assert type(await failure(client)) is CertificateError
            await client.aclose()
        writer.join()


# WebSocket


@pytest.mark.each_loop
async def test_a_socket_that_was_refused_is_opened_with_the_new_file(tmp_path: Path) -> None:
    first, second = make(), make()
    path = old(first.write(tmp_path / "ca.pem"))
    async with RawServer(answer_close, tls=second.server_context(tmp_path)) as server:
        base = server.url.replace("wss:", "https:").removesuffix("/ws")
        async with HttpServer(CLOSING) as plain, Client(plain.url) as other:
            ticket = await other.tickle()
        async with Client(base, tls=Tls.ca_file(path)) as client:
            for _ in range(2):
                with pytest.raises(CertificateError, match="it is self-signed") as caught:
                    await WsClient.connect(client, ticket=ticket)
                assert second.fingerprint in str(caught.value)
                assert "--ca-file" not in str(caught.value)
                assert caught.value.__context__ is None
            assert not any(peer.request for peer in server.peers)
            path.write_bytes(second.pem)
            async with await WsClient.connect(client, ticket=ticket):
                pass


async def test_a_socket_refused_by_a_context_of_the_caller(tmp_path: Path) -> None:
    async with RawServer(answer_close, tls=make().server_context(tmp_path)) as server:
        with pytest.raises(CertificateError) as caught:
            await WsClient.open(server.url, ssl_context=ssl.create_default_context())
    assert caught.value.verify_code == 18
    assert ".." not in str(caught.value)


# Pins


@pytest.mark.each_loop
async def test_a_pinned_certificate_that_comes_back_is_trusted_again(tmp_path: Path) -> None:
    pinned, other = make(), make()
    async with serving(pinned, tmp_path) as peer:
        client = client_of(peer, Tls.pinned(pinned.fingerprint))
        await client.tickle()
    async with serving(other, tmp_path, peer.port) as impostor:
        for _ in range(3):
            error = await failure(client)
            assert type(error) is PinMismatchError
            # Each error names the certificate that is there, so that it can be pinned.
            assert other.fingerprint in str(error)
        await impostor.settle()
        assert impostor.payload_bytes == 0
    async with serving(pinned, tmp_path, peer.port):
        await client.tickle()
        await client.aclose()
