"""Reads small text files of users, with one typed error for each reason why that fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from .errors import SettingsError

#: The most that is read of one file. A longer one is the wrong file.
_MAX_BYTES: Final = 8 * 1024 * 1024


def read_text(path: str) -> str:
    """Return the text of a file, with a line feed at the end of each line and without a byte order mark.

    Only a regular file is read: a pipe can block for ever, and is empty when it is read again.

    Raises:
        SettingsError: the file cannot be read, is no regular file, is too long, or is not UTF-8.
    """
    try:
        data = _data_of(path)
    except (OSError, ValueError) as exc:
        raise SettingsError([f"cannot read {_shown(path)}: {getattr(exc, 'strerror', None) or exc}"]) from None
    if len(data) > _MAX_BYTES:
        raise SettingsError([f"{path} has more than {_MAX_BYTES // 1024**2} MiB, so it is another file"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise SettingsError([f"{path}:{line}: not UTF-8; save the file in this encoding"]) from None
    # Some programs end lines with a carriage return alone.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_file(path: str) -> None:
    """Check that a file can be read, without reading it.

    Raises:
        SettingsError: it cannot, or is no regular file.
    """
    try:
        os.close(_opened(path))
    except (OSError, ValueError) as exc:
        raise SettingsError([f"cannot read {_shown(path)}: {getattr(exc, 'strerror', None) or exc}"]) from None


def _data_of(path: str) -> bytes:
    with os.fdopen(_opened(path), "rb") as file:
        return file.read(_MAX_BYTES + 1)


def _opened(path: str) -> int:
    # Without waiting for a writer of a named pipe.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        kind = "Is a directory" if stat.S_ISDIR(mode) else "not a regular file; write its content to a file"
        raise OSError(0, kind)
    return number


def _shown(path: str) -> str:
    """The path, with the absolute one if it depends on the working directory."""
    return path if Path(path).is_absolute() else f"{path} ({Path(path).absolute()})"
