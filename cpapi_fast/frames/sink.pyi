from collections.abc import Callable
from typing import final

from typing_extensions import disjoint_base

from .batch import Batch
from .frame import Frame, FrameCounters

@disjoint_base
class FrameSink:
    """What takes frames in C, without a Python object for any of them: the base of a user's own `cdef class`.

    Subclassed in Cython only, through `from cpapi_fast cimport BorrowedFrame, FrameSink`: `on_frame` is called with a
    pointer to kind, conid, topic, payload and receive time, all borrowed for the call; `on_read_end` after the last
    frame of a socket read. Given to a connection with `ws.use_sink(sink)`; cpapi_fast/sink.pxd has the whole interface
    and examples/c_sink a project that builds one.

    Costs per frame: the classifier and one call through a pointer. An instance of this class itself raises `UsageError`
    at its first frame.
    """

@final
class CallbackSink(FrameSink):
    """Makes a `Frame` of everything it is handed, and calls `callback` with it.

    Args:
        callback: takes the frame.
        counters: shared with every frame of the connection.
    """

    def __init__(self, callback: Callable[[Frame], object], counters: FrameCounters) -> None: ...

def hand_frame(sink: FrameSink, batch: Batch, index: int) -> None:
    """Hand one frame of a batch to a sink.

    Raises:
        IndexError: there is no such frame.
        BaseException: what the sink raises.
    """

def end_read(sink: FrameSink) -> None:
    """Tell a sink that a socket read is over. Raises what the sink raises."""
