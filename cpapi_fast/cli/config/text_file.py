"""Reads small text files of users, with one typed error for each reason why that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .errors import SettingsError

#: The most that is read of one file. A longer one is the wrong file.
_MAX_BYTES: Final = 8 * 1024 * 1024


def read_text(path: str) -> str:
    """Return the text of a file, with a line feed at the end of each line and without a byte order mark.

    Raises:
        SettingsError: the file cannot be read, is too long, or is not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise SettingsError([f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}"]) from None
    if len(data) > _MAX_BYTES:
        raise SettingsError([f"{path} has more than {_MAX_BYTES // 1024**2} MiB, so it is another file"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise SettingsError([f"{path}:{line}: not UTF-8; save the file in this encoding"]) from None
    return text.replace("\r\n", "\n")
