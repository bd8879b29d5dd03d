"""Conflation: of the market data frames of one topic that wait together, one is left, with the fields of all merged."""

from __future__ import annotations

from collections import deque
from typing import Final, cast

import orjson

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.kinds import FrameKind

from .consumer_queue import FRAME_OVERHEAD_BYTES, ConsumerQueue

_MARKET_DATA: Final = FrameKind.MARKET_DATA.value

#: In the column of conids.
_NO_CONID: Final = -1

_NESTED: Final = frozenset({dict, list})

#: With this many frames waiting as they came, behind others, they are looked through, reader or not. It bounds what a
#: stalled consumer holds beyond its subscriptions, and how long one look takes.
_FOLD_FRAMES: Final = 512


class _Waiting:
    # One frame that waits, and what was merged into it.
    __slots__ = ("cost", "fields", "first_ns", "frame", "received_ns", "segment", "topic")

    def __init__(self, frame: Frame, topic: str | None, segment: int) -> None:
        self.frame = frame
        self.topic = topic
        self.segment = segment
        self.cost = len(frame) + FRAME_OVERHEAD_BYTES
        # When the first and the last of the frames in it were received.
        self.first_ns = self.received_ns = frame.received_ns
        # The merged fields while frames are being looked through; None when `frame` has them.
        self.fields: dict[str, object] | None = None

    def merge(self, frame: Frame) -> bool:
        # Take the fields of a later frame of the same topic; False when the two cannot be merged.
        later = _fields_of(frame, self.topic)
        if later is None:
            return False
        if self.fields is None:
            earlier = _fields_of(self.frame, self.topic)
            if earlier is None:
                return False
            self.fields = dict(earlier)
        self.fields.update(later)
        self.received_ns = frame.received_ns
        return True

    def encode(self) -> None:
        # Make one frame of the merged fields. The topic stands last, where it is looked for first.
        fields, self.fields = cast("dict[str, object]", self.fields), None
        fields["topic"] = fields.pop("topic")
        self.frame = _frame_of(orjson.dumps(fields), self.received_ns)
        self.cost = len(self.frame) + FRAME_OVERHEAD_BYTES


def _frame_of(raw: bytes, received_ns: int) -> Frame:
    builder = BatchBuilder()
    builder.append(raw)
    return cast(Batch, builder.finish(received_ns))[0]


def _fields_of(frame: Frame, topic: str | None) -> dict[str, object] | None:
    # What can be merged; None when the text is not JSON, or could not be written again.
    try:
        fields = frame.payload
    except MalformedPayloadError:
        return None
    if type(fields) is not dict or fields.get("topic") != topic:
        return None
    if not _NESTED.isdisjoint(map(type, fields.values())):
        try:
            orjson.dumps(fields)
        except TypeError:
            # Nested deeper than is written, though not than is read.
            return None
    return fields


