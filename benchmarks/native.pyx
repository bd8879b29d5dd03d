# cython: language_level=3, boundscheck=False, wraparound=False
"""The C part of the benchmarks: a loop around the classifier, and a picows listener that only counts."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from cpapi_fast.frames.classifier cimport Classified, KIND_MARKET_DATA, VERDICT_ROUTED, classify_ptr


cdef int64_t now_ns() noexcept nogil:
    cdef timespec moment
    clock_gettime(CLOCK_MONOTONIC, &moment)
    return <int64_t> moment.tv_sec * 1_000_000_000 + moment.tv_nsec


def time_classify(list frames, int rounds):
    """Classify every frame `rounds` times. Return (ns for all, number of routed frames, sum of the conids).

    The frames are in separate buffers, and each call goes through the pointer that a cimport gives, as in the listener.
    The sums prevent the compiler from removing the calls.
    """
    cdef const char* starts[256]
    cdef Py_ssize_t lengths[256]
    cdef Py_ssize_t count = len(frames)
    cdef Py_ssize_t i
    cdef int _turn
    cdef int64_t routed = 0
    cdef int64_t conid_sum = 0
    cdef int64_t elapsed_ns
    cdef bytes frame
    cdef Classified route
    if count > 256:
        raise ValueError("at most 256 frames")
    for i in range(count):
        frame = frames[i]
        starts[i] = frame
        lengths[i] = len(frame)
    with nogil:
        elapsed_ns = now_ns()
        for _turn in range(rounds):
            for i in range(count):
                route = classify_ptr(starts[i], lengths[i])
                routed += route.verdict == VERDICT_ROUTED and route.kind == KIND_MARKET_DATA
                conid_sum += route.conid
        elapsed_ns = now_ns() - elapsed_ns
    return elapsed_ns, routed, conid_sum


def time_copy(list frames, int rounds):
    """Copy every frame `rounds` times into one buffer, as a batch does. Return (ns for all, a checksum)."""
    cdef const char* starts[256]
    cdef Py_ssize_t lengths[256]
    cdef Py_ssize_t count = len(frames)
    cdef Py_ssize_t total = sum(map(len, frames))
    cdef Py_ssize_t i, used
    cdef int _turn
    cdef int64_t elapsed_ns
    cdef int64_t checksum = 0
    cdef bytes frame
    cdef bytearray buffer = bytearray(total + 1)
    cdef char* buffer_ptr = buffer
    if count > 256:
        raise ValueError("at most 256 frames")
    for i in range(count):
        frame = frames[i]
        starts[i] = frame
        lengths[i] = len(frame)
    with nogil:
        elapsed_ns = now_ns()
        for _turn in range(rounds):
            used = 0
            for i in range(count):
                memcpy(buffer_ptr + used, starts[i], <size_t>lengths[i])
                used += lengths[i]
            checksum += buffer_ptr[_turn % total]
        elapsed_ns = now_ns() - elapsed_ns
    return elapsed_ns, checksum


cdef class CountingListener(WSListener):
    """Counts frames. picows calls it in C, so it shows the cost of picows alone."""

    cdef readonly int64_t frames
    cdef object _closed

    def __init__(self, closed):
        self._closed = closed

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.BINARY:
            self.frames += 1
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._closed.set_result(None)
