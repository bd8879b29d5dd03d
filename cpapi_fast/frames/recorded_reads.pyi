from typing import final

from typing_extensions import Buffer

from .batch import Batch
from .topic_table import TopicTable

@final
class RecordedReads:
    """Makes batches of recorded frames: consecutive frames with one receive time are one batch, as they were received.

    The columns are untrusted: they are checked before the first frame is read. Kind, topic and conid of each frame are
    found in its bytes again, so that a batch never contradicts itself. A batch has its own copy of its frames.

    Args:
        received_ns: the receive times as int64, in ns since the Unix epoch; any object with the buffer protocol.
        offsets: as int32, one more than there are frames: where each frame begins and ends in `payloads`.
        payloads: the bytes of all frames.

    Attributes:
        position: how many frames were taken or skipped.
        received_ns: the receive time of the last batch that was taken, in ns since the Unix epoch.
        left_out: how many frames were left out, because nobody subscribes to their topics.

    Raises:
        ValueError: the buffers do not describe frames.
    """

    def __init__(self, received_ns: Buffer, offsets: Buffer, payloads: Buffer) -> None: ...
    @property
    def position(self) -> int: ...
    @property
    def received_ns(self) -> int: ...
    @property
    def left_out(self) -> int: ...
    def __len__(self) -> int:
        """The number of frames."""
    def index_of(self, time_ns: int) -> int:
        """Return the index of the first frame from `position` on that was received at this time or later.

        Returns:
            The index; the number of frames if there is none.
        """
    def skip_to(self, index: int) -> None:
        """Continue at a frame.

        Raises:
            IndexError: the index is before `position`, or beyond the last frame.
        """
    def end_of_read(self, stop: int) -> int:
        """Return the index behind the last frame of the next socket read, which is at most `stop`."""
    def batch(self, start: int, stop: int) -> Batch:
        """Return frames of any socket reads as one batch, each with its receive time. `position` stays where it is.

        Args:
            start, stop: the index of the first frame, and the one behind the last frame; at least one frame.

        Raises:
            IndexError: there are no such frames.
        """

    def take(self, stop: int, topics: TopicTable | None = None) -> Batch | None:
        """Return the frames of the next socket read as a batch, and move `position` behind them.

        Args:
            stop: take no frame from this index on; the rest of its read is the next batch.
            topics: leave out the frames of other subscriptions than these, and reads without a frame that is left; None
                for all frames. Frames that belong to no subscription, such as heartbeats, are always in.

        Returns:
            The batch; None if no frame before `stop` is left.
        """
