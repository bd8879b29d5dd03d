"""CaptureFile: the messages of one capture, each read on its own, up to the last whole one"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from cpapi_fast.errors import ConfigError
from cpapi_fast.frames.recorded_reads import RecordedReads
from cpapi_fast.outputs.interface import import_arrow

if TYPE_CHECKING:
    from types import TracebackType

#: The first bytes of each message, before the length of its metadata.
_MARKER: Final = b"\xff\xff\xff\xff"
_PREFIX_BYTES: Final = 8
#: More metadata than this has no message of a capture: those with frames have about 300 bytes.
_MAX_METADATA_BYTES: Final = 16 * 1024 * 1024
#: The kind of a message with rows, in its metadata.
_RECORD_BATCH: Final = 3
#: The columns that are read, with their types in Arrow.
_COLUMNS: Final = (("received_ns", "int64"), ("raw", "binary"))


class Message(NamedTuple):
    """One message of a capture.

    Attributes:
        offset: where it begins in the file.
        size: its bytes.
        frames: how many frames it has.
    """

    offset: int
    size: int
    frames: int


class CaptureFile:
    """Reads the messages of a capture. The size of the file is read once, so what is added later is not read.

    Use it as a context manager.

    Args:
        path: the capture. It may be unfinished.

    Attributes:
        path: the same.
        messages: those with frames, in order.
        frames: how many frames they have.
        torn_bytes: how many bytes at the end belong to no whole message.
        is_finished: whether the writer closed the file.

    Raises:
        ConfigError: the file cannot be read, is no capture, or is damaged.
        MissingDependencyError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._pa: Final = import_arrow("pyarrow")
        self.path: Final = path
        self.messages: Final[list[Message]] = []
        self.frames = 0
        self.torn_bytes = 0
        self.is_finished = False
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
            self._size = path.stat().st_size
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path.
            raise ConfigError(f"cannot read the capture {path}: {_reason(error)}") from error
        try:
            self._header: Final = self._read_header()
            schema = self._schema_in(self._header)
            self._scan(len(self._header))
        except BaseException:
            self._file.close()
            raise
        self._times: Final = self._pa.ipc.IpcReadOptions(
            included_fields=[schema.get_field_index("received_ns")], use_threads=False
        )
        self._options: Final = self._pa.ipc.IpcReadOptions(
            included_fields=[schema.get_field_index(name) for name, _ in _COLUMNS], use_threads=False
        )

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    # --- frames -----------------------------------------------------------------------------------

    def reads(self, message: Message) -> RecordedReads:
        """Return the frames of a message.

        Raises:
            ConfigError: the message is damaged.
        """
        received, raw = self._columns(message, self._options, ("received_ns", "raw"))
        try:
            count = len(received)
            if received.offset or raw.offset or received.null_count or raw.null_count:
                raise ValueError("it has nulls")
            times, (_, offsets, payloads) = received.buffers()[1], raw.buffers()
            if count == 0 or times is None or offsets is None:
                raise ValueError("it has no columns")
            return RecordedReads(
                # Buffers are padded, so the lengths are those of the columns. A slice is never longer than its buffer.
                memoryview(times)[: 8 * count],
                memoryview(offsets)[: 4 * (count + 1)],
                b"" if payloads is None else memoryview(payloads),
            )
        except ValueError as error:
            raise self._damaged(message.offset, error) from error

    def last_ns(self, message: Message) -> int:
        """Return the receive time of the last frame of a message, without reading the others.

        Raises:
            ConfigError: the message is damaged.
        """
        (received,) = self._columns(message, self._times, ("received_ns",))
        return int(received[-1].as_py() or 0)

    def _columns(self, message: Message, options: Any, names: tuple[str, ...]) -> list[Any]:
        pa = self._pa
        try:
            # A stream with one message, because only a stream can leave out columns.
            content = self._header + self._read(message.offset, message.size)
            batch = pa.ipc.open_stream(pa.py_buffer(content), options=options).read_next_batch()
            columns = [batch.column(name) for name in names]
        # Arrow has various errors for bytes that it cannot read.
        except (pa.ArrowException, ValueError, KeyError, OSError, EOFError, MemoryError, OverflowError) as error:
            raise self._damaged(message.offset, error) from error
        except StopIteration:
            raise self._damaged(message.offset, ValueError("it has no frames")) from None
        if batch.num_rows != message.frames:
            raise self._damaged(message.offset, ValueError("its columns have different lengths"))
        return columns

    # --- messages ---------------------------------------------------------------------------------

    def _read_header(self) -> bytes:
        """The bytes of the first message, which has the schema."""
        if self._size == 0:
            raise ConfigError(f"the capture {self.path} is empty")
        try:
            found = self._message_at(0)
        except ValueError:
            found = None
        if found is None:
            raise ConfigError(f"{self.path} is no capture: it is no Arrow IPC stream, or it ends in its header")
        return self._read(0, _PREFIX_BYTES + found[0])

    def _schema_in(self, header: bytes) -> Any:
        pa = self._pa
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(header))
        except (pa.ArrowException, ValueError, OSError, EOFError) as error:
            raise ConfigError(f"{self.path} is no capture: {error}") from error
        if (schema.metadata or {}).get(b"cpapi_fast.format") != b"capture":
            raise ConfigError(f"{self.path} is an Arrow IPC stream, but no capture")
        for name, type_ in _COLUMNS:
            if len(schema.get_all_field_indices(name)) != 1 or str(schema.field(name).type) != type_:
                raise ConfigError(f"{self.path} is no capture of this version: its column {name} is not {type_}")
        return schema

    def _scan(self, offset: int) -> None:
        """Find all messages from `offset` on by their metadata, without reading their bodies."""
        while offset < self._size:
            try:
                found = self._message_at(offset)
            except (struct.error, ValueError) as error:
                raise self._damaged(offset, error) from error
            if found is None:
                self.torn_bytes = self._size - offset
                return
            metadata_bytes, body_bytes, frames = found
            if metadata_bytes == 0:
                self.is_finished = True
                return
            size = _PREFIX_BYTES + metadata_bytes + body_bytes
            if frames:
                self.messages.append(Message(offset, size, frames))
                self.frames += frames
            offset += size

    def _message_at(self, offset: int) -> tuple[int, int, int] | None:
        """The bytes of metadata and of the body, and the frames; None if the rest of the file is no whole message."""
        left = self._size - offset
        prefix = self._read(offset, min(_PREFIX_BYTES, left))
        if len(prefix) < _PREFIX_BYTES:
            return None
        if not prefix.startswith(_MARKER):
            if offset and self._is_zero_from(offset):
                # After a power loss, the end of a file may have its length but not its content.
                return None
            raise ValueError("no message begins there")
        metadata_bytes: int = struct.unpack_from("<i", prefix, 4)[0]
        if metadata_bytes == 0:
            return 0, 0, 0
        if not 0 < metadata_bytes <= _MAX_METADATA_BYTES:
            raise ValueError(f"its metadata have {metadata_bytes} bytes")
        if _PREFIX_BYTES + metadata_bytes > left:
            return None
        metadata = self._read(offset + _PREFIX_BYTES, metadata_bytes)
        if offset == 0:
            return metadata_bytes, 0, 0
        body_bytes, frames = _facts(metadata)
        if _PREFIX_BYTES + metadata_bytes + body_bytes > left:
            return None
        return metadata_bytes, body_bytes, frames

    def _is_zero_from(self, offset: int) -> bool:
        return all(not any(piece) for piece in self._pieces(offset))

    def _pieces(self, offset: int) -> Iterator[bytes]:
        while offset < self._size:
            piece = self._read(offset, min(1 << 20, self._size - offset))
            yield piece
            offset += len(piece)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            content = self._file.read(size)
            # A read may return less, of more than 2 GiB for example.
            while len(content) < size and (more := self._file.read(size - len(content))):
                content += more
        except OSError as error:
            raise ConfigError(f"cannot read the capture {self.path}: {_reason(error)}") from error
        if len(content) < size:
            raise ConfigError(f"the capture {self.path} became shorter while it was read")
        return content

    def _damaged(self, offset: int, error: Exception) -> ConfigError:
        return ConfigError(f"the capture {self.path} is damaged in the message at byte {offset:,}: {error}")


