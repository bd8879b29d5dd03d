"""The steps below HTTP: the name, the port, and the certificate."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cpapi_fast.errors import CertificateError, PinMismatchError
from cpapi_fast.redaction import preview
from cpapi_fast.rest.tls import tls_failure, trusting_anything, trusting_only

from .examination import Examination, Outcome, failure, ok, warning
from .findings import Fault

#: A certificate that ends sooner than this is worth a word.
_EXPIRES_SOON_S: Final = 14 * 86_400.0

#: How much of what a stranger says is looked at.
_GREETING_BYTES: Final = 64


# Name and port


async def dns(examination: Examination) -> Outcome:
    """Does the host name resolve, and to what?"""
    host = examination.base.host
    with suppress(ValueError):
        return ok(f"{ipaddress.ip_address(host)} is an address already", addresses=[host])
    try:
        found = await asyncio.wait_for(_resolve(examination), examination.real_timeout_s)
    except TimeoutError:
        return failure(
            Fault.DNS,
            f"no answer about the name {host} within {examination.timeout_s:g} s",
            "check this machine's network and name server, or give the address in --url",
        )
    except OSError as error:
        # Errors of name resolution have negative numbers of their own, and a text that holds no secret.
        return failure(
            Fault.DNS,
            f"the name {host} does not resolve: {error.strerror or type(error).__name__}",
            "correct the host in --url (a gateway on this machine is localhost)",
        )
    return ok(f"{host} is {', '.join(found)}", addresses=found)


async def tcp(examination: Examination) -> Outcome:
    """Does anybody accept connections there?"""
    base, where = examination.base, examination.where
    try:
        addresses = await asyncio.wait_for(_resolve(examination), examination.real_timeout_s)
    except (OSError, TimeoutError):
        addresses = [base.host]
    problems = dict(
        zip(addresses, await asyncio.gather(*(_knock(examination, address) for address in addresses)), strict=True)
    )
    answering = [address for address, problem in problems.items() if problem is None]
    silent = [f"{address} ({problem})" for address, problem in problems.items() if problem is not None]
    if not answering:
        reasons = " and ".join(dict.fromkeys(problem for problem in problems.values() if problem is not None))
        is_refused = "refused" in reasons.lower()
        return failure(
            Fault.TCP,
            f"no connection to {where}: {reasons}",
            "start the gateway, or correct the port in --url"
            if is_refused
            else "check the host in --url, that its machine is up, and that no firewall is in between",
            problems=problems,
        )
    if problems[addresses[0]] is not None:
        return warning(
            f"{answering[0]} accepts connections on port {base.port}, {', '.join(silent)} does not and is tried first",
            f"give {answering[0]} in place of {base.host} in --url",
            problems=problems,
        )
    return ok(f"{answering[0]} accepts connections on port {base.port}", problems=problems)


async def _resolve(examination: Examination) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(examination.base.host, examination.base.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _knock(examination: Examination, address: str) -> str | None:
    """Why no connection to an address can be made; None when it can."""
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(address, examination.base.port), examination.real_timeout_s
        )
    except TimeoutError:
        return f"no answer within {examination.timeout_s:g} s"
    except OSError as error:
        if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno)
        return error.strerror or type(error).__name__
    writer.transport.abort()
    return None


# The certificate


@dataclass(frozen=True)
class _Certificate:
    """What was seen of the peer's certificate. What cannot be known is None."""

    sha256: str
    version: str
    fits_host: bool
    #: As `getpeercert()` tells it; empty when OpenSSL would not take it even as a trusted one.
    details: dict[str, Any]

    @property
    def is_self_signed(self) -> bool | None:
        return self.details["subject"] == self.details["issuer"] if self.details else None

    def date(self, name: str) -> datetime | None:
        """`notBefore` or `notAfter`."""
        text = self.details.get(name)
        return None if text is None else datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)

    @property
    def names(self) -> list[str]:
        """Whom it is for."""
        return [str(name) for _, name in self.details.get("subjectAltName", ())]

    def problems(self, host: str, now: datetime) -> list[str]:
        """What a careful client finds wrong with it."""
        found = []
        start, end = self.date("notBefore"), self.date("notAfter")
        if end is not None and end < now:
            found.append(f"it expired on {end:%Y-%m-%d}")
        if start is not None and start > now:
            found.append(f"it is not valid before {start:%Y-%m-%d %H:%M} UTC")
        if self.is_self_signed:
            found.append("it is self-signed")
        if not self.fits_host:
            names = self.names
            whom = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "") if names else "nobody by name"
            found.append(f"it is for {whom}, not for {host}")
        return found

    def facts(self, now: datetime) -> dict[str, Any]:
        end = self.date("notAfter")
        return {
            "sha256": self.sha256,
            "tls_version": self.version,
            "fits_host": self.fits_host,
            "self_signed": self.is_self_signed,
            "not_after": None if end is None else end.isoformat(),
            "expired": None if end is None else end < now,
        }


