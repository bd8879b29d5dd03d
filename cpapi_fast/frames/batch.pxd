"""The C side of Batch: its memory, for the listener and for Cython users."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .arrow cimport ArrowColumn
from .frame cimport Frame, FrameCounters


cdef class Batch:
    cdef:
        # The payload bytes of all frames: arena_ptr[offsets_ptr[i]:offsets_ptr[i + 1]] is frame i. Owned.
        char* arena_ptr
        Py_ssize_t arena_len
        Py_ssize_t arena_capacity
        # The columns share one owned block of memory for column_capacity frames, which starts at conids_ptr.
        int64_t* conids_ptr
        int64_t* received_ns_ptr
        int32_t* offsets_ptr
        int32_t* topic_starts_ptr
        int32_t* topic_lengths_ptr
        uint8_t* kinds_ptr
        Py_ssize_t frame_count
        Py_ssize_t column_capacity
        # The number of frames of KIND_MALFORMED.
        Py_ssize_t malformed_count
        FrameCounters counters
        # How late each frame is, in ns; NULL if none is. Owned.
        int64_t* late_ns_ptr
        # Set by finish(). After that the memory does not move, so views of it can be created.
        bint is_finished

    @staticmethod
    cdef Batch new(Py_ssize_t arena_capacity, Py_ssize_t column_capacity, FrameCounters counters)
    # Copies and classifies the bytes, which are borrowed for the call. Must not be called after finish().
    cdef int append_ptr(self, const char* data_ptr, Py_ssize_t data_len) except -1
    cdef int finish(self, int64_t received_ns) except -1
    # Allocates the column of the lateness, all zero. Must be called after finish(), once, and before any consumer has
    # the batch.
    cdef int add_lateness(self) except -1
    cdef Frame frame_at(self, Py_ssize_t index)
    # Raises IndexError. A function of its own, because a compiler saves more registers in every call of a function that
    # formats the message itself.
    cdef int raise_index_error(self) except -1
    # Copies the frames [start, stop), at least one, into a new batch. Must be called after finish().
    cdef Batch copy_range(self, Py_ssize_t start, Py_ssize_t stop)
    # The frames as a record batch of the Arrow C data interface.
    cdef ArrowColumn arrow(self)
    cdef int _grow_arena(self, Py_ssize_t wanted) except -1
    cdef int _grow_columns(self, Py_ssize_t wanted) except -1


# A batch holds at most this many payload bytes: its offsets are int32.
cdef enum:
    MAX_BATCH_BYTES = 0x7fffffff
