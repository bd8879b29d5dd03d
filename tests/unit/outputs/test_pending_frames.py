"""PendingFrames: the frames of several batches side by side, and memory that is used again if nobody else has it."""

from __future__ import annotations

import pickle
import tracemalloc

import pyarrow as pa
import pytest

from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.capture import capture_schema
from cpapi_fast.outputs.pending_frames import PendingFrames
from tests.support.batches import batch_of

FIRST = [b'{"conid":1,"topic":"smd+1"}', b"", b"x" * 70_000]
SECOND = [b"tic", b'{"conid":0,"topic":"smd+0"}'] * 600


def raws(batch: pa.RecordBatch) -> list[bytes]:
    return batch["raw"].to_pylist()


def test_columns_are_those_of_the_batches() -> None:
    pending = PendingFrames()
    batches = [batch_of(FIRST, 10), batch_of(SECOND, 20), batch_of([b""], 30)]
    for batch in batches:
        pending.append(batch)
    made = pa.record_batch(pending)
    assert made.schema.equals(capture_schema(), check_metadata=False)
    made.validate(full=True)
    assert raws(made) == [*FIRST, *SECOND, b""]
    for column, name in (("received_ns", "received_ns"), ("kind", "kinds"), ("conid", "conids")):
        assert made[column].to_pylist() == [value for batch in batches for value in getattr(batch, name)]
    assert len(pending) == len(made)
    assert pending.nbytes == sum(batch.nbytes + 21 * len(batch) for batch in batches)


def test_without_frames() -> None:
    pending = PendingFrames()
    assert (len(pending), pending.nbytes) == (0, 0)
    assert raws(pa.record_batch(pending)) == []
    pending.append(batch_of([b""]))
    assert raws(pa.record_batch(pending)) == [b""]
    pending.clear()
    assert raws(pa.record_batch(pending)) == []


def test_batches_without_frames() -> None:
    pending = PendingFrames()
    pending.append(Batch.__new__(Batch))
    pending.append(Batch.__new__(Batch), b"")
    assert (len(pending), pending.nbytes) == (0, 0)
    assert raws(pa.record_batch(pending)) == []
    pending.append(batch_of(FIRST))
    pending.append(Batch.__new__(Batch))
    assert raws(pa.record_batch(pending)) == FIRST
    with pytest.raises(ValueError, match="instead of 0"):
        pending.append(Batch.__new__(Batch), b"x")


def test_frames_without_bytes_that_were_exported() -> None:
    # The undefined behaviour sanitizer reports a copy from or to NULL.
    pending = PendingFrames()
    made = []
    for count in range(4):
        made.append(pa.record_batch(pending))
        pending.append(batch_of([b""]))
        assert len(pending) == count + 1
    assert [raws(batch) for batch in made] == [[b""] * count for count in range(4)]


def test_other_payloads() -> None:
    pending = PendingFrames()
    batch = batch_of([b"secret", b"x"])
    pending.append(batch, bytearray(b"xxxxxx1"))
    for wrong in (b"", b"xxxxxx", b"xxxxxx12"):
        with pytest.raises(ValueError, match="instead of 7"):
            pending.append(batch, wrong)
    assert raws(pa.record_batch(pending)) == [b"xxxxxx", b"1"]


def test_what_was_exported_does_not_change() -> None:
    pending = PendingFrames()
    pending.append(batch_of(FIRST))
    first = pa.record_batch(pending)
    pending.append(batch_of(SECOND))
    second = pa.record_batch(pending)
    pending.clear()
    pending.append(batch_of([b"other"] * 5))
    assert raws(first) == FIRST
    assert raws(second) == [*FIRST, *SECOND]
    assert raws(pa.record_batch(pending)) == [b"other"] * 5


def test_memory_is_used_again() -> None:
    pending = PendingFrames()
    addresses = set()
    for _ in range(10):
        pending.append(batch_of(SECOND))
        addresses.add(pa.record_batch(pending)["raw"].buffers()[2].address)
        pending.clear()
    assert len(addresses) == 1


@pytest.mark.parametrize("raw", [b"", b"x" * 100])
def test_much_memory_is_not_kept(raw: bytes) -> None:
    batch = batch_of([raw] * 100_000)
    tracemalloc.start()
    try:
        pending = PendingFrames()
        # Most of it is columns, or most of it is payloads.
        while len(pending) * (21 + len(raw)) < 17 * 2**20:
            pending.append(batch)
        before_bytes, _ = tracemalloc.get_traced_memory()
        pending.clear()
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert before_bytes >= 17 * 2**20
    assert after_bytes < 2**20


def test_no_copies() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(PendingFrames())
    with pytest.raises(TypeError):
        PendingFrames().append(None)  # type: ignore[arg-type]
