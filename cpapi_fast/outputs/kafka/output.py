"""KafkaOutput: sends frames, rows and events to Kafka, each once and in order, and spills them while it is away"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, OutputError, UsageError
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.outputs.event_log import event_line, event_time_ns
from cpapi_fast.outputs.file_names import new_run
from cpapi_fast.outputs.interface import FileChange, OutputCounts, RecordedEvent, make_folder

from .cluster_check import check_cluster, safe_text
from .librdkafka import addresses
from .options import KafkaOptions
from .record_producer import FUNCTIONS, RecordProducer
from .records import ACKNOWLEDGED, REFUSED, RecordBlock
from .spill import Spill
from .table_rows import Rows, TableTopic

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: How many bytes may wait in memory for room in the queue of librdkafka, before they are spilled.
_WAITING_BYTES: Final = 8 * 1024 * 1024

#: The times between two looks at the age of records, and at what was acknowledged, in real seconds.
_AGE_INTERVAL_S: Final = 0.1
_POLL_INTERVAL_S: Final = 0.1

#: The times before a failed producer is replaced, in real seconds: the first, and the longest.
_REBUILD_S: Final = 1.0
_REBUILD_MAX_S: Final = 30.0

#: librdkafka limits batches of records to this, unless a property says otherwise.
_RECORD_BYTES: Final = "1000000"

_CONID_IN_TOPIC: Final = re.compile(r"smd\+(\d+)")


@dataclass(frozen=True, slots=True)
class KafkaStats:
    """What a `KafkaOutput` has done. All numbers are records, unless stated otherwise.

    Attributes:
        queued: in the queues of librdkafka, not acknowledged.
        spilled: written to the spill, ever.
        spill_waiting: on disk only; they are sent in order when the cluster is back.
        spill_bytes: the size of the spill files, in bytes.
        recovered: of earlier runs, and sent by this one.
        recovered_waiting: of earlier runs, and on disk only.
        producers: how many producers were made: one, and one more after each error that a producer does not survive.
        is_away: whether the cluster has acknowledged nothing for `spill_after_s`, although records wait for it.
        topics: the counts of each topic, by its name.
    """

    queued: int
    spilled: int
    spill_waiting: int
    spill_bytes: int
    recovered: int
    recovered_waiting: int
    producers: int
    is_away: bool
    topics: dict[str, OutputCounts]


class KafkaOutput:
    """Sends batches and events to the topics of a Kafka cluster. Not thread-safe. Never use it in the event loop.

    The topics are `<prefix>raw` with each frame unchanged, `<prefix>events` with a JSON object per event, and
    `<prefix>ticks` and `<prefix>quotes` with a JSON object per row. The key is the conid as text, and the time of a
    record is the receive time. A frame without a conid has no key and is in partition 0. Each record has the headers
    `run`, 16 hexadecimal digits, and `sequence`, which counts the records of the run in the topic from 0.

    A frame counts as written when all in-sync replicas have it. While no broker acknowledges frames, they are written
    to a spill in `folder` and sent later, in order. So nothing is lost or sent twice while the process lives. The spill
    of a killed process is sent by the next run in the same folder. Some of its records may then be there twice, with
    the same `run` and `sequence`.

    Args:
        folder: the folder of the spill; created if missing.
        options: the cluster, the topics and the bounds.
        fields: the keys or codes of the fields of the tables.
        targets: the targets that were subscribed to, for the tables.
        run: six digits in the names of the spill files; None for random ones.
        file_mode: the permissions of the spill files.
        on_notice: called with a line of text about the spill and lost producers, in the thread of the output.
        clock: the clock of `spill_after_s`.

    Raises:
        ConfigError: credentials, TLS, a topic or a property is wrong. The message states the fix.
        OutputError: no broker can be reached, or the folder cannot be written.
        MissingDependencyError: confluent-kafka is not installed.
    """

    name: str = "kafka"
    unit: str = "frames"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        options: KafkaOptions,
        *,
        fields: Iterable[str | int] = (),
        targets: Iterable[str] = (),
        run: str | None = None,
        file_mode: int = PRIVATE_MODE,
        on_notice: Callable[[str], object] = lambda _text: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.options: Final = options
        self.changes: Final[list[FileChange]] = []
        self.run: Final = secrets.token_hex(8).encode()
        prefix = options.topic_prefix
        self._raw: Final = f"{prefix}raw"
        self._events: Final = f"{prefix}events"
        columns, subscribed = tuple(fields), tuple(targets)
        self._tables: Final = {f"{prefix}{table}": TableTopic(table, columns, subscribed) for table in options.tables}
        self._topics: Final = (self._raw, self._events, *self._tables)
        self._counts: Final = {topic: OutputCounts() for topic in self._topics}
        self.counts: Final = self._counts[self._raw]
        self._sequences: Final = dict.fromkeys(self._topics, 0)
        self._notice: Final = on_notice
        self._clock: Final = clock
        self._functions: Final = addresses(FUNCTIONS)
        record_bytes = int(options.properties.get("message.max.bytes", _RECORD_BYTES))
        # Without topics, because the first look at a topic can create it.
        self._new_producer(()).close()
        try:
            check_cluster(options, dict.fromkeys(self._topics, record_bytes))
        except OutputError as exc:
            if not options.start_without_broker:
                raise
            on_notice(f"{exc}; frames are spilled until then")
        place = Path(folder)
        make_folder(place)
        self._spill: Final = Spill(place, run or new_run(place), options.spill_bytes, file_mode, on_notice)
        self._producer: RecordProducer | None = self._new_producer(self._topics)
        self._producers = 1
        self._failed = 0
        self._last_failure = ""
        self._rebuild_at_s = 0.0
        self._rebuild_delay_s = _REBUILD_S
        # In the order of the stream: sent, to be sent by another producer, on disk (the spill), and in memory.
        self._in_flight: deque[RecordBlock] = deque()
        self._again: deque[RecordBlock] = deque()
        self._waiting: deque[RecordBlock] = deque()
        self._waiting_bytes = 0
        self._recovered = 0
        self._acknowledged = 0
        self._heard_s = clock.monotonic_s()
        self._aged_s = 0.0
        self._was_away = self._is_spill_broken = self._is_closed = False
        self._spill.recover()
        unknown = self._spill.waiting_topics - set(self._topics)
        if unknown:
            self._spill.close()
            raise ConfigError(
                f"the spill of an earlier run in {place} has records for the topics {', '.join(sorted(unknown))}; run "
                f"once with that topic_prefix and these tables, or remove {', '.join(map(str, self._spill.paths))}"
            )

    # --- the interface of outputs -----------------------------------------------------------------

    @property
    def files(self) -> list[Path]:
        """The spill files, oldest first."""
        return self._spill.paths

    @property
    def stats(self) -> KafkaStats:
        """What the output has done."""
        spill = self._spill
        return KafkaStats(
            queued=self._producer.queued if self._producer else 0,
            spilled=spill.spilled,
            spill_waiting=spill.waiting,
            spill_bytes=spill.nbytes,
            recovered=self._recovered,
            recovered_waiting=spill.recovered_waiting,
            producers=self._producers,
            is_away=self._is_away(self._clock.monotonic_s()),
            topics=dict(self._counts),
        )

    def write(self, batch: Batch) -> None:
        """Send the frames of a batch, and their rows. It waits while the cluster is only slower than the data.

        Raises:
            UsageError: the output is closed.
        """
        self._check_open()
        now_s = self._clock.monotonic_s()
        sequence = self._sequences[self._raw]
        self._sequences[self._raw] = sequence + len(batch)
        self._add(RecordBlock.of_batch(self._raw, self.run, sequence, batch, now_s))
        for topic, table in self._tables.items():
            for rows in table.add(batch):
                self._add_rows(topic, rows)
        self._advance()
        while self._waiting and not self._spill and self._producer and not self._is_away(self._clock.monotonic_s()):
            self._advance(_POLL_INTERVAL_S)

    def discard(self, batch: Batch) -> None:
        """Count a batch as received and dropped, after an error."""
        self._sequences[self._raw] += len(batch)
        self.counts.received += len(batch)
        self.counts.drop(len(batch), "write error")

    def observe_event(self, event: RecordedEvent) -> None:
        """Send an event. Raises like `write`."""
        self._check_open()
        for topic, table in self._tables.items():
            # The rows before it, and the segments after it.
            self._add_rows(topic, table.take())
            table.observe_event(event)
        found = _CONID_IN_TOPIC.match(getattr(event, "subscription", None) or "")
        line = event_line(event, self._sequences[self._raw]).rstrip(b"\n")
        self._add_values(self._events, Rows([event_time_ns(event)], [int(found[1]) if found else -1], [line]))
        self._advance()

    def poll(self) -> float:
        """Count what was acknowledged, and send what waits.

        Returns:
            The time until the next call is due, in seconds of the clock.
        """
        for topic, table in self._tables.items():
            self._add_rows(topic, table.take())
        self._advance()
        return _POLL_INTERVAL_S if self._is_busy else 1.0

    def close(self) -> None:
        """Wait for acknowledgements, up to `close_timeout_s`. What is left stays in the spill. Idempotent.

        Raises:
            OutputError: what is left cannot be written to the spill.
        """
        if self._is_closed:
            return
        self._is_closed = True
        for topic, table in self._tables.items():
            self._add_rows(topic, table.take())
        deadline_s = time.monotonic() + self.options.close_timeout_s
        while self._is_busy and time.monotonic() < deadline_s:
            self._advance(_POLL_INTERVAL_S)
            if self._producer is None:
                time.sleep(_POLL_INTERVAL_S)
        self._end_producer()
        try:
            self._leave()
        finally:
            self._spill.close()

    # --- the way of the records -------------------------------------------------------------------

    @property
    def _is_busy(self) -> bool:
        return bool(self._in_flight or self._again or self._spill or self._waiting)

    def _is_away(self, now_s: float) -> bool:
        """Whether nothing was acknowledged for `spill_after_s`, although records wait."""
        return self._is_busy and now_s - self._heard_s >= self.options.spill_after_s

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("the Kafka output is closed")

    def _add(self, block: RecordBlock) -> None:
        counts = self._counts[block.topic]
        counts.received += len(block)
        counts.pending += len(block)
        if not self._is_busy:
            # Nothing was expected before, so that the cluster cannot be away yet.
            self._heard_s = self._clock.monotonic_s()
        self._waiting.append(block)
        self._waiting_bytes += block.nbytes

    def _add_rows(self, topic: str, rows: Rows) -> None:
        if rows.values:
            self._add_values(topic, rows)

    def _add_values(self, topic: str, rows: Rows) -> None:
        first = self._sequences[topic]
        self._sequences[topic] = first + len(rows.values)
        sequences = range(first, first + len(rows.values))
        self._add(RecordBlock.of_values(topic, self.run, sequences, *rows, self._clock.monotonic_s()))

    def _advance(self, timeout_s: float = 0.0) -> None:
        """Count what was acknowledged, send what has room, and spill what is old."""
        producer = self._producer
        if producer is not None:
            producer.poll(timeout_s)
            now_s = self._clock.monotonic_s()
            if producer.acknowledged != self._acknowledged:
                self._acknowledged = producer.acknowledged
                self._heard_s = now_s
                self._rebuild_delay_s = _REBUILD_S
            self._settle()
            if producer.failed != self._failed or producer.fatal_error:
                self._give_up_producer(producer.fatal_error or producer.failure)
        elif time.monotonic() >= self._rebuild_at_s:
            self._producer = self._new_producer(self._topics)
            self._producers += 1
            self._failed = self._acknowledged = 0
        self._send()
        self._spill_old()

    def _settle(self) -> None:
        """Count the blocks of which every record is finished."""
        flying = self._in_flight
        while flying and flying[0].is_finished:
            self._count_finished(flying.popleft())

    def _count_finished(self, block: RecordBlock) -> None:
        written, refused = block.fates.count(ACKNOWLEDGED), block.fates.count(REFUSED)
        counts = self._counts.get(block.topic) if block.is_own else None
        if counts is not None:
            counts.pending -= len(block)
            counts.written += written
            counts.drop(refused, f"refused by Kafka: {self._producer.refusal if self._producer else ''}")
        else:
            self._recovered += written
        if self._producer is not None:
            self._producer.release(block.fates)
        self._spill.finish(block)

    def _send(self) -> None:
        """Pass blocks to the producer in the order of the stream, as long as its queue has room."""
        producer = self._producer
        if producer is None:
            return
        flying = self._in_flight
        if flying and not flying[-1].is_sent and not self._send_block(flying[-1]):
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
        before = self._spill.waiting
        try:
            block = self._spill.take()
        except OSError as exc:
            raise OutputError(f"cannot read the spill in {self._spill.paths[0]}: {exc.strerror}", path="") from exc
        if block is None:
            lost = before - self._spill.waiting
            self.counts.pending -= lost
            self.counts.drop(lost, "spill damaged")
            self._notice(f"{lost:,} records in the spill are damaged and were left out")
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

    def _new_producer(self, topics: tuple[str, ...]) -> RecordProducer:
        try:
            return RecordProducer(self._functions, self.options.properties, topics)
        except ValueError as exc:
            raise ConfigError(f"a property for Kafka is invalid: {safe_text(str(exc), self.options)}") from None

    def _end_producer(self) -> None:
        """Take all records from the producer, and release it."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        producer.purge()
        deadline_s = time.monotonic() + 5.0
        while producer.queued and time.monotonic() < deadline_s:
            producer.poll(_POLL_INTERVAL_S)
        producer.close()
        self._settle()

    def _give_up_producer(self, reason: str) -> None:
        """Replace a producer that cannot send its records. They are sent by the next one, in the same order."""
        self._notice(f"Kafka: {reason}; the records are sent again in {self._rebuild_delay_s:.0f} s")
        self._end_producer()
        for block in self._in_flight:
            block.send_again()
        self._again.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self._rebuild_at_s = time.monotonic() + self._rebuild_delay_s
        self._rebuild_delay_s = min(2 * self._rebuild_delay_s, _REBUILD_MAX_S)

    def _spill_old(self) -> None:
        """Write records to the spill that are older than `spill_after_s`, or that have no room in memory."""
        real_s = time.monotonic()
        if real_s - self._aged_s < _AGE_INTERVAL_S and self._waiting_bytes <= _WAITING_BYTES:
            return
        self._aged_s = real_s
        now_s = self._clock.monotonic_s()
        self._report_away(self._is_away(now_s))
        limit_s = now_s - self.options.spill_after_s
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
                counts = self._counts[merged.topic]
                counts.pending -= len(merged)
                counts.drop(len(merged), "spill full")
            else:
                left.append(merged)
        self._waiting = deque(left)
        self._waiting_bytes = sum(block.nbytes for block in left)

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
            text = f": {safe_text(reason, self.options)}" if reason else ""
            self._notice(f"Kafka acknowledges nothing{text}; frames are written to {self._spill.folder}")
        else:
            self._notice("Kafka acknowledges records again; the spill is sent in order")

    def _leave(self) -> None:
        """Write what was not acknowledged to the spill, for the next run."""
        for block in (*self._in_flight, *self._again):
            block.send_again()
            if block.spilled is None:
                self._try_spill(self._spill.keep, block)
            else:
                self._spill.note_progress(block)
            self._count_left(block, block.spilled is not None)
        self._in_flight.clear()
        self._again.clear()
        for block in self._waiting:
            self._count_left(block, self._try_spill(self._spill.put, block))
        self._waiting.clear()
        left = sum(counts.pending for counts in self._counts.values()) + self._spill.recovered_waiting
        if left:
            self._notice(
                f"Kafka has not acknowledged {left:,} records; the next run sends them from {self._spill.folder}"
            )

    def _count_left(self, block: RecordBlock, is_kept: bool) -> None:
        """Count a block at the end of the run. Records that are kept stay pending."""
        counts = self._counts.get(block.topic) if block.is_own else None
        if counts is None:
            return
        written, refused = block.fates.count(ACKNOWLEDGED), block.fates.count(REFUSED)
        counts.written += written
        counts.drop(refused, "refused by Kafka")
        counts.pending -= written + refused
        if not is_kept:
            counts.pending -= len(block) - written - refused
            counts.drop(len(block) - written - refused, "not sent")
