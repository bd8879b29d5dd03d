"""The usual interval between the ticks of a subscription, estimated from its ticks, and its staleness limit."""

from __future__ import annotations

from typing import Final

#: The weight of one tick in the estimated interval if ticks are counted, ...
_TICK_WEIGHT: Final = 0.02
#: ... and of one interval that is known by itself: of an infrequent instrument, or of a pause that proved harmless.
_SINGLE_WEIGHT: Final = 0.1
_FORGIVEN_WEIGHT: Final = 0.2
#: Ticks whose interval is shorter than usual by this factor have this weight each.
_WAKING: Final = 10.0
_WAKING_WEIGHT: Final = 0.3
#: How many ticks the first estimate needs.
_FIRST_TICKS: Final = 3
#: A pause that proved harmless raises the limit by this factor beyond it, for about 10,000 ticks, up to the maximum.
_SPARE: Final = 1.1
_FORGET_PER_TICK: Final = 1e-4
_MOST_PATIENCE: Final = 6.0


class IntervalEstimator:
    """The usual interval between the ticks of one subscription, and how long it may be quiet.

    The limit of a regular subscription is `factor` usual intervals. Longer pauses that proved harmless raise it.

    Args:
        factor: how many usual intervals make the limit.
        min_s: the lowest limit.
        max_s: the highest limit of a subscription that ticks at least once in `max_s / factor`.
        usual_s: the usual interval if the user knows it; nothing is learned then.
    """

    __slots__ = (
        "_factor",
        "_is_given",
        "_max_s",
        "_min_s",
        "_patience",
        "_seen",
        "_seen_s",
        "frequent_s",
        "is_infrequent",
        "limit_s",
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
        #: The staleness limit.
        self.limit_s = max_s
        #: Whether ticks are so rare that each is inspected, and that renewals show more than the quiet time does.
        self.is_infrequent = False
        #: The usual interval if it is known and not infrequent; else zero.
        self.frequent_s = 0.0
        self._settle()

    def _settle(self) -> None:
        # The results are read much more often than they change.
        if self.usual_s is None:
            self.limit_s, self.is_infrequent, self.frequent_s = self._max_s, False, 0.0
            return
        even_s = self._factor * self.usual_s
        self.limit_s = max(min(even_s * self._patience, max(self._max_s, even_s)), self._min_s)
        self.is_infrequent = even_s > self._max_s
        self.frequent_s = 0.0 if self.is_infrequent else self.usual_s

    def learn(self, ticks: int, elapsed_s: float) -> None:
        """Learn from `ticks` ticks in `elapsed_s`."""
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
            # The market has opened: the night before has little weight.
            weight = max(weight, 1.0 - (1.0 - _WAKING_WEIGHT) ** ticks)
        self.usual_s += weight * (elapsed_s / ticks - self.usual_s)
        self._settle()

    def forgive(self, pause_s: float) -> None:
        """Learn that a pause of this length was harmless."""
        if self._is_given:
            return
        if self.usual_s is None:
            self.usual_s = pause_s
        elif pause_s > self.usual_s:
            self.usual_s += _FORGIVEN_WEIGHT * (pause_s - self.usual_s)
        self._settle()

    def tolerate(self, pause_s: float, probe_part: float) -> None:
        """Raise the limit, so that another pause of this length causes no probe.

        Args:
            pause_s: how long there was no tick.
            probe_part: the part of the limit after which a subscription is probed.
        """
        if self._is_given or self.usual_s is None or pause_s > 4.0 * self.limit_s:
            return
        wanted = _SPARE * pause_s / (probe_part * self._factor * self.usual_s)
        self._patience = min(max(self._patience, wanted), _MOST_PATIENCE)
        self._settle()
