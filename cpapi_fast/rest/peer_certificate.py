"""The certificate that a server presents: why it is not trusted, and what to do about it."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from cpapi_fast.redaction import printable

from .tls import TlsMode, trusting_anything, trusting_only

#: OpenSSL's numbers (X509_V_ERR_...) for a certificate whose authority is trusted: its host or its dates are wrong.
#: OpenSSL reports the first problem only, and checks the authority first, then the host, then the dates.
_WRONG_HOST: Final = frozenset({62, 63, 64})
_WRONG_DATES: Final = frozenset({9, 10})
#: The numbers for an authority that is not trusted. The second is that of a self-signed certificate.
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})
_SELF_SIGNED: Final = 18

#: How many names of a certificate a message contains, and how much of each.
_MAX_NAMES: Final = 3
_MAX_NAME_LENGTH: Final = 60


class Refusal(NamedTuple):
    """Why a certificate is not trusted, as clauses, and what to do, as sentences."""

    reasons: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class PeerCertificate:
    """A server's certificate, trusted or not.

    Attributes:
        sha256: its fingerprint, 64 lower-case hex digits.
        version: the version of TLS, such as `TLSv1.3`.
        matches_host: whether it is for the host of the connection.
        details: what `ssl.SSLSocket.getpeercert()` returns; empty if OpenSSL rejects it even as the only trusted one.
    """

    sha256: str
    version: str
    matches_host: bool
    details: dict[str, Any]

    @classmethod
    async def fetch(cls, host: str, port: int, *, timeout_s: float) -> PeerCertificate:
        """Fetch the certificate, trusted or not, over two or three connections without application data.

        Args:
            host: the name or address, without brackets.
            port: the port.
            timeout_s: the time limit of each connection, in real seconds.

        Raises:
            OSError: no connection, or no TLS.
            TimeoutError: no handshake within `timeout_s`.
        """
        der, _, version = await handshake(host, port, trusting_anything(), timeout_s=timeout_s)
        # Python decodes only certificates that the context trusts.
        only = trusting_only(der)
        only.check_hostname = True
        details: dict[str, Any] = {}
        matches_host = True
        try:
            _, details, _ = await handshake(host, port, only, timeout_s=timeout_s)
        except ssl.SSLError:
            matches_host = False
            only.check_hostname = False
            with suppress(ssl.SSLError):
                _, details, _ = await handshake(host, port, only, timeout_s=timeout_s)
        return cls(hashlib.sha256(der).hexdigest(), version, matches_host, details)

    @property
    def is_self_signed(self) -> bool | None:
        """Whether it is signed by its own key, as far as its names tell; None if they are unknown."""
        return self.details["subject"] == self.details["issuer"] if self.details else None

    @property
    def names(self) -> list[str]:
        """The host names and addresses that it is for, printable and shortened."""
        names = [printable(str(name)) for _, name in self.details.get("subjectAltName", ())]
        return [name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…" for name in names]

    def date(self, name: str) -> datetime | None:
        """Return `notBefore` or `notAfter`; None if it is unknown."""
        text = self.details.get(name)
        return None if text is None else datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)

    def problems(self, host: str, now: datetime, code: int | None = None) -> list[str]:
        """Return the reasons not to trust it, as clauses.

        Args:
            host: the host of the connection.
            now: the current time.
            code: OpenSSL's number of the first reason, which tells whether the authority is one; None if it is unknown.
        """
        found = [text for text in (self._wrong_date(now),) if text]
        if code == _SELF_SIGNED if code is not None else self.is_self_signed:
            found.append("it is self-signed")
        if not self.matches_host:
            found.append(f"it is for {_listed(self.names) or 'no host name'}, not for {host}")
        return found

    def refusal(self, host: str, mode: TlsMode, code: int | None, why: str, now: datetime) -> Refusal:
        """Explain why a TLS policy refused it.

        Args:
            host: the host of the connection.
            mode: the policy, which decides what to advise: nothing that was already chosen.
            code: OpenSSL's number of the first reason; None if it is unknown.
            why: OpenSSL's text for it.
            now: the current time.
        """
        is_authority_trusted = code in _WRONG_HOST or code in _WRONG_DATES
        reasons = self.problems(host, now, code)
        if code in _UNKNOWN_AUTHORITY and code != _SELF_SIGNED:
            trusting = "the CA file" if mode == "ca_file" else "this machine" if mode == "verify" else "the TLS policy"
            reasons.append(f"{trusting} does not trust the authority that signed it")
        elif not reasons or not (is_authority_trusted or code in _UNKNOWN_AUTHORITY):
            reasons.append(_clause(why))
        return Refusal(tuple(reasons), self._advice(host, mode, code, now))

    def _advice(self, host: str, mode: TlsMode, code: int | None, now: datetime) -> str:
        is_authority_trusted = code in _WRONG_HOST or code in _WRONG_DATES
        pin = f"pass Tls.pinned('{self.sha256}')"
        if_yours = " if this is your gateway's certificate"
        sentences = []
        if not is_authority_trusted and mode == "ca_file":
            sentences.append(
                f"Put it or its authority's certificate into the CA file, which is read again at each try,{if_yours}."
            )
            if_yours = ""
        elif code in _UNKNOWN_AUTHORITY and code != _SELF_SIGNED:
            if_yours += ", or its authority with Tls.ca_file(path)"
        # Without a CA file, a pin is the remedy for an unknown authority, and then host and dates do not matter.
        if is_authority_trusted or mode == "ca_file":
            if not self.matches_host and self.names:
                usable = [name for name in self.names if "*" not in name and "…" not in name]
                sentences.append(
                    f"Use {' or '.join(usable[:_MAX_NAMES])} instead of {host} as the host in the URL."
                    if usable
                    else f"Use a host name that the certificate is for, instead of {host}, in the URL."
                )
            if self._wrong_date(now) is not None:
                sentences.append("Renew the gateway's certificate, or correct this machine's clock if that is wrong.")
        return " ".join([*sentences, f"{f'Or {pin}' if sentences else f'P{pin[1:]}'}{if_yours}."])

    def _wrong_date(self, now: datetime) -> str | None:
        start, end = self.date("notBefore"), self.date("notAfter")
        if end is not None and end < now:
            return f"it expired on {end:%Y-%m-%d}"
        if start is not None and start > now:
            return f"it is not valid before {start:%Y-%m-%d %H:%M} UTC"
        return None

    def facts(self, now: datetime) -> dict[str, Any]:
        """Return the details for programs, by name."""
        end = self.date("notAfter")
        return {
            "sha256": self.sha256,
            "tls_version": self.version,
            "matches_host": self.matches_host,
            "self_signed": self.is_self_signed,
            "not_after": None if end is None else end.isoformat(),
            "expired": None if end is None else end < now,
        }


async def handshake(
    host: str, port: int, context: ssl.SSLContext, *, timeout_s: float
) -> tuple[bytes, dict[str, Any], str]:
    """Complete a TLS handshake and disconnect. No application data is sent.

    Returns:
        The certificate in DER form, its decoded members (empty for a context that trusts anything), the TLS version.

    Raises:
        OSError: no connection, or no TLS that the context accepts.
        TimeoutError: no handshake within `timeout_s`, in real seconds.
    """
    _, writer = await asyncio.wait_for(
        asyncio.open_connection(host, port, ssl=context, server_hostname=host), timeout_s
    )
    try:
        ssl_object: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der = ssl_object.getpeercert(binary_form=True) or b""
        return der, dict(ssl_object.getpeercert() or {}), ssl_object.version() or "TLS"
    finally:
        # Aborted, because close() would wait for the peer.
        writer.transport.abort()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (" and others" if len(names) > _MAX_NAMES else "")


def _clause(text: str) -> str:
    """A text of OpenSSL as a part of a sentence."""
    return printable(text).rstrip(".") or "OpenSSL gives no reason"
