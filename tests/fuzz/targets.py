"""What is fuzzed: each target takes any bytes, and raises when the library disagrees with the oracle.

A target builds its case out of the bytes in a way that keeps a small change of them a small change of the case, so that
a fuzzer can climb. They run without a fuzzer too: the seeds are a test (tests/property/test_fuzz_targets.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch, BatchBuilder, slice_of
from cpapi_fast.frames.frame import FrameCounters, classify
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.outputs.tables.rows import TableRows
from cpapi_fast.outputs.tables.schema import field_columns
from cpapi_fast.protocol.kinds import FrameKind
from tests.fuzz import wire
from tests.oracles import comparison
from tests.oracles import last_values as last_values_oracle
from tests.oracles import messages as message_oracle
from tests.oracles import tables as table_oracle
from tests.oracles import ticks as tick_oracle
from tests.oracles import tracker as tracker_oracle
from tests.support import frames
from tests.support.batches import batch_of
from tests.support.files import rows_of

FIELDS: Final = ("31", "84", "_updated", "87_raw", "a_long_name")
DECODERS: Final = (TickDecoder(FIELDS), TickDecoder(FIELDS, strict=True))

#: Several subscriptions of a conid, combinations with the same conid, and unknown ones; fields of all kinds. The number
#: is a power of two, so that the lowest bits of an action are the target.
TABLE_TARGETS: Final = ("265598", "265598@NYSE", "0;;;1/1,2/-1", "8314", "0;;;3/1,4/-1", "0", "8314@NYSE", "1")
TABLE_FIELDS: Final = ("31", "84", "6008", "7184", "58", "999999")
TABLE_DECODER: Final = TickDecoder([column.code for column in field_columns(TABLE_FIELDS)])

#: The most cuts of one stream; the rest arrives in one read.
MOST_PIECES: Final = 200

#: The most brackets of a text whose message is compared: Python cannot compare values of any depth.
DEEPEST: Final = 300


class Reader:
    """Reads a case off the front of the fuzzer's bytes; past their end everything is zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def word(self) -> int:
        return self.byte() << 8 | self.byte()

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))


def classifier(data: bytes) -> None:
    """One text: the C classifier, `classify` in both forms and a batch of one, against the full decode."""
    comparison.check_all([data])


def batch(data: bytes) -> None:
    """A builder driven by the bytes: append, finish, views that outlive their batch, slices, indexing."""
    reader = Reader(data)
    counters = FrameCounters()
    builder = BatchBuilder(counters)
    texts: list[bytes] = []
    made: Batch | None = None
    finished: Batch | None = None
    kept: list[tuple[memoryview, bytes]] = []
    moment = 0
    while reader:
        action = reader.byte()
        if action < 0xC0:
            # Three of four: a text of up to 255 bytes, or of up to 64 kB for a larger length.
            length = reader.byte() if action % 16 else reader.word()
            text = reader.take(length)
            builder.append((text, bytearray(text), memoryview(text))[action % 3])
            texts.append(text)
        elif action < 0xE0:
            moment += 1
            made = builder.finish(moment)
            assert (made is None) is (not texts)
            if made is not None:
                finished = made
                _check_columns(finished, texts, moment)
                texts = []
        elif finished is not None:
            start = reader.byte() % (len(finished) + 2) - 1
            stop = len(finished) + 1 - reader.byte() % (len(finished) + 2)
            finished = _check_slice(finished, start, stop, kept)
        if finished is not None and action % 4 == 0:
            kept.append((finished.payloads, bytes(finished.payloads)))
            kept.append((finished.offsets, bytes(finished.offsets)))
    last = builder.finish(moment)
    assert (last is None) is (not texts)
    if last is not None:
        _check_columns(last, texts, moment)
    assert builder.finish(moment) is None
    made = last = finished = None
    del builder
    for view, content in kept:
        assert bytes(view) == content


def _check_columns(made: Batch, texts: list[bytes], moment: int) -> None:
    """Every column of a batch, and every frame, against what was put in."""
    assert len(made) == len(texts)
    assert made.nbytes == sum(map(len, texts))
    assert made.payloads == b"".join(texts)
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text))
    assert made.offsets.tolist() == ends
    assert made.received_ns.tolist() == [moment] * len(texts)
    kinds, conids = made.kinds.tolist(), made.conids.tolist()
    starts, lengths = made.topic_starts.tolist(), made.topic_lengths.tolist()
    for index, (text, frame) in enumerate(zip(texts, made, strict=True)):
        alone = classify(text)
        assert comparison.answer_of(frame) == comparison.answer_of(alone)
        assert frame.raw == text
        assert FrameKind(kinds[index]) is alone.kind
        assert conids[index] == (-1 if alone.conid is None else alone.conid)
        if starts[index] >= 0:
            assert text[starts[index] :][: lengths[index]].decode("utf-8", "replace") == frame.topic
        else:
            assert (lengths[index] < 0) is (frame.topic is not None)
        assert made[index - len(texts)].raw == text
    for outside in (len(texts), -len(texts) - 1):
        try:
            made[outside]
        except IndexError:
            continue
        raise AssertionError(f"frame {outside} of {len(texts)} is there")


