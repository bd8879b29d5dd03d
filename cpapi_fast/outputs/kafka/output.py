"""KafkaOutput: sends frames, rows and events to Kafka, each once and in order, and spills them while it is away"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, OutputError, UsageError
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.outputs.event_log import event_line, event_time_ns
from cpapi_fast.outputs.file_names import new_run
from cpapi_fast.outputs.interface import OutputCounts, make_folder
from cpapi_fast.outputs.run_events import FileChange, RecordedEvent
from cpapi_fast.redaction import repr_without_accounts

from .cluster_check import check_cluster
from .options import OUTPUT_OPTIONS, KafkaOptions
from .pipeline import POLL_INTERVAL_S, RecordPipeline, make_producer
from .records import RecordBlock
from .spill import Spill
from .table_rows import Rows, TableTopic

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: librdkafka limits batches of records to this, unless a property says otherwise.
_RECORD_BYTES: Final = "1000000"

_CONID_IN_TOPIC: Final = re.compile(r"smd\+(\d+)")


@repr_without_accounts
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

    Attributes:
        run: the 16 digits of the header `run`.
        options: the options of its queue, and what its failure means for a `Collector` with this output.
        changes: always empty.
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
        self.options: Final = OUTPUT_OPTIONS
        self.changes: Final[list[FileChange]] = []
        self.run: Final = secrets.token_hex(8).encode()
        prefix = options.topic_prefix
        self._raw: Final = f"{prefix}raw"
        self._events: Final = f"{prefix}events"
        columns, subscribed = tuple(fields), tuple(targets)
        self._tables: Final = {f"{prefix}{table}": TableTopic(table, columns, subscribed) for table in options.tables}
        self._counts: Final = {topic: OutputCounts() for topic in (self._raw, self._events, *self._tables)}
        self.counts: Final = self._counts[self._raw]
        self._sequences: Final = dict.fromkeys(self._counts, 0)
        self._clock: Final = clock
        self._close_timeout_s: Final = options.close_timeout_s
        # Without topics, because the first look at a topic can create it.
        make_producer(options, ()).close()
        record_bytes = int(options.properties.get("message.max.bytes", _RECORD_BYTES))
        try:
            check_cluster(options, dict.fromkeys(self._counts, record_bytes))
        except OutputError as exc:
            if not options.start_without_broker:
                raise
            on_notice(f"{exc}; frames are spilled until then")
        place = Path(folder)
        make_folder(place)
        self._spill: Final = Spill(place, run or new_run(place), options.spill_bytes, file_mode, on_notice)
        self._spill.recover()
        unknown = self._spill.waiting_topics - set(self._counts)
        if unknown:
            self._spill.close()
            raise ConfigError(
                f"the spill of an earlier run in {place} has records for the topics {', '.join(sorted(unknown))}; run "
                f"once with that topic_prefix and these tables, or remove {', '.join(map(str, self._spill.paths))}"
            )
        self._pipeline: Final = RecordPipeline(options, self._counts, self._spill, on_notice, clock)
        self._is_closed = False

    # --- the interface of outputs -----------------------------------------------------------------

    @property
    def files(self) -> list[Path]:
        """The spill files, oldest first."""
        return self._spill.paths

    @property
    def stats(self) -> KafkaStats:
        """What the output has done."""
        spill, pipeline = self._spill, self._pipeline
        return KafkaStats(
            queued=pipeline.queued,
            spilled=spill.spilled,
            spill_waiting=spill.waiting,
            spill_bytes=spill.nbytes,
            recovered=pipeline.recovered,
            recovered_waiting=spill.recovered_waiting,
            producers=pipeline.producers,
            is_away=pipeline.is_away,
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
        self._pipeline.add(RecordBlock.of_batch(self._raw, self.run, sequence, batch, now_s))
        for topic, table in self._tables.items():
            for rows in table.add(batch):
                self._add_rows(topic, rows)
        self._pipeline.advance()
        self._pipeline.wait_for_room()

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
        self._pipeline.advance()

    def poll(self) -> float:
        """Count what was acknowledged, and send what waits.

        Returns:
            The time until the next call is due, in seconds of the clock.
        """
        for topic, table in self._tables.items():
            self._add_rows(topic, table.take())
        self._pipeline.advance()
        return POLL_INTERVAL_S if self._pipeline.is_busy else 1.0

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
        self._pipeline.close(self._close_timeout_s)

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("the Kafka output is closed")

    def _add_rows(self, topic: str, rows: Rows) -> None:
        if rows.values:
            self._add_values(topic, rows)

    def _add_values(self, topic: str, rows: Rows) -> None:
        first = self._sequences[topic]
        self._sequences[topic] = first + len(rows.values)
        sequences = range(first, first + len(rows.values))
        self._pipeline.add(RecordBlock.of_values(topic, self.run, sequences, *rows, self._clock.monotonic_s()))
