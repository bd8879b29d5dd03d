"""How often a subscription ticks by itself, learned from what it does, and how much silence is too much for it."""

from __future__ import annotations

from typing import Final

#: The weight of one tick in the learned interval, where ticks are counted, ...
_TICK_WEIGHT: Final = 0.02
#: ... and of one interval that is known by itself: of a quiet instrument, or of a silence that turned out harmless.
_SINGLE_WEIGHT: Final = 0.1
_FORGIVEN_WEIGHT: Final = 0.2
#: Ticks that come so many times faster than usual have this weight each.
_WAKING: Final = 10.0
_WAKING_WEIGHT: Final = 0.3
#: So many ticks make a first estimate.
_FIRST_TICKS: Final = 3
#: A pause that proved harmless is allowed again, with so much to spare, for about this many ticks; within this factor.
_SPARE: Final = 1.1
_FORGET_PER_TICK: Final = 1e-4
_MOST_PATIENCE: Final = 6.0


class IntervalEstimator:
    """The usual interval between the ticks of one subscription, in seconds, and how irregular it is.

    One that ticks evenly is given `factor` usual intervals. One that makes longer pauses in the midst of its activity
    is given those, as soon as they have proved harmless.

    Args:
        factor: how many usual intervals of silence are too many.
        min_s: the shortest silence that is ever too long.
        max_s: the longest that is not, for whoever ticks at least once in `max_s / factor`.
        usual_s: the usual interval where the user knows it; nothing is learned then.
    """

    __slots__ = (
        "_factor",
        "_is_given",
        "_max_s",
        "_min_s",
        "_patience",
        "_seen",
        "_seen_s",
        "is_quiet",
        "limit_s",
        "ticking_s",
        "usual_s",
    )

    def __init__(self, factor: float, min_s: float, max_s: float, usual_s: float | None) -> None:
        self.usual_s = usual_s
        self._factor = factor
        self._min_s = min_s
        self._max_s = max_s
        self._is_given = usual_s is not None
        self._patience = 1.0
        self._seen = 0
        self._seen_s = 0.0
        #: After this much silence it is stale, unless it can be shown to be quiet.
        self.limit_s = max_s
        #: Whether it ticks so seldom that each tick is worth a look, and renewals tell more than its own silence.
        self.is_quiet = False
        #: The usual interval of one that is known and not quiet; else zero.
        self.ticking_s = 0.0
        self._settle()

    def _settle(self) -> None:
        """Asked much more often than changed."""
        if self.usual_s is None:
            self.limit_s, self.is_quiet, self.ticking_s = self._max_s, False, 0.0
            return
        even_s = self._factor * self.usual_s
        self.limit_s = max(min(even_s * self._patience, max(self._max_s, even_s)), self._min_s)
        self.is_quiet = even_s > self._max_s
        self.ticking_s = 0.0 if self.is_quiet else self.usual_s

    def learn(self, ticks: int, elapsed_s: float) -> None:
        """It ticked so often in this time."""
        if self._is_given or ticks <= 0 or elapsed_s <= 0.0:
            return
        if self.usual_s is None:
            self._seen += ticks
            self._seen_s += elapsed_s
            if self._seen >= _FIRST_TICKS:
                self.usual_s = self._seen_s / self._seen
                self._settle()
            return
        if self._patience > 1.0:
            self._patience = max(self._patience * (1.0 - _FORGET_PER_TICK) ** ticks, 1.0)
        weight = _SINGLE_WEIGHT if ticks == 1 and elapsed_s > self._max_s else 1.0 - (1.0 - _TICK_WEIGHT) ** ticks
        if elapsed_s * _WAKING < ticks * self.usual_s:
            # A market that opens: the night before it counts for little.
            weight = max(weight, 1.0 - (1.0 - _WAKING_WEIGHT) ** ticks)
        self.usual_s += weight * (elapsed_s / ticks - self.usual_s)
        self._settle()

    def forgive(self, silence_s: float) -> None:
        """It was silent for so long, and turned out to live: longer pauses are usual for it."""
        if self._is_given:
            return
        if self.usual_s is None:
            self.usual_s = silence_s
        elif silence_s > self.usual_s:
            self.usual_s += _FORGIVEN_WEIGHT * (silence_s - self.usual_s)
        self._settle()

    def tolerate(self, pause_s: float, suspect_part: float) -> None:
        """It ticks on after a pause that had raised suspicion: the next such pause shall not.

        Args:
            pause_s: how long it had not ticked.
            suspect_part: at which part of the limit suspicion is raised.
        """
        if self._is_given or self.usual_s is None or pause_s > 4.0 * self.limit_s:
            return
        wanted = _SPARE * pause_s / (suspect_part * self._factor * self.usual_s)
        self._patience = min(max(self._patience, wanted), _MOST_PATIENCE)
        self._settle()
