"""Compares the classifier, frames and batches with the oracle, text by text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.frames.batch import BatchBuilder
from cpapi_fast.frames.classifier import NOT_JSON, ROUTED, classify_bytes
from cpapi_fast.frames.frame import Frame, FrameCounters, classify
from cpapi_fast.protocol.kinds import FrameKind
from tests.oracles import reference
from tests.oracles.reference import Answer, Refused

#: How many texts share a batch.
BATCH_SIZE: Final = 512

RECEIVED_NS: Final = 1_767_225_600_000_000_000


class Oracle(NamedTuple):
    """The functions that are believed; a test puts wrong ones in their place to see the comparison fail."""

    allowed_answers: Callable[[bytes], frozenset[Answer]] = reference.allowed_answers
    full_decode: Callable[[bytes], Answer] = reference.full_decode
    topic_span: Callable[[bytes], tuple[int, int]] = reference.topic_span
    payload: Callable[[bytes, Answer], object] = reference.payload
    decode_error: Callable[[bytes], str | None] = reference.decode_error


ORACLE: Final = Oracle()


def answer_of(frame: Frame) -> Answer:
    """The frame's own answer."""
    return Answer(frame.kind, frame.topic, frame.conid, frame.target)


def is_equal(left: object, right: object) -> bool:
    """Whether two decoded values are equal, nested deeper than the interpreter compares or not."""
    try:
        return left == right
    except RecursionError:
        pass
    pairs = [(left, right)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            pairs.extend((value, right[key]) for key, value in left.items())
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            pairs.extend(zip(left, right, strict=True))
        elif left != right:
            return False
    return True


def check_frame(data: bytes, frame: Frame, answers: Iterable[Answer], oracle: Oracle = ORACLE) -> None:
    """Compare every attribute of a frame with the results that its text allows."""
    answer = answer_of(frame)
    assert answer in answers, f"{answer} is not one of {sorted(answers, key=str)}"
    assert frame.raw == data
    assert len(frame) == len(data)
    is_malformed = answer.kind is FrameKind.MALFORMED
    assert frame.error == (oracle.decode_error(data) if is_malformed else None)
    expected = oracle.payload(data, answer)
    if expected is Refused:
        try:
            decoded = frame.payload
        except MalformedPayloadError as error:
            raw = error.raw
        else:
            raise AssertionError(f"the payload is {decoded!r} though the text is not JSON")
        assert raw == data
    else:
        assert is_equal(frame.payload, expected), f"the payload is {frame.payload!r}, not {expected!r}"
    channel = reference.channel(answer, expected)
    assert frame.channel == channel, f"the channel is {frame.channel!r}, not {channel!r}"


def check_verdict(data: bytes, frame: Frame) -> None:
    """The C classifier's answer agrees with the frame; where it leaves the question open it has not answered."""
    raw = classify_bytes(data)
    if raw.verdict == ROUTED:
        assert raw.kind == frame.kind
        assert raw.conid == (-1 if frame.conid is None else frame.conid)
        if raw.topic_start >= 0:
            span = data[raw.topic_start : raw.topic_start + raw.topic_length]
            assert span.decode("utf-8", "replace") == frame.topic
    elif raw.verdict == NOT_JSON:
        assert frame.kind is FrameKind.MALFORMED


def check_span(data: bytes, frame: Frame, span: tuple[int, int], oracle: Oracle = ORACLE) -> None:
    """Compare where the topic lies according to the columns of a batch."""
    if reference.decode_error(data) is None and not reference.has_repeated_topic(data):
        expected = oracle.topic_span(data)
        assert span == expected, f"the topic lies at {span}, not at {expected}"
    elif frame.topic is None:
        assert span == reference.NO_SPAN
    elif span != reference.ESCAPED_SPAN or reference.decode_error(data) is not None:
        start, length = span
        spelled = reference.spelled_topics(data).get((start, start + length))
        assert spelled == frame.topic, f"at {span} lies {spelled!r}, not {frame.topic!r}"


def check_batch(texts: list[bytes], lazy: list[Frame], builder: BatchBuilder, oracle: Oracle = ORACLE) -> None:
    """Finish the batch of these texts, and compare its columns and frames with the results of `classify`."""
    batch = builder.finish(RECEIVED_NS)
    assert batch is not None
    assert len(batch) == len(texts)
    assert batch.payloads == b"".join(texts)
    offsets = batch.offsets.tolist()
    assert offsets[0] == 0
    kinds, conids, times = batch.kinds.tolist(), batch.conids.tolist(), batch.received_ns.tolist()
    spans = list(zip(batch.topic_starts.tolist(), batch.topic_lengths.tolist(), strict=True))
    assert [len(column) for column in (kinds, conids, times, spans)] == [len(texts)] * 4
    for index, (data, expected) in enumerate(zip(texts, lazy, strict=True)):
        with _naming(data):
            assert offsets[index + 1] - offsets[index] == len(data)
            assert kinds[index] == expected.kind
            assert conids[index] == (-1 if expected.conid is None else expected.conid)
            assert times[index] == RECEIVED_NS
            check_span(data, expected, spans[index], oracle)
            frame = batch[index]
            assert frame.received_ns == RECEIVED_NS
            assert frame.raw == data
            assert answer_of(frame) == answer_of(expected)


def check_all(texts: Iterable[bytes], oracle: Oracle = ORACLE) -> int:
    """Compare every text in every way there is; returns how many texts there were."""
    count = 0
    batch_texts: list[bytes] = []
    lazy_frames: list[Frame] = []
    builder = BatchBuilder(FrameCounters())
    for data in texts:
        count += 1
        with _naming(data):
            lazy = classify(data)
            check_frame(data, lazy, oracle.allowed_answers(data), oracle)
            strict = classify(data, strict=True)
            check_frame(data, strict, (oracle.full_decode(data),), oracle)
            check_verdict(data, lazy)
        builder.append(data)
        batch_texts.append(data)
        lazy_frames.append(lazy)
        if len(batch_texts) == BATCH_SIZE:
            check_batch(batch_texts, lazy_frames, builder, oracle)
            batch_texts, lazy_frames = [], []
    if batch_texts:
        check_batch(batch_texts, lazy_frames, builder, oracle)
    return count


class _naming:  # noqa: N801 - used like a function
    """Puts the text into the message of whatever goes wrong with it."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception):
            text = repr(self._data) if len(self._data) <= 10_000 else f"{self._data[:200]!r}... {len(self._data)} bytes"
            raise AssertionError(f"text {text}: {type(error).__name__}: {error}") from error
