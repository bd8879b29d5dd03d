"""The seven kinds of frame. The numbers equal those in `classifier.pxd`; the names are those of the Rust client."""

from __future__ import annotations

from enum import IntEnum


class FrameKind(IntEnum):
    """The kind of a frame, which follows from its topic.

    The value is the one in `Batch.kinds` (uint8). `label` is the lower-case name that the Rust client uses.
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
        """`heartbeat`, `system`, `market_data`, `order`, `pnl`, `other` or `malformed`."""
        return self.name.lower()
