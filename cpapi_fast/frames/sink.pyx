"""FrameSink, the C interface for frames, and the sink that stands behind `ws.on_frame(callback)`."""

cimport cython

from .batch cimport Batch, Frame, FrameCounters, new_frame
from cpapi_fast.errors import UsageError

cdef extern from "Python.h":
    # Cython's own call looks for shortcuts that a Python function does not have.
    object PyObject_CallOneArg(object function, object argument)


cdef class FrameSink:
    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        raise UsageError(
            f"{type(self).__name__} takes no frames: a sink is written in Cython and overrides "
            "`cdef int on_frame(self, const BorrowedFrame* frame) except -1`"
        )

    cdef int on_read_end(self) except -1:
        return 0


@cython.final
cdef class CallbackSink(FrameSink):
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
        PyObject_CallOneArg(self._callback, made)
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
    if index < 0 or index >= batch.frame_count:
        raise IndexError(f"the batch has {batch.frame_count} frames")
    hand_over(sink, batch, index)


def end_read(FrameSink sink not None):
    sink.on_read_end()
