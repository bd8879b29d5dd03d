"""LatencyHistogram: counts latencies in buckets with a bounded relative error, in C"""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from cpapi_fast.errors import UsageError

cdef extern from *:
    """
    #if defined(_WIN32)
    #include <windows.h>
    static long long cpapi_fast_system_time_ns(void) {
        FILETIME now;
        ULARGE_INTEGER ticks;
        GetSystemTimePreciseAsFileTime(&now);
        ticks.LowPart = now.dwLowDateTime;
        ticks.HighPart = now.dwHighDateTime;
        return ((long long)ticks.QuadPart - 116444736000000000LL) * 100;
    }
    #else
    #include <time.h>
    static long long cpapi_fast_system_time_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (long long)now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    #endif

    #if defined(_MSC_VER)
    #include <intrin.h>
    static int cpapi_fast_top_bit(unsigned long long value) {
        unsigned long index;
        _BitScanReverse64(&index, value);
        return (int)index;
    }
    #else
    static int cpapi_fast_top_bit(unsigned long long value) { return 63 - __builtin_clzll(value); }
    #endif
    """
    int64_t cpapi_fast_system_time_ns() noexcept nogil
    # The number of the highest bit that is set. The value must not be 0.
    int cpapi_fast_top_bit(uint64_t value) noexcept nogil


cdef int64_t system_time_ns() noexcept nogil:
    return cpapi_fast_system_time_ns()


cdef int64_t bound_us(Py_ssize_t index) noexcept nogil:
    # The upper bound of a bucket, in us. The first eight buckets are 1 us wide, then every doubling has eight.
    cdef Py_ssize_t octave = index >> STEPS_LOG2
    if octave == 0:
        return index + 1
    return (STEPS + (index & (STEPS - 1)) + 1) << (octave - 1)


@cython.final
cdef class LatencyHistogram:
    """Counts latencies from 1 us to 67 s in buckets that are at most an eighth of their value wide; log-linear.

    An observation costs a few ns and creates no object. It has a fixed size of 2 kB.
    """

    cdef void add(self, int64_t latency_ns, int64_t count) noexcept:
        cdef:
            uint64_t whole_us
            int top
            Py_ssize_t index
        if latency_ns <= 0:
            # The system clock was set back.
            latency_ns = 0
            whole_us = 0
        else:
            # A bucket includes its upper bound, so exactly 1 us belongs to the first one.
            whole_us = <uint64_t>(latency_ns - 1) // 1000
        if whole_us < STEPS:
            index = <Py_ssize_t>whole_us
        else:
            top = cpapi_fast_top_bit(whole_us)
            index = ((top - STEPS_LOG2 + 1) << STEPS_LOG2) + ((whole_us >> (top - STEPS_LOG2)) & (STEPS - 1))
            if index >= BUCKETS:
                index = BUCKETS - 1
        self._counts[index] += count
        self._count += count
        self._sum_ns += <double>latency_ns * count
        if count and latency_ns > self._max_ns:
            self._max_ns = latency_ns

    def observe(self, int64_t latency_ns, int64_t count=1):
        """Count a latency.

        Args:
            latency_ns: the latency in ns; a negative one counts as 0.
            count: how many items had it.

        Raises:
            UsageError: `count` is negative.
        """
        if count < 0:
            raise UsageError(f"a count must not be negative, and it is {count}")
        self.add(latency_ns, count)

    @property
    def count(self):
        """How many items were counted."""
        return self._count

    @property
    def sum_s(self):
        """The sum of their latencies, in seconds."""
        return self._sum_ns / 1e9

    @property
    def max_s(self):
        """The largest latency, in seconds; 0.0 before the first."""
        return self._max_ns / 1e9

    def cumulative(self, int steps=2):
        """Return the counts up to each bound, ascending.

        Args:
            steps: how many bounds each doubling of the latency has: 1, 2, 4 or 8. Below 8 us there are fewer.

        Returns:
            Pairs of a bound in seconds and the number of items with at most that latency, as tuples. Items above the
            last bound are only in `count`.

        Raises:
            UsageError: `steps` is another number.
        """
        cdef:
            Py_ssize_t index, every
            int64_t total = 0
        if steps not in (1, 2, 4, 8):
            raise UsageError(f"a histogram has 1, 2, 4 or 8 steps per doubling, not {steps}")
        every = STEPS // steps
        found = []
        for index in range(BUCKETS - 1):
            total += self._counts[index]
            if (index + 1) % every == 0:
                found.append((bound_us(index) / 1e6, total))
        return found

    def quantile(self, double fraction):
        """Return the latency that a fraction of the items does not exceed, in seconds; 0.0 without items.

        The result is the upper bound of a bucket, or the largest latency if that is less.

        Raises:
            UsageError: `fraction` is not from 0 to 1.
        """
        cdef:
            Py_ssize_t index
            int64_t total = 0
            double wanted
        if not 0.0 <= fraction <= 1.0:
            raise UsageError(f"a fraction must be from 0 to 1, not {fraction!r}")
        wanted = fraction * self._count
        for index in range(BUCKETS - 1):
            total += self._counts[index]
            if total and total >= wanted:
                return min(bound_us(index) / 1e6, self._max_ns / 1e9)
        return self._max_ns / 1e9

    def __repr__(self):
        return f"<LatencyHistogram {self._count} items, median {self.quantile(0.5):.6f} s>"

    def __reduce__(self):
        raise TypeError("a LatencyHistogram cannot be copied or pickled")
