"""CapturedRows: where the frames of the stream of a run are in its captures, which lack what they have dropped"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from cpapi_fast.events import Cause, Gap
from cpapi_fast.outputs.run_events import EVENT_KINDS, OutputGap

#: The last time of an event and the largest count: int64.
_MOST = 2**63 - 1


class DroppedFrames(NamedTuple):
    """Frames of the stream that the captures do not have, one after the other.

    Attributes:
        first_row: how many frames of the stream are before them.
        frames: how many they are.
        gap: the gap that they leave.
    """

    first_row: int
    frames: int
    gap: Gap

    @property
    def end_row(self) -> int:
        """How many frames of the stream are before the first one after them."""
        return self.first_row + self.frames

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> DroppedFrames | None:
        """The dropped frames in a line of an events file; None if it is about something else.

        Raises:
            ValueError, KeyError: the line is damaged.
        """
        if members["type"] != EVENT_KINDS[OutputGap] or members["output"] != "capture":
            return None
        frames = _whole(members["frames_dropped"])
        if not frames:
            return None
        first_good_ns = members["first_good_ns"]
        gap = Gap(
            subscription=None,
            last_good_ns=_whole(members["last_good_ns"]),
            first_good_ns=None if first_good_ns is None else _whole(first_good_ns),
            cause=Cause.CONSUMER_OVERFLOW,
            frames_dropped=frames,
        )
        return cls(_whole(members["first_row"]), frames, gap)


class CapturedRows:
    """Converts between the rows of the stream, which events and tables count, and those of the captures.

    They only differ if the captures have dropped frames.
    """

    def __init__(self) -> None:
        self._dropped: list[DroppedFrames] = []
        #: The rows of the captures where frames are missing, and how many are missing before each and after the last.
        self._places: list[int] = []
        self._missing: list[int] = [0]

    def add(self, dropped: DroppedFrames) -> None:
        """Take note of dropped frames, in any order."""
        insort(self._dropped, dropped, key=_end_row)
        self._places = []

    @property
    def dropped(self) -> list[DroppedFrames]:
        """The dropped frames, in their order."""
        return list(self._dropped)

    def captured(self, row: int) -> int:
        """How many frames of the captures are before the frame `row` of the stream."""
        self._index()
        done = bisect_right(self._dropped, row, key=_end_row)
        # A row between two dropped frames is where they would be.
        inside = max(row - self._dropped[done].first_row, 0) if done < len(self._dropped) else 0
        return max(row - self._missing[done] - inside, 0)

    def streamed(self, frame: int) -> int:
        """How many frames of the stream are before the frame `frame` of the captures."""
        self._index()
        return frame + self._missing[bisect_right(self._places, frame)]

    def _index(self) -> None:
        if len(self._places) != len(self._dropped):
            self._missing = list(accumulate((one.frames for one in self._dropped), initial=0))
            self._places = [one.first_row - self._missing[index] for index, one in enumerate(self._dropped)]


def _end_row(dropped: DroppedFrames) -> int:
    return dropped.end_row


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError("a time or a number of frames is no whole number from 0 on")
    return value
