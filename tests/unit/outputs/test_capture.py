"""The raw capture: exact bytes, readable at every moment, never over another file, and its counts always add up."""

from __future__ import annotations

import enum
import errno
import os
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast._version import __version__
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.errors import ConfigError, MissingDependencyError, OutputError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import classify
from cpapi_fast.outputs import output_file as output_file_module
from cpapi_fast.outputs.capture import CaptureWriter, read_capture
from cpapi_fast.outputs.capture_messages import CaptureCompression
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.batches import batch_of
from tests.support.clocks import HandClock
from tests.support.files import file_size_limit, quote

FRAMES = [
    b'{"topic":"system","success":"user1234"}',
    quote(_31="271.81", _84="271.80"),
    b"",
    b"\xff not JSON \x00",
    quote(0, _31="1"),
    b'{"topic":"sor","args":[]}',
    b'{"topic":"spl","args":{}}',
    b"x" * 100_000,
]


def rows_of(path: Path) -> list[tuple[int, int, int, bytes]]:
    table = read_capture(path).read_all()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def expected_rows(frames: list[bytes], received_ns: int) -> list[tuple[int, int, int, bytes]]:
    rows = []
    for raw in frames:
        frame = classify(raw)
        rows.append((received_ns, int(frame.kind), -1 if frame.conid is None else frame.conid, raw))
    return rows


def check_counts(writer: CaptureWriter) -> None:
    counts = writer.counts
    assert counts.received == counts.written + counts.dropped_total + counts.pending


def test_every_frame_byte_for_byte_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    with CaptureWriter(path) as writer:
        for number in range(5):
            writer.write(batch_of(FRAMES, received_ns=10**18 + number))
            check_counts(writer)
        assert writer.counts.pending == 5 * len(FRAMES)
    assert (writer.counts.received, writer.counts.written, writer.counts.pending) == (40, 40, 0)
    assert rows_of(path) == [row for number in range(5) for row in expected_rows(FRAMES, 10**18 + number)]
    assert path.stat().st_size == writer.nbytes
    assert list(tmp_path.iterdir()) == [path]
    reader = read_capture(path)
    assert [batch.num_rows for batch in reader] == [40], "small batches are put together"
    assert (reader.batches, reader.torn_bytes, reader.is_finished) == (1, 0, True)


def test_schema_explains_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    CaptureWriter(path).close()
    with pa.OSFile(str(path)) as source:
        schema = pa.ipc.open_stream(source).schema
    assert [(field.name, field.type, field.nullable) for field in schema] == [
        ("received_ns", pa.int64(), False),
        ("kind", pa.uint8(), False),
        ("conid", pa.int64(), False),
        ("raw", pa.binary(), False),
    ]
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert metadata["cpapi_fast.version"] == __version__
    assert orjson.loads(metadata["cpapi_fast.kinds"]) == {str(int(kind)): kind.label for kind in FrameKind}
    assert "-1" in metadata["cpapi_fast.conid"]
    assert "ns since the Unix epoch" in metadata["cpapi_fast.received_ns"]