def _check_slice(made: Batch, start: int, stop: int, kept: list[tuple[memoryview, bytes]]) -> Batch:
    """The frames from `start` up to `stop` as a batch of their own; the batch itself where there are none."""
    try:
        part = slice_of(made, start, stop)
    except IndexError:
        assert not 0 <= start < stop <= len(made)
        return made
    assert 0 <= start < stop <= len(made)
    _check_columns(part, [frame.raw for frame in made][start:stop], made.received_ns[0])
    kept.append((made.conids, bytes(made.conids)))
    return part


def _stream(reader: Reader) -> bytes:
    """Frames written by hand: a first byte as it is, the length that fits what follows, now and then a wrong one."""
    stream = bytearray()
    while reader:
        first, second = reader.byte(), reader.byte()
        if second == 0xFF:
            # Anything: most of it is no frame, and some of it is nearly one.
            stream += reader.take(reader.byte())
            continue
        # 0 to 125 bytes as they say, or from there on in steps, past the limits of a frame and of a message.
        payload = reader.take(second) if second < 126 else reader.take(reader.byte()).ljust((second - 125) * 40, b" ")
        header = frames.ws_frame(payload)
        stream += bytes([first]) + header[1:]
    return bytes(stream)


def _pieces(stream: bytes, plan: bytes) -> Iterator[bytes]:
    """The stream cut by a plan: each byte is the size of a piece, the last one of all that follow; 0 means the rest."""
    at = turn = 0
    while at < len(stream):
        size = plan[min(turn, len(plan) - 1)] if turn < MOST_PIECES else 0
        size = size or len(stream)
        yield stream[at : at + size]
        at, turn = at + size, turn + 1


def fragments(data: bytes) -> None:
    """A stream of WebSocket frames, cut anywhere, through picows and our listener; RFC 6455 defines what arrives."""
    reader = Reader(data)
    form = ("batch", "frame", "pull")[reader.byte() % 3]
    plan = reader.take(4) or b"\x00"
    stream = _stream(reader)
    outcome = wire.receive(_pieces(stream, plan), form=form)
    expected = wire.expected(stream)
    assert expected.allows(outcome), f"{form}, pieces {plan!r}, stream {stream!r}: {outcome} is not {expected}"


def columns(data: bytes) -> None:
    """Fields of a market data frame as columns, against orjson and `parse_number`: a whole payload, or one number."""
    form, rest = data[:1], data[1:]
    if form == b"t":
        payload = b'{"84":"1.5","31":' + json.dumps(rest.decode("utf-8", "replace")).encode() + b',"topic":"smd+1"}'
    elif form == b"n":
        payload = b'{"_updated":' + rest + b',"topic":"smd+1"}'
    else:
        payload = rest
    for decoder in DECODERS:
        tick_oracle.check_payloads([payload], decoder)


def tracker(data: bytes) -> None:
    """A tracker driven by the bytes: frames to scan, topics that come and go, slots watched and unwatched."""
    for inspects_kept in (False, True):
        _track(Reader(data), tracker_oracle.Twins(inspects_kept=inspects_kept))


def _track(reader: Reader, twins: tracker_oracle.Twins) -> None:
    builder = BatchBuilder()
    topics: list[str] = []
    moment = 0
    while reader:
        action = reader.byte()
        if action < 0x80:
            builder.append(reader.take(reader.byte()))
        elif action < 0xA0:
            moment += 1
            made = builder.finish(moment)
            if made is not None:
                twins.scan(made, moment / 4)
                topics = [frame.topic for frame in made if frame.topic is not None]
        elif action < 0xC0 and topics:
            twins.add(topics[reader.byte() % len(topics)])
        elif action < 0xD0:
            twins.add(reader.take(reader.byte()).decode("utf-8", "replace"))
        elif twins.slots:
            topic = list(twins.slots)[reader.byte() % len(twins.slots)]
            (twins.watch, twins.unwatch, twins.remove)[action % 3](topic)


