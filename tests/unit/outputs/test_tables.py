"""Tables as Parquet: the right row for each market data frame, finished files only, and counts that add up."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.errors import ConfigError, MissingDependencyError, OutputError, UsageError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.outputs import output_file as output_file_module
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.tables.market_data import MarketDataWriter, QuotesWriter, TicksWriter
from cpapi_fast.outputs.tables.schema import ALWAYS, ticks_schema
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.batches import batch_of
from tests.support.clocks import HandClock
from tests.support.files import file_size_limit, quote, table_rows

TEXT = pa.dictionary(pa.int32(), pa.string())

FULL_SNAPSHOT = (
    b'{"6509":"DPB","conidEx":"265598","topic":"smd+265598","conid":265598,"_updated":1777552273601,"6119":"q7",'
    b'"83":0.61,"server_id":"q7","84":"271.80","31":"C271.81","86":"1,271.85","85":"1,300","88":"200","87":"12.2M",'
    b'"87_raw":12200000}'
)


def check_counts(writer: TicksWriter) -> None:
    counts = writer.counts
    assert counts.received == counts.written + counts.dropped_total + counts.pending


@pytest.mark.parametrize("writer_type", [TicksWriter, QuotesWriter])
def test_batches_without_frames(tmp_path: Path, writer_type: type[MarketDataWriter]) -> None:
    with writer_type(tmp_path) as writer:
        writer.write(Batch.__new__(Batch))
        writer.roll()
        writer.write(batch_of([FULL_SNAPSHOT]))
        writer.write(Batch.__new__(Batch))
    assert (writer.counts.received, writer.counts.written) == (1, 1)
    assert len(table_rows(tmp_path)) == 1


def test_one_row_per_market_data_frame(tmp_path: Path) -> None:
    frames = [
        b'{"topic":"system","success":"user1234"}',
        FULL_SNAPSHOT,
        b'{"topic":"sor","args":[]}',
        b"",
        quote(8314, _31="N/A", _84="-", _55="-"),
        b'{"conid":0,"topic":"smd+0;;;1/1,2/-1"}',
        b'{"conid":265598,"86":"H3","6509":5,"_updated":"x","topic":"smd+265598@NYSE"}',
    ]
    with TicksWriter(tmp_path, "run") as writer:
        writer.write(batch_of(frames, 42))
        check_counts(writer)
        assert (writer.counts.received, writer.counts.pending) == (4, 4)
    assert (writer.counts.written, writer.counts.pending) == (4, 0)
    assert writer.files == list(tmp_path.iterdir())
    assert re.fullmatch(r"run-\d{8}T\d{6}\.\d{6}Z\.parquet", writer.files[0].name)
    empty = dict.fromkeys(ticks_schema().names)
    assert table_rows(tmp_path) == [
        empty
        | {
            "received": 42,
            "late_ns": 0,
            "updated": 1777552273601,
            "conid": 265598,
            "last_price": 271.81,
            "bid_price": 271.80,
            "ask_price": 1271.85,
            "ask_size": 1300.0,
            "bid_size": 200.0,
            "volume": 12_200_000.0,
            "availability": "DPB",
            "last_price_prefix": "C",
        },
        empty | {"received": 42, "late_ns": 0, "updated": 1777552119103, "conid": 8314},
        empty | {"received": 42, "late_ns": 0, "conid": 0, "target": "0;;;1/1,2/-1"},
        empty | {"received": 42, "late_ns": 0, "conid": 265598, "target": "265598@NYSE", "ask_price": 3.0},
    ]


def test_schema(tmp_path: Path) -> None:
    with TicksWriter(tmp_path) as writer:
        writer.write(batch_of([FULL_SNAPSHOT]))
    file = pq.ParquetFile(writer.files[0])
    schema = file.schema_arrow
    assert {field.name: field.type for field in schema} == {
        "received": pa.timestamp("ns", "UTC"),
        "updated": pa.timestamp("ms", "UTC"),
        "late_ns": pa.int64(),
        "conid": pa.int64(),
        "symbol": TEXT,
        "target": TEXT,
        "availability": TEXT,
        "last_price": pa.float64(),
        "last_price_prefix": TEXT,
        "bid_price": pa.float64(),
        "ask_price": pa.float64(),
        "ask_size": pa.float64(),
        "bid_size": pa.float64(),
        "volume": pa.float64(),
    }
    assert schema.field("bid_price").metadata[b"code"] == b"84"
    assert schema.field("availability").metadata[b"code"] == b"6509"
    assert schema.metadata[b"cpapi_fast.format"] == b"ticks"
    assert schema.metadata[b"cpapi_fast.format_version"] == b"2"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    file.close()


def test_routed_frame_that_is_no_json_is_counted(tmp_path: Path) -> None:
    broken = b'{"31":"1","84":nonsense,"topic":"smd+265598"}'
    repaired = b'{"58":"\x99","31":"1","topic":"smd+265598"}'
    with TicksWriter(tmp_path) as writer:
        batch = batch_of([broken, repaired])
        assert list(batch.kinds) == [int(FrameKind.MARKET_DATA)] * 2
        writer.write(batch)
    assert writer.counts.dropped == {"malformed": 1}
    assert (writer.counts.received, writer.counts.written) == (2, 1)
    assert table_rows(tmp_path)[0]["last_price"] == 1.0


@pytest.mark.parametrize("updated", ["true", "null", '"x"', "[]", "9007199254740992", "18446744073709551615", "1e300"])
def test_updated_that_is_no_time(tmp_path: Path, updated: str) -> None:
    with TicksWriter(tmp_path) as writer:
        writer.write(batch_of([b'{"_updated":%b,"topic":"smd+1"}' % updated.encode()]))
    assert table_rows(tmp_path)[0]["updated"] is None


@pytest.mark.parametrize(
    ("updated", "expected"),
    [
        ("-62135596800000", -62135596800000),
        ("253402300799999", 253402300799999),
        ("-62135596800001", None),
        ("253402300800000", None),
        ("9007199254740993", None),
    ],
)
def test_updated_beyond_the_years_that_readers_accept(tmp_path: Path, updated: str, expected: int | None) -> None:
    with TicksWriter(tmp_path) as writer:
        batch = batch_of([b'{"_updated":%b,"topic":"smd+1"}' % updated.encode()])
        writer.write(batch)
    assert table_rows(tmp_path)[0]["updated"] == expected
    assert writer.mismatches == ({} if expected else {"updated": 1})
    assert TickDecoder(["_updated"]).decode(batch).to_arrow()["updated"].null_count == (expected is None)
    pq.read_table(writer.files[0])["updated"].to_pylist()


def test_no_quotes_no_file(tmp_path: Path) -> None:
    with TicksWriter(tmp_path) as writer:
        writer.write(batch_of([b"{}", b'{"topic":"system","hb":1}']))
    assert list(tmp_path.iterdir()) == []
    assert writer.counts.received == 0


def test_rolls_by_rows(tmp_path: Path) -> None:
    with TicksWriter(tmp_path, "q", roll_rows=10, group_rows=4) as writer:
        for number in range(23):
            writer.write(batch_of([quote(number)]))
            check_counts(writer)
            assert writer.counts.written == (number + 1) // 10 * 10
            parts = list(tmp_path.glob("*.part"))
            assert len(parts) == ((number + 1) % 10 >= 4), "a row group is on the disk, aside"
        writer.write(batch_of([quote(number) for number in range(23, 45)]))
    assert [pq.read_metadata(path).num_rows for path in writer.files] == [10, 10, 10, 10, 5]
    assert writer.files == sorted(writer.files) == sorted(tmp_path.iterdir())
    assert [row["conid"] for row in table_rows(tmp_path)] == list(range(45))
    assert pq.read_metadata(writer.files[0]).num_row_groups == 3


def test_rolls_by_time_from_the_first_row(tmp_path: Path) -> None:
    clock = HandClock()
    clock.move(1000.0)
    writer = TicksWriter(tmp_path, roll_interval_s=60.0, clock=clock)
    assert writer.poll() == 60.0
    clock.move(500)
    writer.write(batch_of([quote()]))
    clock.move(59)
    assert writer.poll() == 1.0
    assert writer.counts.pending == 1
    clock.move(1)
    assert writer.poll() == 60.0
    assert writer.counts.written == 1
    writer.write(batch_of([quote()]))
    clock.move(60)
    writer.write(batch_of([quote()]))
    assert writer.counts.written == 3
    writer.close()
    assert len(writer.files) == 2


def test_latest_merges_deltas(tmp_path: Path) -> None:
    with TicksWriter(tmp_path) as writer:
        writer.write(batch_of([FULL_SNAPSHOT], 5))
        writer.write(batch_of([quote(_84="280.5"), b'{"86":"7","topic":"smd+265598@NYSE"}'], 9))
    assert set(writer.latest) == {"265598", "265598@NYSE"}
    latest = writer.latest["265598"]
    assert (latest.received_ns, latest.last, latest.bid, latest.ask, latest.availability, latest.rows) == (
        9, 271.81, 280.5, 1271.85, "DPB", 2,
    )  # fmt: skip
    assert writer.latest["265598@NYSE"].ask == 7.0


def test_unfinished_file_has_no_final_name(tmp_path: Path) -> None:
    writer = TicksWriter(tmp_path, group_rows=1)
    writer.write(batch_of([quote()]))
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    assert (writer.files, writer.counts.pending) == ([], 1)
    writer.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


def test_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that another program takes at the last moment."""
    monkeypatch.setattr(output_file_module.OutputFile, "final_path", property(lambda _self: taken))
    taken = tmp_path / "taken.parquet"
    taken.write_bytes(b"precious")
    writer = TicksWriter(tmp_path, "q")
    writer.write(batch_of([quote()]))
    with pytest.raises(OutputError, match="never overwritten"):
        writer.close()
    writer.close()
    assert taken.read_bytes() == b"precious"
    # What could not get its name is whole all the same, so it is kept.
    (part,) = tmp_path.glob("q-*.part")
    assert pq.read_metadata(part).num_rows == 1
    check_counts(writer)