def test_opens_from_the_first_moment_and_while_open(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    writer = CaptureWriter(path)
    assert rows_of(path) == []
    writer.write(batch_of([b"{}"]))
    writer.flush()
    writer.write(batch_of([b"[]"]))
    reader = read_capture(path)
    assert [batch.num_rows for batch in reader] == [1]
    assert (reader.torn_bytes, reader.is_finished) == (0, False)
    writer.close()
    assert [row[3] for row in rows_of(path)] == [b"{}", b"[]"]


def test_plain_arrow_reads_it_too(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    with CaptureWriter(path) as writer:
        writer.write(batch_of(FRAMES))
    with pa.OSFile(str(path)) as source:
        assert pa.ipc.open_stream(source).read_all()["raw"].to_pylist() == FRAMES


def test_buffers_are_compressed(tmp_path: Path) -> None:
    frames = [quote(_31=f"{number / 100:.2f}") for number in range(10_000)]
    sizes = {}
    for compression in get_args(CaptureCompression):
        path = tmp_path / f"{compression}.arrows"
        with CaptureWriter(path, compression=compression) as writer:
            writer.write(batch_of(frames))
        assert [row[3] for row in rows_of(path)] == frames
        sizes[compression] = path.stat().st_size
    assert sizes["zstd"] < sizes["lz4"] < 0.4 * sum(map(len, frames))


class Texts(enum.StrEnum):
    ZSTD = "zstd"


class OldTexts(str, enum.Enum):  # noqa: UP042 - its str() is `OldTexts.ZSTD`
    ZSTD = "zstd"


@pytest.mark.parametrize("compression", [Texts.ZSTD, OldTexts.ZSTD])
def test_compression_of_an_enumeration(tmp_path: Path, compression: Any) -> None:
    with CaptureWriter(tmp_path / "a.arrows", compression=compression) as writer:
        writer.write(batch_of(FRAMES))
    assert [row[3] for row in rows_of(writer.path)] == FRAMES
    assert type(CollectOptions(out=tmp_path, conids=(1,), capture_compression=compression).capture_compression) is str


@pytest.mark.parametrize("compression", ["gzip", None, 1, b"lz4", ["lz4"], np.array(["lz4", "zstd"])])
def test_unknown_compression(tmp_path: Path, compression: object) -> None:
    with pytest.raises(ConfigError, match="compression must be one of lz4, zstd"):
        CaptureWriter(tmp_path / "a.arrows", compression=compression)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="capture_compression must be one of lz4, zstd"):
        CollectOptions(out=tmp_path, conids=(1,), capture_compression=compression)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_other_libraries_read_it_too(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    for compression in get_args(CaptureCompression):
        path = tmp_path / f"{compression}.arrows"
        with CaptureWriter(path, compression=compression) as writer:
            writer.write(batch_of(FRAMES))
        assert polars.read_ipc_stream(path)["raw"].to_list() == FRAMES


def test_flushes_by_size_and_by_time(tmp_path: Path, clock: HandClock) -> None:
    # Each frame has 21 bytes in the other columns.
    writer = CaptureWriter(tmp_path / "a.arrows", flush_bytes=1000, flush_interval_s=2.0, clock=clock)
    writer.write(batch_of([b"x" * 957]))
    assert writer.counts.written == 0
    writer.write(batch_of([b"x"]))
    assert writer.counts.written == 2

    assert writer.poll() == 2.0
    writer.write(batch_of([b"a"]))
    clock.move(1.5)
    assert writer.poll() == 0.5
    writer.write(batch_of([b"b"]))
    clock.move(0.5)
    assert writer.poll() == 2.0
    assert (writer.counts.written, writer.counts.pending) == (4, 0)

    # Under load `poll` is not called: `write` flushes when the time is over.
    writer.write(batch_of([b"c"]))
    clock.move(2.0)
    writer.write(batch_of([b"d"]))
    assert (writer.counts.written, writer.counts.pending) == (6, 0)
    check_counts(writer)
    writer.close()


def test_rolls_by_time_while_batches_arrive(tmp_path: Path, clock: HandClock) -> None:
    # Under load `poll` is not called.
    writer = CaptureWriter(tmp_path / "a.arrows", flush_interval_s=3600.0, roll_interval_s=300.0, clock=clock)
    writer.write(batch_of([b"first"]))
    writer.flush()
    clock.move(299.0)
    writer.write(batch_of([b"second"]))
    assert len(writer.files) == 1
    clock.move(1.0)
    writer.write(batch_of([b"third"]))
    assert (len(writer.files), writer.counts.pending) == (2, 0)
    assert read_capture(writer.files[0]).read_all().num_rows == 1
    # The next file has a time of its own, and one that `poll` has finished has none.
    clock.move(299.0)
    writer.write(batch_of([b"fourth"]))
    assert (len(writer.files), writer.counts.pending) == (2, 1)
    clock.move(1.0)
    assert writer.poll() == 3599.0
    writer.write(batch_of([b"fifth"]))
    assert (len(writer.files), writer.counts.pending) == (2, 2)
    writer.close()
    check_counts(writer)
    frames = [[row[3] for row in rows_of(path)] for path in writer.files]
    assert frames == [[b"first"], [b"second", b"third"], [b"fourth", b"fifth"]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="never overwritten") as caught:
        CaptureWriter(path)
    assert caught.value.path == str(path)
    assert isinstance(caught.value, OSError)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path], "no unfinished file is left"


@pytest.mark.parametrize("name", ["missing/a.arrows", "file/a.arrows", "a\0b.arrows"])
def test_path_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        CaptureWriter(tmp_path / name)


@pytest.mark.parametrize("redact", [False, True])
def test_batches_without_frames(tmp_path: Path, redact: bool) -> None:
    path = tmp_path / "a.arrows"
    with CaptureWriter(path, redact=redact) as writer:
        writer.write(Batch.__new__(Batch))
        writer.flush()
        writer.write(batch_of([b"{}"]))
        writer.write(Batch.__new__(Batch))
    assert (writer.counts.received, writer.counts.written) == (1, 1)
    assert [row[3] for row in rows_of(path)] == [b"{}"]


def test_frames_without_bytes_are_flushed_by_size_too(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.arrows", flush_bytes=2100, flush_interval_s=1e9) as writer:
        writer.write(batch_of([b""] * 99))
        assert writer.counts.written == 0
        writer.write(batch_of([b""]))
        assert writer.counts.written == 100


def test_closed_writer(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a.arrows")
    writer.close()
    writer.close()
    with pytest.raises(UsageError):
        writer.write(batch_of([b"{}"]))
    check_counts(writer)


def failing_write(after_bytes: int):
    """A disk that takes `after_bytes` more, the last write in part, and then no more."""
    left = after_bytes

    def write_all(file, data) -> None:
        nonlocal left
        file.write(memoryview(data)[:left])
        if len(data) > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= len(data)

    return write_all


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.arrows"
    writer = CaptureWriter(path)
    writer.write(batch_of([b"first"]))
    writer.flush()
    size = path.stat().st_size
    monkeypatch.setattr(output_file_module, "write_all", failing_write(100))
    writer.write(batch_of([b"second", b"third"]))
    with pytest.raises(OutputError, match="free some space") as caught:
        writer.flush()
    assert caught.value.path == str(path)
    assert path.stat().st_size == size, "cut back to the last whole message"
    check_counts(writer)
    with pytest.raises(OutputError):
        writer.write(batch_of([b"fourth"]))
    writer.discard(batch_of([b"fifth"]))
    writer.close()
    check_counts(writer)
    assert writer.counts.written == 1
    assert writer.counts.dropped == {"write error": 4}
    assert [row[3] for row in rows_of(path)] == [b"first"]
    assert read_capture(path).read_all().num_rows == 1


def test_disk_full_at_the_end_of_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.arrows"
    writer = CaptureWriter(path)
    writer.write(batch_of([b"first"]))
    writer.flush()
    monkeypatch.setattr(output_file_module, "write_all", failing_write(3))
    with pytest.raises(OutputError):
        writer.close()
    writer.close()
    reader = read_capture(path)
    assert reader.read_all()["raw"].to_pylist() == [b"first"]
    assert (reader.torn_bytes, reader.is_finished) == (0, False)
    check_counts(writer)


def test_disk_full_at_the_end_of_a_file_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.arrows"
    writer = CaptureWriter(path, roll_bytes=1)
    writer.write(batch_of([b"first", b"second"]))
    write_all = output_file_module.write_all

    def fails_at_the_end(file, data) -> None:
        if len(data) == 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(file, data)

    monkeypatch.setattr(output_file_module, "write_all", fails_at_the_end)
    with pytest.raises(OutputError):
        writer.flush()
    check_counts(writer)
    assert (writer.counts.written, writer.counts.dropped_total) == (2, 0)
    assert [row[3] for row in rows_of(path)] == [b"first", b"second"]


def test_frames_are_written_before_their_file_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fsync = os.fsync

    def observed(descriptor: int) -> None:
        # A disk can be slow here, and other threads read the counts.
        seen.append((writer.counts.written, writer.counts.pending))
        check_counts(writer)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", observed)
    writer = CaptureWriter(tmp_path / "a.arrows", roll_bytes=1)
    writer.write(batch_of([b"first", b"second"]))
    writer.flush()
    assert seen == [(2, 0)]
    writer.close()


def test_any_error_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all(file, data) -> None:
        file.write(memoryview(data)[:100])
        raise MemoryError

    path = tmp_path / "a.arrows"
    writer = CaptureWriter(path)
    writer.write(batch_of([b"first", b"second"]))
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(output_file_module, "write_all", write_all)
        with pytest.raises(MemoryError):
            writer.flush()
    assert path.stat().st_size == size, "cut back to the last whole message"
    assert writer.counts.dropped == {"write error": 2}
    check_counts(writer)
    writer.write(batch_of([b"third"]))
    writer.close()
    check_counts(writer)
    assert [row[3] for row in rows_of(path)] == [b"third"]


def test_disk_full_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_file_module, "write_all", failing_write(10))
    with pytest.raises(OutputError, match="free some space"):
        CaptureWriter(tmp_path / "a.arrows")
    assert list(tmp_path.iterdir()) == []


def test_late_write_error_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = CaptureWriter(tmp_path / "a.arrows")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError):
        writer.close()


if sys.platform != "win32":

    def test_disk_full_for_real(tmp_path: Path) -> None:
        path = tmp_path / "a.arrows"
        writer = CaptureWriter(path)
        frames = [os.urandom(10_000) for _ in range(5)]

        def fill_the_disk() -> None:
            for _ in range(1000):
                writer.write(batch_of(frames))
                writer.flush()

        with file_size_limit(100_000), pytest.raises(OutputError, match="free some space"):
            fill_the_disk()
        writer.close()
        check_counts(writer)
        assert writer.counts.written == 5
        assert writer.counts.dropped_total == 5
        assert [row[3] for row in rows_of(path)] == frames


def test_torn_at_every_byte(tmp_path: Path) -> None:
    whole = tmp_path / "whole.arrows"
    ends = []
    with CaptureWriter(whole) as writer:
        ends.append(writer.nbytes)
        for number in range(3):
            writer.write(batch_of([b"%d" % number] * (number + 1)))
            writer.flush()
            ends.append(writer.nbytes)
    data = whole.read_bytes()
    torn = tmp_path / "torn.arrows"
    for cut in range(ends[0], len(data) + 1):
        torn.write_bytes(data[:cut])
        batches = sum(cut >= end for end in ends) - 1
        reader = read_capture(torn)
        assert [batch.num_rows for batch in reader] == [1, 2, 3][:batches]
        assert reader.batches == batches
        assert reader.is_finished == (cut == len(data))
        assert reader.torn_bytes == (0 if reader.is_finished else cut - ends[batches])


def test_junk_after_the_last_message(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    with CaptureWriter(path) as writer:
        writer.write(batch_of([b"{}"]))
    data = path.read_bytes()
    for junk in (b"\0" * 100, b"\xff" * 3, os.urandom(50)):
        # In place of the end of the stream, as after a power cut, and after it.
        path.write_bytes(data[:-8] + junk)
        reader = read_capture(path)
        assert reader.read_all().num_rows == 1
        assert (reader.torn_bytes, reader.is_finished) == (len(junk), False)
        path.write_bytes(data + junk)
        reader = read_capture(path)
        assert reader.read_all().num_rows == 1
        assert (reader.torn_bytes, reader.is_finished) == (8 + len(junk), False)


def test_reading_what_is_no_capture(tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    with pytest.raises(ConfigError, match="cannot read"):
        read_capture(path).read_all()
    for data in (b"", b"abc", b"{}\n" * 100, os.urandom(1000)):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=r"a\.arrows is not an Arrow IPC stream"):
            read_capture(path).read_all()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, pa.schema([("a", pa.int64())])) as stream:
        stream.write_batch(pa.record_batch([pa.array([1])], names=["a"]))
    with pytest.raises(ConfigError, match="not a capture"):
        read_capture(path).read_all()


def test_pyarrow_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "pyarrow>=17"'):
        CaptureWriter(tmp_path / "a.arrows")
    with pytest.raises(MissingDependencyError):
        read_capture(tmp_path / "a.arrows")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(
        st.tuples(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers(0, 2**63 - 1)), max_size=20
    ),
    flush_bytes=st.integers(1, 3000),
)
def test_any_frames_come_back(tmp_path_factory, batches: list[tuple[list[bytes], int]], flush_bytes: int) -> None:
    path = tmp_path_factory.mktemp("capture") / "a.arrows"
    with CaptureWriter(path, flush_bytes=flush_bytes, flush_interval_s=1e9) as writer:
        for frames, received_ns in batches:
            writer.write(batch_of(frames, received_ns))
            check_counts(writer)
    assert writer.counts.written == sum(len(frames) for frames, _ in batches)
    assert rows_of(path) == [row for frames, received_ns in batches for row in expected_rows(frames, received_ns)]


def test_files_after_a_change_of_the_metadata_have_the_rest_of_it_and_their_place(tmp_path: Path) -> None:
    given = {"cpapi_fast.run": "1abcde", "cpapi_fast.symbols": "[1]"}
    names = FileNames(tmp_path, "capture", ".arrows", run="1abcde")
    with CaptureWriter(names, roll_bytes=1, metadata=given) as writer:
        for number, symbols in enumerate(("[1]", "[1,2]", "[1,2,3]")):
            writer.set_metadata({"cpapi_fast.symbols": symbols})
            writer.write(batch_of([b"%d" % number, b"x"], number + 1))
            writer.flush()
        paths = writer.files
    found = []
    for path in paths:
        reader = read_capture(path)
        assert reader.read_all().num_rows == 2
        metadata = reader.schema.metadata
        keys = ("run", "symbols", "file_number", "first_frame")
        found.append(tuple(metadata[f"cpapi_fast.{key}".encode()] for key in keys))
    assert found == [
        (b"1abcde", b"[1]", b"1", b"0"),
        (b"1abcde", b"[1,2]", b"2", b"2"),
        (b"1abcde", b"[1,2,3]", b"3", b"4"),
    ]
