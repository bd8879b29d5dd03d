"""Who owns the bytes: the C side of Frame and Batch, for the listener and for Cython users."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .classifier cimport VERDICT_UNDECIDED, Classified, classify_ptr, probe_smd_tail


cdef class FrameCounters:
    cdef:
        # How often `payload` of a routed frame turned out not to be JSON.
        public int64_t payload_errors
        # How many payloads held invalid UTF-8 and were decoded with U+FFFD in its place.
        public int64_t payloads_repaired


cdef class Frame:
    cdef:
        readonly bytes raw
        int64_t _received_ns
        int64_t _conid                  # NO_CONID where the frame has none
        Py_ssize_t _topic_start         # into raw; -1 when the topic does not stand there as plain text
        Py_ssize_t _topic_length        # -1 with a start of -1: the topic is written with escapes
        uint8_t _kind
        object _payload                 # the decoded payload, or _NOT_DECODED, or _NOT_JSON
        FrameCounters _counters         # None for a frame that came from no connection


cdef class Batch:
    cdef:
        # Payload bytes, side by side: arena_ptr[offsets_ptr[i]:offsets_ptr[i + 1]] is frame i. Owned; freed with it.
        char* arena_ptr
        Py_ssize_t arena_len
        Py_ssize_t arena_capacity
        # The columns share one block of memory, sized for column_capacity frames; the others point into it.
        int64_t* conids_ptr
        int64_t* received_ns_ptr
        int32_t* offsets_ptr
        int32_t* topic_starts_ptr
        int32_t* topic_lengths_ptr
        uint8_t* kinds_ptr
        Py_ssize_t frame_count
        Py_ssize_t column_capacity
        # How many of the frames are KIND_MALFORMED.
        Py_ssize_t malformed_count
        FrameCounters counters
        # Set once, by finish(): from then on nothing moves, and views may be handed out.
        bint is_finished

    @staticmethod
    cdef Batch new(Py_ssize_t arena_capacity, Py_ssize_t column_capacity, FrameCounters counters)
    # Copies the bytes (which are only borrowed for the call) and classifies them. Not after finish().
    cdef int append_ptr(self, const char* data_ptr, Py_ssize_t data_len) except -1
    cdef int finish(self, int64_t received_ns) except -1
    cdef Frame frame_at(self, Py_ssize_t index)
    # The frames [start, stop), at least one, in a batch of their own. Only after finish().
    cdef Batch copy_range(self, Py_ssize_t start, Py_ssize_t stop)
    cdef int _grow_arena(self, Py_ssize_t wanted) except -1
    cdef int _grow_columns(self, Py_ssize_t wanted) except -1


# A batch holds at most this many payload bytes: its offsets are int32.
cdef enum:
    MAX_BATCH_BYTES = 0x7fffffff


# A read-only memoryview over `count` items that `owner` holds unchanged and keeps at their place as long as it lives.
cdef object column_view(object owner, void* data_ptr, const char* format_ptr, Py_ssize_t count, Py_ssize_t itemsize)


# What the C classifier left undecided: decode, and route on what came out. It fails for want of memory only.
cdef int judge_ptr(const char* data_ptr, Py_ssize_t data_len, Classified* route) except -1


cdef inline int route_frame(const char* data_ptr, Py_ssize_t data_len, Classified* route) except -1:
    # The whole answer, whatever the bytes are.
    if not probe_smd_tail(data_ptr, data_len, route):
        route[0] = classify_ptr(data_ptr, data_len)
        if route.verdict == VERDICT_UNDECIDED:
            judge_ptr(data_ptr, data_len, route)
    return 0


# A frame with a copy of these bytes; the other arguments are what the columns of a batch hold.
cdef Frame new_frame(
    const char* data_ptr,
    Py_ssize_t data_len,
    int64_t received_ns,
    int64_t conid,
    Py_ssize_t topic_start,
    Py_ssize_t topic_length,
    uint8_t kind,
    FrameCounters counters,
)
