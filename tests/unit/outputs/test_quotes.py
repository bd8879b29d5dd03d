"""Quotes as Parquet: the right row for each market data frame, finished files only, and counts that add up."""

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

from cpapi_fast.errors import ConfigError, MissingDependencyError, OutputError, SubscriptionError, UsageError
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.outputs import output_file as output_file_module
from cpapi_fast.outputs.file_names import FileNames
from cpapi_fast.outputs.quote_fields import field_columns, id_of, quotes_schema
from cpapi_fast.outputs.quotes import QuotesWriter
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.batches import batch_of
from tests.support.clocks import HandClock
from tests.support.files import file_size_limit, quote

FULL_SNAPSHOT = (
    b'{"6509":"DPB","conidEx":"265598","topic":"smd+265598","conid":265598,"_updated":1777552273601,"6119":"q7",'
    b'"83":0.61,"server_id":"q7","84":"271.80","31":"C271.81","86":"1,271.85","85":"1,300","88":"200","87":"12.2M",'
    b'"87_raw":12200000}'
)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def check_counts(writer: QuotesWriter) -> None:
    counts = writer.counts
    assert counts.received == counts.written + counts.dropped_total + counts.pending


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
    with QuotesWriter(tmp_path, "run") as writer:
        writer.write(batch_of(frames, 42))
        check_counts(writer)
        assert (writer.counts.received, writer.counts.pending) == (4, 4)
    assert (writer.counts.written, writer.counts.pending) == (4, 0)
    assert writer.files == list(tmp_path.iterdir())
    assert re.fullmatch(r"run-\d{8}T\d{6}\.\d{6}Z\.parquet", writer.files[0].name)
    empty = dict.fromkeys(quotes_schema().names)
    assert rows_of(tmp_path) == [
        empty
        | {
            "received_ns": 42,
            "late_ns": 0,
            "updated_ms": 1777552273601,
            "conid": 265598,
            "last_price": 271.81,
            "bid_price": 271.80,
            "ask_price": 1271.85,
            "ask_size": 1300.0,
            "bid_size": 200.0,
            "volume": 12_200_000.0,
            "6509": "DPB",
            "last_price_prefix": "C",
        },
        empty | {"received_ns": 42, "late_ns": 0, "updated_ms": 1777552119103, "conid": 8314},
        empty | {"received_ns": 42, "late_ns": 0, "conid": 0, "target": "0;;;1/1,2/-1"},
        empty | {"received_ns": 42, "late_ns": 0, "conid": 265598, "target": "265598@NYSE", "ask_price": 3.0},
    ]


def test_schema(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([FULL_SNAPSHOT]))
    file = pq.ParquetFile(writer.files[0])
    schema = file.schema_arrow
    assert {field.name: field.type for field in schema} == {
        "received_ns": pa.int64(),
        "late_ns": pa.int64(),
        "updated_ms": pa.int64(),
        "conid": pa.int64(),
        "target": pa.string(),
        "last_price": pa.float64(),
        "bid_price": pa.float64(),
        "ask_price": pa.float64(),
        "ask_size": pa.float64(),
        "bid_size": pa.float64(),
        "volume": pa.float64(),
        "6509": pa.string(),
        "last_price_prefix": pa.string(),
    }
    assert schema.field("bid_price").metadata[b"code"] == b"84"
    assert schema.field("6509").metadata[b"key"] == b"market_data_availability"
    assert schema.metadata[b"cpapi_fast.format"] == b"quotes"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    file.close()


def test_routed_frame_that_is_no_json_is_counted(tmp_path: Path) -> None:
    broken = b'{"31":"1","84":nonsense,"topic":"smd+265598"}'
    repaired = b'{"58":"\x99","31":"1","topic":"smd+265598"}'
    with QuotesWriter(tmp_path) as writer:
        batch = batch_of([broken, repaired])
        assert list(batch.kinds) == [int(FrameKind.MARKET_DATA)] * 2
        writer.write(batch)
    assert writer.counts.dropped == {"malformed": 1}
    assert (writer.counts.received, writer.counts.written) == (2, 1)
    assert rows_of(tmp_path)[0]["last_price"] == 1.0


@pytest.mark.parametrize(
    "updated", ["true", "1.5", "1e3", "null", '"1"', "[]", "18446744073709551615", "-9223372036854775809"]
)
def test_updated_that_is_no_int64(tmp_path: Path, updated: str) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([b'{"_updated":%b,"topic":"smd+1"}' % updated.encode()]))
    assert rows_of(tmp_path)[0]["updated_ms"] is None


def test_no_quotes_no_file(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([b"{}", b'{"topic":"system","hb":1}']))
    assert list(tmp_path.iterdir()) == []
    assert writer.counts.received == 0


