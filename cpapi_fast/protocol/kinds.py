"""The seven kinds of frame. The numbers equal those in `classifier.pxd`."""

from __future__ import annotations

from enum import IntEnum


class FrameKind(IntEnum):
    """The kind of a frame, which follows from its topic.

    `Batch.kinds` contains the values (uint8). `label` is the name in lower case.
    """

    HEARTBEAT = 0
    SYSTEM = 1
    MARKET_DATA = 2
    ORDER = 3
    PNL = 4
    OTHER = 5
    MALFORMED = 6

    @property
    def label(self) -> str:
        """The name in lower case: `heartbeat`, `system`, `market_data`, `order`, `pnl`, `other` or `malformed`."""
        return self.name.lower()
