"""CaptureWalk: reads a capture message by message, checks each one, and tells where and why whole messages end"""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.capture import END_OF_STREAM, capture_schema
from cpapi_fast.outputs.capture_messages import metadata_end
from cpapi_fast.outputs.checksum import CHECKSUM_KEY, is_intact
from cpapi_fast.outputs.interface import import_arrow

_CONTINUATION: Final = b"\xff\xff\xff\xff"

#: More metadata than this is no message of a capture.
_MOST_METADATA_BYTES: Final = 64 * 1024 * 1024
#: More data than this is no message: the payloads have at most 2 GiB, and the other columns 21 bytes per frame.
_MOST_BODY_BYTES: Final = 1 << 36

#: The numbers of the header and of the body's length among the fields of a message in the Arrow format.
_HEADER: Final = 2
_BODY_LENGTH: Final = 3

#: Messages begin at multiples of this.
_ALIGNMENT: Final = 8
#: How much is read at once in the search for the next message.
_BLOCK_BYTES: Final = 1 << 20
#: More frames than this for each byte of a message are no message.
_MOST_FRAMES_PER_BYTE: Final = 64


class End(enum.Enum):
    """What follows the last whole message of a capture."""

    #: The end of the stream: the writer has finished the file.
    FINISHED = "finished"
    #: Nothing: the writer still writes, or was killed.
    OPEN = "open"
    #: A part of a message, at the end of the file: the writer was killed while it wrote, or still writes.
    TORN = "torn"
    #: Bytes that are no message, or bytes after the end of the stream.
    DAMAGED = "damaged"


class WalkedMessage(NamedTuple):
    """One whole message, or bytes up to the next one that are no message.

    Attributes:
        start, end: its bytes in the file.
        batch: its frames as a `pyarrow.RecordBatch`; None if it is damaged.
        damage: what is wrong with it; empty for nothing.
        lost_frames: how many frames a damaged message has, as far as its metadata say so; 0 if they do not.
    """

    start: int
    end: int
    batch: Any
    damage: str
    lost_frames: int = 0


