"""Servers that are no gateway: doctor, client and feed name each alike, and none of them speaks of a restart."""

from __future__ import annotations

import asyncio
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cpapi_fast as cf
from cpapi_fast.doctor import Diagnosis, Problem, diagnose
from cpapi_fast.doctor.context import PROBLEMS
from cpapi_fast.errors import SessionError, TransportError
from cpapi_fast.meaning import Meaning
from tests.servers.certificates import make
from tests.servers.http import TICKLE, HttpServer, http_response, unpaced
from tests.servers.raw import Peer, RawServer
from tests.support.commands import command
from tests.support.other_servers import OTHER_SERVERS, OtherServer

#: The time limit of clients and of the doctor. A silent server costs it several times.
TIMEOUT_S = 10.0
SILENT_S = 1.0


def serving(other: OtherServer) -> RawServer:
    async def script(peer: Peer) -> None:
        if other.sends is None:
            return
        if not other.greets and not await peer.reader.read(65536):
            return
        if other.sends:
            await peer.send(other.sends)
        if not other.sends.startswith(b"HTTP/"):
            while await peer.reader.read(65536):
                pass

    return RawServer(script, upgrade=False)


def url_of(server: RawServer, scheme: str) -> str:
    return server.url.replace("ws:", f"{scheme}:").removesuffix("/ws")


async def error_of_client(url: str, timeout_s: float = TIMEOUT_S) -> SessionError | TransportError:
    async with cf.Client(url, total_timeout_s=timeout_s, connect_timeout_s=timeout_s, pacer=unpaced()) as client:
        with pytest.raises((SessionError, TransportError)) as caught:
            await client.tickle()
        assert not client.has_answered
    assert caught.value.__context__ is None
    return caught.value


async def change_of_feed(url: str, timeout_s: float) -> cf.StateChange:
    told: list[cf.StateChange] = []
    async with (
        cf.Client(url, total_timeout_s=timeout_s, connect_timeout_s=timeout_s, pacer=unpaced()) as client,
        cf.Feed(client) as feed,
    ):
        feed.on_item(lambda item: told.append(item) if isinstance(item, cf.StateChange) else None)
        await feed.wait_for(cf.FeedState.DISCONNECTED, cf.FeedState.LOGIN_REQUIRED)
        return next(change for change in told if change.state is not cf.FeedState.CONNECTING)


def check_no_restart(*texts: str) -> None:
    for text in texts:
        assert "restart" not in text.lower(), text
        assert "overloaded" not in text, text
        assert ".." not in text, text
        assert text.isprintable()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", OTHER_SERVERS)
async def test_everybody_says_the_same_about_another_server(name: str, scheme: str) -> None:
    other = OTHER_SERVERS[name]
    meaning = other.meaning if scheme == "http" else (other.by_https or other.meaning)
    timeout_s = SILENT_S if meaning is Meaning.NO_ANSWER else TIMEOUT_S
    async with serving(other) as server:
        url = url_of(server, scheme)
        error, change, diagnosis = await asyncio.gather(
            error_of_client(url, timeout_s), change_of_feed(url, timeout_s), diagnose(url, timeout_s=timeout_s)
        )
    assert error.meaning is meaning, error
    failure = diagnosis.failure
    assert failure is not None
    assert failure.facts["meaning"] == meaning.value, failure
    # The doctor has one class for all servers without TLS where the URL says https.
    is_silent_tls = meaning is Meaning.NO_ANSWER and scheme == "https"
    assert failure.problem is (Problem.TLS if is_silent_tls else PROBLEMS[meaning])
    if meaning not in (Meaning.WRONG_SCHEME, Meaning.FORBIDDEN, Meaning.NO_ANSWER):
        assert diagnosis.exit_code == 20
    if scheme == "http":
        for text in (str(error), change.detail, failure.found):
            assert re.search(other.name, text), text
    check_no_restart(str(error), change.detail, change.advice, failure.found, failure.advice)
    # Client, feed and doctor have the same advice, in their own words for the URL and for what follows.
    core = _core(failure.advice)
    if meaning is not Meaning.WRONG_SCHEME:
        assert core in _core(error.advice)
        assert core in _core(change.advice)
    else:
        other = url.replace(f"{scheme}://", f"{'http' if scheme == 'https' else 'https'}://")
        assert failure.advice == f"Pass --url {other}"
        assert other in error.advice
        assert other in change.advice


def _core(advice: str) -> str:
    return advice.replace("--url", "the base URL").rstrip(".")


def test_the_table_has_every_meaning_of_another_server() -> None:
    told = {other.meaning for other in OTHER_SERVERS.values()}
    assert told >= {
        Meaning.AIRPLAY,
        Meaning.CAPTIVE_PORTAL,
        Meaning.HANGS_UP,
        Meaning.NO_ANSWER,
        Meaning.NOT_A_GATEWAY,
        Meaning.WRONG_SCHEME,
    }


# Real servers


