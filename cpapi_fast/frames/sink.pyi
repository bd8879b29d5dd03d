from collections.abc import Callable
from typing import final

from typing_extensions import disjoint_base

from .batch import Batch
from .frame import Frame, FrameCounters

@disjoint_base
class FrameSink:
    """Base class for a `cdef class` that receives frames in C, without creating Python objects.

    Subclass it in Cython: `from cpapi_fast cimport BorrowedFrame, FrameSink`. `on_frame` is called with a pointer to
    kind, conid, topic, payload and receive time, which are valid only during the call. `on_read_end` is called after
    the last frame of a socket read. Pass an instance to `ws.use_sink`. cpapi_fast/frames/sink.pxd documents the
    interface, and examples/c_sink is a complete project.

    The cost of a frame is the classifier and one call through a pointer. A sink that does not override `on_frame`
    raises `UsageError` for each frame.
    """

@final
class CallbackSink(FrameSink):
    """Calls a function with a `Frame` for each frame.

    Args:
        callback: called with each frame.
        counters: shared by all frames of the connection.
    """

    def __init__(self, callback: Callable[[Frame], None], counters: FrameCounters) -> None: ...

def hand_frame(sink: FrameSink, batch: Batch, index: int) -> None:
    """Pass one frame of a batch to a sink.

    Raises:
        IndexError: the index is out of range.
        BaseException: the exception of the sink.
    """

def end_read(sink: FrameSink) -> None:
    """Call the `on_read_end` of a sink.

    Raises:
        BaseException: the exception of the sink.
    """
