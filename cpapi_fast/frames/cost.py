"""Computes the cost of pending frames in bytes, which the bounds of queues limit."""

from __future__ import annotations

from typing import Final

from .batch import Batch

#: The cost of a pending frame in addition to its bytes, for its entries in the columns and most of its Frame object.
#: Without it, empty frames would cost nothing, and any number of them could be pending.
FRAME_OVERHEAD_BYTES: Final = 64


def batch_cost_bytes(batch: Batch) -> int:
    """Return the cost of all frames of a batch while they are pending."""
    return batch.nbytes + FRAME_OVERHEAD_BYTES * len(batch)


def cost_bytes(batch: Batch, start: int, stop: int) -> int:
    """Return the cost of frames [start, stop) of a batch while they are pending: their bytes, and 64 more for each."""
    count = stop - start
    if count == len(batch):
        return batch.nbytes + FRAME_OVERHEAD_BYTES * count
    offsets = batch.offsets
    return int(offsets[stop]) - int(offsets[start]) + FRAME_OVERHEAD_BYTES * count
