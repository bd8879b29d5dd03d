"""RecordBlock: records of one topic side by side, what became of each of them, and their bytes in a spill file"""

from __future__ import annotations

import re
import struct
import zlib
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: What became of a record. The C code has the same numbers.
NOT_SENT: Final = 0
IN_FLIGHT: Final = 1
ACKNOWLEDGED: Final = 2
REFUSED: Final = 3
FAILED: Final = 4

#: The records that nothing more is done with.
_OPEN: Final = re.compile(rb"[\x00\x01\x04]")
_FINISHED: Final = re.compile(rb"[\x02\x03]+")

#: The start of an entry: a mark, its type, the number of records, the lengths of topic and body, whether the numbers
#: are in the body, the run, the first number, and a checksum of the body.
_HEAD: Final = struct.Struct("<4sBxHII16sqI")
_MARK: Final = b"cpk1"
_DATA: Final = 1
_DONE: Final = 2
_NUMBERED: Final = 4
#: The records that a note of finished ones is about.
_RANGE: Final = struct.Struct("<II")

#: No longer entry is written.
MOST_ENTRY_BYTES: Final = 0x7FFFFFFF


class RecordBlock:
    """Records of one topic, in columns.

    Args:
        topic: the name of the topic.
        run: 16 ASCII characters that name the run.
        first_sequence: the sequence number of the first record.
        sequences: the sequence numbers; None if each is one more than that before it.
        received_ns: int64, the receive times in ns since the Unix epoch.
        conids: int64, the contract ids; -1 for none.
        offsets: int32, the start of each record in `payloads`, and the end of the last one.
        payloads: uint8, the bytes of all records.
        created_s: when the records came, in seconds of the clock.
        is_own: whether the records are those of this run, and not those of an earlier one.

    Attributes:
        fates: what became of each record.
        next: the index of the first record that is not passed to the producer.
        spilled: the spill file that has the records; None for none.
    """

    __slots__ = (
        "conids", "created_s", "fates", "first_sequence", "is_own", "nbytes", "next", "offsets", "payloads",
        "received_ns", "run", "sequences", "spilled", "topic",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        run: bytes,
        first_sequence: int,
        sequences: Any,
        received_ns: Any,
        conids: Any,
        offsets: Any,
        payloads: Any,
        *,
        created_s: float = 0.0,
        is_own: bool = True,
    ) -> None:
        self.topic = topic
        self.run = run
        self.first_sequence = first_sequence
        self.sequences = sequences
        self.received_ns = received_ns
        self.conids = conids
        self.offsets = offsets
        self.payloads = payloads
        self.created_s = created_s
        self.is_own = is_own
        self.fates = bytearray(len(received_ns))
        self.next = 0
        self.nbytes = offsets[len(received_ns)] + 64 * len(received_ns)
        self.spilled: Any = None

    @classmethod
    def of_batch(cls, topic: str, run: bytes, first_sequence: int, batch: Batch, created_s: float) -> RecordBlock:
        """Return the frames of a batch as records, without a copy."""
        return cls(
            topic,
            run,
            first_sequence,
            None,
            batch.received_ns,
            batch.conids,
            batch.offsets,
            batch.payloads,
            created_s=created_s,
        )

    @classmethod
    def of_values(
        cls,
        topic: str,
        run: bytes,
        sequences: Sequence[int],
        received_ns: Sequence[int],
        conids: Sequence[int],
        values: Sequence[bytes],
        created_s: float,
    ) -> RecordBlock:
        """Return records with the given values."""
        offsets = array("i", [0])
        for value in values:
            offsets.append(offsets[-1] + len(value))
        columns = array("q", sequences), array("q", received_ns), array("q", conids), offsets, b"".join(values)
        return cls(topic, run, sequences[0], *columns, created_s=created_s)

    @classmethod
    def merged(cls, blocks: Sequence[RecordBlock]) -> RecordBlock:
        """Return the records of several blocks of one topic and run, none of which was sent, as one block."""
        first = blocks[0]
        if len(blocks) == 1:
            return first
        received_ns, conids, offsets = array("q"), array("q"), array("i", [0])
        sequences = None if first.sequences is None else array("q")
        payloads = bytearray()
        for block in blocks:
            received_ns.frombytes(memoryview(block.received_ns).cast("B"))
            conids.frombytes(memoryview(block.conids).cast("B"))
            if sequences is not None:
                sequences.frombytes(memoryview(block.sequences).cast("B"))
            start = len(payloads)
            offsets.extend(start + offset for offset in memoryview(block.offsets)[1:])
            payloads += memoryview(block.payloads)[: block.offsets[len(block)]]
        columns = sequences, received_ns, conids, offsets, payloads
        return cls(first.topic, first.run, first.first_sequence, *columns, created_s=first.created_s)

    def __len__(self) -> int:
        return len(self.fates)

    @property
    def is_finished(self) -> bool:
        """Whether every record is acknowledged or refused."""
        return self.next == len(self.fates) and _OPEN.search(self.fates) is None

    @property
    def is_sent(self) -> bool:
        """Whether every record was passed to the producer."""
        return self.next == len(self.fates)

    @property
    def finished_ranges(self) -> list[tuple[int, int]]:
        """The indices of the records that nothing more is done with, as ranges."""
        return [match.span() for match in _FINISHED.finditer(self.fates)]

    def send_again(self) -> None:
        """Prepare to pass the records that are not finished to another producer."""
        self.fates = bytearray(self.fates.translate(_AGAIN))
        self.next = 0

    def entry(self) -> bytes:
        """Return the records as an entry of a spill file."""
        columns = [self.received_ns, self.conids, self.offsets]
        if self.sequences is not None:
            columns.append(self.sequences)
        body = b"".join(
            [self.topic.encode(), *(memoryview(column) for column in columns), self.payloads[: self.offsets[len(self)]]]
        )
        kind = _DATA | (_NUMBERED if self.sequences is not None else 0)
        head = _HEAD.pack(
            _MARK, kind, len(self.topic.encode()), len(self), len(body), self.run, self.first_sequence, zlib.crc32(body)
        )
        return head + body

    def done_entry(self, start: int, stop: int) -> bytes:
        """Return the note that the records from `start` to `stop - 1` are finished."""
        topic = self.topic.encode()
        body = topic + _RANGE.pack(start, stop)
        head = _HEAD.pack(_MARK, _DONE, len(topic), 0, len(body), self.run, self.first_sequence, zlib.crc32(body))
        return head + body