async def tls(examination: Examination) -> Outcome:
    """Does it speak TLS, with which certificate, and does the chosen policy trust it?"""
    if examination.base.scheme == "http":
        return _plain(examination)
    try:
        seen = await _look(examination)
    except TimeoutError:
        return failure(
            Fault.TLS,
            f"{examination.where} accepts connections, and no TLS handshake within {examination.timeout_s:g} s",
            "restart the gateway: it hangs, or something else has its port",
        )
    except OSError as error:
        return await _no_tls(examination, error)
    now = datetime.now(UTC)
    facts = seen.facts(now)
    policy = examination.tls
    try:
        examination.context = await policy.context(
            examination.base.host, examination.base.port, timeout_s=examination.real_timeout_s
        )
        await _handshake(examination, examination.context)
    except PinMismatchError:
        return failure(
            Fault.TLS,
            f"the certificate is not the pinned one; its SHA-256 is {seen.sha256}",
            f"if the gateway's certificate was replaced: --fingerprint {seen.sha256}; if not, somebody else answers "
            "there, so log in nowhere and find out who",
            **facts,
        )
    except ssl.SSLCertVerificationError as error:
        reasons = seen.problems(examination.base.host, now) or [str(tls_failure("", 0, error)).partition(". ")[0]]
        return failure(
            Fault.TLS,
            f"the certificate is not trusted: {' and '.join(reasons)}; its SHA-256 is {seen.sha256}",
            f"if this is your gateway's certificate: --fingerprint {seen.sha256}",
            **facts,
        )
    except (OSError, TimeoutError, CertificateError):
        return failure(
            Fault.TLS, "a second TLS handshake failed where the first one did not", "run this again", **facts
        )
    return _trusted(examination, seen, now)


def _plain(examination: Examination) -> Outcome:
    host = examination.base.host
    is_local = host == "localhost"
    with suppress(ValueError):
        is_local = is_local or ipaddress.ip_address(host).is_loopback
    if is_local:
        return ok("not used: the URL says http, and the way does not leave this machine", sha256=None)
    return warning(
        "not used: the URL says http, so anybody on the way can read the session and change quotes",
        "set listenSsl: true in the gateway's conf.yaml and give https:// in --url",
        sha256=None,
    )


def _trusted(examination: Examination, seen: _Certificate, now: datetime) -> Outcome:
    facts = seen.facts(now)
    if examination.tls.mode == "insecure":
        return warning(
            f"the certificate was not checked, and its SHA-256 is {seen.sha256} ({seen.version})",
            f"in place of --insecure give --fingerprint {seen.sha256}",
            **facts,
        )
    end = seen.date("notAfter")
    if examination.tls.mode == "pinned":
        problems = seen.problems(examination.base.host, now)
        aside = f"; that {' and '.join(problems)} does not matter for a pinned one" if problems else ""
        return ok(f"the certificate is the pinned one ({seen.version}){aside}", **facts)
    if end is not None and (end - now).total_seconds() < _EXPIRES_SOON_S:
        return warning(
            f"the certificate is trusted, and expires on {end:%Y-%m-%d}; its SHA-256 is {seen.sha256}",
            f"renew it before, or pin it: --fingerprint {seen.sha256}",
            **facts,
        )
    return ok(f"the certificate is trusted ({seen.version}); its SHA-256 is {seen.sha256}", **facts)


async def _look(examination: Examination) -> _Certificate:
    """The certificate, whoever signed it: three connections that carry no byte of application data."""
    der, _, version = await _handshake(examination, trusting_anything())
    only = trusting_only(der)
    details: dict[str, Any] = {}
    with suppress(ssl.SSLError):
        # Only of a certificate that it trusts does Python tell what stands in it.
        _, details, _ = await _handshake(examination, only)
    only.check_hostname = True
    try:
        await _handshake(examination, only)
        fits_host = True
    except ssl.SSLError:
        fits_host = False
    return _Certificate(hashlib.sha256(der).hexdigest(), version, fits_host, details)


async def _handshake(examination: Examination, context: ssl.SSLContext) -> tuple[bytes, dict[str, Any], str]:
    base = examination.base
    _, writer = await asyncio.wait_for(
        asyncio.open_connection(base.host, base.port, ssl=context, server_hostname=base.host),
        examination.real_timeout_s,
    )
    try:
        ssl_object: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der = ssl_object.getpeercert(binary_form=True) or b""
        return der, dict(ssl_object.getpeercert() or {}), ssl_object.version() or "TLS"
    finally:
        writer.transport.abort()


async def _no_tls(examination: Examination, error: OSError) -> Outcome:
    """Nobody speaks TLS there: who is it?"""
    greeting = await stranger(examination)
    if greeting.startswith(b"HTTP/"):
        url = str(examination.base).replace("https://", "http://", 1)
        return failure(Fault.TLS, f"{examination.where} speaks plain http, and the URL says https", f"give --url {url}")
    if greeting:
        return failure(
            Fault.NOT_A_GATEWAY,
            f"{examination.where} speaks neither TLS nor http; it says: {preview(greeting)}",
            "correct the port in --url: something else listens there",
        )
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return failure(
        Fault.TLS,
        f"no TLS with {examination.where}: {why}",
        "correct the port in --url, or look into the gateway's log why it hangs up",
    )


async def stranger(examination: Examination) -> bytes:
    """The first bytes that a peer answers to a plain HTTP request without any cookie; empty when it says nothing."""
    base = examination.base

    async def greet() -> bytes:
        reader, writer = await asyncio.open_connection(base.host, base.port)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {base.authority}\r\nConnection: close\r\n\r\n".encode())
            return await reader.read(_GREETING_BYTES)
        finally:
            writer.transport.abort()

    try:
        # Somebody who does not understand may well never answer.
        return await asyncio.wait_for(greet(), min(examination.real_timeout_s, 2.0))
    except (OSError, TimeoutError):
        return b""


async def speaks_tls(examination: Examination) -> bool:
    """Whether the port of an http URL is one that speaks TLS."""
    try:
        await _handshake(examination, trusting_anything())
    except (OSError, TimeoutError):
        return False
    return True
