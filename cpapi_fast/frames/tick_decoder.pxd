"""The C interface of TickDecoder: decodes one borrowed payload into arrays, with or without the GIL."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .frame cimport Frame
from .text_table cimport TextTable
from cpapi_fast._json.walk cimport KeyTable


cdef class TickDecoder:
    cdef:
        # The members to decode; the index of each one's column by name and by key; of each, its index among the texts.
        tuple _fields
        dict _columns
        tuple _text_columns
        bint _strict
        TextTable _texts
        Py_ssize_t _text_bytes
        # A table with more texts, or more bytes of texts, is replaced.
        Py_ssize_t _most_texts
        Py_ssize_t _most_text_bytes
        Py_ssize_t _text_count
        # The number of fields: the length of the arrays that `decode_payload_ptr` fills.
        Py_ssize_t field_count
        # Owned, one entry per field: the values that are not of its kind, and its index among the texts or -1.
        int64_t* mismatches_ptr
        int32_t* text_columns_ptr
        # By index among the texts: the field. In the same block of memory.
        int32_t* text_fields_ptr
        # Owned. The texts of its long keys are in the str objects of `_fields`.
        KeyTable table

    cdef int _index_keys(self) except -1
    cdef int _begin_texts(self) except -1
    # Notes that texts of `moved_bytes` were moved to the new table. It is replaced when it is twice as large.
    cdef void _keep_texts(self, Py_ssize_t moved_bytes) noexcept
    # Adds a text, and counts its bytes if it is new.
    cdef int32_t add_text(self, str text) except -1
    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr,
        int32_t* codes_ptr
    ) except -1
    cdef int _encode_texts(
        self, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr,
        int32_t* codes_ptr
    ) except -1


# Decodes one payload, borrowed for the call, into three arrays of decoder.field_count entries: values, valid flags and
# prefixes, as in `Ticks`. Of a text, only whether the frame has it. Returns 1, or 0 if the payload is not JSON and no
# entry is valid. It needs the GIL. It creates Python objects only if walk_payload_ptr() returns False.
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