_AGAIN: Final = bytes({IN_FLIGHT: NOT_SENT, FAILED: NOT_SENT}.get(fate, fate) for fate in range(256))


class DoneNote(NamedTuple):
    """A note that some records are finished: those of the block with this key, from `start` to `stop - 1`."""

    key: tuple[str, bytes, int]
    start: int
    stop: int


def entry_length(head: bytes) -> int | None:
    """Return the length of the entry that begins with `head`; None if there is no whole or valid head."""
    if len(head) < _HEAD.size or head[:4] != _MARK:
        return None
    return int(_HEAD.size + _HEAD.unpack_from(head)[4])


HEAD_BYTES: Final = _HEAD.size


def read_entry(entry: bytes) -> RecordBlock | DoneNote | None:
    """Return the records or the note of one entry; None if it is damaged."""
    _, kind, topic_len, count, body_len, run, first_sequence, checksum = _HEAD.unpack_from(entry)
    body = entry[_HEAD.size : _HEAD.size + body_len]
    if len(body) != body_len or zlib.crc32(body) != checksum:
        return None
    topic = body[:topic_len].decode()
    if kind == _DONE:
        return DoneNote((topic, run, first_sequence), *_RANGE.unpack_from(body, topic_len))
    columns: list[Any] = []
    position = topic_len
    for code, length in (("q", count), ("q", count), ("i", count + 1)) + ((("q", count),) if kind & _NUMBERED else ()):
        # A copy of its own, because the C code needs aligned numbers.
        column = array(code)
        end = position + length * column.itemsize
        column.frombytes(body[position:end])
        columns.append(column)
        position = end
    sequences = columns[3] if len(columns) == 4 else None
    received_ns, conids, offsets = columns[:3]
    return RecordBlock(topic, run, first_sequence, sequences, received_ns, conids, offsets, body[position:])
