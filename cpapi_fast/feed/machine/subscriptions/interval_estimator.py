"""Estimates the usual interval between the ticks of a subscription, and derives its staleness limit."""

from __future__ import annotations

from typing import Final

#: The weight of one tick in the estimated interval, if several ticks are counted together.
_TICK_WEIGHT: Final = 0.02
#: The weight of a single measured interval of an infrequent instrument, and of a pause that proved harmless.
_SINGLE_WEIGHT: Final = 0.1
_PAUSE_WEIGHT: Final = 0.2
#: Ticks that follow each other faster than usual by this factor have this weight each.
_SPEEDUP: Final = 10.0
_SPEEDUP_WEIGHT: Final = 0.3
#: How many ticks the first estimate needs.
_FIRST_TICKS: Final = 3
#: After a harmless pause, a multiplier raises the limit above the pause by this factor. The multiplier decays over
#: about 10,000 ticks and has a maximum.
_LIMIT_MARGIN: Final = 1.1
_DECAY_PER_TICK: Final = 1e-4
_MAX_MULTIPLIER: Final = 6.0


class IntervalEstimator:
    """The usual interval between the ticks of one subscription, and how long it may be quiet.

    The limit of a regular subscription is `factor` usual intervals. Longer pauses that proved harmless raise it.

    Args:
        factor: how many usual intervals make the limit.
        min_s: the lowest limit.
        max_s: the highest limit of a subscription that ticks at least once in `max_s / factor`.
        usual_s: the usual interval if the user gave it; nothing is learned then.
    """

    __slots__ = (
        "_factor",
        "_first_ticks",
        "_first_ticks_s",
        "_is_fixed",
        "_max_s",
        "_min_s",
        "_multiplier",
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
        self._is_fixed = usual_s is not None
        self._multiplier = 1.0
        self._first_ticks = 0
        self._first_ticks_s = 0.0
        #: The staleness limit.
        self.limit_s = max_s
        #: Whether `factor` usual intervals exceed `max_s`. Each tick of such a subscription is inspected.
        self.is_infrequent = False
        #: The usual interval if it is known and not infrequent; else zero.
        self.frequent_s = 0.0
        self._update_limit()

    def _update_limit(self) -> None:
        # Stored, because they are read much more often than they change.
        if self.usual_s is None:
            self.limit_s, self.is_infrequent, self.frequent_s = self._max_s, False, 0.0
            return
        base_limit_s = self._factor * self.usual_s
        self.limit_s = max(min(base_limit_s * self._multiplier, max(self._max_s, base_limit_s)), self._min_s)
        self.is_infrequent = base_limit_s > self._max_s
        self.frequent_s = 0.0 if self.is_infrequent else self.usual_s

    def learn(self, ticks: int, elapsed_s: float) -> None:
        """Update the estimate with `ticks` ticks in `elapsed_s` seconds."""
        if self._is_fixed or ticks <= 0 or elapsed_s <= 0.0:
            return
        if self.usual_s is None:
            self._first_ticks += ticks
            self._first_ticks_s += elapsed_s
            if self._first_ticks >= _FIRST_TICKS:
                self.usual_s = self._first_ticks_s / self._first_ticks
                self._update_limit()
            return
        if self._multiplier > 1.0:
            self._multiplier = max(self._multiplier * (1.0 - _DECAY_PER_TICK) ** ticks, 1.0)
        weight = _SINGLE_WEIGHT if ticks == 1 and elapsed_s > self._max_s else 1.0 - (1.0 - _TICK_WEIGHT) ** ticks
        if elapsed_s * _SPEEDUP < ticks * self.usual_s:
            # The market has opened: the long interval of the night must not persist.
            weight = max(weight, 1.0 - (1.0 - _SPEEDUP_WEIGHT) ** ticks)
        self.usual_s += weight * (elapsed_s / ticks - self.usual_s)
        self._update_limit()

    def learn_pause(self, pause_s: float) -> None:
        """Update the estimate with a pause that proved harmless."""
        if self._is_fixed:
            return
        if self.usual_s is None:
            self.usual_s = pause_s
        elif pause_s > self.usual_s:
            self.usual_s += _PAUSE_WEIGHT * (pause_s - self.usual_s)
        self._update_limit()

    def forget_pauses(self, usual_s: float) -> None:
        """Return to an earlier estimate, because the pauses that were learned since were not harmless."""
        if not self._is_fixed:
            self.usual_s = usual_s
            self._update_limit()

    def raise_limit(self, pause_s: float, probe_part: float) -> None:
        """Raise the limit, so that another pause of this length causes no probe.

        Args:
            pause_s: the time without a tick.
            probe_part: the fraction of the limit after which a subscription is probed.
        """
        if self._is_fixed or self.usual_s is None or pause_s > 4.0 * self.limit_s:
            return
        multiplier = _LIMIT_MARGIN * pause_s / (probe_part * self._factor * self.usual_s)
        self._multiplier = min(max(self._multiplier, multiplier), _MAX_MULTIPLIER)
        self._update_limit()
