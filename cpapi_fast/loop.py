"""The event loop to run on: uvloop where it is installed, plain asyncio everywhere else."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from .clock import Clock

T = TypeVar("T")

#: How often to look whether a socket has something to read that nobody reads, and how soon again where it had.
_LOOK_S: Final = 1.0
_LOOK_AGAIN_S: Final = 0.01


def new_event_loop(*, uvloop: bool | None = None) -> asyncio.AbstractEventLoop:
    """Return a new event loop.

    Args:
        uvloop: True for uvloop, False for asyncio's own, None (the default) for uvloop where it is installed.

    Raises:
        ImportError: uvloop was asked for by name and is not installed.
    """
    if uvloop is not False:
        try:
            import uvloop as uvloop_module
        except ImportError:
            if uvloop:
                raise
        else:
            return uvloop_module.new_event_loop()
    if sys.platform == "win32":
        # The default of Windows copies every read once more into a protocol's own buffer.
        return asyncio.SelectorEventLoop()
    return asyncio.new_event_loop()


class BusyPoll:
    """Keeps a loop from sleeping: it asks the sockets again and again instead of waiting to be woken.

    That saves the time a sleeping thread needs to be woken, which is most of a quiet feed's latency, and costs a whole
    processor core, whether data comes or not. Other tasks of the loop run as before.

    Args:
        loop: the running loop; several may spin on one, each adds its turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_spinning = True
        loop.call_soon(self._spin)

    def _spin(self) -> None:
        # A callback that is always due: with one waiting, a loop polls its sockets without a timeout.
        if self._is_spinning:
            self._loop.call_soon(self._spin)

    def stop(self) -> None:
        """Let the loop sleep again."""
        self._is_spinning = False


class ReadWatch:
    """Sees to it that a connection that was reset is read to its end, on uvloop too.

    There, a socket that reports an error is read once more and then watched no longer (libuv's uv_poll gives it up).
    Where data lay before the error, as when a gateway is killed while it sends, the error itself is never seen: the
    connection would look alive for ever. So a socket that can be read and is not is watched anew.

    Args:
        transport: of the connection.
        reads: how many reads of it there were.
        clock: what the time between two looks is measured with.
    """

    def __init__(self, transport: asyncio.Transport, reads: Callable[[], int], clock: Clock) -> None:
        self._transport = transport
        self._reads = reads
        self._clock = clock
        self._seen = reads()
        self._is_again = self._is_stopped = False
        self._timer = clock.call_later(_LOOK_S, self._look)

    @classmethod
    def where_needed(
        cls, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, reads: Callable[[], int], clock: Clock
    ) -> ReadWatch | None:
        """A watch on uvloop; None on loops that watch on by themselves."""
        return cls(transport, reads, clock) if type(loop).__module__.startswith("uvloop") else None

    def _look(self) -> None:
        reads = self._reads()
        # One that is held back, or closing, is not to be read.
        is_unread = self._transport.is_reading() and (self._is_again or reads == self._seen)
        self._seen = reads
        self._is_again = is_unread and _can_be_read(self._transport)
        if self._is_again:
            self._transport.pause_reading()
            self._transport.resume_reading()
        if not self._is_stopped:
            self._timer = self._clock.call_later(_LOOK_AGAIN_S if self._is_again else _LOOK_S, self._look)

    def stop(self) -> None:
        """The connection has ended."""
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


def run(main: Coroutine[Any, Any, T], *, uvloop: bool | None = None) -> T:
    """Run `main` to its end on a new loop, as `asyncio.run` does; Ctrl-C cancels it.

    Args:
        main: the coroutine.
        uvloop: as in `new_event_loop`.
    """
    with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
        return runner.run(main)
