# cython: language_level=3, boundscheck=False, wraparound=False
"""Frame sinks as a user would write them: for the route, for the check of the answers, and for latency."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cpapi_fast cimport BorrowedFrame, FrameSink


cdef class RouteSink(FrameSink):
    """Adds up kind and conid of every frame."""

    cdef readonly int64_t frames
    cdef readonly int64_t total

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        self.frames += 1
        self.total += frame.kind + frame.conid
        return 0


cdef class CheckSink(FrameSink):
    """Calls `take(kind, conid, topic)` for every frame; the topic is None if it is not plain text."""

    cdef readonly int64_t frames
    cdef object _take

    def __init__(self, take):
        self._take = take

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        cdef object topic = None
        self.frames += 1
        if frame.topic_ptr != NULL:
            topic = PyBytes_FromStringAndSize(frame.topic_ptr, frame.topic_len)
        self._take(frame.kind, frame.conid, topic)
        return 0


cdef class StampSink(FrameSink):
    """Records the time of each frame, for at most `capacity` frames."""

    cdef readonly int64_t frames
    cdef int64_t* _stamps_ptr
    cdef Py_ssize_t _capacity

    def __cinit__(self, Py_ssize_t capacity):
        self._stamps_ptr = <int64_t*>malloc(max(capacity, 1) * sizeof(int64_t))
        if self._stamps_ptr == NULL:
            raise MemoryError("no memory for the stamps")
        self._capacity = capacity

    def __dealloc__(self):
        free(self._stamps_ptr)

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        cdef timespec moment
        if self.frames < self._capacity:
            clock_gettime(CLOCK_MONOTONIC, &moment)
            self._stamps_ptr[self.frames] = <int64_t>moment.tv_sec * 1_000_000_000 + moment.tv_nsec
        self.frames += 1
        return 0

    def stamps(self):
        """Return the times in ns as bytes: int64 in native byte order."""
        cdef Py_ssize_t count = min(self.frames, self._capacity)
        return PyBytes_FromStringAndSize(<const char*>self._stamps_ptr, count * sizeof(int64_t))
