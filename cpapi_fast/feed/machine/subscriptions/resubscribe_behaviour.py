"""How a gateway treats a subscribe for an active stream: whether it replies, and whether with a new stream.

Neither is documented. For a gateway that does not reply, a probe unsubscribes and subscribes again. A gateway that
replies with the same stream shows by `server_id` whether a stream had ended before the probe. While the behaviour is
unknown, a trial decides: a second subscribe directly after a reply, when the stream is certainly active.
"""

from __future__ import annotations

from typing import Final

#: The pause between two trials.
_TRIAL_S: Final = 60.0
#: After this many repeated subscribes without a reply, the gateway counts as one that never replies to them.
_UNANSWERED: Final = 2


class ResubscribeBehaviour:
    """What is known about the behaviour of one gateway."""

    def __init__(self) -> None:
        #: Whether an active stream gets a new id when its subscribe is repeated; None if unknown.
        self.changes_ids: bool | None = None
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
        """Take over that a reply came from a stream with another id."""
        if is_trial:
            self.changes_ids = True

    def note_same_stream(self, *, is_certain: bool, has_reply: bool) -> None:
        """Take over that the stream has the same id after a repeated subscribe.

        Args:
            is_certain: whether the stream was active when the subscribe was repeated.
            has_reply: whether a snapshot shows it.
        """
        if is_certain:
            # The latest observation counts: a stream may have ended at the moment of an earlier probe.
            self.changes_ids = False
        if has_reply:
            self._unanswered = 0

    def may_try(self, now_s: float) -> bool:
        """Whether to start a trial now; True starts the pause before the next one."""
        if now_s < self._next_trial_s:
            return False
        self._next_trial_s = now_s + _TRIAL_S
        return True
