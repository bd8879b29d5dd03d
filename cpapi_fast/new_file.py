"""Creates files that only their owner can read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final

#: The mode of a new file: readable and writable by its owner only. Files contain accounts and session ids.
PRIVATE_MODE: Final = 0o600


def create_file(path: Path, mode: int = PRIVATE_MODE) -> io.FileIO:
    """Create a file and open it for appending, without a buffer. An existing file is never opened.

    Args:
        path: the file to create.
        mode: its permissions. The umask can restrict the default further. Any other mode is set exactly.

    Raises:
        FileExistsError: the path exists.
        OSError: the file cannot be created.
        ValueError: the path contains a NUL character.
    """

    def opener(name: str, flags: int) -> int:
        # Never wider than the mode, not even for a moment.
        descriptor = os.open(name, flags | os.O_APPEND, mode)
        if mode != PRIVATE_MODE and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        return descriptor

    return open(path, "xb", buffering=0, opener=opener)
