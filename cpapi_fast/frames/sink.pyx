"""FrameSink, the C interface for frames, and the sink behind `ws.on_frame(callback)`."""

cimport cython

from .batch cimport Batch
from .frame cimport Frame, FrameCounters, new_frame
from cpapi_fast.callbacks import refuse_awaitable
from cpapi_fast.errors import UsageError

cdef extern from "Python.h":
    # Faster than the call that Cython generates.
    object PyObject_CallOneArg(object function, object argument)


cdef class FrameSink:
    """Base class for a `cdef class` that receives frames in C, without creating Python objects.

    Subclass it in Cython: `from cpapi_fast cimport BorrowedFrame, FrameSink`. `on_frame` is called with a pointer to
    kind, conid, topic, payload and receive time, which are valid only during the call. `on_read_end` is called after
    the last frame of a socket read. Pass an instance to `ws.use_sink`. cpapi_fast/frames/sink.pxd documents the
    interface, and examples/c_sink is a complete project.

    The cost of a frame is the classifier and one call through a pointer. A sink that does not override `on_frame`
    raises `UsageError` for each frame.
    """

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        raise UsageError(
            f"{type(self).__name__} does not take frames: write the sink in Cython and override "
            "`cdef int on_frame(self, const BorrowedFrame* frame) except -1`"
        )

    cdef int on_read_end(self) except -1:
        return 0


@cython.final
cdef class CallbackSink(FrameSink):
    """Calls a function with a `Frame` for each frame.

    Args:
        callback: called with each frame.
        counters: shared by all frames of the connection.
    """

    def __init__(self, callback, FrameCounters counters not None):
        self._callback = callback
        self._counters = counters

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        cdef Py_ssize_t topic_start = -1
        cdef Frame made
        if frame.topic_ptr != NULL:
            topic_start = frame.topic_ptr - frame.payload_ptr
        made = new_frame(
            frame.payload_ptr,
            frame.payload_len,
            frame.received_ns,
            frame.conid,
            topic_start,
            frame.topic_len,
            frame.kind,
            self._counters,
        )
        returned = PyObject_CallOneArg(self._callback, made)
        if returned is not None:
            refuse_awaitable(returned)
        return 0


cdef int hand_over(FrameSink sink, Batch batch, Py_ssize_t index) except -1:
    cdef:
        BorrowedFrame frame
        Py_ssize_t start = batch.offsets_ptr[index]
    frame.payload_ptr = batch.arena_ptr + start
    frame.payload_len = batch.offsets_ptr[index + 1] - start
    frame.topic_ptr = NULL
    if batch.topic_starts_ptr[index] >= 0:
        frame.topic_ptr = frame.payload_ptr + batch.topic_starts_ptr[index]
    frame.topic_len = batch.topic_lengths_ptr[index]
    frame.conid = batch.conids_ptr[index]
    frame.received_ns = batch.received_ns_ptr[index]
    frame.kind = batch.kinds_ptr[index]
    return sink.on_frame(&frame)


def hand_frame(FrameSink sink not None, Batch batch not None, Py_ssize_t index):
    """Pass one frame of a batch to a sink.

    Raises:
        IndexError: the index is out of range.
        BaseException: the exception of the sink.
    """
    if index < 0 or index >= batch.frame_count:
        batch.raise_index_error()
    hand_over(sink, batch, index)


def end_read(FrameSink sink not None):
    """Call the `on_read_end` of a sink.

    Raises:
        BaseException: the exception of the sink.
    """
    sink.on_read_end()
