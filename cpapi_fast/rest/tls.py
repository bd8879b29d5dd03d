"""The TLS policy: the gateway certificates that REST and WebSocket trust.

The gateway ships with a self-signed certificate that has expired, so verification fails until a user replaces or pins
it. The `SSLContext` itself enforces the policy, because the HTTP client sends the cookie before this package can check
the certificate.
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
from typing import Final, Literal, NoReturn, TypeAlias

from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    CpapiError,
    PinMismatchError,
    RequestTimeoutError,
)

#: X509_V_FLAG_NO_CHECK_TIME of OpenSSL; the `ssl` module has no constant for it.
_NO_CHECK_TIME: Final = 0x200000

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")

_warned_insecure = False

#: The names of the policies.
TlsMode: TypeAlias = Literal["verify", "ca_file", "pinned", "insecure"]


class InsecureTlsWarning(UserWarning):
    """Warns about `Tls.insecure()`: an attacker on the network can read and change all data, including the session."""


class Tls:
    """The policy for the gateway's certificate: `verify()`, `ca_file()`, `pinned()` or `insecure()`. Immutable."""

    __slots__ = ("_mode", "_value")

    _mode: TlsMode
    _value: str

    def __init__(self) -> None:
        raise TypeError("use Tls.verify(), Tls.ca_file(path), Tls.pinned(fingerprint) or Tls.insecure()")

    @classmethod
    def _new(cls, mode: TlsMode, value: str = "") -> Tls:
        self = object.__new__(cls)
        object.__setattr__(self, "_mode", mode)
        object.__setattr__(self, "_value", value)
        return self

    @classmethod
    def verify(cls) -> Tls:
        """Trust the certificate authorities of the machine, and check host name and dates. The default."""
        return cls._new("verify")

    @classmethod
    def ca_file(cls, path: str | os.PathLike[str]) -> Tls:
        """Trust only the certificates in this PEM file, and check host name and dates.

        A client reads the file before its first connection, and again when the file has changed or a certificate was
        refused. While the file is unusable, requests raise ConfigError.
        """
        return cls._new("ca_file", os.fspath(path))

    @classmethod
    def pinned(cls, sha256_hex: str) -> Tls:
        """Trust only the certificate with this SHA-256 fingerprint, regardless of its host name and dates.

        Args:
            sha256_hex: the fingerprint of the DER form as 64 hex digits, in upper or lower case, with or without
                colons, as `openssl x509 -fingerprint -sha256` prints it.

        Raises:
            ConfigError: `sha256_hex` does not have 64 hex digits.
        """
        digits = sha256_hex.strip().replace(":", "").lower() if isinstance(sha256_hex, str) else ""
        if _FINGERPRINT.fullmatch(digits) is None:
            raise ConfigError(
                "a pinned fingerprint must be the 64 hex digits of a certificate's SHA-256. Run `openssl x509 -noout "
                "-fingerprint -sha256 -in FILE` to print it."
            )
        return cls._new("pinned", digits)

    @classmethod
    def insecure(cls) -> Tls:
        """Trust any certificate. Issues an `InsecureTlsWarning` once per process. Prefer `pinned`."""
        global _warned_insecure
        if not _warned_insecure:
            _warned_insecure = True
            warnings.warn(
                "TLS certificates are not checked: an attacker on the network can read the session and change the "
                "data. Use Tls.pinned(fingerprint) instead.",
                InsecureTlsWarning,
                stacklevel=2,
            )
        return cls._new("insecure")

    @property
    def mode(self) -> TlsMode:
        """The name of the policy."""
        return self._mode

    @property
    def trusted_paths(self) -> tuple[str, ...]:
        """The files and folders with the trusted certificates; empty for `pinned` and `insecure`."""
        if self._mode == "ca_file":
            return (self._value,)
        if self._mode == "verify":
            paths = ssl.get_default_verify_paths()
            return tuple(path for path in (paths.cafile, paths.capath) if path)
        return ()

    async def context(self, host: str, port: int, *, timeout_s: float) -> ssl.SSLContext:
        """Create an `SSLContext` that enforces this policy for connections to `host`.

        Only `pinned` connects to the peer. It fetches the certificate over a separate connection without application
        data, compares the fingerprint, and creates a context that trusts exactly that certificate. So no data is sent
        to a peer with another certificate, and a handshake fails if the certificate has changed.

        Args:
            host: the name or address, without brackets.
            port: the port.
            timeout_s: the time limit for fetching the certificate, in real seconds.

        Raises:
            ConfigError: the CA file is missing, unreadable or contains no certificate.
            PinMismatchError: the peer has another certificate; the message contains its fingerprint.
            ConnectError: the connection was refused or reset, or the peer does not speak TLS.
            RequestTimeoutError: the peer did not complete the handshake within `timeout_s`.
        """
        if self._mode == "pinned":
            return trusting_only(await self._fetch_pinned(host, port, timeout_s))
        if self._mode == "insecure":
            return trusting_anything()
        # In a thread: reading the certificates takes milliseconds, which would delay a running feed.
        return await asyncio.to_thread(self.context_of_files)

    def context_of_files(self, pem: str | None = None) -> ssl.SSLContext:
        """Create the context of `verify` or `ca_file`. Blocks while it reads the files.

        Args:
            pem: what `read_ca_file` has returned; read here by default.

        Raises:
            ConfigError: the CA file is missing, unreadable or contains no certificate.
        """
        if self._mode == "verify":
            return ssl.create_default_context()
        if pem is None:
            pem = self.read_ca_file()
        try:
            # If the file has no certificate, create_default_context would use the machine's authorities.
            if "-----BEGIN CERTIFICATE-----" in pem:
                return _trusting_file(pem)
            problem = "it contains no certificate"
        except (ssl.SSLError, ValueError):
            problem = "it contains a damaged certificate"
        raise self._unusable(problem)

    def read_ca_file(self) -> str:
        """Return the text of the CA file. Blocks while it reads.

        Raises:
            ConfigError: the file is missing or unreadable.
        """
        try:
            # Read here, because OpenSSL's errors are less specific. Text that is not ASCII can only be a comment.
            return Path(self._value).read_bytes().decode("ascii", "ignore")
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except ValueError:
            problem = "the path is invalid"
        raise self._unusable(problem)

    def _unusable(self, problem: str) -> ConfigError:
        return ConfigError(
            f"cannot use the CA file {self._value!r}: {problem}. Use a PEM file with CERTIFICATE blocks. It is read "
            "again at each try."
        )

    async def _fetch_pinned(self, host: str, port: int, timeout_s: float) -> bytes:
        der = await _fetch_certificate(host, port, timeout_s)
        seen = hashlib.sha256(der).hexdigest()
        if not hmac.compare_digest(seen, self._value):
            raise PinMismatchError(
                f"the certificate of {host}:{port} is not the pinned one, so nothing was sent; its SHA-256 fingerprint "
                f"is {seen}. Pin this one if the gateway's certificate was replaced."
            )
        return der

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Tls policy is immutable. Create another one.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Tls policy is immutable. Create another one.")

    def __eq__(self, other: object) -> bool:
        return (self._mode, self._value) == (other._mode, other._value) if isinstance(other, Tls) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._mode, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        return Tls._new, (self._mode, self._value)

    def __repr__(self) -> str:
        return f"Tls.{self._mode}({repr(self._value) if self._value else ''})"


