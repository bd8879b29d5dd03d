"""Each TLS policy against real servers: which certificates it trusts, and what it sends before."""

from __future__ import annotations

import asyncio
import pickle
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from cpapi_fast.errors import CertificateError, ConfigError, ConnectError, PinMismatchError, RequestTimeoutError
from cpapi_fast.rest import tls as tls_module
from cpapi_fast.rest.tls import InsecureTlsWarning, Tls, tls_failure
from tests.servers.certificates import Certificate, make
from tests.servers.http import HttpServer, http_response

HOST = "127.0.0.1"


async def reach(peer: HttpServer, policy: Tls, host: str = HOST) -> None:
    """Make a context for `host` and finish a handshake with it; raises what either raises."""
    await shake(peer, await policy.context(HOST, peer.port, timeout_s=5.0), host)


async def shake(peer: HttpServer, context: ssl.SSLContext, host: str = HOST) -> None:
    _, writer = await asyncio.open_connection(HOST, peer.port, ssl=context, server_hostname=host)
    writer.transport.abort()


def serving(certificate: Certificate, folder: Path, port: int = 0) -> HttpServer:
    return HttpServer(http_response(), tls=certificate.server_context(folder), port=port)


# Tls.verify


@pytest.mark.each_loop
async def test_verify_trusts_what_the_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = make(is_authority=True, name="the machine's authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "ca.pem")))

    async with serving(make(signed_by=authority), tmp_path) as peer:
        await reach(peer, Tls.verify())
        await reach(peer, Tls.verify(), "localhost")
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await reach(peer, Tls.verify(), "gateway.example")
    for unfit in (make(), make(signed_by=authority, ends_days=-1), make(signed_by=authority, starts_days=1)):
        async with serving(unfit, tmp_path) as peer:
            with pytest.raises(ssl.SSLCertVerificationError):
                await reach(peer, Tls.verify())


# Tls.ca_file


@pytest.mark.each_loop
async def test_a_ca_file_trusts_its_certificates_and_no_others(tmp_path: Path) -> None:
    authority = make(is_authority=True, name="authority")
    between = make(signed_by=authority, is_authority=True, name="between")
    policy = Tls.ca_file(authority.write(tmp_path / "ca.pem"))

    for fit in (make(signed_by=authority), make(signed_by=between)):
        async with serving(fit, tmp_path) as peer:
            await reach(peer, policy)
    stranger = make(is_authority=True, name="authority")
    unfit = {
        "self-signed": make(),
        "signed by another of the same name": make(signed_by=stranger),
        "expired": make(signed_by=authority, ends_days=-1),
        "not yet valid": make(signed_by=authority, starts_days=1),
        "another host": make(signed_by=authority, hosts=["gateway.example"]),
    }
    for certificate in unfit.values():
        async with serving(certificate, tmp_path) as peer:
            with pytest.raises(ssl.SSLCertVerificationError):
                await reach(peer, policy)


@pytest.mark.each_loop
async def test_a_ca_file_may_contain_the_gateways_own_certificate(tmp_path: Path) -> None:
    authority = make(is_authority=True)

    for certificate in (make(), make(signed_by=authority)):
        policy = Tls.ca_file(str(certificate.write(tmp_path / "own.pem")))
        async with serving(certificate, tmp_path) as peer:
            await reach(peer, policy)
            with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
                await reach(peer, policy, "gateway.example")


@pytest.mark.each_loop
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("folder", "directory|denied"),
        (b"", "no certificate"),
        (b"\x00\xff garbage", "no certificate"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "damaged"),
    ],
)
async def test_a_ca_file_that_cannot_be_used_is_a_config_error(
    tmp_path: Path, content: bytes | str | None, reason: str
) -> None:
    path = tmp_path / "ca.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    with pytest.raises(ConfigError, match=reason) as caught:
        await Tls.ca_file(path).context(HOST, 1, timeout_s=5.0)
    assert "ca.pem" in str(caught.value)


@pytest.mark.each_loop
async def test_an_invalid_path_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="path is invalid"):
        await Tls.ca_file("ca\0.pem").context(HOST, 1, timeout_s=5.0)


# Tls.pinned


@pytest.mark.each_loop
async def test_a_pinned_certificate_is_trusted_whatever_else_is_wrong(tmp_path: Path) -> None:
    authority = make(is_authority=True)

    for certificate in (
        make(),
        make(ends_days=-1),
        make(starts_days=1),
        make(hosts=["gateway.example"]),
        make(signed_by=authority, ends_days=-1),
    ):
        async with serving(certificate, tmp_path) as peer:
            await reach(peer, Tls.pinned(certificate.fingerprint))
            await reach(peer, Tls.pinned(certificate.fingerprint), "gateway.example")
            await peer.settle()
            assert peer.payload_bytes == 0


