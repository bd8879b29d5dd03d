"""read_table: reads the files of one table together, and refuses files with different schemas"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.interface import import_arrow

from .schema import FORMAT_VERSION

#: How many columns an error names.
_MAX_NAMES: Final = 5


def read_table(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Any:
    """Read files of `ticks` or `quotes` into one `pyarrow.Table`, in the given order.

    Files are read together only if their rows mean the same: files of one table, with the same version of the schema
    and the same columns. The metadata of the table and of its columns describes them.

    Args:
        paths: the path of a file, or several, such as `sorted(glob.glob("data/quotes-*.parquet"))`.

    Raises:
        ConfigError: a file does not exist, is damaged or is not a finished table, its schema has another version than
            the one that this version of the library reads and writes, the schemas of two files differ, or no path is
            given. The message names the files, and both versions.
        MissingDependencyError: pyarrow is not installed.
    """
    pa, parquet = import_arrow("pyarrow"), import_arrow("pyarrow.parquet")
    found = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]
    if not found:
        raise ConfigError("read_table needs at least one path, and got none; check the pattern of the names")
    first: Any = None
    tables = []
    for path in found:
        try:
            schema = parquet.read_schema(path)
        except (OSError, ValueError, pa.ArrowException) as exc:  # ArrowInvalid is a ValueError.
            raise ConfigError(f"cannot read {path}: {exc}; give finished files, such as quotes-*.parquet") from exc
        _check_format(path, schema)
        if first is None:
            first = schema
        else:
            _check_equal(found[0], first, path, schema)
        try:
            # What is damaged inside a file may have no other effect than texts that are not UTF-8.
            table = parquet.read_table(path, partitioning=None)
            table.validate(full=True)
        except (OSError, ValueError, pa.ArrowException) as exc:
            raise ConfigError(
                f"cannot read {path}: {exc}; the file is damaged, and its frames are in the capture"
            ) from exc
        tables.append(table)
    # Each file has its own dictionaries, and perhaps another version of the library in its metadata.
    return pa.concat_tables(tables).unify_dictionaries()


def _entry(schema: Any, name: str) -> str:
    return ((schema.metadata or {}).get(f"cpapi_fast.{name}".encode()) or b"none").decode("utf-8", "replace")


def _check_format(path: Path, schema: Any) -> None:
    version = _entry(schema, "format_version")
    if version != FORMAT_VERSION:
        raise ConfigError(
            f"the schema of {path} has the version {version}, and read_table reads the version {FORMAT_VERSION}; read "
            "the file with pyarrow.parquet.read_table, or with the version of cpapi_fast that wrote it: "
            f"{_entry(schema, 'version')}"
        )


def _check_equal(first_path: Path, first: Any, path: Path, schema: Any) -> None:
    described = [f"{_entry(one, 'format')} version {_entry(one, 'format_version')}" for one in (first, schema)]
    reason = ""
    if described[0].split()[0] != described[1].split()[0]:
        reason = "they are different tables"
    elif not first.equals(schema):
        here, there = ({(field.name, str(field.type)) for field in one} for one in (schema, first))
        only = sorted({name for name, _ in here ^ there})
        shown = ", ".join(only[:_MAX_NAMES]) + (" …" if len(only) > _MAX_NAMES else "")
        reason = f"they have different columns: {shown or 'in another order'}"
    if reason:
        raise ConfigError(
            f"{first_path} ({described[0]}) and {path} ({described[1]}) cannot be read together, because {reason}; "
            "read the files of one table and of runs with the same fields"
        )
