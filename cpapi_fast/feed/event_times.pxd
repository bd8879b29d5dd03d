"""The C side of EventTimes, for the tracker, which has resolved the topics of a batch already."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.topic_table cimport TopicTable


# The event times of one slot.
cdef struct Times:
    # The smallest time from an event time to the receive time in ms, over the last whole window and in the current one;
    # infinite if unknown.
    double usual_ms
    double recent_ms
    # The last event time that was compared with the usual one: frames that repeat it show nothing new.
    int64_t compared_ms
    # The first and the last eight digits of the last event time, and where its key was in its frame.
    uint64_t first_digits
    uint64_t last_digits
    int32_t key_at
    bint has_updated


cdef class EventTimes:
    cdef:
        TopicTable _topics
        bint _keeps_updates
        double _limit_ms
        double _speed
        double _clock_ms
        int64_t _machine_ns
        int64_t _newest_ms
        # By slot.
        Times* _times_ptr
        Py_ssize_t _capacity

    # Both for a batch whose topics the table has just resolved. Neither creates an object.
    # Keeps the event time of each frame.
    cdef int keep_resolved(self, Batch batch) except -1
    # Whether the first frame with an event time took longer or shorter than usual.
    cdef bint is_suspect(self, Batch batch) except -1
    cdef int _reserve(self) except -1
    cdef Times* _times(self, Py_ssize_t slot) except NULL
    cdef double _transit_ms(self, int64_t received_ns, int64_t event_ms) noexcept
    cdef int _keep(self, Batch batch, Py_ssize_t index, Times* times) noexcept
