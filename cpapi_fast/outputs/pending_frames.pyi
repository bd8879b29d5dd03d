from typing import final

from typing_extensions import Buffer

from cpapi_fast.frames.batch import Batch

@final
class PendingFrames:
    """Copies of the frames of batches, in the columns of a capture. Pass them to `pyarrow.record_batch`."""

    def append(self, batch: Batch, payloads: Buffer | None = None) -> None:
        """Copy the frames of a batch.

        Args:
            batch: a finished batch.
            payloads: other payload bytes than those of the batch, with the same offsets; None for those of the batch.

        Raises:
            OverflowError: all payloads together would have more than 2 GiB; see `has_room`.
            ValueError: `payloads` has another length than the payloads of the batch.
        """
    def has_room(self, batch: Batch) -> bool:
        """Whether the frames of a batch can be added: all payloads together have at most 2 GiB."""
    def clear(self) -> None:
        """Forget all frames. Up to 16 MiB of memory are used again, unless somebody still has what was exported."""
    @property
    def nbytes(self) -> int:
        """The number of bytes of all columns: the payload bytes, and 21 bytes per frame."""
    def __len__(self) -> int:
        """The number of frames."""
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return schema and array of the frames as Arrow PyCapsules, without a copy. No other schema is supported."""
