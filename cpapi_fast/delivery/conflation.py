"""Conflation: merges the pending market data frames of one topic into one, with the latest value of each field."""

from __future__ import annotations

from collections import deque
from typing import Final, cast

import orjson

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.events import FeedEvent
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.cost import FRAME_OVERHEAD_BYTES
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.kinds import FrameKind

from .consumer_queue import ConsumerQueue

_MARKET_DATA: Final = FrameKind.MARKET_DATA.value

#: The conid of a frame without one, in the column of conids.
_NO_CONID: Final = -1

_NESTED: Final = frozenset({dict, list})

#: Pending frames are merged when this many are unmerged and more than one read is pending, even if no reader needs
#: them. This bounds the memory of a stalled consumer and the time of one merge.
_MERGE_FRAMES: Final = 512


class _MergedFrame:
    # One pending frame with the fields that were merged into it.
    __slots__ = ("cost", "fields", "first_ns", "frame", "late_ns", "received_ns", "segment", "topic")

    def __init__(self, frame: Frame, topic: str | None, segment: int, late_ns: int) -> None:
        self.frame = frame
        self.topic = topic
        self.segment = segment
        self.cost = len(frame) + FRAME_OVERHEAD_BYTES
        # The receive times of the first and the last merged frame.
        self.first_ns = self.received_ns = frame.received_ns
        # How late the last merged frame was.
        self.late_ns = late_ns
        # The merged fields during a merge; None if `frame` has them.
        self.fields: dict[str, object] | None = None

    def merge(self, frame: Frame, late_ns: int) -> bool:
        # Merges the fields of a later frame of the same topic. Returns False if the two cannot be merged.
        later = _fields_of(frame, self.topic)
        if later is None:
            return False
        if self.fields is None:
            earlier = _fields_of(self.frame, self.topic)
            if earlier is None:
                return False
            self.fields = dict(earlier)
        self.fields.update(later)
        self.received_ns, self.late_ns = frame.received_ns, late_ns
        return True

    def encode(self) -> None:
        # Creates one frame with the merged fields. The topic is last, where the classifier finds it fastest.
        fields, self.fields = cast("dict[str, object]", self.fields), None
        fields["topic"] = fields.pop("topic")
        self.frame = _frame_of(orjson.dumps(fields), self.received_ns)
        self.cost = len(self.frame) + FRAME_OVERHEAD_BYTES


def _frame_of(raw: bytes, received_ns: int) -> Frame:
    builder = BatchBuilder()
    builder.append(raw)
    return cast(Batch, builder.finish(received_ns))[0]


def _fields_of(frame: Frame, topic: str | None) -> dict[str, object] | None:
    # Returns the fields that can be merged; None if the text is not JSON, or cannot be encoded again.
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
            # orjson can decode deeper nesting than it can encode.
            return None
    return fields


