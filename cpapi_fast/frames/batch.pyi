from collections.abc import Iterator, Sequence
from typing import Any, final

from typing_extensions import Buffer

from .frame import Frame, FrameCounters

@final
class Batch:
    """The frames of one socket read, in columns over memory that the batch owns.

    The columns are read-only memoryviews. They copy nothing, and each view keeps a reference to the batch. For n
    frames, `payloads` has the bytes of all frames, `offsets` has n+1 entries, and the other columns have n entries.
    That is the layout of an Arrow record batch with a binary column. A batch is immutable.

    Batches come from a `WsClient` or a `BatchBuilder`; the class cannot be called.
    """

    @property
    def payloads(self) -> memoryview[int]:
        """uint8: the payload bytes of all frames, one after the other."""
    @property
    def offsets(self) -> memoryview[int]:
        """int32, n+1 entries: frame i is `payloads[offsets[i]:offsets[i + 1]]`."""
    @property
    def kinds(self) -> memoryview[int]:
        """uint8, n entries: the values of FrameKind."""
    @property
    def conids(self) -> memoryview[int]:
        """int64, n entries: the contract id, or -1 for a frame without one. 0 is a real contract id (combos)."""
    @property
    def received_ns(self) -> memoryview[int]:
        """int64, n entries: ns since the Unix epoch, the same for all frames of one socket read."""
    @property
    def late_ns(self) -> memoryview[int] | None:
        """int64, n entries: how late each frame is in ns, 0 for one that is not; None if no frame is late.

        Set by a `Feed` only. A frame is late if it was received more than a second later after its `_updated` than
        usual for its subscription.
        """
    @property
    def topic_starts(self) -> memoryview[int]:
        """int32, n entries: the position of the topic in the bytes of its frame; -1 if it is not plain text there."""
    @property
    def topic_lengths(self) -> memoryview[int]:
        """int32, n entries: the number of bytes of the topic.

        If the start is -1: 0 for a frame without a topic, -1 for a topic with escapes (`Frame.topic` decodes it).
        """
    def __arrow_c_schema__(self) -> object:
        """Return the schema as an Arrow PyCapsule."""
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return schema and array of the frames as Arrow PyCapsules; see `to_arrow`. No other schema is supported."""
    def to_arrow(self) -> Any:
        """Return the frames as a `pyarrow.RecordBatch`, without a copy.

        The columns are `received` (timestamp in ns, UTC), `kind` (a dictionary-encoded string: `market_data` and so
        on), `conid` (-1 for a frame without one) and `raw` (the bytes of the frame). Every library that supports the
        Arrow PyCapsule interface accepts the batch itself, without pyarrow.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
    @property
    def nbytes(self) -> int:
        """The number of payload bytes in the batch."""
    def __len__(self) -> int:
        """The number of frames."""
    def __getitem__(self, index: int, /) -> Frame:
        """Return one frame with a copy of its bytes. The frame does not keep a reference to the batch.

        Raises:
            IndexError: the index is out of range.
        """
    def __iter__(self) -> Iterator[Frame]:
        """Iterate over all frames; each one is the same as `batch[index]`."""

@final
class BatchBuilder:
    """Builds batches from single messages, as a connection does: for tests, replays and tools.

    Args:
        counters: counts invalid payloads when the payloads of the frames are decoded; None counts nothing.
    """

    def __init__(self, counters: FrameCounters | None = None) -> None: ...
    def append(self, data: Buffer) -> None:
        """Copy one message and classify it.

        Args:
            data: one whole message, bytes-like.

        Raises:
            OverflowError: the batch would have more than 2 GiB of payload.
        """
    def finish(self, received_ns: int, late_ns: Sequence[int] | None = None) -> Batch | None:
        """Return the batch, or None if nothing was appended. The next `append` starts a new batch.

        Args:
            received_ns: the receive time of all frames, in ns since the Unix epoch.
            late_ns: how late each frame is, in ns, for `Batch.late_ns`; None if no frame is late.

        Raises:
            ValueError: `late_ns` has not one number for each frame; then the batch is lost.
        """

def slice_of(batch: Batch, start: int, stop: int) -> Batch:
    """Return the frames `start` to `stop - 1` as a new batch.

    The bytes are copied. If the range is the whole batch, the same object is returned.

    Raises:
        IndexError: the range is empty or not within the batch.
    """