def test_a_pin_may_have_upper_case_digits_and_colons(tmp_path: Path) -> None:
    digits = make().fingerprint
    colons = ":".join(digits[i : i + 2] for i in range(0, 64, 2))
    assert Tls.pinned(digits) == Tls.pinned(colons.upper()) == Tls.pinned(f"  {digits.upper()}\n")


@pytest.mark.parametrize(
    "pin",
    [
        "",
        "ab",
        "0" * 63,
        "0" * 65,
        "g" * 64,
        "0" * 40,
        "sha256/" + "0" * 64,
        "0" * 62 + "\u0660\u0661",
        None,
        b"0" * 64,
    ],
)
def test_an_invalid_pin_is_a_config_error(pin: object) -> None:
    with pytest.raises(ConfigError, match="64 hex digits"):
        Tls.pinned(pin)  # type: ignore[arg-type]


@pytest.mark.each_loop
async def test_a_wrong_pin_sends_nothing_and_reports_the_peers_fingerprint(tmp_path: Path) -> None:
    authority = make(is_authority=True)
    certificate = make(signed_by=authority)

    async with serving(certificate, tmp_path) as peer:
        # The fingerprint of the authority is wrong too: it would accept every certificate that the authority signed.
        for wrong in ("00" * 32, authority.fingerprint, certificate.fingerprint[::-1]):
            with pytest.raises(PinMismatchError, match=certificate.fingerprint) as caught:
                await reach(peer, Tls.pinned(wrong))
            assert not caught.value.is_retryable
        await peer.settle()
        assert peer.payload_bytes == 0


@pytest.mark.each_loop
async def test_a_certificate_swapped_after_the_check_fails_the_handshake(tmp_path: Path) -> None:
    authority = make(is_authority=True)
    pinned = make(signed_by=authority)

    async with serving(pinned, tmp_path) as peer:
        context = await Tls.pinned(pinned.fingerprint).context(HOST, peer.port, timeout_s=5.0)
    # Also one by the same authority, the authority itself, and one that the pinned certificate claims to sign.
    for other in (make(), make(signed_by=authority), authority, make(signed_by=pinned)):
        async with serving(other, tmp_path) as peer:
            with pytest.raises(ssl.SSLCertVerificationError):
                await shake(peer, context)
            await peer.settle()
            assert peer.payload_bytes == 0


@pytest.mark.each_loop
async def test_fetching_the_certificate_raises_typed_errors(tmp_path: Path) -> None:
    pin = Tls.pinned("00" * 32)

    async with HttpServer(b"") as silent:
        with pytest.raises(RequestTimeoutError, match=r"within 0\.2 s"):
            await pin.context(HOST, silent.port, timeout_s=0.2)
    with pytest.raises(ConnectError, match="Start the gateway"):
        await pin.context(HOST, silent.port, timeout_s=5.0)

    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for handler, text in ((speak_http, "plain http"), (hang_up, "no ")):
        server = await asyncio.start_server(handler, HOST, 0)
        with pytest.raises(ConnectError, match=text):
            await pin.context(HOST, server.sockets[0].getsockname()[1], timeout_s=5.0)
        server.close()
        await server.wait_closed()


# Tls.insecure


@pytest.mark.each_loop
@pytest.mark.filterwarnings("ignore::cpapi_fast.rest.tls.InsecureTlsWarning")
async def test_insecure_trusts_every_certificate(tmp_path: Path) -> None:
    async with serving(make(ends_days=-1, hosts=["gateway.example"]), tmp_path) as peer:
        await reach(peer, Tls.insecure())


def test_insecure_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "_warned_insecure", False)
    with pytest.warns(InsecureTlsWarning, match="pinned") as caught:
        Tls.insecure()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Tls.insecure()


def test_python_prints_the_insecure_warning_by_default() -> None:
    code = "from cpapi_fast.rest.tls import Tls; Tls.insecure(); Tls.insecure()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.count("InsecureTlsWarning") == 1


# The policy object


def test_a_policy_is_created_by_name_and_immutable() -> None:
    with pytest.raises(TypeError, match="use Tls"):
        Tls()
    policy = Tls.ca_file("ca.pem")
    with pytest.raises(AttributeError):
        policy._value = "other.pem"
    with pytest.raises(AttributeError):
        del policy._mode
    assert policy == Tls.ca_file(Path("ca.pem"))
    assert hash(policy) == hash(Tls.ca_file("ca.pem"))
    assert policy != Tls.verify()
    assert policy != "ca.pem"
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert repr(policy) == "Tls.ca_file('ca.pem')"
    assert repr(Tls.verify()) == "Tls.verify()"
    assert Tls.pinned("0" * 64).mode == "pinned"


def test_the_error_of_a_failed_handshake() -> None:
    error = tls_failure("gateway.example", 5000, ssl.SSLCertVerificationError("whatever"))
    assert type(error) is CertificateError
    assert not error.is_retryable
    assert "Tls.pinned" in str(error)
    assert type(tls_failure("gateway.example", 5000, ssl.SSLError("whatever"))) is ConnectError
