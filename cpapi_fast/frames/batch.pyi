from collections.abc import Iterator
from typing import final

from typing_extensions import Buffer

from .frame import Frame, FrameCounters

@final
class Batch:
    """The frames of one socket read, their bytes side by side in one block of memory that the batch owns.

    The columns are read-only memoryviews over that memory: they copy nothing, and a view keeps the memory alive. With n
    frames, `payloads` has the bytes of all frames, `offsets` n+1 entries, the other columns n entries. That is the
    layout of an Arrow record batch with a binary column. A batch never changes.

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
    def topic_starts(self) -> memoryview[int]:
        """int32, n entries: where the topic starts in the bytes of its frame; -1 when it is not plain text there."""
    @property
    def topic_lengths(self) -> memoryview[int]:
        """int32, n entries: the number of bytes of the topic.

        With a start of -1: 0 when there is no topic, -1 when it is written with escapes (`Frame.topic` decodes it).
        """
    @property
    def nbytes(self) -> int:
        """How many payload bytes the batch holds."""
    def __len__(self) -> int:
        """The number of frames."""
    def __getitem__(self, index: int, /) -> Frame:
        """Return one frame, with a copy of its bytes: keeping the frame does not keep the batch.

        Raises:
            IndexError: there is no such frame.
        """
    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame as `batch[index]` does."""

@final
class BatchBuilder:
    """Builds batches message by message: what a connection does in C, for Python (tests, replay, tools).

    Args:
        counters: counts what is found when payloads of the frames are decoded; None counts nothing.
    """

    def __init__(self, counters: FrameCounters | None = None) -> None: ...
    def append(self, data: Buffer) -> None:
        """Copy one message and classify it.

        Args:
            data: one whole message, bytes-like.

        Raises:
            OverflowError: the batch would have more than 2 GiB of payload.
        """
    def finish(self, received_ns: int) -> Batch | None:
        """Return the batch, or None when nothing was appended. The next `append` starts a new batch.

        Args:
            received_ns: the receive time of all its frames, in ns since the Unix epoch.
        """

def slice_of(batch: Batch, start: int, stop: int) -> Batch:
    """Return the frames `start` to `stop - 1` as a batch of their own.

    That is a copy of their bytes, unless it is the whole batch, which is returned as it is.

    Raises:
        IndexError: there are no such frames, or the range is empty.
    """
