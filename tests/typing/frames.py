"""The types of frames, batches and their columns."""

from __future__ import annotations

from typing import Any, assert_type

from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.frames.frame import Frame, classify
from cpapi_fast.protocol.kinds import FrameKind


def frame_types(data: bytes | bytearray | memoryview) -> None:
    frame = classify(data, strict=True)
    assert_type(frame, Frame)
    assert_type(frame.kind, FrameKind)
    assert_type(frame.kind.label, str)
    assert_type(frame.raw, bytes)
    assert_type(frame.topic, str | None)
    assert_type(frame.channel, str | None)
    assert_type(frame.conid, int | None)
    assert_type(frame.target, str | None)
    assert_type(frame.received_ns, int)
    assert_type(frame.payload, Any)
    assert_type(frame.error, str | None)


def batch_types(builder: BatchBuilder) -> None:
    builder.append(b"{}")
    batch = builder.finish(0)
    assert_type(batch, Batch | None)
    if batch is not None:
        assert_type(batch[0], Frame)
        assert_type(list(batch), list[Frame])
        assert_type(len(batch), int)
        for column in (batch.payloads, batch.offsets, batch.kinds, batch.conids, batch.received_ns):
            assert_type(column, memoryview[int])
            assert_type(column[0], int)
            assert_type(column.tolist(), list[int])
        assert_type(batch.topic_starts, memoryview[int])
        assert_type(batch.topic_lengths, memoryview[int])
