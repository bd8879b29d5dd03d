"""Busy polling: the event loop polls its sockets continuously instead of sleeping."""

from __future__ import annotations

import asyncio


class BusyPoll:
    """Makes an event loop poll its sockets continuously instead of sleeping until data arrives.

    This saves the time to wake a sleeping thread, which is most of the latency of a feed with few frames. It uses a
    whole processor core even if no data arrives. Other tasks of the loop run as usual.

    Args:
        loop: the running loop. Several instances may share it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_spinning = True
        loop.call_soon(self._spin)

    def _spin(self) -> None:
        # A loop with a callback that is ready polls its sockets without a timeout.
        if self._is_spinning:
            self._loop.call_soon(self._spin)

    def stop(self) -> None:
        """Let the loop sleep again. Idempotent."""
        self._is_spinning = False
