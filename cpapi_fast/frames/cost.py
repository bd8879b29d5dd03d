"""What frames cost while they are pending in a queue."""

from __future__ import annotations

from typing import Final

from .batch import Batch

#: What a pending frame costs besides its bytes: its entry in the columns, and most of the object it becomes. Without
#: it, empty frames would cost nothing and a flood of them would never reach the bound.
FRAME_OVERHEAD_BYTES: Final = 64


def batch_cost_bytes(batch: Batch) -> int:
    """What all frames of a batch cost while they are pending."""
    return batch.nbytes + FRAME_OVERHEAD_BYTES * len(batch)


def cost_bytes(batch: Batch, start: int, stop: int) -> int:
    """What frames [start, stop) of a batch cost while they are pending: their bytes, and 64 more for each."""
    count = stop - start
    if count == len(batch):
        return batch.nbytes + FRAME_OVERHEAD_BYTES * count
    offsets = batch.offsets
    return int(offsets[stop]) - int(offsets[start]) + FRAME_OVERHEAD_BYTES * count
