"""The self-signed TLS certificate of a simulated gateway."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cpapi_fast.errors import ConfigError, MissingDependencyError
from cpapi_fast.new_file import create_file

#: The names and addresses of a gateway on the local machine.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

#: How many bytes of a certificate file are read. A key and a certificate have about 1,500.
_MAX_FILE_BYTES = 1024 * 1024
#: How long a certificate in a file is valid: drills with a pin may be repeated for years.
_FILE_LIFETIME = timedelta(days=3_650)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its key. The certificate can be used as a CA file.

    Attributes:
        certificate_pem: the certificate in PEM form.
        private_key_pem: its private key in PEM form, not encrypted.
    """

    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER) as 64 lower-case hex digits, for clients that pin it."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate_pem.decode())).hexdigest()

    @classmethod
    def make(
        cls,
        hosts: Sequence[str] = LOCAL_HOSTS,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Certificate:
        """Create a key and a certificate for `hosts` (names and IP addresses).

        Args:
            hosts: the subject alternative names of the certificate.
            not_before: start of its validity; None means a day ago.
            not_after: end of its validity; None means a year after the start.

        Raises:
            ConfigError: the validity ends before it starts.
            MissingDependencyError: the package `cryptography` is not installed.
        """
        try:
            from cryptography import x509
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
        except ImportError as error:
            raise MissingDependencyError.of("TLS in the simulator", "cryptography") from error

        start = not_before or datetime.now(UTC) - timedelta(days=1)
        end = not_after or start + timedelta(days=365)
        if end <= start:
            raise ConfigError(f"the certificate's validity ends ({end}) before it starts ({start})")
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cpapi-fast simulator")])
        key_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        addresses = {host: address for host in hosts if (address := _address(host)) is not None}
        alternative_names: list[x509.GeneralName] = [
            x509.IPAddress(addresses[host]) if host in addresses else x509.DNSName(host)
            for host in dict.fromkeys(hosts)
        ]
        # The strict checks of Python 3.13 require both key identifiers and a critical CA flag.
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
            .add_extension(key_identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(key_identifier.digest, None, None), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            private_key_pem=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    @classmethod
    def expired(cls) -> Certificate:
        """A certificate whose validity ended a day ago."""
        now = datetime.now(UTC)
        return cls.make(not_before=now - timedelta(days=30), not_after=now - timedelta(days=1))

    @classmethod
    def kept_in(cls, path: str | os.PathLike[str], hosts: Sequence[str] = LOCAL_HOSTS) -> Certificate:
        """Return the certificate in a PEM file, or create one for ten years and the file with it.

        Args:
            path: a PEM file with an unencrypted private key and its certificate. A new file is readable by its owner
                only.
            hosts: the names and addresses in a new certificate.

        Raises:
            ConfigError: the file cannot be read or created; it does not have a private key and its certificate; or the
                certificate is not valid now.
            MissingDependencyError: the package `cryptography` is not installed.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_FILE_BYTES)
        except FileNotFoundError:
            return cls._new_file(Path(path), hosts)
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path.
            raise ConfigError(f"cannot read the certificate file {path}: {_reason(error)}") from error
        return cls._parsed(content, path)

    @classmethod
    def _new_file(cls, path: Path, hosts: Sequence[str]) -> Certificate:
        start = datetime.now(UTC) - timedelta(days=1)
        certificate = cls.make(hosts, not_before=start, not_after=start + _FILE_LIFETIME)
        try:
            with create_file(path) as file:
                try:
                    content = memoryview(certificate.private_key_pem + certificate.certificate_pem)
                    while content:
                        content = content[file.write(content) or 0 :]
                except BaseException:
                    # A part of a key would be an error at each later start.
                    path.unlink(missing_ok=True)
                    raise
        except FileExistsError:
            # Another simulator has created it since it was looked for.
            return cls.kept_in(path, hosts)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot create the certificate file {path}: {_reason(error)}") from error
        return certificate

    @classmethod
    def _parsed(cls, content: bytes, path: str | os.PathLike[str]) -> Certificate:
        try:
            from cryptography import x509
            from cryptography.hazmat.primitives import serialization
        except ImportError as error:
            raise MissingDependencyError.of("TLS in the simulator", "cryptography") from error

        remedy = "give a PEM file with an unencrypted private key and its certificate, or delete it for a new one"
        try:
            key = serialization.load_pem_private_key(content, password=None)
            certificate = x509.load_pem_x509_certificate(content)
        except Exception as error:
            # The library has many errors for bytes that it cannot read; one of them is a TypeError.
            raise ConfigError(f"the certificate file {path} is not usable; {remedy}") from error
        parsed = cls(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            private_key_pem=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
            raise ConfigError(
                f"the certificate in {path} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}, so not now; delete the file for a new one"
            )
        try:
            parsed.server_context()
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"the private key in {path} does not belong to its certificate, or TLS does not support it; {remedy}"
            ) from error
        return parsed

    def write(self, folder: str) -> Path:
        """Write the certificate without its key into a folder; the path of the file, usable as a CA file."""
        path = Path(folder, "certificate.pem")
        path.write_bytes(self.certificate_pem)
        return path

    def server_context(self) -> ssl.SSLContext:
        """A server-side TLS context with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The ssl module only reads certificates from files.
        with tempfile.TemporaryDirectory(prefix="cpapi-fast-") as folder:
            path = Path(folder, "gateway.pem")
            path.touch(mode=0o600)
            path.write_bytes(self.private_key_pem + self.certificate_pem)
            context.load_cert_chain(path)
        return context


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