def test_taken_names_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of others under the next names, finished or not, are not touched."""
    monkeypatch.setattr(FileNames, "next", lambda _self: next(names))
    names = iter([tmp_path / f"q-{number}.parquet" for number in range(3)])
    (tmp_path / "q-0.parquet").write_bytes(b"precious")
    (tmp_path / "q-1.parquet.part").write_bytes(b"half")
    with TicksWriter(tmp_path, "q") as writer:
        writer.write(batch_of([quote()]))
    assert writer.files == [tmp_path / "q-2.parquet"]
    assert (tmp_path / "q-0.parquet").read_bytes() == b"precious"
    assert (tmp_path / "q-1.parquet.part").read_bytes() == b"half"
    assert writer.counts.written == 1


def failing_write(after_bytes: int):
    left = after_bytes

    def write_all(file, data) -> None:
        nonlocal left
        file.write(memoryview(data)[:left])
        if len(data) > left:
            left = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= len(data)

    return write_all


@pytest.mark.parametrize("after_bytes", [0, 3, 50, 500, 3000, 6000])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_bytes: int) -> None:
    writer = TicksWriter(tmp_path, "q", group_rows=2, roll_rows=10)
    for number in range(10):
        writer.write(batch_of([quote(number)]))
    monkeypatch.setattr(output_file_module, "write_all", failing_write(after_bytes))

    def fill_the_disk() -> None:
        for number in range(10, 1000):
            writer.write(batch_of([quote(number)]))

    with pytest.raises(OutputError, match="free some space") as caught:
        fill_the_disk()
    assert caught.value.path.endswith(".parquet")
    check_counts(writer)
    received = writer.counts.received
    assert writer.counts.pending == 0
    with pytest.raises(OutputError):
        writer.write(batch_of([quote(), b"{}"]))
    assert writer.counts.received == received + 1
    writer.close()
    check_counts(writer)
    finished = writer.counts.written
    assert finished >= 10
    assert [row["conid"] for row in table_rows(tmp_path)] == list(range(finished))
    assert list(tmp_path.glob("*.part")) == [], "what cannot be finished is removed"


if sys.platform != "win32":

    def test_disk_full_for_real(tmp_path: Path) -> None:
        writer = TicksWriter(tmp_path, group_rows=1000, roll_rows=1000)
        writer.write(batch_of([quote(number, _31=str(number)) for number in range(1000)]))
        with file_size_limit(4096), pytest.raises(OutputError, match="free some space"):
            writer.write(batch_of([quote(number, _31=os.urandom(4).hex()) for number in range(1000)]))
        writer.close()
        check_counts(writer)
        assert (writer.counts.written, writer.counts.dropped_total) == (1000, 1000)
        assert [row["conid"] for row in table_rows(tmp_path)] == list(range(1000))


def test_all_of_the_batch_that_failed_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TicksWriter(tmp_path, group_rows=2)
    monkeypatch.setattr(output_file_module, "write_all", failing_write(0))
    with pytest.raises(OutputError):
        writer.write(batch_of([*(quote(number) for number in range(7)), b"{}"]))
    check_counts(writer)
    assert (writer.counts.received, writer.counts.dropped) == (7, {"write error": 7})


def test_missing_folder(tmp_path: Path) -> None:
    writer = TicksWriter(tmp_path / "missing")
    writer.write(batch_of([quote()]))
    with pytest.raises(OutputError, match="cannot write"):
        writer.close()


def test_closed_writer(tmp_path: Path) -> None:
    writer = TicksWriter(tmp_path)
    writer.close()
    with pytest.raises(UsageError):
        writer.write(batch_of([quote()]))


def test_options_are_checked(tmp_path: Path) -> None:
    too_many = 2**24 + 1
    for value in (0, -1, 1.5, True, "5", None, too_many, 2**62, 2**70):
        for name in ("roll_rows", "group_rows"):
            with pytest.raises(ConfigError, match=name):
                TicksWriter(tmp_path, **{name: value})
    for value in (0, -1.0, float("nan"), float("inf"), True, "5", None):
        with pytest.raises(ConfigError, match="roll_interval_s"):
            TicksWriter(tmp_path, roll_interval_s=value)
    for name in ("targets", "fields"):
        with pytest.raises(ConfigError, match=f"{name} must be a list"):
            TicksWriter(tmp_path, **{name: "265598"})
    with pytest.raises(UsageError, match="TicksWriter or QuotesWriter"):
        MarketDataWriter(tmp_path)
    with TicksWriter(tmp_path, roll_rows=2**24, group_rows=2**24) as writer:
        writer.write(batch_of([quote()]))
    assert writer.counts.written == 1


def test_pyarrow_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "pyarrow>=17"'):
        TicksWriter(tmp_path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_bytes_are_a_row_or_counted(tmp_path_factory, data: st.DataObject) -> None:
    frames = []
    for _ in range(data.draw(st.integers(1, 5))):
        raw = bytearray(data.draw(st.sampled_from([FULL_SNAPSHOT, quote(_31="1.5", _85="1,300"), quote(2**63 - 1)])))
        for _ in range(data.draw(st.integers(0, 4))):
            position = data.draw(st.integers(0, len(raw) - 1))
            raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
            raw = raw or bytearray(b"x")
        frames.append(bytes(raw))
    folder = tmp_path_factory.mktemp("ticks")
    batch = batch_of(frames, 7)
    with TicksWriter(folder) as writer:
        writer.write(batch)
        check_counts(writer)
    assert writer.counts.received == sum(frame.kind is FrameKind.MARKET_DATA for frame in batch)
    assert set(writer.counts.dropped) <= {"malformed"}
    rows = table_rows(folder)
    assert len(rows) == writer.counts.written
    decoder = TickDecoder(ALWAYS)
    good = [frame for frame in batch if frame.kind is FrameKind.MARKET_DATA and is_read(decoder, frame)]
    assert [(row["conid"], row["target"]) for row in rows] == [(frame.conid, frame.target) for frame in good]


def is_read(decoder: TickDecoder, frame: Any) -> bool:
    """Whether a frame is JSON, or the decoder does not notice that it is not; see `TickDecoder`."""
    is_accepted = decoder.decode(batch_of([frame.raw])).malformed == 0
    assert is_accepted or not is_decodable(frame)
    return is_accepted


def is_decodable(frame: Any) -> bool:
    try:
        return frame.payload is not None
    except ValueError:
        return False


def test_the_latest_last_price_has_its_mark(tmp_path: Path) -> None:
    with TicksWriter(tmp_path) as writer:
        for text, mark in (("C4,735.10", "C"), ("H4735.2", "H"), ("N/A", "H"), ("4735.3", None)):
            writer.write(batch_of([quote(1, _31=text, _84="1")], 42))
            assert writer.latest["1"].last_prefix == mark, text
        writer.write(batch_of([quote(1, _84="2")], 42))
    assert (writer.latest["1"].last, writer.latest["1"].last_prefix) == (4735.3, None)