class CaptureWalk:
    """Reads a capture message by message. Iterate over it once; it yields the messages with frames, and damaged ones.

    A message whose checksum is wrong is yielded without a batch, and the walk goes on behind it. Where no message
    begins, it goes on with the next whole one, and yields the bytes in between as one damaged message.

    Args:
        path: the capture.
        columns: the names of the columns to decode; None for all.
        needs_checksums: whether to compute the checksums. Without them, data that is not decoded is not read.

    Attributes:
        schema: the pyarrow schema.
        has_checksums: whether the messages have checksums. Captures of earlier versions have none.
        whole_bytes: where the last whole message ends, without the end of the stream; set by the iteration.
        size: the size of the file when the iteration ended.
        end: what follows the last whole message; set by the iteration.

    Raises:
        ConfigError: the file cannot be read, or does not begin as a capture does.
    """

    def __init__(self, path: Path, *, columns: tuple[str, ...] | None = None, needs_checksums: bool = True) -> None:
        self.path: Final = path
        self.whole_bytes = 0
        self.size = 0
        self.end = End.OPEN
        self._pa: Final = import_arrow("pyarrow")
        self._needs_checksums: Final = needs_checksums
        try:
            with path.open("rb") as file:
                header = _message_at(file, 0)
                first = None if header is None else _message_at(file, len(header))
        except (OSError, ValueError, struct.error, _Torn) as exc:
            raise ConfigError(f"{path} is no capture: {getattr(exc, 'strerror', None) or exc}") from exc
        if header is None or first is None:
            raise ConfigError(f"{path} is no capture, or was cut before its first frame")
        try:
            self.schema: Any = self._pa.ipc.read_schema(self._pa.py_buffer(header))
            found = [(field.name, field.type) for field in self.schema]
        except (self._pa.ArrowException, OSError, ValueError) as exc:
            raise ConfigError(f"{path} is no capture: {exc}") from exc
        if (self.schema.metadata or {}).get(b"cpapi_fast.format") != b"capture":
            raise ConfigError(f"{path} is an Arrow IPC stream, but not a capture")
        self.header: Final = header + first
        # A damaged key of the checksum looks like a capture without checksums, if its writer wrote no number, either.
        whole, start = memoryview(self.header), len(header)
        self.has_checksums: Final = (
            CHECKSUM_KEY.encode() in first[: metadata_end(memoryview(first))] or self.number("file_number") is not None
        )
        if self.has_checksums and not is_intact(self.header, start, metadata_end(whole, start)):
            raise ConfigError(f"{path} is damaged: the checksum of its schema is wrong")
        if found != [(field.name, field.type) for field in capture_schema()]:
            raise ConfigError(f"{path} is damaged, or of another version: its columns are not those of a capture")
        wanted = None if columns is None else [self.schema.names.index(name) for name in columns]
        self._options: Final = self._pa.ipc.IpcReadOptions(included_fields=wanted)
        self._schema_message: Final = header

    def number(self, name: str) -> int | None:
        """A whole number in the metadata: `file_number` or `first_frame`; None without one."""
        text = (self.schema.metadata or {}).get(f"cpapi_fast.{name}".encode(), b"")
        return int(text) if text.isdigit() and len(text) < 19 else None

    def text(self, name: str) -> str:
        """A text in the metadata; empty without one."""
        found: bytes = (self.schema.metadata or {}).get(f"cpapi_fast.{name}".encode(), b"")
        return found.decode("utf-8", "replace")

    def __iter__(self) -> Iterator[WalkedMessage]:
        position = len(self.header)
        try:
            with self.path.open("rb") as file:
                while True:
                    self.whole_bytes = position
                    try:
                        data = _message_at(file, position)
                    except (ValueError, struct.error, _Torn) as exc:
                        following = self.next_message(file, position)
                        if following is None:
                            self.end = End.TORN if isinstance(exc, _Torn) else End.DAMAGED
                            break
                        yield WalkedMessage(position, following, None, "its beginning is damaged")
                        position = following
                        continue
                    if data is None:
                        self.end = End.OPEN
                        break
                    if data == END_OF_STREAM:
                        rest = file.read(1)
                        self.end = End.DAMAGED if rest else End.FINISHED
                        break
                    position += len(data)
                    message = self.checked(data, self.whole_bytes, position)
                    if message.damage or message.batch.num_rows:
                        yield message
            self.size = self.path.stat().st_size
        except OSError as exc:
            raise ConfigError(f"cannot read {self.path}: {exc.strerror or exc}") from exc

    def next_message(self, file: BinaryIO, position: int) -> int | None:
        """Where the next whole and undamaged message or the end of the stream begins, after a damaged beginning.

        It reads the file up to there. None if there is no such message.
        """
        size = os.fstat(file.fileno()).st_size
        start = position + _ALIGNMENT
        while start < size:
            file.seek(start)
            block = file.read(_BLOCK_BYTES)
            found = block.find(_CONTINUATION)
            while found >= 0:
                if found % _ALIGNMENT == 0 and self._is_message_at(file, start + found, size):
                    return start + found
                found = block.find(_CONTINUATION, found + 1)
            start += _BLOCK_BYTES
        return None

    def _is_message_at(self, file: BinaryIO, position: int, size: int) -> bool:
        try:
            data = _message_at(file, position)
        except (ValueError, struct.error, _Torn):
            return False
        if data is None or data == END_OF_STREAM:
            return data is not None and position + len(data) == size
        if self.has_checksums:
            return is_intact(data, 0, metadata_end(memoryview(data)))
        return not self.checked(data, position, position + len(data)).damage

    def checked(self, data: bytes, start: int, end: int) -> WalkedMessage:
        """Check and decode the bytes of a whole message."""
        if self.has_checksums and self._needs_checksums and not is_intact(data, 0, metadata_end(memoryview(data))):
            return WalkedMessage(start, end, None, "its checksum is wrong", _frames_in(data))
        pa = self._pa
        try:
            # The reader of streams decodes the wanted columns only.
            reader = pa.ipc.open_stream(pa.py_buffer(self._schema_message + data), options=self._options)
            batch = reader.read_next_batch()
            batch.validate(full=True)
            if any(column.null_count for column in batch.columns):
                raise ValueError("a column has no value for some frames")
        except (StopIteration, pa.ArrowException, OSError, ValueError, MemoryError) as exc:
            text = (str(exc).splitlines() or [type(exc).__name__])[0][:200]
            return WalkedMessage(start, end, None, f"it cannot be decoded: {text}", _frames_in(data))
        return WalkedMessage(start, end, batch, "")


class _Torn(Exception):  # noqa: N818 - not an error: the end of the file
    """The file ends within a message."""


