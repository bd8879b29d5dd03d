"""Batches and ticks through the Arrow PyCapsule interface: the values, and who owns the memory for how long."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Iterator

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cpapi_fast as cf
from tests.oracles.ticks import is_text, rows_of
from tests.support import frames
from tests.support.batches import batch_of

FIELDS = ("31", "84", "_updated", "55", "6509", "7184", "6008", "conidEx", "9999", "87_raw")
FRAMES = [
    b'{"conidEx":"8314","_updated":1777552119103,"31":"C271.50","84":"271.55","55":"IBM","7184":"1","topic":"smd+8314"}',
    b'{"topic":"system","hb":1777552119104}',
    b'{"6509":"RpB","55":"caf\xc3\xa9","6008":9007199254740993,"7184":"0","9999":"x","87_raw":1.22E7,"topic":"smd+1@NYSE"}',
    b'{"31":"H5","84":"N/A","6008":265598,"_updated":null,"topic":"smd+0"}',
]
ROWS = [
    {
        "conid": 8314,
        "last_price": 271.5,
        "last_price_prefix": "C",
        "bid_price": 271.55,
        "updated": 1777552119103,
        "symbol": "IBM",
        "can_be_traded": True,
        "conidEx": "8314",
    },
    {
        "conid": 1,
        "market_data_availability": "RpB",
        "symbol": "caf\u00e9",
        "can_be_traded": False,
        "9999": "x",
        "87_raw": 1.22e7,
    },
    {"conid": 0, "last_price": 5.0, "last_price_prefix": "H", "conid_6008": 265598},
]
COLUMNS = [
    *(
        "received",
        "conid",
        "last_price",
        "last_price_prefix",
        "bid_price",
        "updated",
        "symbol",
        "market_data_availability",
    ),
    *("can_be_traded", "conid_6008", "conidEx", "9999", "87_raw"),
]
RECEIVED_NS = 1_777_552_119_123_456_789


def batch() -> cf.Batch:
    return batch_of(FRAMES, received_ns=RECEIVED_NS)


def ticks() -> cf.Ticks:
    return cf.TickDecoder(FIELDS).decode(batch())


def expected(name: str) -> list[object]:
    return [RECEIVED_NS if name == "received" else row.get(name) for row in ROWS]


def plain(column: pa.Array) -> list[object]:
    """The values of a column: times as integers, texts as str."""
    if pa.types.is_timestamp(column.type):
        assert column.type.tz == "UTC"
        column = column.cast(pa.int64())
    return column.to_pylist()


def test_the_columns_of_ticks_in_pyarrow():
    table = pa.record_batch(ticks())
    table.validate(full=True)
    assert table.schema.names == COLUMNS
    for name in COLUMNS:
        assert plain(table[name]) == expected(name), name
    assert str(table.schema.field("received").type) == "timestamp[ns, tz=UTC]"
    assert str(table.schema.field("updated").type) == "timestamp[ms, tz=UTC]"
    assert table.schema.field("last_price").metadata == {
        b"code": b"31",
        b"kind": b"price",
        b"unit": b"currency",
        b"description": cf.FIELDS["31"].meaning.encode(),
    }
    assert ticks().to_arrow().equals(table)


def test_the_columns_of_ticks_in_the_other_libraries():
    for frame in (pl.DataFrame(ticks()), ticks().to_polars()):
        assert frame.columns == COLUMNS
        assert frame["received"].cast(pl.Int64).to_list() == expected("received")
        assert frame["updated"].cast(pl.Int64).to_list() == expected("updated")
        for name in set(COLUMNS) - {"received", "updated"}:
            assert frame[name].to_list() == expected(name), name
    data = ticks().to_pandas()
    assert data["received"].astype("int64").tolist() == expected("received")
    assert [None if pd.isna(value) else value for value in data["last_price"]] == expected("last_price")
    assert [None if pd.isna(value) else value for value in data["symbol"]] == expected("symbol")
    rows = ticks()  # noqa: F841  DuckDB finds it by its name
    found = duckdb.sql("SELECT epoch_ns(received), conid, last_price, symbol FROM rows").fetchall()
    assert found == list(zip(*map(expected, ("received", "conid", "last_price", "symbol")), strict=True))


def test_the_columns_of_a_batch():
    frames_of_batch = batch()
    table = pa.record_batch(frames_of_batch)
    table.validate(full=True)
    assert table.schema.names == ["received", "kind", "conid", "raw"]
    assert plain(table["received"]) == [RECEIVED_NS] * 4
    assert plain(table["kind"]) == ["market_data", "system", "market_data", "market_data"]
    assert plain(table["conid"]) == [8314, -1, 1, 0]
    assert plain(table["raw"]) == FRAMES
    assert pl.DataFrame(frames_of_batch)["raw"].to_list() == FRAMES
    assert duckdb.sql("SELECT raw FROM frames_of_batch").fetchall() == [(raw,) for raw in FRAMES]
    # The numbers are those of the batch, not a copy.
    address = pa.py_buffer(frames_of_batch.conids).address
    assert table["conid"].buffers()[1].address == address


def test_every_recorded_shape_equals_the_columns():
    texts = list(frames.corpus())
    decoder = cf.TickDecoder(
        ["31", "83", "84", "85", "86", "87", "87_raw", "88", "7059", "55", "6508", "6509", "server_id"]
    )
    decoded = decoder.decode(batch_of(texts))
    table = decoded.to_arrow()
    table.validate(full=True)
    rows = rows_of(decoded)
    for index, field in enumerate(decoder.fields):
        column = table[cf.FIELDS[field].key if field in cf.FIELDS else field]
        cells = [row[index] for row in rows]
        if is_text(field):
            assert column.to_pylist() == [cell.text for cell in cells]
        else:
            assert [
                None if cell.double is None else memoryview(cell.double).cast("d")[0] for cell in cells
            ] == column.to_pylist()
    assert len(table) == len(rows) > 3


def test_nothing_decoded_is_an_empty_table():
    decoder = cf.TickDecoder(FIELDS)
    for rows in (decoder.decode(batch_of([b"{}"])), cf.Ticks.__new__(cf.Ticks)):
        assert len(pa.record_batch(rows)) == 0
        assert len(pl.DataFrame(rows)) == 0
    assert len(pa.record_batch(cf.Batch.__new__(cf.Batch))) == 0


def test_an_export_outlives_its_producer_and_is_released_in_another_thread():
    decoder = cf.TickDecoder(FIELDS)
    columns = [pa.record_batch(decoder.decode(batch()))["bid_price"], pa.record_batch(batch())["raw"]]
    del decoder
    gc.collect()
    # Memory that was freed would be used again by now.
    others = [bytes(range(256)) * 100 for _ in range(100)]
    assert columns[0].to_pylist() == [271.55, None, None]
    assert columns[1].to_pylist() == FRAMES
    thread = threading.Thread(target=columns.clear)
    thread.start()
    thread.join()
    assert others


def test_a_capsule_that_nobody_reads_frees_its_memory():
    kept = batch()
    capsules = [*kept.__arrow_c_array__(), kept.__arrow_c_schema__(), *ticks().__arrow_c_array__()]
    counted = sys.getrefcount(kept)
    assert counted > 2
    capsules.clear()
    assert sys.getrefcount(kept) < counted


def test_exports_do_not_leak():
    decoder, one = cf.TickDecoder(FIELDS), batch()

    def exports() -> None:
        for _ in range(50):
            pa.record_batch(decoder.decode(one))
            pl.DataFrame(one)
            decoder.decode(one).__arrow_c_array__()
            one.__arrow_c_schema__()
            pa.table(cf.ArrowReader([one, one], decoder))
            cf.ArrowReader([one]).__arrow_c_stream__()

    exports()
    gc.collect()
    tracemalloc.start()
    exports()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(5):
        exports()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 50_000


def test_a_stream_has_one_record_batch_per_batch():
    decoder = cf.TickDecoder(["31", "55"])
    batches = [
        batch_of([frames.smd(8314), b'{"31":"%d","55":"S%d","topic":"smd+1"}' % (number, number)])
        for number in range(3)
    ]
    reader = cf.ArrowReader(iter(batches), decoder)
    assert pa.schema(reader).names == ["received", "conid", "last_price", "last_price_prefix", "symbol"]
    table = pa.table(reader)
    assert table["last_price"].to_pylist()[1::2] == [0.0, 1.0, 2.0]
    assert table["symbol"].to_pylist()[1::2] == ["S0", "S1", "S2"]
    assert pl.DataFrame(cf.ArrowReader(batches, decoder))["symbol"].to_list()[1::2] == ["S0", "S1", "S2"]
    rows = cf.ArrowReader(batches, decoder)  # noqa: F841  DuckDB finds it by its name
    assert duckdb.sql("SELECT max(symbol), count(*) FROM rows").fetchall() == [("S2", 6)]
    assert cf.ArrowReader(batches).to_arrow().read_all()["raw"].to_pylist() == [
        frame.raw for one in batches for frame in one
    ]
    assert cf.ArrowReader(batches, decoder).to_pandas()["symbol"].tolist()[1::2] == ["S0", "S1", "S2"]
    assert cf.ArrowReader(batches, decoder).to_polars().height == 6
    assert pa.table(cf.ArrowReader([], decoder)).num_rows == 0


def test_a_stream_is_read_once():
    reader = cf.ArrowReader([batch()])
    pa.table(reader)
    with pytest.raises(cf.UsageError, match="is read once"):
        pa.table(reader)


def test_an_error_of_the_batches_reaches_the_reader():
    def broken() -> Iterator[cf.Batch]:
        yield batch()
        raise ValueError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        pa.table(cf.ArrowReader(broken()))
    with pytest.raises(OSError, match="cpapi_fast"):
        pa.table(cf.ArrowReader([batch(), "no batch"]))  # type: ignore[list-item]
    with pytest.raises(TypeError):
        cf.ArrowReader(5)  # type: ignore[arg-type]


def test_the_batches_of_a_stream_are_freed_with_it():
    class Source:
        def __iter__(self) -> Iterator[cf.Batch]:
            while True:
                yield batch()

    source = Source()
    gone = weakref.ref(source)
    reader = cf.ArrowReader(source).to_arrow()
    del source
    assert len(reader.read_next_batch()) == 4
    reader.close()
    del reader
    gc.collect()
    assert gone() is None


def test_no_library_is_needed_for_an_export():
    code = """
import sys
sys.modules["pyarrow"] = None
import polars, cpapi_fast as cf
builder = cf.BatchBuilder()
builder.append(b'{"31":"5","55":"IBM","topic":"smd+8314"}')
batch = builder.finish(1)
assert polars.DataFrame(cf.TickDecoder(["last_price", "symbol"]).decode(batch))["symbol"].to_list() == ["IBM"]
assert polars.DataFrame(batch).height == 1
try:
    batch.to_arrow()
except cf.MissingDependencyError as error:
    assert str(error) == 'this conversion needs pyarrow: pip install "pyarrow>=17"'
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_capsule_that_is_alive_at_the_end_of_the_interpreter():
    code = """
import cpapi_fast as cf, pyarrow as pa, threading, time
builder = cf.BatchBuilder()
builder.append(b'{"31":"5","topic":"smd+8314"}')
batch = builder.finish(1)
keep = [batch.__arrow_c_array__(), pa.record_batch(batch), cf.ArrowReader([batch]).__arrow_c_stream__()]
import builtins
builtins.keep = keep
"""
    subprocess.run([sys.executable, "-c", code], check=True)
