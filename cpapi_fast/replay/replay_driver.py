"""ReplayDriver: passes recorded frames and events to the consumers, in the order and at the pace of the recording"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.events import FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.feed.driver.control_frames import channel_of
from cpapi_fast.feed.machine import Activity, SubscriptionSpec
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.state import KeptState
from cpapi_fast.feed.tracked_topics import TrackedTopics
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.recorded_reads import RecordedReads
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.topics import requested_codes
from cpapi_fast.ws.stats import WsStats

from .recorded_feed import RecordedClock, RecordedMachine
from .recording import Piece, Recording, time_of

_NO_ACTIVITY: Final = Activity(0, 0, 0.0)
_OPEN: Final = frozenset({FeedState.OPEN, FeedState.STREAMING})
_SESSION_CHANNELS: Final = frozenset({"sts", "act"})
_NS_PER_S: Final = 1_000_000_000
#: After so many batches or frames, other tasks run, also flat out.
_MOST_BATCHES: Final = 128
_MOST_FRAMES: Final = 8_192
#: A pause below this is left out: timers of the loop have a resolution of a millisecond.
_SHORTEST_S: Final = 0.001


class _NoArrivals:
    """Nothing arrives late in a replay."""

    def counts(self) -> Mapping[str, int]:
        """The counts, as `FeedStats` names them."""
        return {"standstills": 0, "late_frames": 0, "max_lateness_ns": 0}


class ReplayDriver:
    """Reads a recording in a thread, one message ahead, and delivers it in the loop.

    Args:
        recording: the frames and events.
        options: the options of the feed.
        delivery: receives frames and events.
        clock: is set to the recorded time.
        speed: how many recorded seconds pass in one real second; None for as fast as the consumers read.
        on_event: called with each event after the consumers have it.
        on_state: called with the state of the feed if no event reports it.

    Attributes:
        on_delivered: called with each batch after the consumers have it; None for nobody.
        time_ns: the recorded time of what was delivered last, in ns since the Unix epoch; 0 before.
        frames_left_out: how many frames were left out, because nobody subscribes to their topics.
    """

    def __init__(
        self,
        recording: Recording,
        options: FeedOptions,
        delivery: Dispatcher,
        clock: RecordedClock,
        speed: float | None,
        on_event: Callable[[FeedEvent], None],
        on_state: Callable[[FeedState], None],
    ) -> None:
        self.machine: Final = RecordedMachine(options)
        self.topics: Final = TrackedTopics(keeps_last_values=options.last_values)
        self.state: Final = KeptState(
            max_orders=options.max_orders,
            max_executions=options.max_executions,
            max_account_rows=options.max_account_rows,
            keeps_rows=options.kept_state,
        )
        self.topics.tracker.inspects_kept = options.kept_state
        self.arrivals: Final = _NoArrivals()
        self.calls_failed: Final = 0
        self.on_delivered: Callable[[Batch], None] | None = None
        self.time_ns = 0
        self.frames_left_out = 0
        self._frames = self._bytes = self._batches = 0
        self._recording: Final = recording
        self._delivery: Final = delivery
        self._clock: Final = clock
        self._speed: Final = speed
        self._on_event: Final = on_event
        self._on_state: Final = on_state
        #: Where values of before a gap end with the next frames: topics, and None for all.
        self._segments: Final[set[str | None]] = set()
        #: Whether the run has an events file, which has its states.
        self._has_states = False
        self._is_held = False
        self._released: asyncio.Future[None] | None = None
        #: The recorded time that is due at a real time; None to take the next item as due now.
        self._anchor: tuple[int, float] | None = None

    @property
    def inspector(self) -> ReplayDriver:
        """What calls `on_delivered`."""
        return self

    @property
    def frames_untracked(self) -> int:
        """How many market data frames had no subscription."""
        return self.topics.tracker.untracked

    def activity(self, topic: str) -> Activity:
        """The delivered frames of a topic."""
        return self.topics.activity((topic,)).get(topic, _NO_ACTIVITY)

    def stats(self) -> WsStats:
        """The delivered frames and batches, as a connection counts them."""
        zeros = dict.fromkeys((field.name for field in dataclasses.fields(WsStats)), 0)
        return WsStats(
            **zeros
            | {
                "frames_received": self._frames,
                "bytes_received": self._bytes,
                "delivered": self._frames,
                "reads": self._batches,
            }
        )

    # --- subscriptions ----------------------------------------------------------------------------

    def subscribe(self, spec: SubscriptionSpec) -> None:
        """Deliver the frames of a topic from now on, and keep its values."""
        if spec.topic not in self.topics:
            self.topics.add(spec.topic, is_market_data=spec.is_market_data)
        if spec.is_market_data:
            self.topics.reserve(requested_codes(spec.payload))
        if self.machine.add(spec).state is not FeedState.STREAMING:
            # Its first frame shows that it streams, where no event does.
            self.topics.watch(spec.topic)

    def unsubscribe(self, topic: str) -> None:
        """Leave the frames of a topic out from now on. Idempotent."""
        self.machine.remove(topic)
        if topic in self.topics:
            self.topics.remove(topic)
        self.state.check_interruptions(self._is_open)
        self.state.flush()

    def silent_topics(self) -> list[str]:
        """The topics of subscriptions of which no frame was delivered."""
        return [topic for topic in self.machine.subscriptions if not self.activity(topic).frames]

    def hold(self, is_held: bool) -> None:
        """Deliver nothing more, or continue."""
        self._is_held = is_held
        if not is_held:
            # The time in which a reader was full is no recorded time.
            self._anchor = None
            if self._released is not None and not self._released.done():
                self._released.set_result(None)

    # --- the replay -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver everything.

        Raises:
            ConfigError: a file cannot be read, or is damaged.
        """
        loop = asyncio.get_running_loop()
        pieces = iter(self._recording)
        executor = ThreadPoolExecutor(1, "cpapi_fast replay")
        ahead = loop.run_in_executor(executor, _next, pieces)
        try:
            while (piece := await ahead) is not None:
                ahead = loop.run_in_executor(executor, _next, pieces)
                await self._deliver(piece)
        finally:
            ahead.cancel()
            # The thread reads at most one message more. It also closes the file.
            executor.submit(_close, pieces)
            executor.shutdown(wait=False)

    async def _deliver(self, piece: Piece) -> None:
        if piece.is_start:
            self._begin_run(piece)
        reads, events = piece.reads, deque(piece.events)
        if reads is None:
            for _, event in events:
                await self._pass_event(event)
            return
        batches = frames = 0
        while reads.position < piece.stop or events:
            while events and events[0][0] <= reads.position:
                await self._pass_event(events.popleft()[1])
            topics = self.topics.table if self.machine.subscriptions else None
            if events and reads.end_of_read(piece.stop) > events[0][0]:
                await self._pass_cut(reads, piece.stop, events)
                continue
            # Nothing changes the topics while reads are left out, so that they can be skipped in one call.
            batch = reads.take(events[0][0] if events else piece.stop, topics)
            if batch is None:
                continue
            if self._speed is not None:
                await self._pace(reads.received_ns)
            self._put(batch, reads.received_ns)
            if self._is_held:
                await self._wait_released()
            batches += 1
            frames += len(batch)
            if batches >= _MOST_BATCHES or frames >= _MOST_FRAMES:
                batches = frames = 0
                await asyncio.sleep(0)
        self.frames_left_out += reads.left_out
        await asyncio.sleep(0)

    async def _pass_event(self, event: FeedEvent) -> None:
        if self._is_wanted(event):
            if self._speed is not None:
                await self._pace(time_of(event))
            self._note_gap(event)
            self._put_event(event)

    async def _pass_cut(self, reads: RecordedReads, stop: int, events: deque[tuple[int, FeedEvent]]) -> None:
        """Deliver a read with events between its frames: as one batch to what is kept, and in parts to consumers."""
        topics = self.topics.table if self.machine.subscriptions else None
        builder = BatchBuilder()
        cuts: list[tuple[int, FeedEvent]] = []
        end, count = reads.end_of_read(stop), 0
        while reads.position < end:
            part = reads.take(min(end, events[0][0]) if events else end, topics)
            for frame in part or ():
                builder.append(frame.raw)
                count += 1
            while events and events[0][0] <= reads.position < end:
                event = events.popleft()[1]
                if self._is_wanted(event):
                    cuts.append((count, event))
        batch = builder.finish(reads.received_ns)
        if self._speed is not None:
            await self._pace(reads.received_ns)
        if batch is None:
            for _, event in cuts:
                self._note_gap(event)
                self._put_event(event)
        else:
            self._put(batch, reads.received_ns, cuts)
        if self._is_held:
            await self._wait_released()

    def _begin_run(self, piece: Piece) -> None:
        self.machine.begin_run()
        self._has_states = bool(piece.run.events)
        # What is kept of the run before is not continued: nobody knows what was missed in between.
        self._segments.update(self.machine.subscriptions)
        self.state.on_connection_lost()
        self.state.check_interruptions(self._is_open)
        for event in piece.before:
            if isinstance(event, StateChange):
                self.machine.on_change(event)
        for topic in self.machine.subscriptions:
            self.topics.watch(topic)
        if piece.before:
            self._on_state(self.machine.state)
        self.state.flush()

    async def _pace(self, time_ns: int) -> None:
        now_s = time.monotonic()
        if self._anchor is None or self._speed is None:
            self._anchor = (time_ns, now_s)
            return
        from_ns, from_s = self._anchor
        left_s = from_s + (time_ns - from_ns) / _NS_PER_S / self._speed - now_s
        if left_s >= _SHORTEST_S:
            await asyncio.sleep(left_s)

    async def _wait_released(self) -> None:
        while self._is_held:
            self._released = asyncio.get_running_loop().create_future()
            await self._released

    # --- frames -----------------------------------------------------------------------------------

    def _put(self, batch: Batch, received_ns: int, cuts: Sequence[tuple[int, FeedEvent]] = ()) -> None:
        self.time_ns = received_ns
        self._clock.set_ns(received_ns)
        self._frames += len(batch)
        self._bytes += batch.nbytes
        self._batches += 1
        indexes = self.topics.tracker.scan(batch, self._clock.monotonic_s())
        for _, event in cuts:
            self._note_gap(event)
        if self._segments:
            self._begin_segments(batch)
        if not self._has_states and self.machine.state is not FeedState.STREAMING:
            self.machine.stream()
            self._on_state(FeedState.STREAMING)
        if not indexes and not cuts:
            self._delivery.put(batch, 0, len(batch))
        else:
            self.state.hold()
            try:
                self._inspect(batch, indexes or [])
                start = 0
                for index, event in cuts:
                    self._delivery.put(batch, start, index)
                    self._put_event(event)
                    start = index
                self._delivery.put(batch, start, len(batch))
            finally:
                self.state.release()
        if self.on_delivered is not None:
            self.on_delivered(batch)

    def _inspect(self, batch: Batch, indexes: list[int]) -> None:
        """Merge the few frames that are not market data, and note the first frames of subscriptions."""
        for index in indexes:
            slot = self.topics.slot_of(batch, index)
            frame = batch[index]
            if slot >= 0:
                if frame.kind is not FrameKind.MARKET_DATA:
                    self.state.on_subscription_frame(frame)
                if self.topics.tracker.is_watched(slot) and frame.topic is not None:
                    self.topics.unwatch(frame.topic)
                    self.machine.subscriptions[frame.topic].state = FeedState.STREAMING
            elif frame.kind is FrameKind.SYSTEM or channel_of(frame.topic) in _SESSION_CHANNELS:
                self.state.on_connection_frame(frame)

    def _begin_segments(self, batch: Batch) -> None:
        """Separate the values of before a gap from those of these frames."""
        present = set(self.topics.market_data_in(batch))
        for topic in self._segments & present:
            if topic is not None:
                self.topics.begin_segment(self.topics.find(topic), at_reply=False)
        self._segments.difference_update(present)
        # A subscription that was cancelled has nothing to separate.
        self._segments.intersection_update(self.machine.subscriptions)

    # --- events -----------------------------------------------------------------------------------

    def _is_wanted(self, event: FeedEvent) -> bool:
        """Whether an event is of the feed itself or of a subscription, or everything is replayed."""
        subscriptions = self.machine.subscriptions
        topic = _topic_of(event)
        if isinstance(event, StateChange) and topic is not None and topic not in subscriptions and subscriptions:
            # Its state is known if it is subscribed to later.
            self.machine.on_change(event)
        return topic is None or not subscriptions or topic in subscriptions

    def _note_gap(self, event: FeedEvent) -> None:
        """Let the next frames of a topic begin a segment, if the event is the end of a gap."""
        if isinstance(event, Gap) and event.first_good_ns is not None:
            self._segments.update(self.machine.subscriptions if event.subscription is None else (event.subscription,))

    def _put_event(self, event: FeedEvent) -> None:
        time_ns = time_of(event)
        self.time_ns = max(self.time_ns, time_ns)
        self._clock.set_ns(time_ns)
        if isinstance(event, StateChange):
            self.machine.on_change(event)
            if event.subscription is None and event.state in (FeedState.DISCONNECTED, FeedState.CONNECTING):
                self.state.on_connection_lost()
            topic = event.subscription
            for name in self.machine.subscriptions if topic is None else (topic,):
                subscription = self.machine.subscriptions.get(name)
                if subscription is not None and subscription.state is not FeedState.STREAMING:
                    self.topics.watch(name)
            self.state.check_interruptions(self._is_open)
        self._delivery.put_event(event)
        self._on_event(event)
        self.state.flush()

    def _is_open(self, topic: str) -> bool:
        subscription = self.machine.subscriptions.get(topic)
        return subscription is not None and subscription.state in _OPEN


def _topic_of(event: FeedEvent) -> str | None:
    if isinstance(event, (StateChange, Gap)):
        return event.subscription
    gap = getattr(event, "gap", None)
    return gap.subscription if isinstance(gap, Gap) else None


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next(pieces, None)


def _close(pieces: Iterator[Piece]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
