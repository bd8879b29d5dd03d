"""How a gateway treats a repeated subscribe for an active stream: whether it replies, and whether with a new stream.

Neither is documented, so the feed observes it. If the gateway does not reply, a probe has to unsubscribe first. If it
replies with the same stream, a new `server_id` in a reply shows that the stream had ended before the probe. While the
behaviour is unknown, a trial decides: a second subscribe directly after a reply, when the stream is certainly active.
"""

from __future__ import annotations

from typing import Final

#: The pause between two trials.
_TRIAL_S: Final = 60.0
#: After this many repeated subscribes without a reply, the feed expects no replies to them any more.
_UNANSWERED: Final = 2


class ResubscribeBehaviour:
    """The observed behaviour of one gateway."""

    def __init__(self) -> None:
        #: Whether an active stream gets a new id when its subscribe is repeated; None if unknown.
        self.changes_ids: bool | None = None
        #: Whether the gateway has replied at least once, so that a missing reply shows that the stream has ended.
        self.has_replied = False
        self._unanswered = 0
        self._next_trial_s = 0.0

    @property
    def replies(self) -> bool:
        """Whether the gateway replies to a subscribe for an active stream."""
        return self._unanswered < _UNANSWERED

    def note_unanswered(self) -> None:
        """Count a repeated subscribe that had no reply although the stream was active."""
        self._unanswered += 1

    def note_new_stream(self, *, is_trial: bool) -> None:
        """Record a reply from a stream with another id."""
        if is_trial:
            self.changes_ids = True

    def note_same_stream(self, *, is_certain: bool, has_reply: bool) -> None:
        """Record that the stream has the same id after a repeated subscribe.

        Args:
            is_certain: whether the stream was certainly active when the subscribe was repeated.
            has_reply: whether the gateway replied with a snapshot.
        """
        if is_certain:
            # The latest observation counts: a stream may have ended at the moment of an earlier probe.
            self.changes_ids = False
        if has_reply:
            self._unanswered = 0
            self.has_replied = True

    def may_start_trial(self, now_s: float) -> bool:
        """Whether to start a trial now; True starts the pause before the next one."""
        if now_s < self._next_trial_s:
            return False
        self._next_trial_s = now_s + _TRIAL_S
        return True
