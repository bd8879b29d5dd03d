"""Whether an open socket still delivers frames. A gateway sends a heartbeat every 10 s."""

from __future__ import annotations

from typing import Final

_NEVER: Final = float("inf")
#: A timer that is this late shows that the event loop was blocked, ...
_LATE_S: Final = 1.0
#: ... and frames that wait in the socket get this long to be read before anything counts as quiet.
_GRACE_S: Final = 1.0
#: How often in succession this is granted.
_MOST_GRACES: Final = 3


class SocketTimeout:
    """The time of the last frame of one socket, and the limit for the next.

    Args:
        timeout_s: how long the socket may deliver nothing.
    """

    def __init__(self, timeout_s: float) -> None:
        #: When the last frame of any kind was received, on any socket of the feed.
        self.last_frame_s = 0.0
        #: When to check the socket.
        self.due_s = _NEVER
        #: Until when frames may still wait in the socket after the event loop was blocked.
        self.lenient_until_s = 0.0
        self._timeout_s = timeout_s
        self._counts_from_s = 0.0
        self._is_paused = False
        self._graces = 0

    def start(self, now_s: float) -> None:
        """Watch a socket that was opened now."""
        self._counts_from_s = now_s
        self.due_s = now_s + self._timeout_s

    def stop(self) -> None:
        """Watch no socket."""
        self._is_paused = False
        self.due_s = _NEVER

    def pause(self) -> None:
        """Expect no frames, because the socket is not read."""
        self._is_paused = True

    def resume(self, now_s: float) -> None:
        """Expect frames from now on, because the socket is read again."""
        if self._is_paused:
            self._is_paused = False
            self._counts_from_s = now_s

    def note_lateness(self, late_s: float, now_s: float) -> bool:
        """Take over how late the timer is. Returns whether frames may wait in the socket because of it."""
        if late_s <= _LATE_S:
            if now_s >= self.lenient_until_s:
                self._graces = 0
            return False
        if self._graces >= _MOST_GRACES:
            return False
        self._graces += 1
        self.lenient_until_s = now_s + _GRACE_S
        return True

    def will_time_out(self, now_s: float, last_frame_s: float) -> bool:
        """Whether a check at this time may find a silent socket."""
        return now_s >= self.due_s and now_s >= max(last_frame_s, self._counts_from_s) + self._timeout_s

    def has_timed_out(self, now_s: float) -> bool:
        """Whether the socket is due for a check and has delivered nothing for too long; else schedules the next."""
        if now_s < self.due_s:
            return False
        limit_s = max(self.last_frame_s, self._counts_from_s) + self._timeout_s
        if self._is_paused:
            self.due_s = now_s + self._timeout_s
        elif now_s < limit_s:
            self.due_s = limit_s
        elif now_s < self.lenient_until_s:
            self.due_s = self.lenient_until_s
        else:
            return True
        return False
