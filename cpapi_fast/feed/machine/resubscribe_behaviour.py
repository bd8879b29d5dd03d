"""What is found out about a gateway: whether it answers a subscribe for a stream that lives, and by a new stream.

Neither is documented. A gateway that leaves such a question unanswered is asked by ending and subscribing anew. One
that answers with the same stream shows by `server_id` when a stream had died before it was asked. Where it may be
either, a second question right after the answer tells: that stream lives for certain.
"""

from __future__ import annotations

from typing import Final

from .subscription_state import SubscriptionState

#: How a gateway treats a live stream is tried out once in so long.
_TRIAL_S: Final = 60.0
#: So many repeated subscribes without an answer, and a gateway counts as one that never answers them.
_UNANSWERED: Final = 2


class ResubscribeBehaviour:
    """The habits of one gateway."""

    def __init__(self) -> None:
        #: Whether it gives a live stream a new id when it is asked for again; None while nobody knows.
        self.changes_ids: bool | None = None
        self._unanswered = 0
        self._next_trial_s = 0.0

    @property
    def answers(self) -> bool:
        """Whether it answers a subscribe for a stream that lives."""
        return self._unanswered < _UNANSWERED

    def note_unanswered(self) -> None:
        """It has left one unanswered, and the stream lived."""
        self._unanswered += 1

    def note_new(self, *, is_trial: bool) -> None:
        """It has answered by a stream with another id."""
        if is_trial:
            self.changes_ids = True

    def note_same(self, line: SubscriptionState, *, is_trial: bool) -> None:
        """It has answered, and the stream is the one it was."""
        if is_trial or line.was_alive_when_asked:
            # The latest such word counts: a stream may have died in the very moment when another was asked.
            self.changes_ids = False
        if line.is_asked:
            self._unanswered = 0

    def wants_trial(self, now_s: float) -> bool:
        """Whether to ask once more, now that a stream lives for certain."""
        if now_s < self._next_trial_s:
            return False
        self._next_trial_s = now_s + _TRIAL_S
        return True
