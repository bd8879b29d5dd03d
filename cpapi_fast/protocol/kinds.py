"""The seven kinds of frame, as the Rust client names them; the numbers are those of `classifier.pxd`."""

from __future__ import annotations

from enum import IntEnum


class FrameKind(IntEnum):
    """What a frame is, known from its topic alone.

    The value is what stands in `Batch.kinds` (uint8). `label` is the lower-case name that the Rust client uses.
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
