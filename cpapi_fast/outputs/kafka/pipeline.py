"""RecordPipeline: the way of records to the cluster, in order: in flight, on disk while it is away, and in memory"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.outputs.interface import OutputCounts

from .cluster_check import safe_text
from .librdkafka import addresses
from .options import KafkaOptions
from .record_producer import FUNCTIONS, RecordProducer
from .records import ACKNOWLEDGED, REFUSED, RecordBlock
from .spill import Spill

#: How many bytes may wait in memory for room in the queue of librdkafka, before they are spilled.
_WAITING_BYTES: Final = 8 * 1024 * 1024

#: The times between two looks at the age of records, and at what was acknowledged, in real seconds.
_AGE_INTERVAL_S: Final = 0.1
POLL_INTERVAL_S: Final = 0.1

#: The times before a failed producer is replaced, in real seconds: the first, and the longest.
_REBUILD_S: Final = 1.0
_REBUILD_MAX_S: Final = 30.0


def make_producer(options: KafkaOptions, topics: tuple[str, ...]) -> RecordProducer:
    """Create a producer.

    Raises:
        ConfigError: a property is invalid.
        MissingDependencyError: confluent-kafka is not installed.
    """
    try:
        return RecordProducer(addresses(FUNCTIONS), options.properties, topics)
    except ValueError as exc:
        raise ConfigError(f"a property for Kafka is invalid: {safe_text(str(exc), options)}") from None


class RecordPipeline:
    """Sends blocks of records in the order in which they were added. Not thread-safe.

    Args:
        options: the options of the output.
        counts: the counts of each topic, by its name.
        spill: what keeps records on disk.
        notice: called with a line of text when the cluster goes away, and so on.
        clock: the clock of `spill_after_s`.

    Attributes:
        recovered: how many records of earlier runs were sent.
        producers: how many producers were made.
    """

    def __init__(
        self,
        options: KafkaOptions,
        counts: Mapping[str, OutputCounts],
        spill: Spill,
        notice: Callable[[str], object],
        clock: Clock,
    ) -> None:
        self._options: Final = options
        self._counts: Final = counts
        self._topics: Final = tuple(counts)
        self._spill: Final = spill
        self._notice: Final = notice
        self._clock: Final = clock
        self._producer: RecordProducer | None = make_producer(options, self._topics)
        self.producers = 1
        self._rebuild_at_s = 0.0
        self._rebuild_delay_s = _REBUILD_S
        self._last_failure = self._last_refusal = ""
        # In the order of the stream: sent, to be sent by another producer, on disk (the spill), and in memory.
        self._in_flight: deque[RecordBlock] = deque()
        self._again: deque[RecordBlock] = deque()
        self._waiting: deque[RecordBlock] = deque()
        self._waiting_bytes = 0
        self.recovered = 0
        self._acknowledged = 0
        self._heard_s = clock.monotonic_s()
        self._aged_s = 0.0
        self._was_away = self._is_spill_broken = False

    @property
    def queued(self) -> int:
        """How many records are in the queues of librdkafka."""
        return self._producer.queued if self._producer is not None else 0

    @property
    def is_busy(self) -> bool:
        """Whether records are not acknowledged."""
        return bool(self._in_flight or self._again or self._spill or self._waiting)

    @property
    def is_away(self) -> bool:
        """Whether nothing was acknowledged for `spill_after_s`, although records wait."""
        return self.is_busy and self._clock.monotonic_s() - self._heard_s >= self._options.spill_after_s

    @property
    def has_waiting(self) -> bool:
        """Whether records wait in memory for room."""
        return bool(self._waiting)

    def add(self, block: RecordBlock) -> None:
        """Add records after those that were added before."""
        counts = self._counts[block.topic]
        counts.received += len(block)
        counts.pending += len(block)
        if not self.is_busy:
            # Nothing was expected before, so that the cluster cannot be away yet.
            self._heard_s = self._clock.monotonic_s()
        self._waiting.append(block)
        self._waiting_bytes += block.nbytes

    def wait_for_room(self) -> None:
        """Wait until nothing waits in memory, as long as the cluster is only slower than the data."""
        while self._waiting and not self._spill and self._producer is not None and not self.is_away:
            self.advance(POLL_INTERVAL_S)

    def advance(self, timeout_s: float = 0.0) -> None:
        """Count what was acknowledged, send what has room, and spill what is old.

        Args:
            timeout_s: how long to wait for the first acknowledgement, in real seconds.

        Raises:
            OutputError: the spill cannot be read.
        """
        producer = self._producer
        if producer is not None:
            producer.poll(timeout_s)
            if producer.acknowledged != self._acknowledged:
                self._acknowledged = producer.acknowledged
                self._heard_s = self._clock.monotonic_s()
                self._rebuild_delay_s = _REBUILD_S
            self._settle()
            if producer.failed or producer.fatal_error:
                self._give_up_producer(producer.fatal_error or producer.failure)
        elif time.monotonic() >= self._rebuild_at_s:
            self._producer = make_producer(self._options, self._topics)
            self.producers += 1
            self._acknowledged = 0
        self._send()
        self._spill_old()

    def close(self, timeout_s: float) -> None:
        """Wait for acknowledgements, up to `timeout_s` real seconds. What is left stays in the spill.

        Raises:
            OutputError: the spill cannot be read.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            while self.is_busy and time.monotonic() < deadline_s:
                self.advance(POLL_INTERVAL_S)
                if self._producer is None:
                    time.sleep(POLL_INTERVAL_S)
        finally:
            self._end_producer()
            self._leave()
            self._spill.close()

    # --- what was sent ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Count the blocks of which every record is finished."""
        flying = self._in_flight
        while flying and flying[0].is_finished:
            self._count_finished(flying.popleft())

    def _count_finished(self, block: RecordBlock) -> None:
        self._count(block)
        if self._producer is not None:
            self._producer.release(block.fates)
        self._spill.finish(block)

    def _count(self, block: RecordBlock) -> None:
        """Count the records of a block that are finished."""
        written, refused = block.fates.count(ACKNOWLEDGED), block.fates.count(REFUSED)
        if self._producer is not None:
            self._last_refusal = self._producer.refusal
        if not block.is_own:
            self.recovered += written
            return
        counts = self._counts[block.topic]
        counts.pending -= written + refused
        counts.written += written
        counts.drop(refused, f"refused by Kafka: {self._last_refusal}")

    # --- what is sent -----------------------------------------------------------------------------

    def _send(self) -> None:
        """Pass blocks to the producer in the order of the stream, as long as its queue has room."""
        flying = self._in_flight
        if self._producer is None or (flying and not flying[-1].is_sent and not self._send_block(flying[-1])):
            return
        while True:
            if self._again:
                block = self._again.popleft()
            elif self._spill:
                found = self._take()
                if found is None:
                    continue
                block = found
            elif self._waiting:
                block = self._waiting.popleft()
                self._waiting_bytes -= block.nbytes
            else:
                return
            flying.append(block)
            if not self._send_block(block):
                return

    def _take(self) -> RecordBlock | None:
        try:
            block, lost = self._spill.take()
        except OSError as exc:
            path = str(self._spill.paths[0])
            raise OutputError(f"cannot read the unsent records in {path}: {exc.strerror}", path=path) from exc
        for topic, count in lost.items():
            self._counts[topic].pending -= count
            self._counts[topic].drop(count, "spill damaged")
            self._notice(f"{count:,} records of {topic} in the spill are damaged and were left out")
        return block

    def _send_block(self, block: RecordBlock) -> bool:
        """Pass a block to the producer. Returns whether all of it was passed."""
        producer = self._producer
        if producer is None:
            return False
        block.next = producer.produce(
            self._topics.index(block.topic),
            block.run,
            block.first_sequence,
            block.sequences,
            block.received_ns,
            block.conids,
            block.offsets,
            block.payloads,
            block.fates,
            block.next,
        )
        if producer.error_code:
            self._give_up_producer(producer.name_of(producer.error_code))
            return False
        return block.is_sent

    def _end_producer(self) -> None:
        """Take all records from the producer, and release it."""
        producer = self._producer
        if producer is None:
            return
        producer.purge()
        deadline_s = time.monotonic() + 5.0
        while producer.queued and time.monotonic() < deadline_s:
            producer.poll(POLL_INTERVAL_S)
        self._settle()
        producer.close()
        self._producer = None

    def _give_up_producer(self, reason: str) -> None:
        """Replace a producer that cannot send its records. They are sent by the next one, in the same order."""
        self._last_failure = reason
        self._notice(f"Kafka: {reason}; the records are sent again in {self._rebuild_delay_s:.0f} s")
        self._end_producer()
        for block in self._in_flight:
            block.send_again()
        self._again.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self._rebuild_at_s = time.monotonic() + self._rebuild_delay_s
        self._rebuild_delay_s = min(2 * self._rebuild_delay_s, _REBUILD_MAX_S)

    # --- what is spilled --------------------------------------------------------------------------

    def _spill_old(self) -> None:
        """Write records to the spill that are older than `spill_after_s`, or that have no room in memory."""
        real_s = time.monotonic()
        if real_s - self._aged_s < _AGE_INTERVAL_S and self._waiting_bytes <= _WAITING_BYTES:
            return
        self._aged_s = real_s
        self._report_away(self.is_away)
        limit_s = self._clock.monotonic_s() - self._options.spill_after_s
        for blocks in (self._in_flight, self._again):
            for block in blocks:
                if block.created_s > limit_s:
                    break
                if block.spilled is None and not self._try_spill(self._spill.keep, block):
                    break
        if self._waiting and (self._waiting[0].created_s <= limit_s or self._waiting_bytes > _WAITING_BYTES):
            self._spill_waiting()

    def _spill_waiting(self) -> None:
        """Move all records that wait in memory to the spill; beyond its bound, drop them."""
        by_topic: dict[str, list[RecordBlock]] = {}
        for block in self._waiting:
            by_topic.setdefault(block.topic, []).append(block)
        is_over = self._waiting_bytes > _WAITING_BYTES
        left: list[RecordBlock] = []
        for blocks in by_topic.values():
            merged = RecordBlock.merged(blocks)
            if self._try_spill(self._spill.put, merged):
                continue
            if is_over:
                self._drop(merged, "spill full")
            else:
                left.append(merged)
        self._waiting = deque(left)
        self._waiting_bytes = sum(block.nbytes for block in left)

    def _drop(self, block: RecordBlock, reason: str) -> None:
        """Count the records of a block that are not finished as dropped."""
        count = len(block) - block.fates.count(ACKNOWLEDGED) - block.fates.count(REFUSED)
        if block.is_own:
            self._counts[block.topic].pending -= count
            self._counts[block.topic].drop(count, reason)

    def _try_spill(self, write: Callable[[RecordBlock], bool], block: RecordBlock) -> bool:
        try:
            is_written, reason = write(block), f"it has {self._spill.nbytes:,} bytes already (spill_bytes)"
        except OSError as exc:
            is_written, reason = False, exc.strerror or str(exc)
        if not is_written and not self._is_spill_broken:
            self._notice(f"the spill for Kafka takes no more records: {reason}; new frames for Kafka will be dropped")
        self._is_spill_broken = not is_written
        return is_written

    def _report_away(self, is_away: bool) -> None:
        if is_away == self._was_away:
            return
        self._was_away = is_away
        if is_away:
            reason = " ".join(filter(None, self._producer.last_error)) if self._producer else self._last_failure
            text = f": {safe_text(reason, self._options)}" if reason else ""
            self._notice(f"Kafka acknowledges nothing{text}; frames are written to {self._spill.folder}")
        else:
            self._notice("Kafka acknowledges records again; the spill is sent in order")

    def _leave(self) -> None:
        """Write what was not acknowledged to the spill, for the next run."""
        for block in (*self._in_flight, *self._again):
            block.send_again()
            if block.spilled is not None:
                self._spill.note_progress(block)
            elif not self._try_spill(self._spill.keep, block):
                self._drop(block, "not sent")
            self._count(block)
        for block in self._waiting:
            if not self._try_spill(self._spill.put, block):
                self._drop(block, "not sent")
        self._in_flight.clear()
        self._again.clear()
        self._waiting.clear()
        left = sum(counts.pending for counts in self._counts.values()) + self._spill.recovered_waiting
        if left:
            text = f"Kafka has not acknowledged {left:,} records; the next run sends them from {self._spill.folder}"
            self._notice(text)
