"""The doctor's step `tls` with trusted, untrusted, expired and pinned certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.doctor import Diagnosis, Outcome, Problem, Step, diagnose
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions
from tests.integration.doctor.harness import (
    QUICK,
    check,
    diagnose_gateway,
    finding_of,
)
from tests.servers.certificates import make
from tests.servers.http import HttpServer, http_response


async def against(
    certificate: Any,
    folder: Path,
    tls: Tls | None,
) -> tuple[Diagnosis, HttpServer]:
    async with HttpServer(http_response(status=401), tls=certificate.server_context(folder)) as peer:
        diagnosis = await diagnose(peer.url, tls=tls, timeout_s=10.0)
        await peer.settle()
        return diagnosis, peer


@pytest.mark.each_loop
async def test_certificates_that_are_not_trusted(tmp_path: Path) -> None:
    authority = make(is_authority=True, name="authority")
    ca = Tls.ca_file(authority.write(tmp_path / "ca.pem"))
    cases = [
        (make(), None, "it is self-signed"),
        (make(ends_days=-1), None, "it expired on .* and it is self-signed"),
        (make(), ca, "it is self-signed"),
        (make(signed_by=authority, ends_days=-1), ca, "it expired on"),
        (make(signed_by=authority, starts_days=1), ca, "not valid before"),
        (make(signed_by=authority, hosts=["gateway.example"]), ca, "it is for gateway.example, not for 127.0.0.1"),
        (make(signed_by=authority), None, "unable to get local issuer|not trusted"),
        (make(hosts=["a.example", "b.example", "c.example", "d.example"]), None, "c.example and others, not for"),
    ]

    for certificate, policy, found in cases:
        diagnosis, peer = await against(certificate, tmp_path, policy)
        check(diagnosis, Problem.TLS, Step.TLS, found, rf"Tls\.pinned\('{certificate.fingerprint}'\)")
        assert finding_of(diagnosis, Step.TLS).facts["sha256"] == certificate.fingerprint
        assert peer.payload_bytes == 0, "no application data is sent to an untrusted server"


async def test_a_certificate_that_is_not_the_pinned_one(tmp_path: Path) -> None:
    certificate = make()
    diagnosis, peer = await against(certificate, tmp_path, Tls.pinned("0" * 64))
    check(diagnosis, Problem.TLS, Step.TLS, "not the pinned one", f"--fingerprint {certificate.fingerprint}")
    assert peer.payload_bytes == 0


async def test_a_pinned_certificate_is_trusted_although_it_is_expired_and_for_another_host(tmp_path: Path) -> None:
    certificate = make(ends_days=-1, hosts=["gateway.example"])
    diagnosis, _ = await against(certificate, tmp_path, Tls.pinned(certificate.fingerprint))
    check(diagnosis, Problem.LOGIN_NEEDED, Step.SESSION, "401", "log in at https://127.0.0.1")
    finding = finding_of(diagnosis, Step.TLS)
    assert finding.outcome is Outcome.OK
    assert "expired" in finding.found
    assert "gateway.example" in finding.found
    assert [finding.facts[name] for name in ("expired", "matches_host", "self_signed")] == [True, False, True]


@pytest.mark.parametrize(("ends_days", "outcome"), [(100, Outcome.OK), (5, Outcome.WARNING)])
async def test_a_trusted_certificate_that_expires_soon_is_a_warning(
    tmp_path: Path, ends_days: int, outcome: Outcome
) -> None:
    authority = make(is_authority=True)
    ca = Tls.ca_file(authority.write(tmp_path / "ca.pem"))
    diagnosis, _ = await against(make(signed_by=authority, ends_days=ends_days), tmp_path, ca)
    assert finding_of(diagnosis, Step.TLS).outcome is outcome
    assert diagnosis.exit_code == Problem.LOGIN_NEEDED


@pytest.mark.filterwarnings("ignore::cpapi_fast.InsecureTlsWarning")
async def test_insecure_is_a_warning_with_the_fingerprint(tmp_path: Path) -> None:
    certificate = make()
    diagnosis, _ = await against(certificate, tmp_path, Tls.insecure())
    finding = finding_of(diagnosis, Step.TLS)
    assert finding.outcome is Outcome.WARNING
    assert finding.advice == f"Pass --fingerprint {certificate.fingerprint} instead of --insecure."


async def test_a_missing_ca_file(tmp_path: Path) -> None:
    diagnosis, _ = await against(make(), tmp_path, Tls.ca_file(tmp_path / "missing.pem"))
    check(diagnosis, Problem.USAGE, Step.TLS, "missing.pem", "correct the option")


async def test_an_expired_certificate_of_the_simulator(tmp_path: Path) -> None:
    certificate = Certificate.expired()

    async with SimulatedGateway(SimulatorOptions(certificate=certificate, **QUICK)) as gateway:
        assert gateway.certificate_path is not None
        diagnosis = await diagnose_gateway(gateway, tls=Tls.ca_file(gateway.certificate_path))
    check(diagnosis, Problem.TLS, Step.TLS, "it expired on", rf"Tls\.pinned\('{certificate.fingerprint}'\)")
    assert ssl.PEM_cert_to_DER_cert(certificate.certificate_pem.decode())
