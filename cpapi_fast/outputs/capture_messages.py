"""CaptureMessages: makes the header and the messages of a capture, compressed, in memory"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.redaction import shown

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

    Args:
        schema: the pyarrow schema of the capture.
        compression: how the buffers are compressed.

    Attributes:
        header: the first bytes of a file: the schema, and a message without frames, which makes a file readable from
            the start.
    """

    def __init__(self, schema: Any, compression: CaptureCompression) -> None:
        self._pa: Final = import_arrow("pyarrow")
        self._schema: Final = schema
        self._options: Final = self._pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
        self._no_frames: Final = self._pa.RecordBatch.from_pylist([], schema=schema)
        self.header: Final = bytes(self._serialized(self._no_frames)[0])

    def of(self, pending: PendingFrames) -> memoryview:
        """Return the message of pending frames, and clear them."""
        _, message = self._serialized(self._pa.record_batch(pending))
        pending.clear()
        return message

    def _serialized(self, batch: Any) -> tuple[memoryview, memoryview]:
        """Return the header of a file, and the message of a batch.

        They are made in memory of Arrow, because each piece that is written to a file object in Python needs the lock
        of the interpreter.
        """
        buffer = self._pa.BufferOutputStream(system_pool())
        stream = self._pa.ipc.new_stream(buffer, self._schema, options=self._options)
        stream.write_batch(self._no_frames)
        header_bytes = buffer.tell()
        stream.write_batch(batch)
        written = memoryview(buffer.getvalue())
        return written[:header_bytes], written[header_bytes:]
