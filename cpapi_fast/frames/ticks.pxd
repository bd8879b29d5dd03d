"""The C side of typed columns: decode one borrowed payload into arrays, with or without the GIL."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .frame cimport Frame
from cpapi_fast._json.walk cimport KeyTable


cdef class TickDecoder:
    cdef:
        # The keys to decode, and by name which column each of them is.
        tuple _fields
        bint _strict
        dict _columns
        # How many fields: the length of the arrays that `decode_payload_ptr` fills.
        Py_ssize_t field_count
        # Owned; the texts of its long keys belong to `_fields`.
        KeyTable table

    cdef int _index_keys(self) except -1
    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
    ) except -1


cdef class Ticks:
    cdef:
        tuple _fields
        # How many of the frames are not JSON; none of their fields is valid.
        Py_ssize_t _malformed
        dict _columns
        # One block of memory, owned; conids_ptr is its start and the others point into it. Column f of a matrix starts
        # f * row_count entries after the matrix.
        int64_t* conids_ptr
        int64_t* received_ns_ptr
        double* values_ptr
        int32_t* rows_ptr
        uint8_t* valid_ptr
        uint8_t* prefixes_ptr
        Py_ssize_t row_count

    cdef int _reserve(self, Py_ssize_t row_count) except -1
    cdef Py_ssize_t _column(self, object field) except -1


# Decodes one payload, borrowed for the call, into three arrays of decoder.field_count entries: the values, valid flags
# and prefixes as `Ticks` has them. Returns 1, or 0 where the payload is not JSON and so no entry is valid. It needs the
# GIL, and makes Python objects only where walk_payload_ptr() returns False.
cdef int decode_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) except -1

# The same without the GIL. False: the payload needs the slow path of decode_payload_ptr(), and the arrays hold nothing
# of use.
cdef bint walk_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil
