"""The C side of LatencyHistogram, for the meters."""

from libc.stdint cimport int64_t

# Buckets per doubling of the latency, and the number of doublings: the last bound is 2 ** 26 us, 67 s.
cdef enum:
    STEPS_LOG2 = 3
    STEPS = 1 << STEPS_LOG2
    DOUBLINGS = 24
    # One more for what is longer.
    BUCKETS = DOUBLINGS * STEPS + 1


# The system clock in ns since the Unix epoch, as in Frame.received_ns.
cdef int64_t system_time_ns() noexcept nogil


cdef class LatencyHistogram:
    cdef:
        int64_t _counts[BUCKETS]
        int64_t _count
        int64_t _max_ns
        # A double, because an int64 can overflow within a day of a very late load.
        double _sum_ns

    cdef void add(self, int64_t latency_ns, int64_t count) noexcept
