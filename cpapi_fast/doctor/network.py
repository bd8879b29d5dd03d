"""The steps below HTTP: host name, port and certificate."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from cpapi_fast.errors import CertificateError, PinMismatchError
from cpapi_fast.redaction import preview
from cpapi_fast.rest.peer_certificate import PeerCertificate, handshake
from cpapi_fast.rest.tls import trusting_anything

from .context import DiagnosisContext, StepResult, failure, ok, warning
from .diagnosis import Problem

#: A trusted certificate that expires sooner than this is reported as a warning.
_EXPIRES_SOON_S: Final = 14 * 86_400.0

#: How many bytes of an unknown server are read.
_GREETING_BYTES: Final = 64


# Name and port


async def dns(context: DiagnosisContext) -> StepResult:
    """Check that the host name resolves."""
    host = context.base.host
    with suppress(ValueError):
        return ok(f"{ipaddress.ip_address(host)} is an address, not a name", addresses=[host])
    try:
        found = await asyncio.wait_for(_resolve(context), context.real_timeout_s)
    except TimeoutError:
        return failure(
            Problem.DNS,
            f"no response about the name {host} within {context.timeout_s:g} s",
            "Check this machine's network and name server, or pass the address in --url.",
        )
    except OSError as error:
        # The text of a name resolution error holds no secret.
        return failure(
            Problem.DNS,
            f"the name {host} does not resolve: {error.strerror or type(error).__name__}",
            "Correct the host in --url. A gateway on this machine has the host localhost.",
        )
    return ok(f"{host} resolves to {', '.join(found)}", addresses=found)


async def tcp(context: DiagnosisContext) -> StepResult:
    """Check that a server accepts connections on the port."""
    base = context.base
    try:
        addresses = await asyncio.wait_for(_resolve(context), context.real_timeout_s)
    except (OSError, TimeoutError):
        addresses = [base.host]
    found = await asyncio.gather(*(_connect_problem(context, address) for address in addresses))
    problems = dict(zip(addresses, found, strict=True))
    accepting = [address for address, problem in problems.items() if problem is None]
    failing = [f"{address} ({problem})" for address, problem in problems.items() if problem is not None]
    if not accepting:
        reasons = " and ".join(dict.fromkeys(problem for problem in problems.values() if problem is not None))
        is_refused = "refused" in reasons.lower()
        return failure(
            Problem.TCP,
            f"no connection to {context.address}: {reasons}",
            "Start the gateway, or correct the port in --url."
            if is_refused
            else "Check the host in --url, that its machine runs, and that no firewall blocks the connection.",
            problems=problems,
        )
    if problems[addresses[0]] is not None:
        return warning(
            f"{accepting[0]} accepts connections on port {base.port}; {', '.join(failing)}, which clients try first, "
            "does not",
            f"Use {accepting[0]} instead of {base.host} in --url.",
            problems=problems,
        )
    return ok(f"{accepting[0]} accepts connections on port {base.port}", problems=problems)


async def _resolve(context: DiagnosisContext) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(context.base.host, context.base.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _connect_problem(context: DiagnosisContext, address: str) -> str | None:
    """Connect to an address. Returns the reason of a failure, or None."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, context.base.port), context.real_timeout_s)
    except TimeoutError:
        return f"no response within {context.timeout_s:g} s"
    except OSError as error:
        if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno)
        return error.strerror or type(error).__name__
    writer.transport.abort()
    return None


# The certificate


async def tls(context: DiagnosisContext) -> StepResult:
    """Check that the server speaks TLS and that the TLS policy trusts its certificate."""
    if context.base.scheme == "http":
        return _plain(context)
    try:
        seen = await PeerCertificate.fetch(context.base.host, context.base.port, timeout_s=context.real_timeout_s)
    except TimeoutError:
        return failure(
            Problem.TLS,
            f"{context.address} accepts connections, but no TLS handshake within {context.timeout_s:g} s",
            "Restart the gateway: it hangs, or another server uses its port.",
        )
    except OSError as error:
        return await _no_tls(context, error)
    now = datetime.now(UTC)
    facts = seen.facts(now)
    policy = context.tls
    try:
        context.ssl_context = await policy.context(
            context.base.host, context.base.port, timeout_s=context.real_timeout_s
        )
        await _handshake(context, context.ssl_context)
    except PinMismatchError:
        return failure(
            Problem.TLS,
            f"the certificate is not the pinned one; its SHA-256 is {seen.sha256}",
            f"Pass --fingerprint {seen.sha256} if the gateway's certificate was replaced. If not, do not log in: "
            "another server responds there.",
            **facts,
        )
    except ssl.SSLCertVerificationError as error:
        refusal = seen.refusal(context.base.host, policy.mode, error.verify_code, error.verify_message, now)
        return failure(
            Problem.TLS,
            f"the certificate is not trusted: {' and '.join(refusal.reasons)}; its SHA-256 is {seen.sha256}",
            refusal.advice,
            **facts,
        )
    except (OSError, TimeoutError, CertificateError):
        return failure(
            Problem.TLS, "the second TLS handshake failed after the first one", "Run this command again.", **facts
        )
    return _trusted(context, seen, now)