def test_rolls_by_rows(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path, "q", roll_rows=10, group_rows=4) as writer:
        for number in range(23):
            writer.write(batch_of([quote(number)]))
            check_counts(writer)
            assert writer.counts.written == (number + 1) // 10 * 10
            parts = list(tmp_path.glob("*.part"))
            assert len(parts) == ((number + 1) % 10 >= 4), "a row group is on the disk, aside"
        writer.write(batch_of([quote(number) for number in range(23, 45)]))
    assert [pq.read_metadata(path).num_rows for path in writer.files] == [10, 10, 10, 10, 5]
    assert writer.files == sorted(writer.files) == sorted(tmp_path.iterdir())
    assert [row["conid"] for row in rows_of(tmp_path)] == list(range(45))
    assert pq.read_metadata(writer.files[0]).num_row_groups == 3


def test_rolls_by_time_from_the_first_row(tmp_path: Path) -> None:
    clock = HandClock()
    clock.move(1000.0)
    writer = QuotesWriter(tmp_path, roll_interval_s=60.0, clock=clock)
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
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([FULL_SNAPSHOT], 5))
        writer.write(batch_of([quote(_84="280.5"), b'{"86":"7","topic":"smd+265598@NYSE"}'], 9))
    assert set(writer.latest) == {"265598", "265598@NYSE"}
    latest = writer.latest["265598"]
    assert (latest.received_ns, latest.last, latest.bid, latest.ask, latest.availability, latest.rows) == (
        9, 271.81, 280.5, 1271.85, "DPB", 2,
    )  # fmt: skip
    assert writer.latest["265598@NYSE"].ask == 7.0


def test_unfinished_file_has_no_final_name(tmp_path: Path) -> None:
    writer = QuotesWriter(tmp_path, group_rows=1)
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
    writer = QuotesWriter(tmp_path, "q")
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
    with QuotesWriter(tmp_path, "q") as writer:
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
    writer = QuotesWriter(tmp_path, "q", group_rows=2, roll_rows=10)
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
    assert [row["conid"] for row in rows_of(tmp_path)] == list(range(finished))
    assert list(tmp_path.glob("*.part")) == [], "what cannot be finished is removed"


if sys.platform != "win32":

    def test_disk_full_for_real(tmp_path: Path) -> None:
        writer = QuotesWriter(tmp_path, group_rows=1000, roll_rows=1000)
        writer.write(batch_of([quote(number, _31=str(number)) for number in range(1000)]))
        with file_size_limit(4096), pytest.raises(OutputError, match="free some space"):
            writer.write(batch_of([quote(number, _31=os.urandom(4).hex()) for number in range(1000)]))
        writer.close()
        check_counts(writer)
        assert (writer.counts.written, writer.counts.dropped_total) == (1000, 1000)
        assert [row["conid"] for row in rows_of(tmp_path)] == list(range(1000))


def test_all_of_the_batch_that_failed_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = QuotesWriter(tmp_path, group_rows=2)
    monkeypatch.setattr(output_file_module, "write_all", failing_write(0))
    with pytest.raises(OutputError):
        writer.write(batch_of([*(quote(number) for number in range(7)), b"{}"]))
    check_counts(writer)
    assert (writer.counts.received, writer.counts.dropped) == (7, {"write error": 7})


def test_missing_folder(tmp_path: Path) -> None:
    writer = QuotesWriter(tmp_path / "missing")
    writer.write(batch_of([quote()]))
    with pytest.raises(OutputError, match="cannot write"):
        writer.close()


def test_closed_writer(tmp_path: Path) -> None:
    writer = QuotesWriter(tmp_path)
    writer.close()
    with pytest.raises(UsageError):
        writer.write(batch_of([quote()]))


def test_options_are_checked(tmp_path: Path) -> None:
    for options in ({"roll_rows": 0}, {"group_rows": 0}):
        with pytest.raises(ConfigError):
            QuotesWriter(tmp_path, **options)


def test_pyarrow_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "pyarrow>=17"'):
        QuotesWriter(tmp_path)


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
    folder = tmp_path_factory.mktemp("quotes")
    batch = batch_of(frames, 7)
    with QuotesWriter(folder) as writer:
        writer.write(batch)
        check_counts(writer)
    assert writer.counts.received == sum(frame.kind is FrameKind.MARKET_DATA for frame in batch)
    assert set(writer.counts.dropped) <= {"malformed"}
    rows = rows_of(folder)
    assert len(rows) == writer.counts.written
    good = [frame for frame in batch if frame.kind is FrameKind.MARKET_DATA and is_decodable(frame)]
    assert [(row["conid"], row["target"]) for row in rows] == [(frame.conid, frame.target) for frame in good]


def is_decodable(frame: Any) -> bool:
    try:
        return frame.payload is not None
    except ValueError:
        return False


