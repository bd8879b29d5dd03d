from typing_extensions import Buffer

from cpapi_fast.frames.batch import Batch

def captured_batch(received_ns: Buffer, offsets: Buffer, payloads: Buffer, start: int, stop: int) -> Batch:
    """Return the frames `start` to `stop - 1` of the columns of a capture as a batch.

    Args:
        received_ns: the buffer of the receive times, int64.
        offsets: the buffer of the offsets of the frames, int32.
        payloads: the buffer of the bytes of the frames.
        start, stop: the frames, at least one.

    Raises:
        ValueError: the frames are not within the buffers.
        MemoryError: there is no memory for the batch.
    """
