"""The C interface of Frame, and the route of any bytes: the classifier with a JSON decoder as its slow path."""

from libc.stdint cimport int64_t, uint8_t

from .classifier cimport VERDICT_UNDECIDED, Classified, classify_ptr, probe_smd_tail


cdef class FrameCounters:
    cdef:
        int64_t _payload_errors
        int64_t _payloads_repaired


cdef class Frame:
    cdef:
        bytes _raw
        int64_t _received_ns
        int64_t _conid                  # NO_CONID if the frame has none
        Py_ssize_t _topic_start         # in _raw; -1 if the topic is not plain text there
        Py_ssize_t _topic_length        # -1 with a start of -1: the topic has escapes
        uint8_t _kind
        object _payload                 # the decoded payload, or _NOT_DECODED, or _NOT_JSON
        FrameCounters _counters         # None for a frame without a connection


# The slow path: decodes the text and finds the route in the result. It fails only if there is no memory.
cdef int route_decoded_ptr(const char* data_ptr, Py_ssize_t data_len, Classified* route) except -1


cdef inline int route_frame(const char* data_ptr, Py_ssize_t data_len, Classified* route) except -1:
    # Finds the route of any bytes.
    if not probe_smd_tail(data_ptr, data_len, route):
        route[0] = classify_ptr(data_ptr, data_len)
        if route.verdict == VERDICT_UNDECIDED:
            route_decoded_ptr(data_ptr, data_len, route)
    return 0


# Creates a frame with a copy of these bytes. The other arguments are entries of a batch's columns.
cdef Frame new_frame(
    const char* data_ptr,
    Py_ssize_t data_len,
    int64_t received_ns,
    int64_t conid,
    Py_ssize_t topic_start,
    Py_ssize_t topic_length,
    uint8_t kind,
    FrameCounters counters,
)
