"""Detects a socket that delivers no frames. The gateway sends a heartbeat every 10 s, so frames are always due."""

from __future__ import annotations

from typing import Final

_NEVER: Final = float("inf")
#: A timer that is this late shows that the event loop was blocked. Frames may then wait unread in the socket.
_LATE_S: Final = 1.0
#: The grace period after that: nothing times out or becomes stale while the waiting frames are read.
_GRACE_S: Final = 1.0
#: How many grace periods may follow each other.
_MAX_GRACES: Final = 3


class SocketTimeout:
    """The time of the last frame of one socket, and the limit for the next.

    Args:
        timeout_s: how long the socket may deliver nothing.
    """

    def __init__(self, timeout_s: float) -> None:
        #: When the last frame of any kind was received, on any socket of the feed.
        self.last_frame_s = 0.0
        #: When to check the socket; infinity for never.
        self.due_s = _NEVER
        #: When the grace period ends.
        self.grace_until_s = 0.0
        self._timeout_s = timeout_s
        self._quiet_from_s = 0.0
        self._is_paused = False
        self._graces = 0

    def start(self, now_s: float) -> None:
        """Watch a socket that was opened now."""
        self._quiet_from_s = now_s
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
            self._quiet_from_s = now_s

    def note_lateness(self, late_s: float, now_s: float) -> bool:
        """Start a grace period if the timer is late. Returns whether it started."""
        if late_s <= _LATE_S:
            if now_s >= self.grace_until_s:
                self._graces = 0
            return False
        return self.start_grace(now_s)

    def start_grace(self, now_s: float) -> bool:
        """Start a grace period, unless too many have followed each other. Returns whether it started."""
        if self._graces >= _MAX_GRACES:
            return False
        self._graces += 1
        self.grace_until_s = now_s + _GRACE_S
        return True

    def will_time_out(self, now_s: float, last_frame_s: float) -> bool:
        """Whether a check at this time may time out, if the last frame was received at `last_frame_s`."""
        return now_s >= self.due_s and now_s >= max(last_frame_s, self._quiet_from_s) + self._timeout_s

    def has_timed_out(self, now_s: float) -> bool:
        """Check the socket if that is due. Returns whether it timed out; if not, the next check is scheduled."""
        if now_s < self.due_s:
            return False
        limit_s = max(self.last_frame_s, self._quiet_from_s) + self._timeout_s
        if self._is_paused:
            self.due_s = now_s + self._timeout_s
        elif now_s < limit_s:
            self.due_s = limit_s
        elif now_s < self.grace_until_s:
            self.due_s = self.grace_until_s
        else:
            return True
        return False