@pytest.fixture
def file_server(tmp_path: Path) -> Iterator[int]:
    """`python -m http.server` in a thread; its port."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_file_server_of_python_is_no_gateway(file_server: int, scheme: str) -> None:
    result = await command("doctor", "--url", f"{scheme}://127.0.0.1:{file_server}/v1/api")
    assert result.code == 20, result.out
    assert "a file server (python -m http.server) and no Client Portal gateway" in result.out
    assert "Correct the port" in result.out
    assert "restart" not in result.out


async def test_collect_and_tail_name_it_too(file_server: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{file_server}/v1/api"
    collected, tailed = await asyncio.gather(
        command("collect", "--url", url, "--conids", "1", "--out", str(tmp_path / "out"), "--duration", "2"),
        command("tail", "--url", url, "--conids", "1", "--duration", "2"),
    )
    for result in (collected, tailed):
        shown = result.out + result.err
        assert "a file server (python -m http.server) and no Client Portal gateway" in shown
        assert "Correct the port" in shown
        assert "restart" not in shown


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("hangs_up", [False, True])
async def test_the_api_of_tws_on_any_port(scheme: str, hangs_up: bool) -> None:
    async def script(peer: Peer) -> None:
        if await peer.reader.read(17) == b"API\0\0\0\0\x09v100..176":
            await peer.send(b"\0\0\0\x1c176\x0020261129 03:00:00 EST\0")
        elif not hangs_up:
            while await peer.reader.read(65536):
                pass

    async with RawServer(script, upgrade=False) as server:
        diagnosis = await diagnose(url_of(server, scheme), timeout_s=TIMEOUT_S if hangs_up else SILENT_S)
    assert diagnosis.exit_code == 20
    assert "is the port of the API of TWS or IB Gateway" in diagnosis.summary
    assert "another program than TWS and IB Gateway" in diagnosis.advice
    check_no_restart(diagnosis.summary, diagnosis.advice)


# A gateway that is known by its certificate, or has answered


async def test_a_certificate_that_was_named_identifies_a_gateway_that_hangs(tmp_path: Path) -> None:
    certificate = make()
    named = cf.Tls.pinned(certificate.fingerprint)
    async with HttpServer(b"", tls=certificate.server_context(tmp_path)) as peer:
        async with cf.Client(peer.url, tls=named, total_timeout_s=3.0) as client:
            with pytest.raises(cf.RequestTimeoutError, match="overloaded"):
                await client.tickle()
        diagnosis = await diagnose(peer.url, tls=named, timeout_s=3.0)
        assert diagnosis.exit_code == Problem.NO_RESPONSE
        assert "restart it" in diagnosis.advice


async def test_a_server_that_speaks_something_else_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.write(tmp_path / "authorities.pem")))

    async def greet(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.send(b"* BYE this is IMAP\r\n")

    async with RawServer(greet, tls=certificate.server_context(tmp_path), upgrade=False) as server:
        url = server.url.replace("wss:", "https:").removesuffix("/ws")
        error = await error_of_client(url)
        diagnosis = await diagnose(url, timeout_s=10.0)
    assert error.meaning is Meaning.NOT_A_GATEWAY
    assert "speaks TLS, but not http" in str(error)
    assert diagnosis.exit_code == Problem.NOT_A_GATEWAY


async def test_a_known_gateway_that_hangs_is_not_doubted() -> None:
    served: list[bytes] = []

    def script(request: bytes) -> bytes | None:
        served.append(request)
        return http_response(TICKLE) if len(served) == 1 else b""

    async with HttpServer(script) as peer, cf.Client(peer.url, total_timeout_s=2.0, pacer=unpaced()) as client:
        await client.tickle()
        assert client.has_answered
        with pytest.raises(cf.RequestTimeoutError, match="overloaded") as caught:
            await client.tickle()
        assert caught.value.meaning is None
        # Nothing was sent to find out who it is.
        assert len(served) == 2


@pytest.mark.parametrize(
    "reply",
    [
        http_response(status=302, headers=["Location: /sso/Login"]),
        http_response(b'{"error":"no bridge","statusCode":400}', status=400),
        http_response(b"Access Denied", status=403, content_type="text/plain"),
        http_response(b'{"error":"failed to generate sso dh token","statusCode":500}', status=500),
    ],
)
async def test_a_gateway_is_known_by_its_refusals(reply: bytes) -> None:
    async with HttpServer(reply) as peer, cf.Client(peer.url, pacer=unpaced()) as client:
        with pytest.raises(SessionError):
            await client.tickle()
        assert client.has_answered


async def test_an_error_of_an_unknown_server_doubts_the_port_and_one_of_a_gateway_does_not() -> None:
    replies = [http_response(b"oops", status=503), http_response(TICKLE), http_response(b"oops", status=503)]
    async with HttpServer(replies) as peer, cf.Client(peer.url, pacer=unpaced()) as client:
        with pytest.raises(cf.StatusError, match="check the port in the base URL: no Client Portal gateway") as caught:
            await client.tickle()
        assert "restart" not in str(caught.value)
        await client.tickle()
        with pytest.raises(cf.StatusError, match="restart the gateway"):
            await client.tickle()


async def test_a_tls_server_where_the_url_says_http(tmp_path: Path) -> None:
    async with HttpServer(http_response(TICKLE), tls=make().server_context(tmp_path)) as peer:
        error = await error_of_client(peer.url.replace("https:", "http:"))
        diagnosis: Diagnosis = await diagnose(peer.url.replace("https:", "http:"), timeout_s=10.0)
    assert error.meaning is Meaning.WRONG_SCHEME
    assert f"Use {peer.url} as the base URL" in str(error)
    assert diagnosis.exit_code == 12
    assert diagnosis.advice == f"Pass --url {peer.url}"