def last_values(data: bytes) -> None:
    """Frames of one or several topics, merged: what is left against a merge of dictionaries."""
    reader = Reader(data)
    twins = last_values_oracle.Twins()
    moment = 0
    while reader:
        texts = []
        moment += 1
        for _ in range(reader.byte() % 4 + 1):
            # A text as it is, or members around which there is a frame.
            is_whole, length = divmod(reader.word(), 1 << 15)
            text = reader.take(length)
            texts.append(text if is_whole else b"{" + text + b',"topic":"smd+1"}')
        made = batch_of(texts, received_ns=moment)
        for frame in made:
            if frame.topic is not None:
                twins.add(frame.topic)
        twins.update(made, moment / 4)
        twins.compare()


def messages(data: bytes) -> None:
    """The typed message of one text, against the rules of its members."""
    if data.count(b"[") + data.count(b"{") < DEEPEST:
        message_oracle.check_text(data)
    else:
        # It raises nothing.
        _ = classify(data).message


class _TableTwins:
    """The rows of one table, and those of its slow definition."""

    def __init__(self, *, carries: bool) -> None:
        columns = field_columns(TABLE_FIELDS)
        self._rows = TableRows(
            [(column.code, column.name) for column in columns], carries=carries, targets=TABLE_TARGETS[:3], capacity=64
        )
        self._slow = table_oracle.SlowTable(carries=carries, fields=TABLE_FIELDS)
        self._compared = 0

    def put(self, item: Batch | Gap | StateChange) -> None:
        self._slow.put(item)
        if isinstance(item, Gap):
            self._rows.states.end_segments(item.subscription, item.first_good_ns)
        elif isinstance(item, StateChange):
            self._rows.states.end_segments(None)
        else:
            self._rows.begin(item)
            while self._rows.left:
                self._rows.move(64 - len(self._rows))
                if len(self._rows) == 64:
                    self.compare()

    def compare(self) -> None:
        """Take the collected rows, and compare everything since the last time."""
        rows = [row for taken in self._rows.take() for row in rows_of(pa.table(pa.record_batch(taken)))]
        expected = self._slow.rows[self._compared :]
        self._compared += len(expected)
        assert rows == expected
        assert self._rows.mismatches == +self._slow.mismatches
        dropped = {"malformed": self._rows.malformed, "repeated snapshot": self._rows.repeated}
        assert dropped == {reason: self._slow.dropped[reason] for reason in dropped}


def tables(data: bytes) -> None:
    """Rows of both tables, driven by the bytes: frames of several subscriptions, batches, gaps, lost connections."""
    reader = Reader(data)
    twins = [_TableTwins(carries=False), _TableTwins(carries=True)]
    builder = BatchBuilder()
    moment = 1_777_552_273_601_000_000
    late_ns: list[int] = []

    def finish() -> None:
        made = builder.finish(moment, late_ns if any(late_ns) else None)
        late_ns.clear()
        for twin in twins if made is not None else ():
            twin.put(made)

    while reader:
        action = reader.byte()
        topic = f"smd+{TABLE_TARGETS[action % len(TABLE_TARGETS)]}"
        if action < 0xC0:
            # A text that is not carried forward has more than 1,024 bytes.
            members = reader.take(reader.word() % 4096 if 0x40 <= action < 0x80 else reader.byte())
            text = b"{" + members + b"," * bool(members) + b'"topic":"' + topic.encode() + b'"}'
            for _ in range(1 + (action >= 0x80)):
                # What is not JSON has a row if the decoder does not notice it; that is for the target `columns`.
                if _is_clear(text):
                    builder.append(text)
                    late_ns.append(action % 3 * 1_000_000_000)
        elif action < 0xE0:
            moment += (0, 1, 1_000_000)[action % 3]
            finish()
        elif action < 0xF0:
            finish()
            first_good_ns = (None, moment, moment + 1, moment + 1_000_000)[action // 4 % 4]
            for twin in twins:
                twin.put(Gap(topic if action % 4 else None, 1, first_good_ns, Cause.CONNECTION_LOST))
        elif action < 0xF8:
            finish()
            for twin in twins:
                twin.put(StateChange(1, FeedState.CONNECTING, FeedState.STREAMING, Cause.CONNECTION_LOST, "wait"))
        else:
            for twin in twins:
                twin.compare()
    finish()
    for twin in twins:
        twin.compare()


def _is_clear(text: bytes) -> bool:
    """Whether a text is JSON, or the decoder notices that it is not."""
    frame = classify(text)
    if frame.kind is not FrameKind.MARKET_DATA:
        return True
    try:
        return isinstance(frame.payload, dict)
    except MalformedPayloadError:
        return TABLE_DECODER.decode(batch_of([text])).malformed == 1


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "classifier": classifier,
    "batch": batch,
    "fragments": fragments,
    "columns": columns,
    "tracker": tracker,
    "last_values": last_values,
    "messages": messages,
    "tables": tables,
}
