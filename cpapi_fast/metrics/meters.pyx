"""Meters: count what passes a place in the code, per batch and in C, while metrics are on"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from cpapi_fast.frames.batch cimport Batch

from .histogram cimport LatencyHistogram, system_time_ns

from cpapi_fast.protocol.kinds import FrameKind

cdef enum:
    KINDS = 7
    # How many entries a WriteMeter has at most, and the least time between two of them.
    MOST_ENTRIES = 4096
    LEAST_WIDTH_NS = 1000000


cdef Py_ssize_t end_of_run(const uint8_t* kinds_ptr, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
    # The index after the last of the equal bytes that begin at `start`. Eight bytes are compared at a time.
    cdef:
        uint8_t kind = kinds_ptr[start]
        uint64_t wanted = <uint64_t>kind * 0x0101010101010101ULL
        uint64_t found
        Py_ssize_t index = start + 1
    while index + 8 <= count:
        memcpy(&found, kinds_ptr + index, 8)
        if found != wanted:
            break
        index += 8
    while index < count and kinds_ptr[index] == kind:
        index += 1
    return index


@cython.final
cdef class FrameMeter:
    """Counts the frames and bytes of each kind, and the time from their receipt until all consumers have them."""

    cdef:
        int64_t _frames[KINDS]
        int64_t _bytes[KINDS]
        LatencyHistogram _latency

    def __cinit__(self):
        self._latency = LatencyHistogram()

    @property
    def latency(self):
        """From the socket read until every callback has returned and every queue has the frames."""
        return self._latency

    def on_batch(self, Batch batch not None):
        """Count a batch that the consumers have. It costs one reading of the clock, and less than 1 ns per frame."""
        cdef:
            Py_ssize_t count = batch.frame_count
            Py_ssize_t start = 0
            Py_ssize_t stop
            uint8_t kind
        if count == 0:
            return
        while start < count:
            # Most frames of a batch have one kind, so runs of a kind are counted.
            kind = batch.kinds_ptr[start]
            stop = end_of_run(batch.kinds_ptr, start, count)
            if kind < KINDS:
                self._frames[kind] += stop - start
                self._bytes[kind] += batch.offsets_ptr[stop] - batch.offsets_ptr[start]
            start = stop
        # A batch is one socket read, so all its frames have one receive time.
        self._latency.add(system_time_ns() - batch.received_ns_ptr[0], batch.frame_count)

    def kinds(self):
        """Return the frames and bytes of each kind, as a dict of tuples by its label, such as `market_data`."""
        return {kind.label: (self._frames[kind.value], self._bytes[kind.value]) for kind in FrameKind}

    def __reduce__(self):
        raise TypeError("a FrameMeter cannot be copied or pickled")


cdef struct Waiting:
    # Items of the output up to this position wait since this receive time, and the frames of these items.
    int64_t position
    int64_t received_ns
    int64_t frames


@cython.final
cdef class WriteMeter:
    """Measures the time from the receipt of frames until an output has written what follows from them.

    The output counts its items; those up to a position are settled when they are written or dropped. The meter keeps
    the receive times of what is not settled, of at most 4,096 batches. If there are more, neighbours share the earlier
    time, so a long wait is measured up to a few milliseconds too long. Not thread-safe.
    """

    cdef:
        Waiting* _ring_ptr
        Py_ssize_t _first
        Py_ssize_t _length
        int64_t _width_ns
        # The items that were settled, and those that were dropped, at the last call.
        int64_t _settled
        int64_t _dropped
        LatencyHistogram _latency

    def __cinit__(self):
        self._latency = LatencyHistogram()
        self._width_ns = LEAST_WIDTH_NS
        self._ring_ptr = <Waiting*>PyMem_Malloc(MOST_ENTRIES * sizeof(Waiting))
        if self._ring_ptr == NULL:
            raise MemoryError("no memory for a WriteMeter")

    def __dealloc__(self):
        PyMem_Free(self._ring_ptr)

    @property
    def latency(self):
        """From the socket read until the items of a frame are written."""
        return self._latency

    cdef Waiting* _at(self, Py_ssize_t index) noexcept:
        return &self._ring_ptr[(self._first + index) % MOST_ENTRIES]

    cdef void _halve(self) noexcept:
        # Joins neighbours, so that there is room again.
        cdef Py_ssize_t index
        cdef Waiting* earlier
        cdef Waiting* later
        for index in range(self._length // 2):
            earlier, later = self._at(2 * index), self._at(2 * index + 1)
            self._at(index)[0] = Waiting(later.position, earlier.received_ns, earlier.frames + later.frames)
        if self._length % 2:
            self._at(self._length // 2)[0] = self._at(self._length - 1)[0]
        self._length -= self._length // 2
        self._width_ns *= 2

    def on_batch(self, Batch batch not None, counts):
        """Note a batch that was passed to the output.

        Args:
            batch: the batch.
            counts: the `OutputCounts` of the output, including the items of the batch.
        """
        cdef Waiting* last
        cdef int64_t received_ns
        cdef int64_t received = counts.received
        if batch.frame_count:
            received_ns = batch.received_ns_ptr[0]
            last = self._at(self._length - 1) if self._length else NULL
            if last != NULL and 0 <= received_ns - last.received_ns < self._width_ns:
                last.position = received
                last.frames += batch.frame_count
            elif last == NULL or received > last.position:
                # A batch without an item of this output, such as one of heartbeats, is not measured.
                if self._length == MOST_ENTRIES:
                    self._halve()
                self._length += 1
                self._at(self._length - 1)[0] = Waiting(received, received_ns, batch.frame_count)
        self._settle(received - <int64_t>counts.pending, counts)

    def settle(self, counts):
        """Measure what the output has written since the last call.

        What was settled together with items that were dropped is left out, because it may not be written.
        """
        self._settle(<int64_t>counts.received - <int64_t>counts.pending, counts)

    cdef int _settle(self, int64_t settled, counts) except -1:
        cdef:
            int64_t now_ns, dropped
            bint is_written
            Waiting* waiting
        if settled == self._settled:
            return 0
        self._settled = settled
        dropped = counts.dropped_total
        is_written = dropped == self._dropped
        self._dropped = dropped
        now_ns = system_time_ns()
        while self._length:
            waiting = self._at(0)
            if waiting.position > settled:
                break
            if is_written:
                self._latency.add(now_ns - waiting.received_ns, waiting.frames)
            self._first = (self._first + 1) % MOST_ENTRIES
            self._length -= 1
        if self._length == 0:
            self._width_ns = LEAST_WIDTH_NS
        return 0

    def __len__(self):
        """The number of receive times that the meter keeps."""
        return self._length

    def __reduce__(self):
        raise TypeError("a WriteMeter cannot be copied or pickled")
