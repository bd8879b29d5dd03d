"""One way to receive per file, each run in a process of its own.

A contender has `PACKAGES`, the distributions whose versions belong to its numbers, and one coroutine,
`connect(address, task)`. It connects, and returns `drain()`, which tells the sender to begin (any text will do),
receives until the sender closes, does the task's job with every frame, and returns how many frames there were.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

Drain = Callable[[], Awaitable[int]]


class Address(NamedTuple):
    """Where the sender is: the WebSocket's URL, and for TLS the file that its certificate is verified with."""

    url: str
    cafile: Path | None = None

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        return None if self.cafile is None else ssl.create_default_context(cafile=str(self.cafile))
