"""Which certificate of the gateway is trusted: one policy that makes the `SSLContext` of REST and WebSocket alike.

The gateway ships with a self-signed certificate that has long expired, so verifying it fails until it is replaced or
pinned. Everything a policy decides stands in the context itself, because the cookie leaves before any code of ours
could look at the peer's certificate.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import ssl
import warnings
from pathlib import Path
from typing import Final, Literal, NoReturn

from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    CpapiError,
    PinMismatchError,
    RequestTimeoutError,
)

#: X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the `ssl` module has no name for.
_NO_CHECK_TIME: Final = 0x200000

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")

_warned_insecure = False


class InsecureTlsWarning(UserWarning):
    """`Tls.insecure()` was chosen: anybody on the way can read and change everything, the session included."""


class Tls:
    """Which certificate of the gateway to trust. Made by name: `verify`, `ca_file`, `pinned`, `insecure`. Immutable."""

    __slots__ = ("_mode", "_value")

    _mode: Literal["verify", "ca_file", "pinned", "insecure"]
    _value: str

    def __init__(self) -> None:
        raise TypeError("choose by name: Tls.verify(), Tls.ca_file(path), Tls.pinned(fingerprint) or Tls.insecure()")

    @classmethod
    def _new(cls, mode: Literal["verify", "ca_file", "pinned", "insecure"], value: str = "") -> Tls:
        self = object.__new__(cls)
        object.__setattr__(self, "_mode", mode)
        object.__setattr__(self, "_value", value)
        return self

    @classmethod
    def verify(cls) -> Tls:
        """Trust what the machine trusts, and check host name and dates: the default, right for the direct route."""
        return cls._new("verify")

    @classmethod
    def ca_file(cls, path: str | os.PathLike[str]) -> Tls:
        """Trust the certificates in this PEM file and no others, and check host name and dates.

        The file is read when the first connection is made; one that cannot be used is a ConfigError there.
        """
        return cls._new("ca_file", os.fspath(path))

    @classmethod
    def pinned(cls, sha256_hex: str) -> Tls:
        """Trust the one certificate with this SHA-256 fingerprint, whatever its host name and dates say.

        Args:
            sha256_hex: 64 hex digits of the fingerprint of the DER form, in either case, colons or not: what
                `openssl x509 -fingerprint -sha256` prints.

        Raises:
            ConfigError: it is something else.
        """
        digits = sha256_hex.strip().replace(":", "").lower() if isinstance(sha256_hex, str) else ""
        if _FINGERPRINT.fullmatch(digits) is None:
            raise ConfigError(
                "a certificate is pinned by the 64 hex digits of its SHA-256 fingerprint; "
                "`openssl x509 -noout -fingerprint -sha256 -in FILE` prints it"
            )
        return cls._new("pinned", digits)

    @classmethod
    def insecure(cls) -> Tls:
        """Trust any certificate. Issues an `InsecureTlsWarning`, once per process; prefer `pinned`."""
        global _warned_insecure
        if not _warned_insecure:
            _warned_insecure = True
            warnings.warn(
                "TLS certificates are not checked: anybody on the way can read the session and change the data. "
                "Tls.pinned(fingerprint) is as easy and safe.",
                InsecureTlsWarning,
                stacklevel=2,
            )
        return cls._new("insecure")

    @property
    def mode(self) -> Literal["verify", "ca_file", "pinned", "insecure"]:
        """The name of the policy."""
        return self._mode

    async def context(self, host: str, port: int, *, timeout_s: float) -> ssl.SSLContext:
        """A context that enforces this policy for connections to `host`.

        Only `pinned` talks to the peer for it: it fetches the certificate over a connection of its own that carries
        no byte of application data, compares the fingerprint, and then trusts exactly that certificate. A wrong pin
        thus sends nothing, and a certificate that changes afterwards fails the handshake.

        Args:
            host: name or address, without brackets.
            port: the port.
            timeout_s: how long the fetch may take, in real seconds.

        Raises:
            ConfigError: the CA file is missing, unreadable or holds no certificate.
            PinMismatchError: the peer has another certificate; the message tells which.
            ConnectError: nobody answers there, or not in TLS.
            RequestTimeoutError: the peer did not finish the handshake in time.
        """
        if self._mode == "pinned":
            return trusting_only(await self._fetch_pinned(host, port, timeout_s))
        if self._mode == "insecure":
            return trusting_anything()
        # Reading the certificates takes milliseconds of disk and CPU, which a running feed would feel.
        return await asyncio.to_thread(ssl.create_default_context if self._mode == "verify" else self._ca_context)

    def _ca_context(self) -> ssl.SSLContext:
        try:
            # Read here and not by OpenSSL, which tells less about why it could not. What is not ASCII is comment.
            pem = Path(self._value).read_bytes().decode("ascii", "ignore")
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except ValueError:
            problem = "this cannot be a path"
        else:
            try:
                # Of a text without a certificate, create_default_context would fall back to the machine's own.
                if "-----BEGIN CERTIFICATE-----" in pem:
                    return _trusting_file(pem)
                problem = "it holds no certificate"
            except (ssl.SSLError, ValueError):
                problem = "it holds a damaged certificate"
        raise ConfigError(f"cannot use the CA file {self._value!r}: {problem}; give a PEM file of CERTIFICATE blocks")

    async def _fetch_pinned(self, host: str, port: int, timeout_s: float) -> bytes:
        der = await _fetch_certificate(host, port, timeout_s)
        seen = hashlib.sha256(der).hexdigest()
        if not hmac.compare_digest(seen, self._value):
            raise PinMismatchError(
                f"the certificate of {host}:{port} is not the pinned one and nothing was sent; its SHA-256 fingerprint "
                f"is {seen}. If the gateway's certificate was replaced and this is the new one, pin this"
            )
        return der

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Tls policy cannot be changed; make another one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Tls policy cannot be changed; make another one")

    def __eq__(self, other: object) -> bool:
        return (self._mode, self._value) == (other._mode, other._value) if isinstance(other, Tls) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._mode, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        return Tls._new, (self._mode, self._value)

    def __repr__(self) -> str:
        return f"Tls.{self._mode}({repr(self._value) if self._value else ''})"


def trusting_anything() -> ssl.SSLContext:
    """A context that lets any certificate pass: good for looking at one, and for `Tls.insecure()`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting_file(pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem)
    # Python 3.13 made pedantry about extensions the default; home-made authorities rarely pass it, and whether one does
    # must not depend on the interpreter.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # The file may hold the gateway's own certificate instead of an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def trusting_only(der: bytes) -> ssl.SSLContext:
    """A context that lets this one certificate pass, whatever its host name and dates say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=der)
    # PARTIAL_CHAIN: the certificate is trusted by itself, without the authority that signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    return context


async def _fetch_certificate(host: str, port: int, timeout_s: float) -> bytes:
    """The peer's certificate in DER form, over a connection that ends after the handshake."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=trusting_anything()), timeout_s)
    except TimeoutError:
        error: CpapiError = RequestTimeoutError(
            f"no TLS handshake with {host}:{port} within {timeout_s:g} s; is the gateway running, and in TLS?"
        )
    except ssl.SSLError as reason:
        error = tls_failure(host, port, reason)
    except OSError as reason:
        error = connect_failure(host, port, reason)
    else:
        try:
            ssl_object: ssl.SSLObject = writer.get_extra_info("ssl_object")
            # A peer without a certificate cannot be, for lack of a cipher; if it could, it would match no pin.
            return ssl_object.getpeercert(binary_form=True) or b""
        finally:
            # Cut instead of closed: a farewell is worth no wait, and the peer owes us none.
            writer.transport.abort()
    raise error


def connect_failure(host: str, port: int, reason: OSError) -> ConnectError:
    """What a failed TCP connection looks like to a user."""
    # Of a refused connection, asyncio's own text repeats the address; the system's says what happened. The errors of
    # name resolution have negative numbers of their own.
    if reason.errno is not None and reason.errno > 0:
        detail = os.strerror(reason.errno)
    else:
        detail = reason.strerror or type(reason).__name__
    return ConnectError(
        f"no connection to {host}:{port}: {detail}; is the gateway running, and are host and port right?"
    )


def tls_failure(host: str, port: int, reason: ssl.SSLError) -> ConnectError | CertificateError:
    """What a failed TLS handshake looks like to a user."""
    # Only errors that OpenSSL itself raised have these attributes.
    why = getattr(reason, "verify_message", None) or getattr(reason, "reason", None) or type(reason).__name__
    if isinstance(reason, ssl.SSLCertVerificationError):
        return CertificateError(
            f"the certificate of {host}:{port} is not trusted: {why}. Pin it with --fingerprint or "
            "Tls.pinned(fingerprint), or give its CA with --ca-file or Tls.ca_file(path)"
        )
    return ConnectError(f"no TLS with {host}:{port}: {why}; does the gateway speak plain http on this port?")
