"""The C interface of typed columns: decodes one borrowed payload into arrays, with or without the GIL."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .frame cimport Frame
from cpapi_fast._json.walk cimport KeyTable


cdef class TickDecoder:
    cdef:
        # The keys to decode, and the index of each key's column by name.
        tuple _fields
        bint _strict
        dict _columns
        # The number of fields: the length of the arrays that `decode_payload_ptr` fills.
        Py_ssize_t field_count
        # Owned. The texts of its long keys are in the str objects of `_fields`.
        KeyTable table

    cdef int _index_keys(self) except -1
    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
    ) except -1


cdef class Ticks:
    cdef:
        tuple _fields
        # The number of frames that are not JSON, which have no valid fields.
        Py_ssize_t _malformed
        dict _columns
        # One owned block of memory, which starts at conids_ptr; the other pointers point into it. In a matrix, the
        # column of field f starts at entry f * row_count.
        int64_t* conids_ptr
        int64_t* received_ns_ptr
        double* values_ptr
        int32_t* rows_ptr
        uint8_t* valid_ptr
        uint8_t* prefixes_ptr
        Py_ssize_t row_count

    cdef int _reserve(self, Py_ssize_t row_count) except -1
    cdef Py_ssize_t _column(self, object field) except -1


# Decodes one payload, borrowed for the call, into three arrays of decoder.field_count entries: values, valid flags and
# prefixes, as in `Ticks`. Returns 1, or 0 if the payload is not JSON and no entry is valid. It needs the GIL. It
# creates Python objects only if walk_payload_ptr() returns False.
cdef int decode_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) except -1

# The same without the GIL. If it returns False, the payload needs the slow path of decode_payload_ptr(), and the
# contents of the arrays are undefined.
cdef bint walk_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil
