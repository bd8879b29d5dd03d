"""Locks on files that are being written, by which other programs know that their writer lives"""

from __future__ import annotations

import errno
import sys
from typing import Final

if sys.platform != "win32":
    import fcntl

_HELD: Final = frozenset({errno.EACCES, errno.EAGAIN})


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed, also by the end of the process. It never waits.

    Returns:
        False if another open file has the lock; None if the system or the file system has no such locks.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        return False if exc.errno in _HELD else None
    return True