def trusting_anything() -> ssl.SSLContext:
    """Create a context that accepts any certificate, for `Tls.insecure()` and to inspect a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting_file(pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem)
    # Python 3.13 checks extensions strictly by default, which private authorities often fail. The result must not
    # depend on the version of Python.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # The file may contain the gateway's own certificate instead of an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def trusting_only(der: bytes) -> ssl.SSLContext:
    """Create a context that accepts only this certificate, regardless of its host name and dates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=der)
    # PARTIAL_CHAIN: trust the certificate without the authority that signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    return context


async def _fetch_certificate(host: str, port: int, timeout_s: float) -> bytes:
    """Fetch the peer's certificate in DER form over a connection that ends after the handshake."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=trusting_anything()), timeout_s)
    except TimeoutError:
        advice = "Check that the gateway runs and speaks TLS."
        error: CpapiError = RequestTimeoutError(
            f"no TLS handshake with {host}:{port} within {timeout_s:g} s. {advice}", advice=advice
        )
    except ssl.SSLError as reason:
        error = tls_failure(host, port, reason)
    except OSError as reason:
        error = connect_failure(host, port, reason)
    else:
        try:
            ssl_object: ssl.SSLObject = writer.get_extra_info("ssl_object")
            # Every cipher needs a certificate. Empty bytes would not match any pin.
            return ssl_object.getpeercert(binary_form=True) or b""
        finally:
            # Aborted, because close() would wait for the peer.
            writer.transport.abort()
    raise error


def connect_failure(host: str, port: int, reason: OSError) -> ConnectError:
    """Return the error for a failed TCP connection."""
    # The text of asyncio repeats the address, and the text of the system states the reason. Errors of name resolution
    # have negative numbers, for which os.strerror has no text.
    if reason.errno is not None and reason.errno > 0:
        detail = os.strerror(reason.errno)
    else:
        detail = reason.strerror or type(reason).__name__
    advice = "Start the gateway, or check host, port and network."
    return ConnectError(f"no connection to {host}:{port}: {detail}. {advice}", advice=advice)


#: OpenSSL's reasons when the peer's bytes are not those of TLS.
_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
)


def tls_failure(
    host: str, port: int, reason: ssl.SSLError, mode: TlsMode = "verify"
) -> ConnectError | CertificateError:
    """Return the error for a failed TLS handshake.

    Args:
        host: the host of the connection.
        port: the port.
        reason: the error of OpenSSL.
        mode: the policy, because nothing is advised that was chosen already.
    """
    # Only errors from OpenSSL have these attributes.
    why = getattr(reason, "verify_message", None) or getattr(reason, "reason", None) or type(reason).__name__
    if isinstance(reason, ssl.SSLCertVerificationError):
        remedy = (
            "Put it or its authority's certificate into the CA file, which is read again at each try"
            if mode == "ca_file"
            else "Pass its CA with Tls.ca_file(path)"
        )
        return CertificateError(
            f"the certificate of {host}:{port} is not trusted: {why.rstrip('.')}. {remedy}, or pin it with "
            "Tls.pinned(fingerprint).",
            verify_code=getattr(reason, "verify_code", None),
            verify_message=why.rstrip("."),
        )
    advice = (
        "Use http:// if the gateway speaks plain http on this port."
        if why in _NOT_TLS
        else "Check that the gateway speaks TLS on this port, and which versions and ciphers it allows."
    )
    return ConnectError(f"no TLS with {host}:{port}: {why}. {advice}", advice=advice)
