# cython: language_level=3, boundscheck=False, wraparound=False
"""What the gate's driver needs in C: the mark between two measurements, a classifier loop, and the floor's listener.

Apart from the benchmarks' own C on purpose: a change there must not move the gate's numbers.
"""

from libc.stdint cimport int64_t

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from cpapi_fast.frames.classifier cimport Classified, classify_ptr
from cpapi_fast.frames.sink cimport BorrowedFrame, FrameSink

cdef extern from *:
    """
    /* With valgrind's header callgrind sleeps during start-up, which is most of a run; else it counts that too. */
    #if defined(__has_include)
    #if __has_include(<valgrind/callgrind.h>)
    #include <valgrind/callgrind.h>
    #endif
    #endif
    #if defined(CALLGRIND_START_INSTRUMENTATION)
    #define CPAPI_FAST_GATE_CAN_SLEEP 1
    #define CPAPI_FAST_GATE_WAKE() CALLGRIND_START_INSTRUMENTATION
    #else
    #define CPAPI_FAST_GATE_CAN_SLEEP 0
    #define CPAPI_FAST_GATE_WAKE() ((void)0)
    #endif
    #if defined(__GNUC__)
    __attribute__((noinline, visibility("default")))
    #endif
    void cpapi_fast_gate_mark(void) {
    #if defined(__GNUC__)
        __asm__ volatile("");  /* else the call would be dropped as one of a function that does nothing */
    #endif
    }
    """
    const bint CPAPI_FAST_GATE_CAN_SLEEP
    void CPAPI_FAST_GATE_WAKE() noexcept nogil
    void cpapi_fast_gate_mark() noexcept nogil

#: Whether callgrind may be started with `--instr-atstart=no`.
CAN_SLEEP = bool(CPAPI_FAST_GATE_CAN_SLEEP)


def wake():
    """Callgrind counts from here on."""
    CPAPI_FAST_GATE_WAKE()


def mark():
    """Callgrind writes down what was counted since the last call, and counts from zero (`--dump-before`)."""
    cpapi_fast_gate_mark()


def classify(list frames, int rounds):
    """Classify every frame `rounds` times, through the pointer that a cimport gives, as the listener does.

    Returns:
        The sums of the kinds, verdicts and conids, so that no call can be optimized away and a test can look at them.
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
    """picows and nothing else: called without Python, it only counts."""

    cdef readonly int64_t frames

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.BINARY:
            self.frames += 1


cdef class CountingSink(FrameSink):
    """Takes frames in C, and looks at each of them as little as can be checked."""

    cdef readonly int64_t conid_sum

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        self.conid_sum += frame.conid
        return 0
