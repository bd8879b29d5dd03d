"""Texts in tables: their memory is bounded, whatever the gateway sends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from cpapi_fast.outputs.tables.rows import TableRows
from cpapi_fast.outputs.tables.schema import field_columns
from tests.support.batches import batch_of
from tests.support.files import quote, table_rows


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("length", [1024, 1025])
@pytest.mark.parametrize("code", ["58", "55", "6509"])
def test_only_texts_of_a_bounded_length_are_carried_forward(tmp_path: Path, code: str, length: int) -> None:
    text = "x" * (length - 2) + "é"
    with QuotesWriter(tmp_path, fields=["58"]) as writer:
        writer.write(batch_of([quote(1, **{f"_{code}": "short"}), quote(1, **{f"_{code}": text}), quote(1, _31="1")]))
    name = {"58": "text", "55": "symbol", "6509": "availability"}[code]
    assert [row[name] for row in table_rows(tmp_path)] == ["short", text, text if length == 1024 else None]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("code", "is_escaped"), [("58", False), ("55", True)])
@pytest.mark.parametrize("writer_type", [QuotesWriter, TicksWriter])
def test_long_texts_are_written_before_they_take_much_memory(
    tmp_path: Path, writer_type: type[QuotesWriter], code: str, is_escaped: bool
) -> None:
    """500 MB of texts of 1,000 subscriptions; the escaped ones are decoded on the slow path."""
    writer = writer_type(tmp_path, fields=["58"])
    end = "\n" if is_escaped else "x"
    before = resident_bytes()
    most = 0
    for start in range(0, 8_000, 50):
        texts = [(number % 1000, f"{number}" + "x" * 60_000 + end) for number in range(start, start + 50)]
        writer.write(batch_of([json.dumps({"topic": f"smd+{topic}", code: text}).encode() for topic, text in texts]))
        most = max(most, resident_bytes() - before)
    writer.close()
    assert writer.counts.written == 8_000
    assert most < 400_000_000


def test_many_carried_texts_do_not_move_with_each_batch() -> None:
    """More texts than the decoder's table usually has: it doubles before it is replaced again."""
    fields = [(column.code, column.name) for column in field_columns(str(90_000 + number) for number in range(80))]
    rows = TableRows(fields, carries=True, capacity=5_000)
    for topic in range(1_200):
        texts = {code: f"{topic}-{code}" for code, _ in fields[-80:]}
        rows.begin(batch_of([json.dumps({"topic": f"smd+{topic % 1_000}", **texts}).encode()]))
        while rows.left:
            rows.move(5_000)
    # Rows of different tables are taken apart.
    assert len(rows.take()) == 2
