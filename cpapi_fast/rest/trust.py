"""Trust: the TLS context of one gateway, created again when the trusted files change or a certificate is refused."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import stat
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cpapi_fast.errors import CertificateError, ConfigError, PinMismatchError

from .peer_certificate import PeerCertificate, handshake
from .tls import Tls, trusting_anything

#: A file that was written this recently may change again without a change of its times, which have steps of up to two
#: seconds in some file systems. Its content is compared instead.
_SETTLED_NS: Final = 2_000_000_000

#: What identifies one version of each trusted file or folder: device, inode, size, times.
_Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Loaded:
    """A context and what it was created from.

    Attributes:
        context: the context.
        stamp: the versions of the files; None if they must be read again at the next use.
        pem: the content of the CA file; empty under other policies.
        is_final: whether it is kept for good, because a pipe can be read only once.
    """

    context: ssl.SSLContext
    stamp: _Stamp | None = ()
    pem: str = ""
    is_final: bool = False


class Trust:
    """Creates the `SSLContext` of a TLS policy for one gateway, and keeps it as long as it is up to date.

    The CA file, or the machine's authorities under `Tls.verify()`, are read again when a file has changed, and after a
    certificate was refused. A file with the same content as before keeps the context, and with it the pooled
    connections. While the CA file is missing or damaged, its last usable content stays trusted until it refuses a
    certificate: a file that is just being written, or was deleted after the start, must not end a connection that
    works. Under `Tls.pinned()`, the certificate is fetched again after it was refused.

    Args:
        tls: the policy.
        host: the gateway's host, without brackets.
        port: its port.
    """

    def __init__(self, tls: Tls, host: str, port: int) -> None:
        self._tls: Final = tls
        self._host: Final = host
        self._port: Final = port
        self._lock: Final = asyncio.Lock()
        self._loaded: _Loaded | None = None
        self._is_refused = False

    async def context(self, *, timeout_s: float) -> ssl.SSLContext:
        """Return the context. Raises what `Tls.context` raises, and is called again without harm after an error.

        Args:
            timeout_s: the time limit for fetching a pinned certificate, in real seconds.
        """
        async with self._lock:
            tls, loaded = self._tls, self._loaded
            if tls.mode in ("verify", "ca_file"):
                # In a thread: a file system may be slow, and reading all authorities takes milliseconds.
                loaded = await asyncio.to_thread(_load, tls, loaded, is_refused=self._is_refused)
            elif loaded is None or self._is_refused:
                loaded = _Loaded(await tls.context(self._host, self._port, timeout_s=timeout_s))
            self._loaded = loaded
            self._is_refused = False
            return loaded.context

    async def refused(
        self, context: ssl.SSLContext | None, error: CertificateError, *, timeout_s: float
    ) -> CertificateError:
        """Read the trusted certificates again at the next use, and return the error that says what is wrong.

        It fetches the gateway's certificate, over connections without application data, to tell the names and dates in
        it.

        Args:
            context: the context that refused the certificate, of `context`.
            error: the error of the handshake; returned if the certificate cannot be fetched.
            timeout_s: the time limit, in real seconds.
        """
        if self._loaded is not None and self._loaded.context is context:
            self._is_refused = True
        tls, host, port = self._tls, self._host, self._port
        try:
            async with asyncio.timeout(timeout_s):
                if tls.mode == "pinned":
                    return await self._not_pinned(timeout_s)
                seen = await PeerCertificate.fetch(host, port, timeout_s=timeout_s)
        except (OSError, TimeoutError):
            return error
        refusal = seen.refusal(host, tls.mode, error.verify_code, error.verify_message, datetime.now(UTC))
        return CertificateError(
            f"the certificate of {host}:{port} is not trusted: {' and '.join(refusal.reasons)}. {refusal.advice}",
            verify_code=error.verify_code,
            verify_message=error.verify_message,
        )

    async def _not_pinned(self, timeout_s: float) -> CertificateError:
        host, port = self._host, self._port
        der, _, _ = await handshake(host, port, trusting_anything(), timeout_s=timeout_s)
        seen = hashlib.sha256(der).hexdigest()
        if self._tls == Tls.pinned(seen):
            return PinMismatchError(
                f"the certificate of {host}:{port} was not the pinned one for a moment, so nothing was sent. Check "
                "whether two servers share this address."
            )
        return PinMismatchError(
            f"the certificate of {host}:{port} is no longer the pinned one, so nothing was sent; its SHA-256 "
            f"fingerprint is {seen}. Pin this one if the gateway's certificate was replaced."
        )


def _load(tls: Tls, loaded: _Loaded | None, *, is_refused: bool) -> _Loaded:
    """Return `loaded` if it is up to date, else what the files contain now. Blocks."""
    if loaded is not None and loaded.is_final:
        return loaded
    # Before the files are read: a file that changes meanwhile has another stamp at the next use.
    stamp, is_pipe = _stamp(tls)
    if loaded is not None and not is_refused and stamp is not None and stamp == loaded.stamp:
        return loaded
    if tls.mode == "verify":
        return _Loaded(tls.context_of_files(), stamp)
    try:
        pem = tls.read_ca_file()
        context = loaded.context if loaded is not None and pem == loaded.pem else tls.context_of_files(pem)
    except ConfigError:
        if loaded is None or is_refused:
            raise
        return replace(loaded, stamp=None)
    return _Loaded(context, stamp, pem, is_final=is_pipe)


def _stamp(tls: Tls) -> tuple[_Stamp | None, bool]:
    """The versions of the trusted files, None if their content has to be compared; and whether one is a pipe."""
    found = []
    for path in tls.trusted_paths:
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
            return None, False
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return None, True
        if abs(time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)) < _SETTLED_NS:
            return None, False
        found.append(
            (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
        )
    return tuple(found), False
