"""Sinks without a socket: a frame of a batch is lent as a live one would be, and errors come through."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from cpapi_fast.errors import UsageError
from cpapi_fast.frames.frame import Frame, FrameCounters, classify
from cpapi_fast.frames.sink import CallbackSink, FrameSink, end_read, hand_frame
from tests.support.batches import batch_of
from tests.support.frames import corpus, smd

ESCAPED = b'{"t\\u006fpic":"smd+8314"}'


def test_a_frame_of_a_batch_is_passed_with_its_columns(sinks: ModuleType):
    payloads = [*corpus(), ESCAPED, b'{"topic":""}']
    batch = batch_of(payloads, received_ns=123_456_789)
    sink = sinks.Recorder()
    for index in range(len(batch)):
        hand_frame(sink, batch, index)
    assert len(sink.frames) == len(payloads)
    for (kind, conid, topic, payload, received_ns), frame in zip(sink.frames, batch, strict=True):
        assert (kind, payload, received_ns) == (int(frame.kind), frame.raw, 123_456_789)
        assert conid == (-1 if frame.conid is None else frame.conid)
        if isinstance(topic, tuple):
            start, length = topic
            assert payload[start : start + length].decode(errors="replace") == frame.topic
        else:
            assert (topic == -1) is (frame.topic is not None)
            assert topic in (0, -1)
    assert sink.frames[-2][1:3] == (8314, -1)
    assert sink.frames[-1][2] == (10, 0)


def test_the_sink_of_a_callback_makes_the_same_frames_as_a_batch():
    payloads = [*corpus(), ESCAPED]
    batch = batch_of(payloads, received_ns=7)
    frames: list[Frame] = []
    counters = FrameCounters()
    sink = CallbackSink(frames.append, counters)
    for index in range(len(batch)):
        hand_frame(sink, batch, index)
    end_read(sink)

    def facts(frame: Frame) -> tuple[Any, ...]:
        return frame.raw, frame.kind, frame.conid, frame.topic, frame.target, frame.received_ns

    assert [facts(frame) for frame in frames] == [facts(frame) for frame in batch]
    assert all(frame.kind == classify(frame.raw).kind for frame in frames)


@pytest.mark.parametrize("index", [-1, 2, 1 << 40])
def test_an_index_outside_of_the_batch_raises(sinks: ModuleType, index: int):
    sink = sinks.Recorder()
    with pytest.raises(IndexError, match="2 frames"):
        hand_frame(sink, batch_of([smd(1), smd(2)]), index)
    assert sink.events == []


def test_an_exception_of_a_sink_is_raised(sinks: ModuleType):
    sink = sinks.Recorder(lambda: 1 / 0, lambda: {}["end"])
    with pytest.raises(ZeroDivisionError):
        hand_frame(sink, batch_of([smd(1)]), 0)
    with pytest.raises(KeyError):
        end_read(sink)
    assert (sink.conids, sink.events[-1]) == ([1], "end")


def test_on_read_end_is_optional(sinks: ModuleType):
    sink = sinks.Counter()
    hand_frame(sink, batch_of([smd(1)]), 0)
    end_read(sink)
    assert (sink.frames, sink.bytes) == (1, 151)


def test_the_base_class_raises_with_advice():
    with pytest.raises(UsageError, match="Cython"):
        hand_frame(FrameSink(), batch_of([smd(1)]), 0)
    end_read(FrameSink())


def test_none_as_sink_or_batch_raises(sinks: ModuleType):
    with pytest.raises(TypeError):
        hand_frame(None, batch_of([smd(1)]), 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        hand_frame(sinks.Counter(), None, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        end_read(None)  # type: ignore[arg-type]
