"""The capture: every frame unchanged, in an Arrow IPC stream.

A capture can be read at any moment up to its last complete message. Each message is passed to the operating system in
one write, so only the last one can be incomplete after a kill. After a failed write, the file is truncated to the last
complete message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import orjson

from cpapi_fast._version import __version__
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, OutputError, UsageError
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.protocol.kinds import FrameKind

from .capture_messages import CaptureCompression, CaptureMessages, checked_compression
from .file_names import FileNames, NamesAfter
from .frame_redactor import FrameRedactor
from .interface import OutputCounts, import_arrow
from .message_files import MessageFiles
from .output_file import LossPolicy, LostFiles
from .pending_frames import PendingFrames
from .run_events import FileChange

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: The registered suffix of Arrow IPC streams. `.arrow` is the suffix of the file format, which has a footer.
CAPTURE_SUFFIX: Final = ".arrows"

#: The end of an IPC stream. Readers do not need it. It distinguishes a finished capture from that of a killed process.
END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def capture_schema(*, is_redacted: bool = False, metadata: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Return the pyarrow schema of a capture, with descriptions as metadata, and further `metadata`."""
    pa = import_arrow("pyarrow")

    def field(name: str, type_: Any, description: str) -> Any:
        return pa.field(name, type_, nullable=False, metadata={"description": description})

    kinds = {str(kind.value): kind.label for kind in FrameKind}
    return pa.schema(
        [
            field("received_ns", pa.int64(), "ns since the Unix epoch (UTC), when the socket read returned"),
            field("kind", pa.uint8(), f"kind of the frame: {kinds}"),
            field("conid", pa.int64(), "contract id of a market_data frame; -1 = none (0 is a real one)"),
            field("raw", pa.binary(), "the frame's bytes as received, fragments joined"),
        ],
        metadata={
            "cpapi_fast.format": "capture",
            "cpapi_fast.format_version": "1",
            "cpapi_fast.version": __version__,
            "cpapi_fast.kinds": orjson.dumps(kinds).decode(),
            "cpapi_fast.received_ns": "ns since the Unix epoch (UTC), one time per socket read",
            "cpapi_fast.conid": "-1 = none",
            **({"cpapi_fast.redacted": "secrets are replaced at the same length"} if is_redacted else {}),
            **metadata,
        },
    )


