"""Helpers for tests of outputs: a market data frame, the rows of tables, and a full disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def quote(conid: int = 265598, **fields: object) -> bytes:
    """An `smd` delta in the format of the gateway. Field codes are keywords such as `_31`."""
    import orjson

    codes = {name.lstrip("_"): value for name, value in fields.items()}
    head = {"server_id": "q1", "conidEx": str(conid), "conid": conid, "_updated": 1777552119103, "6119": "q1"}
    return orjson.dumps({**head, **codes, "topic": f"smd+{conid}"})


def table_rows(folder: Path, pattern: str = "*.parquet") -> list[dict[str, Any]]:
    """The rows of all tables in a folder, in order, with times as int."""
    import pyarrow.parquet as pq

    return [row for path in sorted(folder.glob(pattern)) for row in rows_of(pq.read_table(path))]


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a `pyarrow.Table`, with times as int."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, table[field.name].cast(pa.int64()))
    return list(table.to_pylist())


@contextlib.contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """Limit the size of files of this process to `limit_bytes`, which has the effect of a full disk (POSIX only).

    Python ignores the signal of the limit, so one write is incomplete and the next one fails.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
