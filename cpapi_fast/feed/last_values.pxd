"""The C side of LastValues, for the tracker, which has resolved the topics of a batch already."""

from libc.stdint cimport int32_t, int64_t

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.text_table cimport TextTable
from cpapi_fast.frames.topic_table cimport TopicTable


cdef enum:
    # Values of up to this length are stored in their field, which is one cache line together with them.
    SHORT = 32


# One field of one topic.
cdef struct Field:
    int64_t received_ns
    double updated_s
    # The JSON text of the value, unless it is in `text`. Owned.
    char* long_ptr
    int32_t length
    # The slot of its key.
    int32_t key
    char[SHORT] text


# The fields of one topic.
cdef struct Fields:
    Field* fields_ptr
    int32_t field_count
    int32_t field_capacity
    # By the slot of a key: the index of its field, or -1.
    int32_t* index_ptr
    int32_t index_count
    # Whether the topic's values are kept at all.
    bint is_kept


# A member of the current frame. `key` is a slot, or NO_SLOT for a new key.
cdef struct Span:
    int32_t key
    int32_t key_start
    int32_t key_length
    int32_t value_start
    int32_t value_length


cdef class LastValues:
    cdef:
        TopicTable _topics
        int64_t _malformed
        # How many members were left out because of their keys.
        int64_t _left_out
        TextTable _keys
        # How many of the keys are neither asked for nor in the catalogue. Only the gateway decides which these are.
        Py_ssize_t _other_keys
        set _asked
        # By the slot of a topic; all zero where nothing is kept.
        Fields* _topics_ptr
        Py_ssize_t _capacity
        Span* _spans_ptr
        Py_ssize_t _span_capacity
        # By the slot of a topic and of a key: the frames of the values that are IN_FRAME.
        dict _frames

    # update() for a batch whose topics the table has just resolved.
    cdef int merge_resolved(self, Batch batch, double now_s) except -1
    cdef int32_t _key(self, str name) except -2
    cdef int _grow_topics(self, Py_ssize_t wanted) except -1
    cdef int _grow_spans(self) except -1
    cdef Field* _field(self, int32_t slot, int32_t key) except NULL
    cdef int32_t _new_field(self, Fields* fields, int32_t key) except -1
    cdef int _merge(
        self, int32_t slot, const char* text_ptr, Py_ssize_t readable_len, Py_ssize_t count, int64_t received_ns,
        double now_s
    ) except -1
    cdef int _merge_decoded(
        self, int32_t slot, const char* text_ptr, Py_ssize_t text_len, int64_t received_ns, double now_s
    ) except -1