class CaptureWriter:
    """Writes batches to a new capture. Not thread-safe.

    The frames are copied. The copies stay in memory until they have `flush_bytes` bytes, or the oldest is
    `flush_interval_s` old, or the file is to be finished. Then they are written as one message. The writer has no
    timer, so call `poll` while no batch arrives.

    A capture is one file, unless `roll_interval_s` or `roll_bytes` is given, or another program deletes, moves or
    changes the file. The next file is beside it and sorts after it: `capture_20260102T143000.123456Z.arrows`.

    Args:
        path: the file to create; the usual suffix is `.arrows`. Or the names of all files.
        flush_interval_s: the longest time until a frame is in the file, in seconds of `clock`.
        flush_bytes: how many bytes may be pending: the frames, and 21 bytes more for each. 2 MiB by default.
        roll_interval_s: a file is finished this long after its first frames were written, in seconds of `clock`; None
            for never.
        roll_bytes: a file is finished when it has this many bytes; None for never.
        lost_files: what to do when another program deletes, moves or changes the file: `recreate` continues in a new
            file, `fail` ends the writer with an error. The frames that cannot be read any more count as dropped.
        file_mode: the permissions of the files; by default, only their owner can read them.
        compression: `lz4`, or `zstd`, which makes a capture of market data about 40 % smaller and takes half as much
            time again.
        redact: whether to replace session ids, accounts, user names and tokens in the frames, at the same length.
        metadata: further metadata of the schema.
        clock: the clock of the intervals.

    Raises:
        OutputError: the file exists, or cannot be created.
        ConfigError: `lost_files` or `compression` is unknown.
        MissingDependencyError: pyarrow is not installed.
    """

    name: str = "capture"
    unit: str = "frames"

    def __init__(
        self,
        path: str | os.PathLike[str] | FileNames,
        *,
        flush_interval_s: float = 1.0,
        flush_bytes: int = 2 * 1024 * 1024,
        roll_interval_s: float | None = None,
        roll_bytes: int | None = None,
        lost_files: LostFiles = "recreate",
        file_mode: int = PRIVATE_MODE,
        compression: CaptureCompression = "lz4",
        redact: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({}),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        compression = checked_compression("compression", compression)
        self.counts: Final = OutputCounts()
        self._flush_interval_s = flush_interval_s
        self._flush_bytes = flush_bytes
        self._redactor = FrameRedactor() if redact else None
        self._clock = clock
        self._pa = import_arrow("pyarrow")
        self._waiting: Final = PendingFrames()
        self._oldest_s = 0.0
        self._is_closed = False
        self._nbytes = 0
        #: Further metadata of the schema of the next file.
        self._metadata = dict(metadata)
        self._file_number = 0
        self._messages: Final = CaptureMessages(capture_schema(is_redacted=redact), compression)
        self._losses: Final = LossPolicy(self.counts, self.unit, lost_files)
        self._files: Final = MessageFiles(
            path if isinstance(path, FileNames) else NamesAfter(Path(path)),
            self.counts,
            self._losses,
            _frames_of,
            header=self._header,
            end=END_OF_STREAM,
            mode=file_mode,
            roll_interval_s=roll_interval_s,
            roll_bytes=roll_bytes,
            clock=clock,
        )
        self._files.begin()
        self.path: Final = self._files.paths[0]

    @property
    def files(self) -> list[Path]:
        """The files that can be read, oldest first."""
        return self._files.paths

    @property
    def changes(self) -> list[FileChange]:
        """What other programs did to the files. The reader removes what it has read."""
        return self._losses.changes

    @property
    def nbytes(self) -> int:
        """The size of the current file in bytes, up to its last complete message; after `close`, of the last one."""
        return self._nbytes if self._is_closed else self._files.nbytes

    def set_metadata(self, metadata: Mapping[str, str]) -> None:
        """Set further metadata of the files that follow. Others stay as they are. Safe to call from any thread."""
        self._metadata = {**self._metadata, **metadata}

    def write(self, batch: Batch) -> None:
        """Write a batch. The writer copies the frames, and keeps no reference to the batch.

        Raises:
            OutputError: the file could not be written. All pending frames, including these, count as dropped.
            UsageError: the writer is closed.
        """
        if self._files.error is not None:
            self.discard(batch)
            raise self._files.error
        if self._is_closed:
            raise UsageError(f"the capture {self.path} is closed")
        frames = len(batch)
        self.counts.received += frames
        self.counts.pending += frames
        if not self._waiting.has_room(batch):
            self.flush()
        now_s = self._clock.monotonic_s()
        if not self._waiting:
            self._oldest_s = now_s
        try:
            self._waiting.append(batch, None if self._redactor is None else self._redactor.redacted(batch))
        except BaseException:
            self.counts.pending -= frames
            self.counts.drop(frames, "write error")
            raise
        # The check of the file is left to `poll`, because it costs two calls of the operating system.
        if (
            self._waiting.nbytes >= self._flush_bytes
            or now_s - self._oldest_s >= self._flush_interval_s
            or now_s >= self._files.roll_at_s
        ):
            self.flush()

    def discard(self, batch: Batch) -> None:
        """Count a batch as received and dropped."""
        self.counts.received += len(batch)
        self.counts.drop(len(batch), "write error")

    def poll(self) -> float:
        """Check the current file, and do the flush or the roll that is due. Raises like `flush`.

        Returns:
            The time until the next one is due, in seconds of the clock.
        """
        left_s = self._flush_interval_s
        if self._waiting:
            left_s += self._oldest_s - self._clock.monotonic_s()
            if left_s <= 0:
                self.flush()
                left_s = self._flush_interval_s
        try:
            return min(left_s, self._files.poll())
        except OutputError:
            self._end()
            raise

    def flush(self) -> None:
        """Pass all pending frames to the operating system.

        Raises:
            OutputError: the file could not be written, or another program has deleted, moved or changed it and
                `lost_files` is `fail`. The file then ends with its last complete message.
        """
        if not self._waiting:
            return
        frames = len(self._waiting)
        try:
            self._files.append(self._messages.of(self._waiting), frames)
        except BaseException:
            # They are not pending if they were written and only their file cannot be finished.
            self._end()
            raise

    def close(self) -> None:
        """Flush and finish the file; after an error, only close it. Idempotent.

        Raises:
            OutputError: the file could not be written.
        """
        if self._is_closed:
            return
        try:
            if self._files.error is None:
                self.flush()
        finally:
            self._nbytes = self._files.nbytes + len(END_OF_STREAM)
            self._is_closed = True
            try:
                self._files.close()
            finally:
                self._end()

    def _header(self) -> bytes:
        self._file_number += 1
        return self._messages.header(
            {
                **self._metadata,
                "cpapi_fast.file_number": str(self._file_number),
                # All frames that were received and are not pending were before this file.
                "cpapi_fast.first_frame": str(self.counts.received - self.counts.pending),
            }
        )

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _end(self) -> None:
        """Count what is pending as dropped, after an error."""
        self._waiting.clear()
        self.counts.drop_pending("write error")


class CaptureReader:
    """Reads the complete batches of a capture, and counts the bytes of an incomplete one at its end.

    Iterate over the reader or call `read_all`. Both read the file again and update the attributes.

    Args:
        path: a capture that is finished, is still being written, or is from a killed process.

    Attributes:
        batches: how many complete batches with frames were read.
        torn_bytes: how many bytes after the last complete message could not be read.
        is_finished: whether the writer closed the file.

    Raises:
        ConfigError: on reading, the file does not exist or is not a capture.
        MissingDependencyError: pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self.schema: Any = capture_schema()
        self.batches = 0
        self.torn_bytes = 0
        self.is_finished = False
        self._pa = import_arrow("pyarrow")

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the pyarrow record batches in order."""
        pa = self._pa
        self.batches = 0
        self.torn_bytes = 0
        self.is_finished = False
        try:
            size = self.path.stat().st_size
            source = pa.OSFile(str(self.path), "rb")
        except (OSError, ValueError) as exc:
            raise ConfigError(f"cannot read {self.path}: {getattr(exc, 'strerror', None) or exc}") from exc
        with source:
            try:
                reader = pa.ipc.open_stream(source)
            except (pa.ArrowException, OSError) as exc:
                raise ConfigError(f"{self.path} is not an Arrow IPC stream: {exc}") from exc
            if (reader.schema.metadata or {}).get(b"cpapi_fast.format") != b"capture":
                raise ConfigError(f"{self.path} is an Arrow IPC stream, but not a capture")
            self.schema = reader.schema
            whole_bytes = source.tell()
            while True:
                try:
                    batch = reader.read_next_batch()
                # The end of the stream, or an incomplete message, which makes Arrow raise various errors.
                except (StopIteration, pa.ArrowException, OSError):
                    break
                whole_bytes = source.tell()
                if batch.num_rows:
                    self.batches += 1
                    yield batch
            source.seek(whole_bytes)
            self.is_finished = source.read(len(END_OF_STREAM) + 1) == END_OF_STREAM
        # The file may have grown since its size was read.
        self.torn_bytes = 0 if self.is_finished else max(0, size - whole_bytes)

    def read_all(self) -> Any:
        """Return all complete batches as one pyarrow Table. Raises ConfigError as described for the class."""
        batches = list(self)
        return self._pa.Table.from_batches(batches, schema=self.schema)


def _frames_of(path: Path) -> int:
    """How many frames of a capture can be read."""
    try:
        return sum(batch.num_rows for batch in CaptureReader(path))
    except ConfigError:
        return 0


def read_capture(path: str | os.PathLike[str]) -> CaptureReader:
    """Return a reader of the capture at `path`. Equivalent to `CaptureReader(path)`."""
    return CaptureReader(path)
