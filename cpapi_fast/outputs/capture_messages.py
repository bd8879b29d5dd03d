"""CaptureMessages: makes the header and the messages of a capture, compressed, with checksums, in memory"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.redaction import shown

from .checksum import CHECKSUM_KEY, CHECKSUM_PLACE, with_checksum
from .interface import import_arrow, system_pool

if TYPE_CHECKING:
    from .pending_frames import PendingFrames

#: How the buffers of a capture are compressed.
CaptureCompression = Literal["lz4", "zstd"]


def checked_compression(name: str, value: object) -> CaptureCompression:
    """Return the value of the option `name` as a plain `str`, which pyarrow requires.

    Raises:
        ConfigError: it is not a compression of captures.
    """
    known: tuple[CaptureCompression, ...] = get_args(CaptureCompression)
    for compression in known:
        # Not every value can be compared with a text: an array gives an array.
        if isinstance(value, str) and value == compression:
            return compression
    raise ConfigError(f"{name} must be one of {', '.join(known)}, not {shown(value)}")


class CaptureMessages:
    """Makes the messages of a capture.

    The metadata of each message has the CRC-32 of all bytes from the end of the message before it to its own end, where
    the checksum itself counts as eight hyphens. So the checksums of a file cover every byte of it, also the schema.

    Args:
        schema: the pyarrow schema of the capture.
        compression: how the buffers are compressed.
    """

    def __init__(self, schema: Any, compression: CaptureCompression) -> None:
        self._pa: Final = import_arrow("pyarrow")
        self._schema: Final = schema
        self._options: Final = self._pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
        self._no_frames: Final = self._pa.RecordBatch.from_pylist([], schema=schema)

    def header(self, metadata: Mapping[str, str]) -> bytes:
        """Return the first bytes of a file: the schema, and a message without frames, so that the file is readable.

        Args:
            metadata: further metadata of the schema, about this file.
        """
        schema = self._schema.with_metadata({**self._schema.metadata, **metadata})
        buffer = self._pa.BufferOutputStream(system_pool())
        stream = self._pa.ipc.new_stream(buffer, schema, options=self._options)
        stream.write_batch(self._no_frames, custom_metadata={CHECKSUM_KEY: CHECKSUM_PLACE})
        message = memoryview(buffer.getvalue())
        # The schema has no data, so the message without frames begins where its metadata ends.
        start = metadata_end(message)
        return bytes(with_checksum(message, start, metadata_end(message, start)))

    def of(self, pending: PendingFrames) -> memoryview:
        """Return the message of pending frames, and clear them."""
        message = self._message(self._pa.record_batch(pending))
        pending.clear()
        return message

    def _message(self, batch: Any) -> memoryview:
        # Made in memory of Arrow, because each piece that is written to a file object in Python needs the lock of the
        # interpreter. The schema is written with the first batch.
        buffer = self._pa.BufferOutputStream(system_pool())
        stream = self._pa.ipc.new_stream(buffer, self._schema, options=self._options)
        stream.write_batch(self._no_frames)
        header_bytes = buffer.tell()
        stream.write_batch(batch, custom_metadata={CHECKSUM_KEY: CHECKSUM_PLACE})
        message = memoryview(buffer.getvalue())[header_bytes:]
        return with_checksum(message, 0, metadata_end(message))


def metadata_end(messages: memoryview, start: int = 0) -> int:
    """The position where the metadata of the message ends that begins at `start`."""
    return start + 8 + int.from_bytes(messages[start + 4 : start + 8], "little")
