"""read_table: files of one schema together, in order and exact; different schemas are refused with reasons."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from cpapi_fast.outputs.tables.reader import read_table
from cpapi_fast.outputs.tables.schema import quotes_schema
from tests.support.batches import batch_of
from tests.support.files import quote

NOON_NS = 1_767_268_800_123_456_789


def written(
    folder: Path, writer_type: type[TicksWriter] | type[QuotesWriter], *fields: str, count: int = 5
) -> list[Path]:
    folder.mkdir(exist_ok=True)
    with writer_type(folder, fields=fields, roll_rows=2) as writer:
        for number in range(count):
            writer.write(batch_of([quote(number, _31="5", _55=f"S{number}")], NOON_NS + number))
    return writer.files


def test_a_damaged_file_is_a_typed_error(tmp_path: Path) -> None:
    """Whatever bytes are wrong: the file is refused with its name, or read."""
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([quote(1, _6509="RB", _31="1"), quote(1, _31="2", _55="ABC")]))
    data = writer.files[0].read_bytes()
    damaged = tmp_path / "damaged.parquet"
    refused = []
    for seed in range(150):
        chance = random.Random(seed)
        changed = bytearray(data)
        for _ in range(3):
            changed[chance.randrange(4, len(data) - 8)] ^= chance.randrange(1, 256)
        damaged.write_bytes(changed)
        try:
            read_table(damaged)
        except ConfigError as exc:
            refused.append("damaged.parquet" in str(exc))
    assert len(refused) > 50
    assert all(refused)


@pytest.mark.parametrize("writer_type", [TicksWriter, QuotesWriter])
def test_files_are_read_together(tmp_path: Path, writer_type: type[TicksWriter] | type[QuotesWriter]) -> None:
    files = written(tmp_path, writer_type)
    assert len(files) == 3
    table = read_table(files)
    assert table["received"].cast(pa.int64()).to_pylist() == [NOON_NS + number for number in range(5)]
    assert table["symbol"].to_pylist() == ["S0", "S1", "S2", "S3", "S4"]
    assert table.schema.metadata[b"cpapi_fast.format"] == writer_type.name.encode()
    assert table.schema.field("bid_price").metadata[b"unit"] == b"currency"
    assert read_table(map(str, files)).equals(table)
    assert read_table(files[1]).num_rows == read_table(str(files[1])).num_rows == 2


def rewritten(path: Path, target: Path, **metadata: str) -> Path:
    """A copy of a file with other metadata."""
    table = pq.read_table(path)
    entries = {f"cpapi_fast.{name}".encode(): text for name, text in metadata.items()}
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **entries}), target)
    return target


def test_files_of_another_version_of_the_library_are_read_together(tmp_path: Path) -> None:
    (path,) = written(tmp_path, QuotesWriter, count=1)
    other = rewritten(path, tmp_path / "other.parquet", version="9.9")
    assert read_table([path, other]).num_rows == 2


def test_another_version_of_the_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    (path,) = written(tmp_path, QuotesWriter, count=1)
    for version in ("1", "3"):
        other = rewritten(path, tmp_path / f"{version}.parquet", format_version=version, version="0.0.9")
        expected = f"the version {version}, and read_table reads the version 2.*cpapi_fast that wrote it: 0.0.9"
        for paths in ([other], [path, other]):
            with pytest.raises(ConfigError, match=expected) as caught:
                read_table(paths)
            assert str(other) in str(caught.value)


def test_another_table_or_other_columns_are_refused_with_both_files(tmp_path: Path) -> None:
    quotes = written(tmp_path / "a", QuotesWriter, count=1)
    ticks = written(tmp_path / "b", TicksWriter, count=1)
    others = written(tmp_path / "c", QuotesWriter, "mark_price", "7051", count=1)
    cases = [
        (ticks, r"quotes version 2\).*ticks version 2\).*different tables"),
        (others, r"quotes version 2\).*quotes version 2\).*different columns: company_name, mark_price"),
    ]
    for files, reason in cases:
        with pytest.raises(ConfigError, match=reason) as caught:
            read_table([*quotes, *files])
        assert str(quotes[0]) in str(caught.value)
        assert str(files[0]) in str(caught.value)
    for file in (*quotes, *ticks, *others):
        assert read_table(file).num_rows == 1


def test_columns_of_another_type_or_order_are_refused(tmp_path: Path) -> None:
    (path,) = written(tmp_path, QuotesWriter, count=1)
    table = pq.read_table(path)
    order = tmp_path / "order.parquet"
    pq.write_table(table.select(table.schema.names[::-1]), order)
    with pytest.raises(ConfigError, match="different columns: in another order"):
        read_table([path, order])
    kind = tmp_path / "kind.parquet"
    index = table.schema.get_field_index("volume")
    pq.write_table(table.set_column(index, "volume", table["volume"].cast(pa.float32())), kind)
    with pytest.raises(ConfigError, match="different columns: volume"):
        read_table([path, kind])


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    plain, broken = tmp_path / "plain.parquet", tmp_path / "broken.parquet"
    pq.write_table(pa.table({"a": [1]}), plain)
    broken.write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="has the version none"):
        read_table(plain)
    for path in (broken, tmp_path / "missing.parquet", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot read .*give finished files"):
            read_table([path])
    with pytest.raises(ConfigError, match="at least one path"):
        read_table([])
    assert quotes_schema().metadata[b"cpapi_fast.format_version"] == b"2"
