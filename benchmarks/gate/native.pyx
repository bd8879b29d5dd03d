# cython: language_level=3, boundscheck=False, wraparound=False
"""The C part of the gate's driver: the mark between two measurements, a classifier loop, and the floor's listener.

Separate from `benchmarks/native.pyx`: a change there must not change the gate's numbers.
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
    """Start counting: callgrind skips the start-up, which is most of a run."""
    gate_start()


def mark():
    """Write the instructions since the last mark into a file of callgrind."""
    gate_mark()


def classify(list frames, int rounds):
    """Classify every frame `rounds` times, through the pointer that a cimport gives, as the listener does.

    Returns:
        The sums of the kinds, verdicts and conids: no call can be optimized away, and the driver checks them.
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
    """picows and nothing else: it is called without Python, and only counts."""

    cdef readonly int64_t frames

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.BINARY:
            self.frames += 1


cdef class CountingSink(FrameSink):
    """Takes frames in C, and adds up their conids as the check."""

    cdef readonly int64_t conid_sum

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        self.conid_sum += frame.conid
        return 0
