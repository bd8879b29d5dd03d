"""Runs the queries of a page of the documentation in the current folder, and compares their results."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any


def results(page: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a variable after each block of the page that prints it, by library."""
    found = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        if f"print({name})" in code:
            scope: dict[str, Any] = {}
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, scope)
            library = re.findall(r"import (duckdb|polars|pandas)", code)[-1]
            found[library] = rows_of(scope[name])
    return found


def rows_of(table: Any) -> list[dict[str, Any]]:
    if hasattr(table, "to_arrow_table"):
        return list(table.to_arrow_table().to_pylist())
    if hasattr(table, "to_dicts"):
        return list(table.to_dicts())
    import pyarrow as pa

    return list(pa.Table.from_pandas(table, preserve_index=False).to_pylist())


def check_query(page: Path, name: str, expected: list[tuple[Any, ...]], *keys: str) -> None:
    """The columns `keys` of the variable `name` are the expected rows, in any order, with each library."""
    found = results(page, name)
    assert found.keys() == {"duckdb", "polars", "pandas"}
    for library, rows in found.items():
        values = [tuple(row[key] for key in keys) for row in rows]
        values.sort(key=lambda row: [("" if value is None else str(value)) for value in row])
        assert values == expected, library
