"""Reads the columns of captures that a report needs, without decompressing the frames"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.report.packages import import_numpy

#: How many frames are computed at once: enough for the speed of numpy, with about 10 MB of memory.
_CHUNK_FRAMES: Final = 262_144

#: The end of an IPC stream that its writer closed.
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"

#: The columns, and their types.
_COLUMNS: Final = {"received_ns": "int64", "kind": "uint8", "conid": "int64"}


class CaptureColumns:
    """Iterates over the receive times, kinds and conids of a capture: numpy arrays, in chunks.

    A capture is read up to its last complete message, so that one that is being written or damaged gives what it has.

    Attributes:
        frames: how many frames were read.
        is_capture: whether the file begins as a capture.
        is_finished: whether its writer closed it.
        torn_bytes: how many bytes after the last complete message could not be read.
        metadata: the metadata of its schema.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._pa: Final = import_arrow("pyarrow")
        self._np: Final = import_numpy()
        self.frames = 0
        self.is_capture = False
        self.is_finished = False
        self.torn_bytes = 0
        self.metadata: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        """Iterate over `(received_ns, kinds, conids)`, three arrays of int64."""
        pa = self._pa
        try:
            size = self._path.stat().st_size
            source = pa.OSFile(str(self._path), "rb")
        except (OSError, ValueError):
            return
        with source:
            try:
                schema = pa.ipc.open_stream(source).schema
                source.seek(0)
                indices = [schema.get_field_index(name) for name in _COLUMNS]
                self.metadata = schema.metadata or {}
                types = [str(schema.field(index).type) if index >= 0 else "" for index in indices]
                if types != list(_COLUMNS.values()) or self.metadata.get(b"cpapi_fast.format") != b"capture":
                    return
                # Only these columns are decompressed.
                reader = pa.ipc.open_stream(source, options=pa.ipc.IpcReadOptions(included_fields=indices))
            except (pa.ArrowException, OSError):
                return
            self.is_capture = True
            whole_bytes = source.tell()
            waiting: list[Any] = []
            frames = 0
            while True:
                try:
                    batch = reader.read_next_batch()
                    batch.validate()
                # The end of the stream, or an incomplete message, which makes Arrow raise various errors.
                except (StopIteration, pa.ArrowException, OSError):
                    break
                if any(column.null_count for column in batch.columns):
                    # No capture has nulls: the message is damaged.
                    break
                whole_bytes = source.tell()
                if batch.num_rows:
                    waiting.append(batch)
                    frames += batch.num_rows
                if frames >= _CHUNK_FRAMES:
                    yield self._chunk(waiting)
                    waiting, frames = [], 0
            if waiting:
                yield self._chunk(waiting)
            source.seek(whole_bytes)
            self.is_finished = source.read(len(_END_OF_STREAM) + 1) == _END_OF_STREAM
        self.torn_bytes = 0 if self.is_finished else max(0, size - whole_bytes)

    def _chunk(self, batches: list[Any]) -> tuple[Any, Any, Any]:
        np = self._np
        columns = (
            np.concatenate([batch.column(name).to_numpy(zero_copy_only=False) for batch in batches]).astype(np.int64)
            for name in _COLUMNS
        )
        received, kinds, conids = columns
        self.frames += len(received)
        return received, kinds, conids
