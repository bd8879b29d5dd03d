"""The C interface in one place: `from cpapi_fast cimport BorrowedFrame, FrameSink, KIND_MARKET_DATA`."""

from .frames.classifier cimport (
    KIND_HEARTBEAT,
    KIND_MALFORMED,
    KIND_MARKET_DATA,
    KIND_ORDER,
    KIND_OTHER,
    KIND_PNL,
    KIND_SYSTEM,
    NO_CONID,
)
from .frames.sink cimport BorrowedFrame, FrameSink
