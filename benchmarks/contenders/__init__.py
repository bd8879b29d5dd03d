"""The Python clients to measure: one in each file. Each runs in its own process.

A contender has `PACKAGES`, the distributions whose versions are in its results, and the coroutine function
`connect(address, task)`. It connects and returns the coroutine function `drain()`, which sends a text to start the
sender, receives until the sender closes, does the job of the task for every frame, and returns the number of frames.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

Drain = Callable[[], Awaitable[int]]


class Address(NamedTuple):
    """The URL of the WebSocket, and for TLS the file with the root certificate."""

    url: str
    cafile: Path | None = None

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        return None if self.cafile is None else ssl.create_default_context(cafile=str(self.cafile))
