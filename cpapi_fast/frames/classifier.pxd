"""The C interface of the classifier: one pure function from borrowed bytes to a route."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from cpapi_fast._json.scan cimport byte_at, digits_at_end, word_at


# The values of kinds.FrameKind as C constants (a test compares them), so that no Python object is created per frame.
cdef enum:
    KIND_HEARTBEAT = 0
    KIND_SYSTEM = 1
    KIND_MARKET_DATA = 2
    KIND_ORDER = 3
    KIND_PNL = 4
    KIND_OTHER = 5
    KIND_MALFORMED = 6


# Whether the route is final. UNDECIDED: the caller has to decode the text with orjson, which needs the GIL.
cdef enum:
    VERDICT_ROUTED = 0
    VERDICT_NOT_JSON = 1
    VERDICT_UNDECIDED = 2


# The conid of a frame without one. 0 is a real conid (combos).
cdef enum:
    NO_CONID = -1


cdef struct Classified:
    # The position and length of the topic in the payload; -1 and 0 if it was not found or has escapes.
    Py_ssize_t topic_start
    Py_ssize_t topic_length
    # The contract id of a KIND_MARKET_DATA frame, else NO_CONID.
    int64_t conid
    # KIND_OTHER with VERDICT_UNDECIDED, KIND_MALFORMED with VERDICT_NOT_JSON.
    uint8_t kind
    uint8_t verdict


# Finds the route of data_ptr[0:data_len]. It reads nothing else and keeps no pointer. data_len must not be negative; if
# it is 0, data_ptr is not read.
cdef Classified classify_ptr(const char* data_ptr, Py_ssize_t data_len) noexcept nogil

# The last attempt of classify_ptr(): searches the keys of the outermost object. Returns whether it found a route. It is
# declared here so that the compiler does not inline it, because its stack frame would slow down the cheaper attempts.
cdef bint search_topic_ptr(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil

# Sets kind and conid of `route` from the topic.
cdef void route_topic_ptr(const char* topic_ptr, Py_ssize_t topic_len, Classified* route) noexcept nogil


cdef inline bint probe_smd_tail(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # Finds the route of a text that ends with `,"topic":"smd+<1 to 15 digits>"}`, as nearly every frame of a busy feed
    # does, in a few dozen instructions. `_probe_tail` gives the same result and accepts more texts. This function is
    # inline, so that a receiver needs no call.
    cdef:
        Py_ssize_t digits_end = data_len - 2
        Py_ssize_t digits_start
        uint64_t low, high
        int count, more

    if data_len < 31:                          # the length of the longest accepted ending
        return False
    if byte_at(data_ptr, data_len, data_len - 1) != c"}" or byte_at(data_ptr, data_len, digits_end) != c'"':
        return False
    count = digits_at_end(word_at(data_ptr, data_len, digits_end - 8), &low)
    if count == 0:
        return False
    if count == 8:
        more = digits_at_end(word_at(data_ptr, data_len, digits_end - 16), &high)
        if more == 8:
            return False
        if more > 0:
            low += high * 100_000_000u
            count += more
    digits_start = digits_end - count
    if (
        word_at(data_ptr, data_len, digits_start - 14) != 0x226369706F74222Cu       # ,"topic"
        or word_at(data_ptr, data_len, digits_start - 8) != 0x2B646D73223A2263u     # c":"smd+
    ):
        return False
    route.verdict = VERDICT_ROUTED
    route.kind = KIND_MARKET_DATA
    route.conid = <int64_t>low
    route.topic_start = digits_start - 4
    route.topic_length = count + 4
    return True
