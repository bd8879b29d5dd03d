"""PartFile: an unfinished Parquet file, which is complete before it gets its name."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from cpapi_fast.outputs.checksum import CHECKSUM_KEY, CHECKSUM_PLACE, with_checksum
from cpapi_fast.outputs.interface import import_arrow, system_pool
from cpapi_fast.outputs.output_file import OutputFile

#: Times increase, so their differences are small. They have few duplicates, of which a dictionary could have an entry.
_TIMES: Final = frozenset({"received", "updated"})
#: The columns by which readers select rows. Statistics let them skip row groups; those of other columns only take time.
_SELECTED: Final = frozenset({"received", "updated", "conid"})

#: How many bytes of a file are written at once.
_BUFFER_BYTES: Final = 1024 * 1024


def _encodings(names: Iterable[str]) -> dict[str, Any]:
    """The options of `ParquetWriter` for columns with these names."""
    return {
        "use_dictionary": [name for name in names if name not in _TIMES],
        "column_encoding": {name: "DELTA_BINARY_PACKED" for name in names if name in _TIMES},
        "write_statistics": [name for name in names if name in _SELECTED],
    }


class PartFile:
    """An unfinished Parquet file.

    Args:
        file: the new file. It is removed after any error.
        schema: the pyarrow schema.

    Attributes:
        file: the file.
        rows: how many rows were written to it.
        metadata: the metadata of the file, besides those of the schema. They are written with the footer.
    """

    def __init__(self, file: OutputFile, schema: Any) -> None:
        self.file: Final = file
        self.rows = 0
        self.metadata: dict[str, str] = {}
        self._stream: Final = _PartStream(file)
        self._is_complete = False
        try:
            pa = import_arrow("pyarrow")
            # A row group consists of many small pieces. Each one that is written needs the lock of the interpreter.
            self._buffered: Final = pa.BufferedOutputStream(
                pa.PythonFile(self._stream, mode="w"), _BUFFER_BYTES, system_pool()
            )
            self._writer: Final = import_arrow("pyarrow.parquet").ParquetWriter(
                self._buffered,
                schema,
                compression="zstd",
                memory_pool=system_pool(),
                **_encodings(schema.names),
            )
        except BaseException:
            # The buffer is written when it is freed.
            self._stream.is_given_up = True
            file.remove()
            raise

    def __del__(self) -> None:
        # Arrow would write to a file that nobody finishes, at the end of the process with modules that are gone.
        self._stream.is_given_up = True

    def write(self, table: Any) -> None:
        """Write a table as one row group. Raises OSError."""
        self._writer.write_table(table)
        self._buffered.flush()
        self.rows += table.num_rows

    def complete(self) -> bool:
        """Write the footer. Returns False if that is not possible."""
        try:
            self._end()
        except OSError:
            return False
        self._is_complete = True
        return True

    def finish(self) -> None:
        """Complete the file, and give it its final name. Raises OSError."""
        self._end()
        self._is_complete = True
        self.file.publish(self.file.final_path)

    def _end(self) -> None:
        self._stream.begin_footer()
        self._writer.add_key_value_metadata({**self.metadata, CHECKSUM_KEY: CHECKSUM_PLACE})
        self._writer.close()
        self._buffered.flush()
        self._stream.end_footer()
        self.file.sync()

    def abandon(self) -> None:
        """Remove the file, unless it is complete and only its renaming failed, or it is not there any more."""
        self._stream.is_given_up = True
        if self._is_complete:
            self.file.close()
        else:
            self.file.remove()
            self._writer.close()


class _PartStream(io.RawIOBase):
    """The file object that Arrow writes a Parquet file to: complete writes only, and none after it is given up.

    Arrow ignores incomplete writes, and writes the footer even after a failed write.
    """

    def __init__(self, file: OutputFile) -> None:
        self.is_given_up = False
        self._file = file
        self._position = 0
        self._crc = 0
        self._footer: bytearray | None = None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        # Before anything else: at the end of the process, also the builtins are gone.
        if self.is_given_up:
            return 0
        view = memoryview(data)
        if self._footer is not None:
            self._footer += view
        else:
            self._file.append(view)
            self._crc = zlib.crc32(view, self._crc)
        self._position += view.nbytes
        return view.nbytes

    def begin_footer(self) -> None:
        """Collect what is written from now on."""
        self._footer = bytearray()

    def end_footer(self) -> None:
        """Write what was collected, with the checksum of the whole file in it. Raises OSError."""
        footer, self._footer = self._footer, None
        if footer:
            self._file.append(with_checksum(memoryview(footer), 0, len(footer), self._crc))


def rows_of(path: Path) -> int:
    """How many rows of a file can be read."""
    try:
        return int(import_arrow("pyarrow.parquet").read_metadata(path).num_rows)
    except (OSError, ValueError):  # ArrowInvalid is a ValueError.
        return 0
