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
from cpapi_fast.meaning import Meaning
from cpapi_fast.rest.identify import Sign, identify
from cpapi_fast.rest.peer_certificate import PeerCertificate, handshake

from .context import PROBLEMS, DiagnosisContext, StepResult, advice_of, failure, ok, warning
from .diagnosis import Problem

#: A trusted certificate that expires sooner than this is reported as a warning.
_EXPIRES_SOON_S: Final = 14 * 86_400.0


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
    except (OSError, TimeoutError) as error:
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


async def _no_tls(context: DiagnosisContext, error: OSError | TimeoutError) -> StepResult:
    """The failure for a server that does not speak TLS."""
    verdict = await identify(context.base, Sign.NOT_OPENED, timeout_s=context.real_timeout_s, asks_tws=True)
    if isinstance(error, TimeoutError):
        problem = f"{context.address} accepts connections, but no TLS handshake within {context.timeout_s:g} s"
    else:
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        problem = f"no TLS with {context.address}: {why}"
    if verdict is None:
        return failure(
            Problem.TLS,
            problem,
            "Correct the port in --url, or check the gateway's log for why it refuses or closes the connection.",
        )
    meaning = verdict.meaning
    advice = advice_of(meaning, context)
    if meaning is Meaning.NO_ANSWER:
        found = f"{problem}, and no answer to http, so it is no Client Portal gateway, or one that hangs"
        return failure(Problem.TLS, found, advice, meaning=meaning.value)
    found = f"{problem}: it {verdict.found}" if meaning is Meaning.HANGS_UP else f"{context.address} {verdict.found}"
    return failure(PROBLEMS[meaning], found, advice, meaning=meaning.value)


async def _handshake(context: DiagnosisContext, ssl_context: ssl.SSLContext) -> None:
    await handshake(context.base.host, context.base.port, ssl_context, timeout_s=context.real_timeout_s)
