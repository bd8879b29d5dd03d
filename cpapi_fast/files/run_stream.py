"""RunStream: the frames of the captures of one run as batches, with the events between them"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from cpapi_fast.events import Cause, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.recorded_reads import RecordedReads

from .capture_walk import CaptureWalk
from .recorded_events import EventLine

#: How many frames a batch has at most. Rows are made of one batch with the lock of the interpreter, for which a run
#: that records at the same time waits.
_MOST_FRAMES: Final = 8192

#: The cause of gaps where frames are missing. Only writers of tables get them, and they do not look at it.
_LOST: Final = Cause.CONSUMER_OVERFLOW

#: A place behind all frames.
_NEVER: Final = 1 << 62


class StreamItem(NamedTuple):
    """A batch or an event.

    Attributes:
        frame: how many frames of the run are before it.
        item: the batch or the event.
    """

    frame: int
    item: Batch | StateChange | Gap


class RunStream:
    """Reads the captures of one run. Iterate over it once.

    Damaged messages are left out, and their frames count as far as their number is known. A gap is where frames are
    missing, so that no value is carried over it. Receive times are those of the capture; the lateness of frames is not
    in it.

    Args:
        captures: the captures, oldest first.
        events: the events in their order, each with its place.
        cuts: numbers of frames before which a batch has to begin.

    Attributes:
        frames: how many frames were read.
        damaged: how many messages were left out.
        missing: how many frames between the first and the last capture are in none of them, as far as that is known.
        first_frame: the number of the first frame in the captures; 0 before the iteration.

    Raises:
        ConfigError: on iterating, a capture cannot be read.
    """

    def __init__(self, captures: Iterable[Path], events: Iterable[EventLine] = (), *, cuts: Iterable[int] = ()) -> None:
        self.frames = 0
        self.damaged = 0
        self.missing = 0
        self.first_frame = 0
        self._captures: Final = list(captures)
        self._events: Final = iter(events)
        self._cuts: Final = frozenset(cuts)

    def __iter__(self) -> Iterator[StreamItem]:
        next_event = next(self._events, None)
        number = last_ns = 0
        has_hole = False
        for index, path in enumerate(self._captures):
            walk = CaptureWalk(path, columns=("received_ns", "raw"))
            first = walk.number("first_frame")
            if first is not None:
                self.missing += max(0, first - number) if index else 0
                has_hole |= bool(index) and first != number
                # It is right also where the frames in a damaged message before could not be counted.
                number = first
            if not index:
                self.first_frame = number
            for message in walk:
                if message.damage:
                    self.damaged += 1
                    number += message.lost_frames
                    has_hole = True
                    continue
                reads, start, count = _reads(message.batch), 0, message.batch.num_rows
                if has_hole:
                    first_ns = message.batch.column("received_ns")[0].as_py()
                    yield StreamItem(number, Gap(None, min(last_ns or first_ns, first_ns), first_ns, _LOST))
                    has_hole = False
                last_ns = message.batch.column("received_ns")[-1].as_py()
                while start < count:
                    while next_event is not None and next_event.row <= number:
                        if next_event.event is not None:
                            yield StreamItem(number, next_event.event)
                        next_event = next(self._events, None)
                    until = min(
                        count - start, _MOST_FRAMES, (_NEVER if next_event is None else next_event.row) - number
                    )
                    until = min((cut - number for cut in self._cuts if number < cut < number + until), default=until)
                    yield StreamItem(number, reads.batch(start, start + until))
                    start += until
                    number += until
                    self.frames += until
        while next_event is not None:
            if next_event.event is not None:
                yield StreamItem(number, next_event.event)
            next_event = next(self._events, None)


def _reads(batch: Any) -> RecordedReads:
    """The frames of a message. What was read from a stream begins at the start of its buffers."""
    count, (received, raw) = batch.num_rows, (batch.column("received_ns"), batch.column("raw"))
    _, offsets, payloads = raw.buffers()
    return RecordedReads(
        # Buffers are padded.
        memoryview(received.buffers()[1])[: 8 * count],
        memoryview(offsets)[: 4 * (count + 1)],
        b"" if payloads is None else memoryview(payloads),
    )