def _facts(metadata: bytes) -> tuple[int, int]:
    """The bytes of the body, and the rows, in the metadata of a message, which is a FlatBuffer.

    Raises:
        ValueError, struct.error: they are damaged.
    """
    message = _Table(metadata, _unsigned(metadata, 0))
    kind, header, body = message.at(1), message.at(2), message.at(3)
    body_bytes = 0 if body is None else struct.unpack_from("<q", metadata, body)[0]
    if body_bytes < 0:
        raise ValueError(f"its body has {body_bytes} bytes")
    if kind is None or metadata[kind] != _RECORD_BATCH or header is None:
        return body_bytes, 0
    rows = _Table(metadata, header + _unsigned(metadata, header)).at(0)
    frames = 0 if rows is None else struct.unpack_from("<q", metadata, rows)[0]
    # Each frame has at least its receive time, of which compression leaves something.
    if not 0 <= frames <= 0x7FFFFFFF:
        raise ValueError(f"it has {frames} frames")
    return body_bytes, frames


class _Table:
    """A table of a FlatBuffer.

    Args:
        content: the whole buffer.
        start: where the table begins in it.
    """

    def __init__(self, content: bytes, start: int) -> None:
        self._content: Final = content
        self._start: Final = start
        self._fields: Final = start - struct.unpack_from("<i", content, start)[0]
        if not 0 <= self._fields <= len(content) - 4:
            raise ValueError("its metadata are damaged")
        self._size: Final = struct.unpack_from("<H", content, self._fields)[0]

    def at(self, number: int) -> int | None:
        """Where a field is in the buffer; None if the table does not have it."""
        entry = 4 + 2 * number
        if entry + 2 > self._size:
            return None
        offset: int = struct.unpack_from("<H", self._content, self._fields + entry)[0]
        if offset and self._start + offset >= len(self._content):
            raise ValueError("its metadata are damaged")
        return self._start + offset if offset else None


def _unsigned(content: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<I", content, offset)[0]
    return value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
