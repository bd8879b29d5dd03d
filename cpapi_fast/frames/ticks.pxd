"""The C side of typed columns: for Cython users, above all those of borrowed frames."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .batch cimport Frame
from cpapi_fast._json.walk cimport KeyTable


cdef class TickDecoder:
    cdef:
        # The keys to decode, and by name which column each of them is.
        readonly tuple fields
        readonly bint strict
        dict _columns
        # How many fields: the length of the arrays that `decode_payload_ptr` fills.
        Py_ssize_t field_count
        # Owned; the texts of its long keys belong to `fields`.
        KeyTable table

    cdef int _index_keys(self) except -1
    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
    ) except -1


cdef class Ticks:
    cdef:
        readonly tuple fields
        # How many of the frames turned out not to be JSON; none of their fields is valid.
        readonly Py_ssize_t malformed
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


# Decodes one payload, which is borrowed for the call only, into three arrays of decoder.field_count entries: what
# `Ticks.values`, `valid` and `prefixes` say. 1, or 0 where the payload is not JSON (then nothing is valid). It needs
# the GIL, but makes no Python object unless the payload is an odd one.
cdef int decode_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) except -1

# The same without the GIL, for payloads that are not odd: True when all is done. On False the arrays hold nothing of
# use, and `decode_payload_ptr` has the answer.
cdef bint walk_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil
