"""The public C interface: `from cpapi_fast cimport BorrowedFrame, FrameSink, KIND_MARKET_DATA, TickDecoder`."""

from .frames.batch cimport Batch
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
from .frames.frame cimport Frame, FrameCounters
from .frames.sink cimport BorrowedFrame, FrameSink
from .frames.tick_decoder cimport TickDecoder, decode_payload_ptr, walk_payload_ptr
from .frames.ticks cimport Ticks
