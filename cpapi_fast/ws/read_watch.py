"""ReadWatch: a workaround for uvloop, which can miss the reset of a connection."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock

#: The interval between checks whether a socket has unread data, and the shorter interval after a check that found some,
#: both in seconds.
_CHECK_S: Final = 1.0
_CHECK_AGAIN_S: Final = 0.01


class ReadWatch:
    """Reads a reset connection to its end on uvloop, which otherwise can miss the reset.

    When a socket reports an error, uvloop reads it once more and then stops polling it (as libuv's uv_poll does). If
    there is data before the error, for example because a gateway was killed while it was sending, the error is never
    read, and the connection would seem open forever. So this class restarts polling for a socket that has data and is
    not read.

    Args:
        transport: the transport of the connection.
        reads: returns the number of socket reads so far.
        clock: the clock of the interval between two checks.
    """

    def __init__(self, transport: asyncio.Transport, reads: Callable[[], int], clock: Clock) -> None:
        self._transport = transport
        self._reads = reads
        self._clock = clock
        self._last_reads = reads()
        self._was_unread = self._is_stopped = False
        self._timer = clock.call_later(_CHECK_S, self._check)

    @classmethod
    def where_needed(
        cls, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, reads: Callable[[], int], clock: Clock
    ) -> ReadWatch | None:
        """Return a new ReadWatch if the loop is uvloop; None for other loops, which do not need it."""
        return cls(transport, reads, clock) if type(loop).__module__.startswith("uvloop") else None

    def _check(self) -> None:
        reads = self._reads()
        # A transport that is paused or closing must not be resumed.
        is_unread = self._transport.is_reading() and (self._was_unread or reads == self._last_reads)
        self._last_reads = reads
        self._was_unread = is_unread and _can_be_read(self._transport)
        if self._was_unread:
            self._transport.pause_reading()
            self._transport.resume_reading()
        if not self._is_stopped:
            self._timer = self._clock.call_later(_CHECK_AGAIN_S if self._was_unread else _CHECK_S, self._check)

    def stop(self) -> None:
        """Stop the checks. Idempotent."""
        self._is_stopped = True
        self._timer.cancel()


def _can_be_read(transport: asyncio.Transport) -> bool:
    raw_socket = transport.get_extra_info("socket")
    descriptor = -1 if raw_socket is None else raw_socket.fileno()
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
