"""The C interface of SubscriptionStates: the state of one subscription, and the entry of a frame's topic."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.text_table cimport TextTable
from cpapi_fast.frames.topic_table cimport TopicTable


cdef enum:
    # In the place of the code of a text: there is none, and it is not in the table yet.
    NO_TEXT = -1
    NOT_ADDED = -2

# The state of one subscription. Texts are codes of one table of texts.
cdef struct State:
    # The number of the segment, and whether it has begun.
    int64_t segment
    bint has_segment
    # A segment also ends before the first frame that is received at this time or later; 0 for none.
    int64_t end_ns
    # Whether the last frame was a snapshot that may be repeated, and the event time of the last frame.
    bint is_first_snapshot
    double updated
    int32_t availability
    int32_t target
    # The symbol, in the entry of the first subscription of the same instrument.
    int32_t symbol
    Py_ssize_t symbol_entry
    # The latest values, which a gap does not remove.
    int64_t received_ns
    int64_t frame_count
    double last
    double bid
    double ask
    uint8_t last_prefix
    # The text of the latest availability; NO_TEXT if it has to be compared again.
    int32_t latest_availability


cdef class SubscriptionStates:
    cdef:
        TopicTable topics
        # Entry 0 is for frames of topics without a place of their own; slot s of the topics has entry s + 1. Owned.
        State* states_ptr
        # In the matrices, the fields of entry e start at e * field_count. Owned.
        double* values_ptr
        int32_t* codes_ptr
        uint8_t* valid_ptr
        uint8_t* prefixes_ptr
        Py_ssize_t field_count
        Py_ssize_t entry_count
        # By entry: the name of the subscription, and its latest availability; None before the first frame.
        list names
        list availabilities
        dict _first_entries
        Py_ssize_t _others
        Py_ssize_t _most_others
        Py_ssize_t _longest_target
        int64_t _last_unlisted
        # The `end_ns` of topics that had no frame yet.
        int64_t _end_ns
        # How many frames had topics without a place.
        Py_ssize_t _unlisted

    # Returns the entry of frame `index` of a batch for which `topics.resolve` was called. Entry 0 is cleared.
    cdef Py_ssize_t entry_of(self, Batch batch, Py_ssize_t index) except -1
    # Begins a segment if none has begun, or if the one that has begun ends before this frame.
    cdef int begin_segment(self, Py_ssize_t entry, int64_t received_ns) except -1
    # Moves all texts from one table to another, and returns the sum of their lengths in bytes.
    cdef Py_ssize_t move_texts(self, TextTable old, TextTable new) except -1
    cdef Py_ssize_t _add(self, Batch batch, Py_ssize_t index) except -1
    cdef Py_ssize_t _add_topic(self, str topic) except -1
    cdef int _grow(self, Py_ssize_t entry_count) except -1
    cdef void _clear(self, Py_ssize_t entry) noexcept
    cdef void _end_segment(self, Py_ssize_t entry) noexcept
    cdef int _check(self, Py_ssize_t entry) except -1
