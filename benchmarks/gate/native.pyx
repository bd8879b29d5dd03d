# cython: language_level=3, boundscheck=False, wraparound=False
"""The C part of the gate's driver: the mark between two measurements, a classifier loop, and the floor's listener.

This file is separate from `benchmarks/native.pyx`, so that changes there do not affect the gate.
"""

from libc.stdint cimport int64_t

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from cpapi_fast.frames.classifier cimport Classified, classify_ptr
from cpapi_fast.frames.sink cimport BorrowedFrame, FrameSink

cdef extern from *:
    """
    #include <valgrind/callgrind.h>  /* installed with valgrind */
    static void gate_start(void) { CALLGRIND_START_INSTRUMENTATION; }
    static void gate_mark(void) { CALLGRIND_DUMP_STATS; }
    """
    void gate_start() noexcept nogil
    void gate_mark() noexcept nogil


def start():
    """Start counting instructions. The start-up before, which is most of a run, is not counted."""
    gate_start()


def mark():
    """Write the number of instructions since the last mark to a file of callgrind."""
    gate_mark()


def classify(list frames, int rounds):
    """Classify every frame `rounds` times, through the pointer that a cimport gives, as the listener does.

    Returns:
        The sums of the kinds, verdicts and conids, so that no call can be optimized away. The driver checks them.
    """
    cdef:
        int64_t kinds = 0, verdicts = 0, conids = 0
        int _turn
        bytes frame
        Classified route
    for _turn in range(rounds):
        for frame in frames:
            route = classify_ptr(frame, len(frame))
            kinds += route.kind
            verdicts += route.verdict
            conids += route.conid
    return kinds, verdicts, conids


cdef class FloorListener(WSListener):
    """Counts frames. picows calls it in C, so it shows the cost of picows alone."""

    cdef readonly int64_t frames

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.BINARY:
            self.frames += 1


cdef class CountingSink(FrameSink):
    """Adds up the conids of frames in C; the sum is checked."""

    cdef readonly int64_t conid_sum

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        self.conid_sum += frame.conid
        return 0
