from collections.abc import Callable
from typing import final

from typing_extensions import disjoint_base

from .batch import Batch
from .frame import Frame, FrameCounters

@disjoint_base
class FrameSink:
    """Receives frames in C, without a Python object for any of them: the base class of a user's own `cdef class`.

    It is subclassed in Cython only, through `from cpapi_fast cimport BorrowedFrame, FrameSink`. `on_frame` is called
    with a pointer to kind, conid, topic, payload and receive time, all borrowed for the call; `on_read_end` is called
    after the last frame of a socket read. Pass an instance to `ws.use_sink`. cpapi_fast/frames/sink.pxd has the whole
    interface, and examples/c_sink is a project that builds a sink.

    A frame costs the classifier and one call through a pointer. An instance of this class itself raises `UsageError`
    at its first frame.
    """

@final
class CallbackSink(FrameSink):
    """Calls a function with a `Frame` for each frame.

    Args:
        callback: called with the frame.
        counters: shared by all frames of the connection.
    """

    def __init__(self, callback: Callable[[Frame], object], counters: FrameCounters) -> None: ...

def hand_frame(sink: FrameSink, batch: Batch, index: int) -> None:
    """Pass one frame of a batch to a sink.

    Raises:
        IndexError: there is no such frame.
        BaseException: what the sink raises.
    """

def end_read(sink: FrameSink) -> None:
    """Call a sink's `on_read_end`. Raises what the sink raises."""