def test_every_requested_field_has_a_column(tmp_path: Path) -> None:
    codes = ("7635", "31", "7633", "55", "6509", "6008", "7184", "999999", "7635")
    frames = [
        quote(13455763, _7635="1,018.42", _7633="18.40%", _55="VIX", _6008=13455763, _7184="1", _999999="new"),
        quote(13455763, _7635="N/A", _55=None, _999999=[1, {"a": None}]),
        quote(13455763, _31="C17.05", _55=5, _999999=1.5),
    ]
    with QuotesWriter(tmp_path, fields=codes) as writer:
        writer.write(batch_of(frames, 42))
    schema = pq.read_schema(writer.files[0])
    fixed = quotes_schema().names
    assert schema.names == [
        *fixed,
        "mark_price",
        "implied_vol_percent",
        "symbol",
        "conid_6008",
        "can_be_traded",
        "999999",
    ]
    assert schema.equals(quotes_schema(codes), check_metadata=True)
    types = {name: str(schema.field(name).type) for name in schema.names[len(fixed) :]}
    assert types == {
        "mark_price": "double",
        "implied_vol_percent": "double",
        "symbol": "string",
        "conid_6008": "int64",
        "can_be_traded": "bool",
        "999999": "string",
    }
    assert [schema.field(name).metadata[b"code"] for name in ("mark_price", "999999")] == [b"7635", b"999999"]
    rows = [{name: row[name] for name in types} for row in rows_of(tmp_path)]
    assert rows == [
        {"mark_price": 1018.42, "implied_vol_percent": 18.4, "symbol": "VIX", "conid_6008": 13455763,
         "can_be_traded": True, "999999": "new"},
        dict.fromkeys(types) | {"999999": '[1,{"a":null}]'},
        dict.fromkeys(types) | {"symbol": "5", "999999": "1.5"},
    ]  # fmt: skip


def test_the_default_fields_add_no_column() -> None:
    assert quotes_schema(DEFAULT_FIELDS) == quotes_schema() == quotes_schema(("6509",))
    assert quotes_schema(FIELDS[code].key for code in DEFAULT_FIELDS) == quotes_schema()


def test_keys_and_codes_of_fields_are_the_same_column(tmp_path: Path) -> None:
    codes, keys = ("7635", "55", "6509"), ("mark_price", "symbol", 7635, "market_data_availability")
    assert quotes_schema(keys).equals(quotes_schema(codes), check_metadata=True)
    with QuotesWriter(tmp_path, fields=keys) as writer:
        writer.write(batch_of([quote(1, _7635="5", _55="IBM")], 42))
    (row,) = rows_of(tmp_path)
    assert (row["mark_price"], row["symbol"]) == (5.0, "IBM")
    with pytest.raises(SubscriptionError, match="Did you mean mark_price"):
        QuotesWriter(tmp_path, fields=["markprice"])


def test_each_field_of_the_catalogue_can_be_a_column(tmp_path: Path) -> None:
    schema = quotes_schema(FIELDS)
    assert len(set(schema.names)) == len(schema.names)
    columns = field_columns(FIELDS, quotes_schema().names)
    assert {column.code: column.type_name != "string" for column in columns} == {
        code: field.is_number for code, field in FIELDS.items()
    }
    values = {"float64": 1.5, "int64": 1, "bool_": True, "string": "1.5"}
    with QuotesWriter(tmp_path, fields=FIELDS) as writer:
        writer.write(batch_of([quote(1, **{f"_{code}": "1.5" for code in FIELDS})], 42))
    (row,) = rows_of(tmp_path)
    for column in columns:
        if column.name in row and column.code not in ("6509", *DEFAULT_FIELDS):
            assert row[column.name] == values[column.type_name]
    described = [FIELDS[column.code].meaning for column in columns if column.type_name == "string"]
    assert not any("percent" in text or "price" in text for text in described), "a number is no text"


def test_requested_fields_have_the_names_and_types_of_the_columns_of_ticks() -> None:
    codes = [code for code in FIELDS if code not in {*DEFAULT_FIELDS, "6509"}]
    text = dict.fromkeys(codes, "x")
    ticks = TickDecoder(codes).decode(batch_of([quote(1, **{f"_{code}": value for code, value in text.items()})], 42))
    decoded = ticks.to_arrow().schema
    types = {
        field.metadata[b"code"].decode(): (field.name, field.type) for field in decoded if b"code" in field.metadata
    }
    own = {
        field.metadata[b"code"].decode(): (field.name, field.type)
        for field in list(quotes_schema(codes))[-len(codes) :]
    }
    for code, (name, kind) in own.items():
        other_name, other = types[code]
        # Texts of ticks are a dictionary.
        assert (name, kind) == (other_name, getattr(other, "value_type", other)), code


@pytest.mark.parametrize(
    ("value", "expected"),
    [(13455763, 13455763), ("13455763", 13455763), (1e300, None), (2**53, None), ("x", None), (None, None), (-1, -1)],
)
def test_an_id_is_an_integer(value: object, expected: int | None) -> None:
    assert id_of(value) == expected


def test_the_latest_last_price_has_its_mark(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path) as writer:
        latest = writer.latest
        for text, mark in (("C4,735.10", "C"), ("H4735.2", "H"), ("N/A", "H"), ("4735.3", None)):
            writer.write(batch_of([quote(1, _31=text, _84="1")], 42))
            assert latest["1"].last_prefix == mark, text
        writer.write(batch_of([quote(1, _84="2")], 42))
    assert (latest["1"].last, latest["1"].last_prefix) == (4735.3, None)
