"""The C interface of the classifier: one pure function from borrowed bytes to a route."""

from libc.stdint cimport int64_t, uint8_t


# The numbers of kinds.FrameKind (a test holds the two together); plain C here: no enum object is built per frame.
cdef enum:
    KIND_HEARTBEAT = 0
    KIND_SYSTEM = 1
    KIND_MARKET_DATA = 2
    KIND_ORDER = 3
    KIND_PNL = 4
    KIND_OTHER = 5
    KIND_MALFORMED = 6


# How sure the answer is. UNDECIDED goes to orjson one level up, under the GIL.
cdef enum:
    VERDICT_ROUTED = 0
    VERDICT_NOT_JSON = 1
    VERDICT_UNDECIDED = 2


# The conid column's value for a frame that has none; 0 is a real conid (combos).
cdef enum:
    NO_CONID = -1


cdef struct Classified:
    # Where the topic's text stands in the payload; -1 and 0 when it was not found (or is written with escapes).
    Py_ssize_t topic_start
    Py_ssize_t topic_length
    # The contract id of a KIND_MARKET_DATA frame, else NO_CONID.
    int64_t conid
    # KIND_OTHER while undecided, KIND_MALFORMED with VERDICT_NOT_JSON.
    uint8_t kind
    uint8_t verdict


# Reads data_ptr[0:data_len] and nothing else; keeps no pointer. data_len must not be negative; with 0, data_ptr is
# not read.
cdef Classified classify_ptr(const char* data_ptr, Py_ssize_t data_len) noexcept nogil

# Sets kind and conid of `route` from the topic's text alone.
cdef void route_topic_ptr(const char* topic_ptr, Py_ssize_t topic_len, Classified* route) noexcept nogil
