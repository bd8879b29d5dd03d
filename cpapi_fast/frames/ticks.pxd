"""The C side of Ticks: its memory, for the decoder and the Arrow export."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .arrow cimport ArrowColumn
from .text_table cimport TextTable


# Whether a time in ms is in the years 1 to 9999. Readers of files fail for others.
cdef inline bint is_time(double time_ms) noexcept nogil:
    return -62135596800000.0 <= time_ms < 253402300800000.0


cdef class Ticks:
    cdef:
        # The decoded members in the given order, and the index of each one's column by name and by key.
        tuple names
        dict columns
        # By index of a column: the index of its codes, or -1 for a number.
        tuple text_columns
        # The texts of all text columns. A code is a slot of this table, from which nothing is removed.
        TextTable texts_table
        # The number of frames that are not JSON, which have no valid fields.
        Py_ssize_t malformed_count
        # A value that is not valid is a NaN of walk.pxd, which shows the reason.
        # One owned block of memory, which starts at conids_ptr; the other pointers point into it. In a matrix, the
        # column of field f starts at entry f * row_count.
        int64_t* conids_ptr
        int64_t* received_ns_ptr
        double* values_ptr
        int32_t* codes_ptr
        int32_t* rows_ptr
        uint8_t* valid_ptr
        uint8_t* prefixes_ptr
        Py_ssize_t row_count

    cdef int reserve(self, Py_ssize_t row_count, Py_ssize_t text_count) except -1
    cdef Py_ssize_t column_of(self, object field) except -1
    cdef Py_ssize_t number_column_of(self, object field) except -1
    cdef int32_t* codes_of(self, object field) except NULL
    # The columns as a record batch of the Arrow C data interface.
    cdef ArrowColumn arrow(self)
    cdef ArrowColumn _number_column(self, Py_ssize_t index, str name, str key)
    cdef ArrowColumn _text_column(self, Py_ssize_t index, str name, str key, ArrowColumn dictionary)
    cdef ArrowColumn _prefix_column(self, Py_ssize_t index, str key)
