"""The C interface of CollectedRows: the columns to fill."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from cpapi_fast.frames.arrow cimport ArrowColumn
from cpapi_fast.frames.ticks cimport Ticks


# The fields of every table, in this order. Others follow.
cdef enum:
    UPDATED
    AVAILABILITY
    SYMBOL
    LAST_PRICE
    BID_PRICE
    ASK_PRICE


cdef class CollectedRows:
    cdef:
        # The columns of fields. Of each, the first `row_count` of `capacity` entries are used: column f of a matrix
        # starts at entry f * capacity.
        Ticks ticks
        # The columns that `Ticks` does not have. Owned by `_memory`.
        int64_t* late_ns_ptr
        int64_t* segments_ptr
        int32_t* targets_ptr
        Py_ssize_t row_count
        Py_ssize_t capacity
        ArrowColumn _memory
        # The names of the columns of fields, and whether there is a column of segments.
        tuple _names
        bint _has_segments
        bint _is_closed_up

    # No rows yet, with room for `capacity`, for the fields and texts of `source`, of which `text_count` are texts.
    @staticmethod
    cdef CollectedRows new(Ticks source, Py_ssize_t text_count, Py_ssize_t capacity, tuple names, bint has_segments)
    # The rows as a record batch. Call it once, when no row is added any more.
    cdef ArrowColumn arrow(self)
    cdef void _close_up(self, Py_ssize_t text_count) noexcept
    cdef ArrowColumn _texts_of(self, str name, int32_t* codes_ptr, object owner)
    cdef ArrowColumn _prefixes(self, str name, const uint8_t* prefixes_ptr)