def _message_at(file: BinaryIO, position: int) -> bytes | None:
    """The bytes of the message at a position; None at the end of the file.

    Raises:
        _Torn: the file ends within the message.
        ValueError, struct.error: there is no message.
    """
    file.seek(position)
    prefix = file.read(8)
    if not prefix:
        return None
    metadata, body_bytes = _metadata_after(prefix, file)
    # Asked for first, because reading takes memory for all bytes that a damaged length names.
    if body_bytes > os.fstat(file.fileno()).st_size - file.tell():
        raise _Torn
    body = file.read(body_bytes)
    if len(body) < body_bytes:
        raise _Torn
    return prefix + metadata + body


def _metadata_after(prefix: bytes, file: BinaryIO) -> tuple[bytes, int]:
    """The metadata of the message with this prefix, and the length of its data. Raises like `_message_at`."""
    if prefix[:4] != _CONTINUATION[: len(prefix)]:
        raise ValueError("it does not begin with a message of an Arrow stream")
    if len(prefix) < 8:
        raise _Torn
    metadata_bytes = int.from_bytes(prefix[4:], "little")
    if metadata_bytes > _MOST_METADATA_BYTES:
        raise ValueError("the length of a message is wrong")
    metadata = file.read(metadata_bytes)
    if len(metadata) < metadata_bytes:
        raise _Torn
    return metadata, _body_bytes(metadata) if metadata else 0


def last_received_ns(path: Path) -> int | None:
    """The receive time of the last frame in a capture that can be read; None without one.

    It reads the lengths of all messages, and the data of the last ones only.

    Raises:
        ConfigError: the file cannot be read, or does not begin as a capture does.
    """
    walk = CaptureWalk(path, columns=("received_ns",))
    found: list[int] = []
    position = len(walk.header)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with suppress(_Torn, ValueError, struct.error):
                while position < size:
                    try:
                        end = _end_at(file, position, size)
                    except (_Torn, ValueError, struct.error):
                        following = walk.next_message(file, position)
                        if following is None:
                            break
                        position = following
                        continue
                    if end is None:
                        break
                    found.append(position)
                    position = end
            for start in reversed(found):
                data = _message_at(file, start)
                message = None if data is None else walk.checked(data, start, start + len(data))
                if message is not None and not message.damage and message.batch.num_rows:
                    return int(message.batch.column(0)[-1].as_py())
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}") from exc
    return None


def _end_at(file: BinaryIO, position: int, size: int) -> int | None:
    """The end of the message at a position, from its metadata; None for the end of the stream. See `_message_at`."""
    file.seek(position)
    prefix = file.read(8)
    metadata, body_bytes = _metadata_after(prefix, file)
    end = position + len(prefix) + len(metadata) + body_bytes
    if end > size:
        raise _Torn
    return end if metadata else None


def _body_bytes(metadata: bytes) -> int:
    """The length of the data of a message, from its flatbuffer."""
    (table,) = struct.unpack_from("<I", metadata, 0)
    field = _field(metadata, table, _BODY_LENGTH)
    if field is None:
        return 0
    (length,) = struct.unpack_from("<q", metadata, field)
    if not 0 <= length <= _MOST_BODY_BYTES:
        raise ValueError("the length of a message is wrong")
    return int(length)


def _frames_in(data: bytes) -> int:
    """How many frames a damaged message has by its metadata; 0 if that cannot be."""
    metadata = data[8 : metadata_end(memoryview(data))]
    with suppress(ValueError, struct.error):
        (table,) = struct.unpack_from("<I", metadata, 0)
        header = _field(metadata, table, _HEADER)
        if header is not None:
            (offset,) = struct.unpack_from("<I", metadata, header)
            field = _field(metadata, header + offset, 0)
            if field is not None:
                (frames,) = struct.unpack_from("<q", metadata, field)
                return frames if 0 <= frames <= _MOST_FRAMES_PER_BYTE * len(data) else 0
    return 0


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Where a field of a table of a flatbuffer is; None if the table does not have it.

    Raises:
        ValueError, struct.error: it is no table.
    """
    (back,) = struct.unpack_from("<i", metadata, table)
    vtable, slot = table - back, 4 + 2 * number
    if vtable < 0:
        raise ValueError("the metadata of a message are damaged")
    (vtable_bytes,) = struct.unpack_from("<H", metadata, vtable)
    if slot + 2 > vtable_bytes:
        return None
    (field,) = struct.unpack_from("<H", metadata, vtable + slot)
    return table + field if field else None
