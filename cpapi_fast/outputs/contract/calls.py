"""The calls of an output for entries of its queue, with a gap where frames are missing"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cpapi_fast.events import Cause, Certainty, Gap
from cpapi_fast.frames.batch import Batch

from .output import CheckedOutput
from .queue_items import Entry, Missing


def calls_of(
    output: CheckedOutput, taken: list[Entry], gaps: list[tuple[Missing, int]]
) -> Iterator[tuple[Callable[..., object], tuple[Any, ...]]]:
    """Iterate over the methods to call for some entries, with their arguments.

    Args:
        output: the output.
        taken: the entries.
        gaps: what is missing before a frame is appended to it, with the receive time of this frame.
    """
    write, write_event = output.write, output.write_event
    for entry in taken:
        row, missing = entry.row, entry.missing
        for item in entry.items:
            if not isinstance(item, Batch):
                if write_event is not None:
                    yield write_event, (item, row)
                continue
            if missing is not None:
                first_good_ns = int(item.received_ns[0])
                gaps.append((missing, first_good_ns))
                frames, last_good_ns = missing.frames, missing.last_good_ns
                # Dropped events alone are no gap in the frames.
                if write_event is not None and frames and last_good_ns is not None:
                    cause = Cause.CONSUMER_OVERFLOW
                    lost = Gap(None, last_good_ns, first_good_ns, cause, frames, Certainty.CERTAIN)
                    yield write_event, (lost, row)
                missing = None
            if write is not None:
                yield write, (item,)
            row += len(item)
