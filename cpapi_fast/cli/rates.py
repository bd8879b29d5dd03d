"""Rates: frames and bytes per second, computed from samples of counters."""

from __future__ import annotations

from typing import Final

#: The time over which a rate is measured, in seconds.
_WINDOW_S: Final = 1.0


class Rates:
    """Frames and bytes per second over the last second, from samples of counters that only increase."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int, int]] = []

    def update(self, now_s: float, frames: int, nbytes: int) -> tuple[float, float]:
        """Add a sample and return the rates since the newest sample that is at least a second old.

        Before a second has passed, the rates are those since the first sample.

        Args:
            now_s: the time of the sample, in seconds.
            frames: the frames so far.
            nbytes: the bytes so far.

        Returns:
            Frames per second and bytes per second.
        """
        self._samples.append((now_s, frames, nbytes))
        # The rates are measured from the newest sample that is old enough; the samples before it are not needed.
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= _WINDOW_S:
            del self._samples[0]
        start_s, start_frames, start_bytes = self._samples[0]
        span_s = now_s - start_s
        if span_s <= 0:
            return 0.0, 0.0
        return (frames - start_frames) / span_s, (nbytes - start_bytes) / span_s
