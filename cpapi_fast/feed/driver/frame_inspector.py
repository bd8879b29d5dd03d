"""FrameInspector: delivers all frames of a feed, and inspects the few that the machine needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from cpapi_fast.clock import Clock
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.events import Gap
from cpapi_fast.feed.backfill import Backfiller
from cpapi_fast.feed.machine import Action, Emit, Moment, SubscriptionState
from cpapi_fast.feed.state import KeptState
from cpapi_fast.feed.tracked_topics import TrackedTopics
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.kinds import FrameKind

from .arrival_watch import ArrivalWatch
from .control_frames import channel_of, payload_of, read_smd_header, read_status
from .machine_runner import MachineRunner

#: Kinds of which the machine gets only the frames of watched topics.
_UNINSPECTED: Final = frozenset({FrameKind.ORDER, FrameKind.PNL})

_SESSION_CHANNELS: Final = frozenset({"sts", "act"})


class _SegmentFacts(NamedTuple):
    """What of a subscription shows whether a frame has closed its gap, and where the values after the gap begin."""

    has_gap: bool
    stream_id: str | None
    sent_s: float
    snapshots: int

    @staticmethod
    def of(state: SubscriptionState | None) -> _SegmentFacts:
        if state is None:
            return _SegmentFacts(False, None, 0.0, 0)
        request = state.request
        return _SegmentFacts(state.open_gap is not None, request.stream_id, request.sent_s, request.snapshots)


class FrameInspector:
    """Passes batches from the socket to the consumers, with the machine's events between the frames.

    Args:
        clock: the clock of the feed.
        delivery: receives frames.
        topics: counts frames, keeps last values, and finds the frames to inspect.
        backfiller: receives the replies to its requests for history.
        runner: receives the content of the inspected frames.
        carry_out: carries out the actions that follow.
        arrivals: measures frames that may be late.
        state: merges frames that are not market data, before the consumers have them.
    """

    def __init__(
        self,
        clock: Clock,
        delivery: Dispatcher,
        topics: TrackedTopics,
        backfiller: Backfiller,
        runner: MachineRunner,
        carry_out: Callable[[list[Action]], None],
        arrivals: ArrivalWatch,
        state: KeptState,
    ) -> None:
        self._clock: Final = clock
        self._delivery: Final = delivery
        self._topics: Final = topics
        self._backfiller: Final = backfiller
        self._runner: Final = runner
        self._carry_out: Final = carry_out
        self._arrivals: Final = arrivals
        self._state: Final = state
        #: Called with each batch after the consumers have it; None for nobody.
        self.on_delivered: Callable[[Batch], None] | None = None

    def on_batch(self, batch: Batch) -> None:
        """Handle the frames of one socket read."""
        indexes = self._topics.tracker.scan(batch, self._clock.monotonic_s())
        if indexes is None:
            self._delivery.put(batch, 0, len(batch))
        else:
            if self._topics.tracker.may_be_late:
                self._arrivals.on_batch(batch)
            self._state.hold()
            try:
                self._inspect(batch, indexes)
            finally:
                self._state.release()
        if self.on_delivered is not None:
            self.on_delivered(batch)

    def _inspect(self, batch: Batch, indexes: list[int]) -> None:
        """Inspect some frames of a batch, and put the events that follow between the frames where they belong."""
        start, now, late_ns = 0, self._runner.now(), batch.late_ns
        for index in indexes:
            frame = batch[index]
            slot = self._topics.slot_of(batch, index)
            is_of_subscription = slot >= 0
            if not is_of_subscription and self._backfiller.takes(frame):
                # Deliver everything received before the reply first, then the bars.
                self._delivery.put(batch, start, index + 1)
                start = index + 1
                self._backfiller.on_frame(frame)
                continue
            if is_of_subscription:
                if frame.kind is not FrameKind.MARKET_DATA:
                    self._state.on_subscription_frame(frame)
                    if frame.kind in _UNINSPECTED and not self._topics.tracker.is_watched(slot):
                        continue
                actions = self._put_subscription(frame, slot, now, 0 if late_ns is None else late_ns[index])
            else:
                actions = self._put_connection(frame, now)
            if actions:
                # A gap comes before the frame that ends it, and a state after the frame that reports it.
                cut = index if is_of_subscription else index + 1
                if cut > start and any(isinstance(action, Emit) for action in actions):
                    self._delivery.put(batch, start, cut)
                    start = cut
                self._carry_out(actions)
        self._delivery.put(batch, start, len(batch))

    def _put_subscription(self, frame: Frame, slot: int, now: Moment, late_ns: int) -> list[Action]:
        runner, topic = self._runner, frame.topic
        if topic is None:
            return []
        payload = payload_of(frame)
        if "error" in payload:
            return runner.put_for((topic,), runner.machine.on_refused, topic, now)
        on_frame = runner.machine.on_subscription_frame
        if frame.kind is not FrameKind.MARKET_DATA:
            return runner.put_for((topic,), on_frame, topic, frame.received_ns, now, late_ns=late_ns)
        header = read_smd_header(payload)
        is_snapshot = header.has_availability
        is_newer: bool | None = None
        if header.updated_ms is not None:
            previous_ms = self._topics.last_update(slot, header.updated_ms)
            is_snapshot = is_snapshot or previous_ms == header.updated_ms
            is_newer = None if previous_ms is None else header.updated_ms > previous_ms
        state = runner.machine.subscriptions.get(topic)
        before = _SegmentFacts.of(state)
        # Another thread may read the quote after the machine closed the gap and before the segment begins.
        self._topics.deciding_slot = slot
        try:
            actions = runner.put_for(
                (topic,),
                on_frame,
                topic,
                frame.received_ns,
                now,
                late_ns=late_ns,
                is_snapshot=is_snapshot,
                stream_id=header.stream_id,
                is_newer=is_newer,
            )
            self._mark_segment(slot, before, _SegmentFacts.of(state), actions)
        finally:
            self._topics.deciding_slot = -1
        return actions

    def _mark_segment(self, slot: int, before: _SegmentFacts, now: _SegmentFacts, actions: list[Action]) -> None:
        """Record from when on the values of a topic belong together, if a frame has closed a gap."""
        if now.snapshots > before.snapshots:
            self._topics.note_reply(slot, now.sent_s)
        has_closed = any(
            isinstance(action, Emit) and isinstance(action.event, Gap) and action.event.first_good_ns is not None
            for action in actions
        )
        if has_closed and not now.has_gap:
            # A gap that the frame both opened and closed was found late: the stream was complete since its snapshot.
            is_late = not before.has_gap and now.stream_id == before.stream_id
            self._topics.begin_segment(slot, at_reply=is_late)

    def _put_connection(self, frame: Frame, now: Moment) -> list[Action]:
        runner = self._runner
        if frame.kind is FrameKind.SYSTEM or channel_of(frame.topic) in _SESSION_CHANNELS:
            self._state.on_connection_frame(frame)
        if frame.kind is FrameKind.SYSTEM:
            payload = payload_of(frame)
            heartbeat_ms = payload.get("hb")
            if type(heartbeat_ms) is int:
                self._arrivals.on_heartbeat(heartbeat_ms, frame.received_ns)
            return runner.put(runner.machine.on_ready, now) if "success" in payload else []
        if frame.kind is FrameKind.OTHER and channel_of(frame.topic) == "sts":
            authenticated, connected, competing, words = read_status(payload_of(frame))
            return runner.put(runner.machine.on_status, authenticated, connected, competing, now, words=words)
        return []