class ConflatingQueue(ConsumerQueue):
    """Keeps one frame per subscription, whose fields are those of all that waited, the later value of each.

    A merged frame stands where the first of its frames stood, so that a subscription with many updates is not put off
    for ever, and has the receive time of the last one. Frames of other kinds, and frames that cannot be decoded, wait
    as they came. Nothing is merged across an event. Beyond the bounds the oldest are dropped.

    Frames are looked into when a reader comes, and then only when more than one read waits or two frames of one
    instrument do.
    """

    __slots__ = ("_hole", "_index", "_index_segment", "_promised", "_waiting")

    def __init__(self, max_frames: int, max_bytes: int, max_events: int) -> None:
        super().__init__(max_frames, max_bytes, max_events)
        # What was looked through; `slices` are behind it.
        self._waiting: deque[_Waiting] = deque()
        # The frame of each topic that a later one can be merged into. All are of one segment.
        self._index: dict[str, _Waiting] = {}
        self._index_segment = 0
        # What is missing before the next frame, and the first good frame of a gap that was told.
        self._hole: tuple[int, int, int] | None = None
        self._promised: _Waiting | None = None

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Take in frames [start, stop) of a batch."""
        if self.is_ended:
            return
        count = stop - start
        self.received += count
        if self.batch is not None:
            self.give_back()
        self.slices.append((batch, start, stop, cost, self.events_received, None))
        self.pending += count
        self.pending_bytes += cost
        if self._is_over() or (len(self.slices) > 1 and self.pending - len(self._waiting) >= _FOLD_FRAMES):
            self._fold()
            while self._is_over() and len(self._waiting) > (self._promised is None):
                self._drop(self._waiting.popleft())
        self.wake()

    def next_item(self) -> Frame | FeedEvent | None:
        """The next frame or event when no slice is being read; None when nothing waits."""
        if self._is_as_it_came():
            return super().next_item()
        event = self._folded_event()
        return self._take().frame if event is None and self._has_frame() else event

    def next_batch(self) -> Batch | FeedEvent | None:
        """The next frames that came together, or the next event; None when nothing waits."""
        if self.batch is not None:
            self.give_back()
        if self._is_as_it_came():
            return super().next_batch()
        event = self._folded_event()
        if event is not None or not self._has_frame():
            return event
        # A batch has one receive time.
        first = self._take()
        builder = BatchBuilder()
        builder.append(first.frame.raw)
        waiting = self._waiting
        while waiting and waiting[0].received_ns == first.received_ns and waiting[0].segment == first.segment:
            builder.append(self._take().frame.raw)
        return builder.finish(first.received_ns)

    def clear(self) -> None:
        """Take in nothing more, and count everything that waits as dropped."""
        super().clear()
        self._waiting.clear()
        self._index.clear()
        self._hole = self._promised = None

    def _is_over(self) -> bool:
        return self.pending > self._max_frames or self.pending_bytes > self._max_bytes

    def _is_as_it_came(self) -> bool:
        # Whether what waits can be handed over without a look at any topic.
        if self._waiting or self._promised is not None or self._hole is not None or len(self.slices) > 1:
            return False
        if not self.slices:
            return True
        batch, start, stop, _, _, _ = self.slices[0]
        conids = batch.conids[start:stop].tolist()
        named = len(conids) - conids.count(_NO_CONID)
        return len({*conids} - {_NO_CONID}) == named

    def _fold(self) -> None:
        # Look through what came since the last time.
        index = self._index
        merged: dict[int, _Waiting] = {}
        while self.slices:
            batch, start, stop, cost, segment, _ = self.slices.popleft()
            if segment != self._index_segment:
                index.clear()
                self._index_segment = segment
            self.pending_bytes -= cost
            kinds = batch.kinds
            for position in range(start, stop):
                frame = batch[position]
                topic = frame.topic if kinds[position] == _MARKET_DATA else None
                if topic is not None:
                    earlier = index.get(topic)
                    if earlier is not None and earlier.merge(frame):
                        merged[id(earlier)] = earlier
                        self.pending -= 1
                        self.conflated += 1
                        continue
                    if earlier is not None:
                        # One that does not hold on to what was decoded.
                        frame = batch[position]
                waiting = _Waiting(frame, topic, segment)
                self._waiting.append(waiting)
                self.pending_bytes += waiting.cost
                if topic is not None:
                    index[topic] = waiting
        for waiting in merged.values():
            self.pending_bytes -= waiting.cost
            waiting.encode()
            self.pending_bytes += waiting.cost

    def _folded_event(self) -> FeedEvent | None:
        self._fold()
        return self._next_event()

    def _has_frame(self) -> bool:
        return self._promised is not None or bool(self._waiting)

    def _next_event(self) -> FeedEvent | None:
        if self.slices:
            segment = self.slices[0][4]
        elif self._has_frame():
            segment = (self._promised or self._waiting[0]).segment
        else:
            segment = self.events_received
        if self.events and self.events[0][0] <= segment:
            return self._take_event()
        if self._hole is None or self._promised is not None:
            return None
        last_good_ns, latest_ns, count = self._hole
        if self._waiting:
            # Named as the first good frame, it must be the next one: neither dropped nor merged into any more.
            promised = self._waiting.popleft()
            self._forget(promised)
            self._promised, self._hole = promised, None
            return self._gap((last_good_ns, count), max(latest_ns, promised.received_ns))
        if self.is_ended:
            self._hole = None
            return self._gap((last_good_ns, count), None)
        return None

    def _take(self) -> _Waiting:
        waiting = self._promised
        if waiting is None:
            waiting = self._waiting.popleft()
            self._forget(waiting)
        self._promised = None
        self.delivered += 1
        self.pending -= 1
        self.pending_bytes -= waiting.cost
        self._last_ns = waiting.received_ns
        return waiting

    def _drop(self, waiting: _Waiting) -> None:
        self._forget(waiting)
        self.dropped += 1
        self.pending -= 1
        self.pending_bytes -= waiting.cost
        # Merged frames are out of order in time: the gap has to span all of what went into them.
        if self._hole is None:
            kept_ns = waiting.first_ns if self._last_ns is None else self._last_ns
            if self._promised is not None:
                kept_ns = self._promised.received_ns
            self._hole = (kept_ns, waiting.received_ns, 0)
        last_good_ns, latest_ns, count = self._hole
        self._hole = (min(last_good_ns, waiting.first_ns), max(latest_ns, waiting.received_ns), count + 1)

    def _forget(self, waiting: _Waiting) -> None:
        if waiting.topic is not None and self._index.get(waiting.topic) is waiting:
            del self._index[waiting.topic]
