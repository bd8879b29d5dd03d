"""The C interface of TopicTable: finds the slots of all frames of a batch."""

from libc.stdint cimport int32_t

from .batch cimport Batch
from .text_table cimport TextTable


cdef class TopicTable:
    cdef:
        TextTable _texts
        # Written by resolve(): entry i is the slot of frame i, or NO_SLOT. Valid until the next call of resolve(); the
        # memory never shrinks.
        int32_t* slots_ptr
        # Whether a frame of that batch has a topic with escapes.
        bint has_escapes
        Py_ssize_t _frame_capacity

    # Every slot is below this number, which never shrinks.
    cdef Py_ssize_t slot_limit(self) noexcept
    # Raises UsageError if the slot has no topic.
    cdef int check_slot(self, Py_ssize_t slot) except -1
    # Finds the slot of each frame of a finished batch.
    cdef int resolve(self, Batch batch) except -1
    cdef int32_t _resolve_decoded(self, Batch batch, Py_ssize_t index) except -2
    cdef int _grow(self, Py_ssize_t frame_count) except -1
