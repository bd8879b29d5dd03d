"""The columns of the tables: one for each requested field, with the names and types of the columns of ticks."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from cpapi_fast.outputs.tables.schema import ALWAYS, field_columns, quotes_schema, ticks_schema
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS
from tests.support.batches import batch_of
from tests.support.files import quote, table_rows


def test_every_requested_field_has_a_column(tmp_path: Path) -> None:
    codes = ("7635", "31", "7633", "55", "6509", "6008", "7184", "999999", "7635")
    frames = [
        quote(13455763, _7635="1,018.42", _7633="18.40%", _55="VIX", _6008=13455763, _7184="1", _999999="new"),
        quote(13455763, _7635="N/A", _55=None, _999999=[1, {"a": None}]),
        quote(13455763, _31="C17.05", _55=5, _999999=1.5),
    ]
    with TicksWriter(tmp_path, fields=codes) as writer:
        writer.write(batch_of(frames, 42))
    schema = pq.read_schema(writer.files[0])
    fixed = ticks_schema().names
    assert schema.names == [
        *fixed,
        "mark_price",
        "implied_vol_percent",
        "conid_6008",
        "can_be_traded",
        "999999",
    ]
    assert schema.equals(ticks_schema(codes), check_metadata=True)
    types = {name: str(schema.field(name).type) for name in schema.names[len(fixed) :]}
    assert types == {
        "mark_price": "double",
        "implied_vol_percent": "double",
        "conid_6008": "int64",
        "can_be_traded": "bool",
        "999999": "dictionary<values=string, indices=int32, ordered=0>",
    }
    assert [schema.field(name).metadata[b"code"] for name in ("mark_price", "999999")] == [b"7635", b"999999"]
    rows = [{name: row[name] for name in (*types, "symbol")} for row in table_rows(tmp_path)]
    assert rows == [
        {"mark_price": 1018.42, "implied_vol_percent": 18.4, "symbol": "VIX", "conid_6008": 13455763,
         "can_be_traded": True, "999999": "new"},
        dict.fromkeys(types) | {"symbol": "VIX"},
        dict.fromkeys(types) | {"symbol": "VIX"},
    ]  # fmt: skip
    # A list and a number are no texts. N/A and null are nothing wrong.
    assert writer.mismatches == {"999999": 2, "symbol": 1}


def test_the_default_fields_add_no_column() -> None:
    assert ticks_schema(DEFAULT_FIELDS) == ticks_schema() == ticks_schema(("6509",))
    assert ticks_schema(FIELDS[code].key for code in DEFAULT_FIELDS) == ticks_schema()


def test_keys_and_codes_of_fields_are_the_same_column(tmp_path: Path) -> None:
    codes, keys = ("7635", "55", "6509"), ("mark_price", "symbol", 7635, "market_data_availability")
    assert ticks_schema(keys).equals(ticks_schema(codes), check_metadata=True)
    with TicksWriter(tmp_path, fields=keys) as writer:
        writer.write(batch_of([quote(1, _7635="5", _55="IBM")], 42))
    (row,) = table_rows(tmp_path)
    assert (row["mark_price"], row["symbol"]) == (5.0, "IBM")
    with pytest.raises(SubscriptionError, match="Did you mean mark_price"):
        TicksWriter(tmp_path, fields=["markprice"])


@pytest.mark.parametrize("writer_type", [TicksWriter, QuotesWriter])
def test_each_field_of_the_catalogue_can_be_a_column(tmp_path: Path, writer_type: type[TicksWriter]) -> None:
    columns = field_columns(FIELDS)
    schema = (ticks_schema if writer_type is TicksWriter else quotes_schema)(FIELDS)
    assert len(set(schema.names)) == len(schema.names)
    assert {column.name for column in columns} < set(schema.names)
    assert {column.code: column.type_name != "text" for column in columns[1:]} == {
        code: field.is_number for code, field in FIELDS.items()
    }
    values = {"float64": 1.5, "int64": 1, "bool": True, "text": "1.5"}
    with writer_type(tmp_path, fields=FIELDS) as writer:
        writer.write(batch_of([quote(1, **{f"_{code}": "1.5" for code in FIELDS})], 42))
    (row,) = table_rows(tmp_path)
    for column in columns[1:]:
        assert row[column.name] == values[column.type_name], column
    assert pq.read_schema(writer.files[0]).equals(schema, check_metadata=True)
    described = [column.meaning for column in columns if column.type_name == "text"]
    assert not any("percent" in text or "price" in text for text in described), "a number is no text"


def test_requested_fields_have_the_names_and_types_of_the_columns_of_ticks() -> None:
    codes = [code for code in FIELDS if code not in ALWAYS]
    text = dict.fromkeys(codes, "x")
    ticks = TickDecoder(codes).decode(batch_of([quote(1, **{f"_{code}": value for code, value in text.items()})], 42))
    decoded = ticks.to_arrow().schema
    types = {
        field.metadata[b"code"].decode(): (field.name, field.type) for field in decoded if b"code" in field.metadata
    }
    own = {
        field.metadata[b"code"].decode(): (field.name, field.type) for field in list(ticks_schema(codes))[-len(codes) :]
    }
    assert own == types


def test_every_column_is_described() -> None:
    for schema in (ticks_schema(FIELDS), quotes_schema(FIELDS)):
        assert all(field.metadata[b"description"] for field in schema)
    assert [name for name in quotes_schema().names if name != "segment"] == ticks_schema().names
    assert quotes_schema().field("late_ns").metadata[b"unit"] == b"ns"
    assert quotes_schema().field("bid_price").metadata[b"unit"] == b"currency"
    assert quotes_schema().field("received").type == pa.timestamp("ns", "UTC")
