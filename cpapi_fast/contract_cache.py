"""ContractCache: keeps what the gateway tells about contracts in files, each with an age"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from .clock import SYSTEM_CLOCK, Clock
from .errors import ConfigError
from .new_file import create_file
from .option_values import check_positive, check_whole
from .printable import printable
from .redaction import redact_accounts

_LOGGER: Final = logging.getLogger("cpapi_fast")

_FORMAT: Final = "cpapi_fast.contract"
_VERSION: Final = 1
#: The names of the files of a cache. It never touches others.
_NAME: Final = re.compile(r"[0-9a-f]{40}\.json")
_PART: Final = re.compile(r"[0-9a-f]{40}\.[0-9a-f]{8}\.part")
#: The age in seconds of an unfinished file, from which on its writer is gone.
_ABANDONED_S: Final = 3_600.0
#: How far the clock may have been set back since an entry was written, in ns.
_SLACK_NS: Final = 60 * 1_000_000_000
#: More than any age, in ns.
_FOREVER_NS: Final = 2.0**63
#: After so many entries, or this part of `max_bytes`, the bounds are applied.
_ENTRIES_PER_CHECK: Final = 64
_CHECKS_PER_BOUND: Final = 8


class ContractCache:
    """Keeps lists, terms and schedules of contracts in a folder, so that the next program does not request them again.

    Each response is in a file of its own, which only its owner can read, and which is complete or not there. What
    cannot be read, is damaged, or belongs to another user is ignored with a warning, and requested again. A cache never
    makes a request fail. Several programs may share a folder. It contains no session, cookie or account.

    The methods block, for as long as it takes to read or write one small file; the client calls them in a thread.

    Args:
        folder: the folder, created with the first entry, for its owner only.
        max_age_s: entries that are older are requested again, in seconds.
        max_entries: how many entries are kept; the oldest are removed.
        max_bytes: how many bytes all entries may have; the oldest are removed.
        clock: the time of day.

    Raises:
        ConfigError: a number is not above zero, or the folder is no path.

    Attributes:
        folder: the folder.
        hits: how many entries were found.
        misses: how many were not, or were too old.
        ignored: how many files were unreadable, damaged, or of another user.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        max_age_s: float = 86_400.0,
        max_entries: int = 10_000,
        max_bytes: int = 64 * 1024 * 1024,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        path = os.fspath(folder) if isinstance(folder, (str, os.PathLike)) else None
        if not isinstance(path, str) or not path:
            raise ConfigError(f"the folder of a cache must be a path, not {type(folder).__name__}")
        check_positive("max_age_s", max_age_s, "seconds")
        check_whole("max_entries", max_entries, "entries")
        check_whole("max_bytes", max_bytes, "bytes")
        self.folder: Final = Path(path)
        self.hits = 0
        self.misses = 0
        self.ignored = 0
        self._max_age_ns: Final = int(min(max_age_s * 1e9, _FOREVER_NS))
        self._max_entries: Final = max_entries
        self._max_bytes: Final = max_bytes
        self._clock: Final = clock
        self._warned: set[str] = set()
        # What this object has written since it applied the bounds, and whether it ever did.
        self._is_checked = False
        self._unchecked_entries = 0
        self._unchecked_bytes = 0
        # The client calls the methods in threads.
        self._lock: Final = threading.Lock()

    @classmethod
    def default(cls, *, max_age_s: float = 86_400.0) -> ContractCache:
        """Return a cache in the folder that this system has for caches, of the current user.

        It is `cpapi_fast` in `$XDG_CACHE_HOME` or `~/.cache`; on macOS in `~/Library/Caches`, on Windows in
        `%LOCALAPPDATA%`.

        Raises:
            ConfigError: the user has no home folder.
        """
        try:
            home = Path.home()
        except RuntimeError:
            raise ConfigError("this user has no home folder. Give the folder of the cache.") from None
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = home / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
        return cls(base / "cpapi_fast", max_age_s=max_age_s)

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that have a valid entry."""
        found: dict[str, Any] = {}
        with self._lock:
            for key in keys:
                entry = self._read(key)
                if entry is None:
                    self.misses += 1
                else:
                    self.hits += 1
                    found[key] = entry["value"]
        return found

    def put(self, values: Mapping[str, Any]) -> None:
        """Write entries. An entry that cannot be written is left out, with a warning."""
        with self._lock:
            for key, value in values.items():
                if not self._put(key, value):
                    return

    def _put(self, key: str, value: Any) -> bool:
        """Write an entry. Returns whether the folder can be written."""
        time_ns = self._clock.time_ns()
        entry = {"format": _FORMAT, "version": _VERSION, "time_ns": time_ns, "key": key, "value": value}
        try:
            data = orjson.dumps(entry)
            is_short = len(data) <= self._max_bytes
            if is_short and not self._write(self._path(key), data):
                return True
        except TypeError:
            # A number with more than 64 bits, say. The response is used, and not kept.
            return True
        except (OSError, ValueError) as exc:
            self._warn(f"cannot write to the cache {self.folder}: {_reason(exc)}; it is not used")
            return False
        self._unchecked_entries += is_short
        self._unchecked_bytes += len(data) if is_short else 0
        limits = min(_ENTRIES_PER_CHECK, self._max_entries), self._max_bytes // _CHECKS_PER_BOUND
        if not self._is_checked or self._unchecked_entries >= limits[0] or self._unchecked_bytes >= limits[1]:
            self._apply_bounds()
            self._is_checked = True
            self._unchecked_entries = self._unchecked_bytes = 0
        return True

    def discard(self, key: str) -> None:
        """Count an entry as ignored whose value turned out to be of no use. The next `put` replaces it."""
        self._ignore(self._path(key), "its value is not as expected")

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}.json"

    def _read(self, key: str) -> dict[str, Any] | None:
        path = self._path(key)
        try:
            entry = _checked(orjson.loads(self._content(path)), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            self._ignore(path, _reason(exc))
            return None
        age_ns = self._clock.time_ns() - entry["time_ns"]
        return entry if -_SLACK_NS <= age_ns < self._max_age_ns else None

    def _content(self, path: Path) -> bytes:
        # A link could lead anywhere, and a pipe would block.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no file")
            if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
                raise ValueError("it belongs to another user")
            if status.st_size > self._max_bytes:
                raise ValueError("it is too long")
            return file.read(self._max_bytes + 1)

    def _write(self, path: Path, data: bytes) -> bool:
        """Write a file that is complete before it gets its name. Returns whether it got it.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            with create_file(part) as file:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        try:
            part.replace(path)
        except OSError as exc:
            # A folder has this name, say. The others can be written.
            with suppress(OSError):
                part.unlink()
            self._ignore(path, f"it cannot be replaced ({_reason(exc)})")
            return False
        return True

    def _apply_bounds(self) -> None:
        """Remove the oldest entries beyond the bounds, and what killed programs have left."""
        try:
            files = list(os.scandir(self.folder))
        except OSError:
            return
        entries = []
        now_s = self._clock.time_ns() / 1e9
        for file in files:
            with suppress(OSError):
                status = file.stat(follow_symlinks=False)
                if _NAME.fullmatch(file.name) is not None:
                    entries.append((status.st_mtime_ns, status.st_size, file.path))
                elif _PART.fullmatch(file.name) is not None and now_s - status.st_mtime > _ABANDONED_S:
                    Path(file.path).unlink()
        # The newest first.
        entries.sort(reverse=True)
        total = 0
        for index, (_, size, path) in enumerate(entries):
            total += size
            if index >= self._max_entries or total > self._max_bytes:
                with suppress(OSError):
                    Path(path).unlink()

    def _ignore(self, path: Path, why: str) -> None:
        self.ignored += 1
        self._warn(f"ignored the file {path} of the cache: {why}", kind=why)

    def _warn(self, text: str, kind: str = "") -> None:
        # Of each kind once, however many files have it.
        kind = kind or text
        if kind not in self._warned and len(self._warned) < 20:
            self._warned.add(kind)
            _LOGGER.warning("%s", printable(redact_accounts(text)))

    def __repr__(self) -> str:
        folder = redact_accounts(str(self.folder))
        return f"ContractCache({folder!r}, hits={self.hits}, misses={self.misses}, ignored={self.ignored})"


def _checked(entry: Any, key: str) -> dict[str, Any]:
    """Return a decoded entry. Raises ValueError for one of another program, version or request."""
    if not isinstance(entry, dict) or "value" not in entry or entry.get("format") != _FORMAT:
        raise ValueError("it is no entry of a cache")
    if (entry.get("version"), entry.get("key")) != (_VERSION, key):
        raise ValueError("it is an entry of another version or another request")
    if type(entry.get("time_ns")) is not int:
        raise ValueError("it has no time")
    return entry


def _reason(exc: Exception) -> str:
    if isinstance(exc, orjson.JSONDecodeError):
        return "it is damaged"
    return getattr(exc, "strerror", None) or str(exc)
