"""The reasons and the advice for a certificate that is not trusted: a table over policies and certificates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from cpapi_fast.errors import CertificateError, CpapiError
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.peer_certificate import PeerCertificate
from cpapi_fast.rest.tls import Tls
from tests.servers.certificates import Certificate, make
from tests.servers.http import TICKLE, HttpServer, http_response

AUTHORITY = make(is_authority=True, name="authority")
OWN = make()


class Case(NamedTuple):
    """A certificate under a policy: what the error says, and what it must not say."""

    policy: str
    certificate: Certificate
    reasons: str
    advice: str
    unsaid: str


PIN = r"Tls\.pinned\('SHA256'\) if this is your gateway's certificate"

CASES = {
    "self-signed": Case("verify", OWN, "it is self-signed", f"^Pass {PIN}", "Tls.ca_file|instead of|Renew"),
    "expired and self-signed": Case(
        "verify", make(ends_days=-1), "it expired on .* and it is self-signed", f"^Pass {PIN}", "Tls.ca_file|Renew"
    ),
    "an unknown authority": Case(
        "verify",
        make(signed_by=AUTHORITY),
        "this machine does not trust the authority that signed it",
        f"^Pass {PIN}, or its authority with Tls.ca_file",
        "self-signed",
    ),
    "not in the CA file": Case(
        "ca_file",
        OWN,
        "it is self-signed",
        "^Put it or its authority's certificate into the CA file, .* Or pass Tls.pinned.'SHA256'",
        "Tls.ca_file",
    ),
    "another authority than in the CA file": Case(
        "ca_file",
        make(signed_by=make(is_authority=True)),
        "the CA file does not trust the authority that signed it",
        "^Put it or its authority's certificate into the CA file, which is read again at each try, if this is your",
        "Tls.ca_file|self-signed",
    ),
    "another host, by a trusted authority": Case(
        "ca_file",
        make(signed_by=AUTHORITY, hosts=["ibeam"]),
        "it is for ibeam, not for 127.0.0.1$",
        f"^Use ibeam instead of 127.0.0.1 as the host in the URL. Or pass {PIN}",
        "Tls.ca_file|self-signed|CA file|Renew",
    ),
    "another host, self-signed and trusted": Case(
        "own",
        make(hosts=["ibeam", "gateway.example", "a.example", "b.example"]),
        "it is for ibeam, gateway.example, a.example and others, not for 127.0.0.1$",
        "^Use ibeam or gateway.example or a.example instead of",
        "Tls.ca_file|self-signed|CA file|Renew",
    ),
    "only a wildcard": Case(
        "own",
        make(hosts=["*.gateway.example"]),
        "it is for .*gateway.example, not for",
        "^Use a host name that the certificate is for, instead of 127.0.0.1, in the URL",
        "Use [*]|self-signed",
    ),
    "no host name": Case("own", make(hosts=[]), "it is for no host name, not for", f"^Pass {PIN}", "self-signed|Use "),
    "expired, by a trusted authority": Case(
        "ca_file",
        make(signed_by=AUTHORITY, ends_days=-1),
        "it expired on [0-9-]+$",
        f"^Renew the gateway's certificate, or correct this machine's clock if that is wrong. Or pass {PIN}",
        "Tls.ca_file|self-signed|CA file|host in the URL",
    ),
    "not yet valid, self-signed and trusted": Case(
        "own",
        make(starts_days=1),
        "it is not valid before .* UTC$",
        "^Renew .* clock",
        "Tls.ca_file|self-signed|CA file",
    ),
    "another host, and expired": Case(
        "own",
        make(hosts=["ibeam"], ends_days=-1),
        "it expired on .* and it is for ibeam, not for",
        "^Use ibeam .* Renew .* Or pass",
        "Tls.ca_file|self-signed",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_an_error_says_about_a_certificate(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    trusted = AUTHORITY if case.policy == "ca_file" else case.certificate
    tls = Tls.verify() if case.policy == "verify" else Tls.ca_file(trusted.write(tmp_path / "ca.pem"))
    async with (
        HttpServer(http_response(TICKLE), tls=case.certificate.server_context(tmp_path)) as peer,
        Client(peer.url, tls=tls) as client,
    ):
        with pytest.raises(CertificateError) as caught:
            await client.tickle()
        await peer.settle()
        assert peer.payload_bytes == 0
    text = str(caught.value).replace(case.certificate.fingerprint, "SHA256")
    said = re.fullmatch(r"the certificate of 127\.0\.0\.1:\d+ is not trusted: (.*?)\. ([A-Z].*\.)", text)
    assert said is not None, text
    assert re.search(case.reasons, said[1]), text
    assert re.search(case.advice, said[2]), text
    assert not re.search(case.unsaid, text), text
    assert ".." not in text


async def test_names_cannot_forge_lines() -> None:
    details = {"subject": (), "issuer": (), "subjectAltName": (("DNS", "a\nb\x1b]0;x\x07"), ("DNS", "x" * 300))}
    certificate = PeerCertificate("0" * 64, "TLSv1.3", False, details)
    assert certificate.names[0].isprintable()
    assert len(certificate.names[1]) == 60


async def test_a_server_that_ends_before_the_certificate_can_be_read(tmp_path: Path) -> None:
    certificate = make()
    async with HttpServer(http_response(TICKLE), tls=certificate.server_context(tmp_path)) as peer:
        client = Client(peer.url)
        error = CertificateError("the first error", verify_code=18)
    # The port is closed now.
    assert await client.certificate_refused(None, error) is error
    await client.aclose()
    with pytest.raises(CpapiError):
        raise error