def _plain(context: DiagnosisContext) -> StepResult:
    host = context.base.host
    is_local = host == "localhost"
    with suppress(ValueError):
        is_local = is_local or ipaddress.ip_address(host).is_loopback
    if is_local:
        return ok("not used: the URL says http, and the connection stays on this machine", sha256=None)
    return warning(
        "not used: the URL says http, so the network can read the session and change quotes",
        "Set listenSsl: true in the gateway's conf.yaml and use https:// in --url.",
        sha256=None,
    )


def _trusted(context: DiagnosisContext, seen: PeerCertificate, now: datetime) -> StepResult:
    facts = seen.facts(now)
    if context.tls.mode == "insecure":
        return warning(
            f"the certificate was not checked; its SHA-256 is {seen.sha256} ({seen.version})",
            f"Pass --fingerprint {seen.sha256} instead of --insecure.",
            **facts,
        )
    end = seen.date("notAfter")
    if context.tls.mode == "pinned":
        problems = seen.problems(context.base.host, now)
        aside = f"; pinned, so these do not matter: {' and '.join(problems)}" if problems else ""
        return ok(f"the certificate is the pinned one ({seen.version}){aside}", **facts)
    if end is not None and (end - now).total_seconds() < _EXPIRES_SOON_S:
        return warning(
            f"the certificate is trusted, but expires on {end:%Y-%m-%d}; its SHA-256 is {seen.sha256}",
            f"Renew the certificate before it expires, or pass --fingerprint {seen.sha256} to pin it.",
            **facts,
        )
    return ok(f"the certificate is trusted ({seen.version}); its SHA-256 is {seen.sha256}", **facts)


async def _no_tls(context: DiagnosisContext, error: OSError) -> StepResult:
    """The failure for a server that does not speak TLS."""
    greeting = await first_bytes(context)
    if greeting.startswith(b"HTTP/"):
        url = str(context.base).replace("https://", "http://", 1)
        return failure(Problem.TLS, f"{context.address} speaks plain http, but the URL says https", f"Pass --url {url}")
    if greeting:
        return failure(
            Problem.NOT_A_GATEWAY,
            f"{context.address} speaks neither TLS nor http; it sent: {preview(greeting)}",
            "Correct the port in --url: another server listens there.",
        )
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return failure(
        Problem.TLS,
        f"no TLS with {context.address}: {why}",
        "Correct the port in --url, or check the gateway's log for why it closes the connection.",
    )


async def first_bytes(context: DiagnosisContext) -> bytes:
    """Return the first bytes of the response to a plain HTTP request without cookies; empty if none arrive."""
    base = context.base

    async def send_request() -> bytes:
        reader, writer = await asyncio.open_connection(base.host, base.port)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {base.authority}\r\nConnection: close\r\n\r\n".encode())
            return await reader.read(_GREETING_BYTES)
        finally:
            writer.transport.abort()

    try:
        # A server of another protocol may never respond.
        return await asyncio.wait_for(send_request(), min(context.real_timeout_s, 2.0))
    except (OSError, TimeoutError):
        return b""


async def _handshake(context: DiagnosisContext, ssl_context: ssl.SSLContext) -> None:
    await handshake(context.base.host, context.base.port, ssl_context, timeout_s=context.real_timeout_s)


async def speaks_tls(context: DiagnosisContext) -> bool:
    """Whether the server at an http URL speaks TLS."""
    try:
        await _handshake(context, trusting_anything())
    except (OSError, TimeoutError):
        return False
    return True