class ConflatingQueue(ConsumerQueue):
    """Keeps one frame per market data topic, with the latest value of each field of its pending frames.

    A merged frame has the position of its first frame, so that a subscription with many updates is not delayed forever,
    and the receive time and lateness of its last frame. Frames of other kinds, and frames that cannot be decoded, are
    not merged.
    Frames before and after an event are not merged. Beyond the bounds, the oldest frames are dropped.

    Frames are decoded only if more than one read is pending, or two pending frames have the same conid; and only when a
    reader requests them, or many are pending.
    """

    __slots__ = ("_index", "_index_segment", "_merge_gap", "_merged", "_pinned")

    def __init__(self, max_frames: int, max_bytes: int, max_events: int) -> None:
        super().__init__(max_frames, max_bytes, max_events)
        # Merged frames. The unmerged ones in `slices` follow them.
        self._merged: deque[_MergedFrame] = deque()
        # By topic, the frame that later frames can be merged into. All are of one segment.
        self._index: dict[str, _MergedFrame] = {}
        self._index_segment = 0
        # The frames missing before the next frame: the receive times around them, and their number.
        self._merge_gap: tuple[int, int, int] | None = None
        # The first good frame of a gap that was already reported.
        self._pinned: _MergedFrame | None = None

    def put(self, batch: Batch, start: int, stop: int, cost: int) -> None:
        """Add frames [start, stop) of a batch."""
        if self.is_ended:
            return
        count = stop - start
        self.received += count
        if self.batch is not None:
            self.put_back_slice()
        self.slices.append((batch, start, stop, cost, self.events_received, None))
        self.pending += count
        self.pending_bytes += cost
        if self._is_over() or (len(self.slices) > 1 and self.pending - len(self._merged) >= _MERGE_FRAMES):
            self._merge()
            while self._is_over() and len(self._merged) > (self._pinned is None):
                self._drop(self._merged.popleft())
        self.wake()

    def next_item(self) -> Frame | FeedEvent | None:
        """Return the next frame or event; None if the queue is empty."""
        self._finish_chunk()
        if self._is_unmerged():
            return super().next_item()
        self._merge()
        event = self._next_event()
        if event is not None or not self._has_frame():
            return event
        first = self._take()
        self._count_delivered(1, first.cost)
        return first.frame

    def _pop(self) -> Batch | FeedEvent | None:
        if self._is_unmerged():
            return super()._pop()
        self._merge()
        event = self._next_event()
        if event is not None or not self._has_frame():
            return event
        # A batch has one receive time, so it gets only frames with the same time.
        first = self._take()
        self._cost = first.cost
        builder = BatchBuilder()
        builder.append(first.frame.raw)
        late_ns = [first.late_ns]
        merged = self._merged
        # After the first good frame of a gap there may be another gap, which comes before the next frame.
        while (
            merged
            and self._merge_gap is None
            and merged[0].received_ns == first.received_ns
            and merged[0].segment == first.segment
        ):
            taken = self._take()
            self._cost += taken.cost
            builder.append(taken.frame.raw)
            late_ns.append(taken.late_ns)
        return builder.finish(first.received_ns, late_ns if any(late_ns) else None)

    def clear(self) -> None:
        """Accept nothing more, and count everything in the queue as dropped."""
        super().clear()
        self._merged.clear()
        self._index.clear()
        self._merge_gap = self._pinned = None

    def _is_over(self) -> bool:
        return self.pending > self._max_frames or self.pending_bytes > self._max_bytes

    def _is_unmerged(self) -> bool:
        # Whether all pending frames can be delivered as they were received, without decoding a topic.
        if self._merged or self._pinned is not None or self._merge_gap is not None or len(self.slices) > 1:
            return False
        if not self.slices:
            return True
        batch, start, stop, _, _, _ = self.slices[0]
        conids = batch.conids[start:stop].tolist()
        named = len(conids) - conids.count(_NO_CONID)
        return len({*conids} - {_NO_CONID}) == named

    def _merge(self) -> None:
        # Merges the frames that arrived since the last merge.
        index = self._index
        changed: dict[int, _MergedFrame] = {}
        while self.slices:
            batch, start, stop, cost, segment, _ = self.slices.popleft()
            if segment != self._index_segment:
                index.clear()
                self._index_segment = segment
            self.pending_bytes -= cost
            kinds, lateness = batch.kinds, batch.late_ns
            for position in range(start, stop):
                frame = batch[position]
                late_ns = 0 if lateness is None else lateness[position]
                topic = frame.topic if kinds[position] == _MARKET_DATA else None
                if topic is not None:
                    earlier = index.get(topic)
                    if earlier is not None and earlier.merge(frame, late_ns):
                        changed[id(earlier)] = earlier
                        self.pending -= 1
                        self.conflated += 1
                        continue
                    if earlier is not None:
                        # A new object, which does not keep the decoded payload.
                        frame = batch[position]
                entry = _MergedFrame(frame, topic, segment, late_ns)
                self._merged.append(entry)
                self.pending_bytes += entry.cost
                if topic is not None:
                    index[topic] = entry
        for entry in changed.values():
            self.pending_bytes -= entry.cost
            entry.encode()
            self.pending_bytes += entry.cost

    def _has_frame(self) -> bool:
        return self._pinned is not None or bool(self._merged)

    def _next_event(self) -> FeedEvent | None:
        if self.slices:
            segment = self.slices[0][4]
        elif self._has_frame():
            segment = (self._pinned or self._merged[0]).segment
        else:
            segment = self.events_received
        if self.events and self.events[0][0] <= segment:
            return self._take_event()
        if self._merge_gap is None or self._pinned is not None:
            return None
        last_good_ns, latest_ns, count = self._merge_gap
        if self._merged:
            # The gap names this frame as the first good one, so it must be the next frame and must not change.
            pinned = self._merged.popleft()
            self._forget(pinned)
            self._pinned, self._merge_gap = pinned, None
            return self._report_gap((last_good_ns, count), max(latest_ns, pinned.received_ns))
        if self.is_ended:
            self._merge_gap = None
            return self._report_gap((last_good_ns, count), None)
        return None

    def _take(self) -> _MergedFrame:
        # Removes and returns the next frame, without counting it.
        entry = self._pinned
        if entry is None:
            entry = self._merged.popleft()
            self._forget(entry)
        self._pinned = None
        self._last_ns = entry.received_ns
        return entry

    def _drop(self, entry: _MergedFrame) -> None:
        self._forget(entry)
        self.dropped += 1
        self.pending -= 1
        self.pending_bytes -= entry.cost
        # Merged frames are not in the order of their times, so the gap has to span all frames merged into them.
        if self._merge_gap is None:
            kept_ns = entry.first_ns if self._last_ns is None else self._last_ns
            if self._pinned is not None:
                kept_ns = self._pinned.received_ns
            self._merge_gap = (kept_ns, entry.received_ns, 0)
        last_good_ns, latest_ns, count = self._merge_gap
        self._merge_gap = (min(last_good_ns, entry.first_ns), max(latest_ns, entry.received_ns), count + 1)

    def _forget(self, entry: _MergedFrame) -> None:
        if entry.topic is not None and self._index.get(entry.topic) is entry:
            del self._index[entry.topic]
