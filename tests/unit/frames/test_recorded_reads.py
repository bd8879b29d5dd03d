"""RecordedReads: the batches of recorded reads equal those that were received, and no buffer is read beyond its end."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.recorded_reads import RecordedReads
from cpapi_fast.frames.topic_table import TopicTable

_FRAMES = [
    b'{"31":"1","topic":"smd+265598","conid":265598}',
    b'{"31":"2","topic":"smd+8314"}',
    b'{"topic":"sor","args":[]}',
    b'{"topic":"ssd+DU1","result":[]}',
    b'{"topic":"sts","args":{}}',
    b'{"topic":"system","hb":1}',
    b'{"topic":"smd\\u002b8314"}',
    b"not JSON",
    b"",
]
_READS = st.lists(st.lists(st.sampled_from(_FRAMES), min_size=1, max_size=5), max_size=8)


def reads_of(reads: list[list[bytes]], shift: int = 0) -> RecordedReads:
    """Recorded reads, one microsecond apart; the offsets begin at `shift`."""
    times, offsets, payloads = array("q"), array("i", [shift]), bytearray(shift)
    for number, frames in enumerate(reads):
        for frame in frames:
            payloads += frame
            times.append(1000 * number)
            offsets.append(len(payloads))
    return RecordedReads(times, offsets, bytes(payloads))


def received(reads: list[list[bytes]]) -> list[Batch]:
    builder, found = BatchBuilder(), []
    for number, frames in enumerate(reads):
        for frame in frames:
            builder.append(frame)
        batch = builder.finish(1000 * number)
        assert batch is not None
        found.append(batch)
    return found


def content(batch: Batch) -> list[tuple[object, ...]]:
    return [(frame.raw, frame.kind, frame.conid, frame.topic, frame.received_ns) for frame in batch]


def taken(reads: RecordedReads, topics: TopicTable | None = None) -> list[Batch]:
    found = []
    while (batch := reads.take(len(reads), topics)) is not None:
        assert reads.received_ns == batch.received_ns[0]
        found.append(batch)
    assert reads.position == len(reads)
    return found


@given(_READS, st.integers(0, 9))
def test_batches_are_those_that_were_received(reads: list[list[bytes]], shift: int) -> None:
    assert [content(batch) for batch in taken(reads_of(reads, shift))] == [content(batch) for batch in received(reads)]


@given(_READS, st.lists(st.integers(0, 45), max_size=4))
def test_a_stop_only_cuts_batches(reads: list[list[bytes]], stops: list[int]) -> None:
    recorded = reads_of(reads)
    frames = []
    for stop in [*sorted(stops), len(recorded)]:
        while (batch := recorded.take(stop)) is not None:
            assert recorded.position <= stop
            frames += content(batch)
        assert recorded.position == max(recorded.position, min(stop, len(recorded)))
    assert frames == [frame for batch in received(reads) for frame in content(batch)]


@given(_READS, st.sets(st.sampled_from(["smd+265598", "smd+8314", "sor", "ssd+DU1"])))
def test_topics_leave_out_the_frames_of_other_subscriptions(reads: list[list[bytes]], wanted: set[str]) -> None:
    table = TopicTable()
    for topic in wanted:
        table.add(topic)
    expected = [
        [
            frame
            for frame in content(batch)
            if frame[3] in wanted or frame[3] not in ("smd+265598", "smd+8314", "sor", "ssd+DU1")
        ]
        for batch in received(reads)
    ]
    recorded = reads_of(reads)
    found = [content(batch) for batch in taken(recorded, table)]
    assert found == [frames for frames in expected if frames]
    assert recorded.left_out == sum(map(len, reads)) - sum(map(len, expected))


def test_a_time_is_found() -> None:
    recorded = reads_of([[b"a", b"b"], [b"c"], [b"d"]])
    assert [recorded.index_of(time_ns) for time_ns in (-1, 0, 1, 1000, 2000, 2001)] == [0, 0, 2, 2, 3, 4]
    recorded.skip_to(3)
    assert recorded.index_of(0) == 3
    for index in (2, 5):
        with pytest.raises(IndexError):
            recorded.skip_to(index)
    assert [content(batch)[0][0] for batch in taken(recorded)] == [b"d"]


@pytest.mark.parametrize(
    ("times", "offsets", "payloads", "match"),
    [
        (b"\0" * 7, array("i", [0]), b"", "no whole number of times"),
        (array("q", [1]), array("i", [0]), b"", "do not fit 1 frames"),
        (array("q", [1]), array("i", [0, 1, 1]), b"x", "do not fit 1 frames"),
        (array("q", [1]), b"\0" * 7, b"", "do not fit 1 frames"),
        (array("q", [1]), array("i", [-1, 0]), b"", "below zero"),
        (array("q", [1, 1]), array("i", [0, 2, 1]), b"xx", "frame 1 ends before it begins"),
        (array("q", [1]), array("i", [0, 2]), b"x", "end at byte 2 of 1"),
        (array("q", [1]), array("i", [0, 2**31 - 1]), b"x" * 9, "of 9"),
        (array("q"), array("i", [5]), b"x", "end at byte 5 of 1"),
    ],
)
def test_buffers_that_describe_no_frames_are_refused(times: bytes, offsets: bytes, payloads: bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RecordedReads(times, offsets, payloads)


def test_an_object_without_buffers_is_refused_and_an_empty_one_has_no_batch() -> None:
    with pytest.raises(TypeError):
        RecordedReads(None, None, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RecordedReads(array("q"), None, b"")  # type: ignore[arg-type]
    assert RecordedReads.__new__(RecordedReads).take(5) is None
    recorded = reads_of([])
    assert len(recorded) == 0
    assert recorded.take(10) is None
    with pytest.raises(TypeError, match="twice"):
        recorded.__init__(array("q"), array("i", [0]), b"")  # type: ignore[misc]


@given(_READS, st.integers(0, 7), st.data())
def test_a_batch_of_any_frames_has_each_with_its_time(
    reads: list[list[bytes]], shift: int, data: st.DataObject
) -> None:
    made = reads_of(reads, shift)
    expected = [one for batch in received(reads) for one in content(batch)]
    start = data.draw(st.integers(0, len(expected)))
    stop = data.draw(st.integers(start, len(expected)))
    if start == stop:
        with pytest.raises(IndexError, match="are not within"):
            made.batch(start, stop)
    else:
        assert content(made.batch(start, stop)) == expected[start:stop]
    assert made.position == 0


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, 4), (3, 4), (2, 1), (1 << 40, 1 << 41)])
def test_frames_that_are_not_there_are_no_batch(start: int, stop: int) -> None:
    with pytest.raises(IndexError, match="are not within the 3 frames"):
        reads_of([[b"a", b"b"], [b"c"]]).batch(start, stop)
