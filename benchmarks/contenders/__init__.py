"""The Python clients to measure: one in each file, and each runs in a process of its own.

A contender has `PACKAGES`, the distributions whose versions are in its results, and one coroutine,
`connect(address, task)`. It connects and returns `drain()`, which sends any text to start the sender, receives until
the sender closes, does the task's job with every frame, and returns the number of frames.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

Drain = Callable[[], Awaitable[int]]


class Address(NamedTuple):
    """The WebSocket's URL, and for TLS the file with the root certificate."""

    url: str
    cafile: Path | None = None

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        return None if self.cafile is None else ssl.create_default_context(cafile=str(self.cafile))
