"""Finds kind, topic and conid of a message without decoding JSON: C only, no GIL, no exceptions.

The classifier makes three attempts, the cheapest first. For valid JSON without a repeated `topic` key, an attempt that
succeeds gives the same route as a full decode. For text that is not valid JSON, it gives the route of a topic in the
text. If no attempt succeeds, the verdict is UNDECIDED, and the caller decodes the JSON (the slow path).

**The tail probe is correct.** Let the text be valid JSON that ends with `,"topic":"V"}`, where V has no quote and no
backslash. None of the four quotes in that ending follows a backslash, so each of them opens or closes a string. The
text ends outside of any string, so the last quote closes a string. Backwards, the four quotes are therefore: close,
open, close, open. So `topic` is a whole string followed by a colon: a key with the string V as its value. The final
brace closes the outermost value, because nothing follows it, so the key is at the top level. (If the text has two
`topic` keys, a decoder keeps the last one, which is this one.)

**The head probe is correct** because `{"topic":"V"` at the start can only be the first key of the outermost object.

**The search** iterates over the keys of the outermost object, skips their values, and stops at the topic. It checks
only the syntax that it needs to stay at the top level.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memchr, memcmp

from cpapi_fast._json.object_iterator cimport MEMBER, Member, next_key, next_value
from cpapi_fast._json.scan cimport byte_at, plain_end, skip_spaces
from cpapi_fast._json.structural_index cimport Quotes, quotes_of, take_quote

ROUTED = VERDICT_ROUTED
NOT_JSON = VERDICT_NOT_JSON
UNDECIDED = VERDICT_UNDECIDED

# The probes give up on a longer topic and leave it to the search. This bounds their cost for a frame that ends (or
# starts) with a long string.
cdef enum:
    PROBE_LIMIT = 256


cdef inline bint _equals(
    const char* text_ptr, Py_ssize_t text_len, const char* word_ptr, Py_ssize_t word_len
) noexcept nogil:
    return text_len == word_len and memcmp(text_ptr, word_ptr, <size_t>word_len) == 0


cdef inline bint _has_account(const char* topic_ptr, Py_ssize_t topic_len) noexcept nogil:
    # The topics of P&L are three letters, alone or with `+account`.
    return topic_len == 3 or (topic_len > 4 and byte_at(topic_ptr, topic_len, 3) == c"+")


cdef void _route_market_data(const char* topic_ptr, Py_ssize_t topic_len, Classified* route) noexcept nogil:
    # Sets the route for `smd+<digits>`, `smd+<digits>@EXCH` and `smd+<digits>;;;legs`. Other topics keep KIND_OTHER.
    cdef:
        Py_ssize_t position = 4
        int64_t conid = 0
        int digit
        unsigned char byte

    while position < topic_len:
        digit = <int>byte_at(topic_ptr, topic_len, position) - c"0"
        if digit < 0 or digit > 9:
            break
        if conid > (INT64_MAX - digit) // 10:
            return
        conid = conid * 10 + digit
        position += 1
    if position == 4:
        return
    if position < topic_len:
        byte = byte_at(topic_ptr, topic_len, position)
        if byte == c"@":
            if topic_len - position < 2:
                return
        elif topic_len - position < 4 or memcmp(topic_ptr + position, b";;;", 3) != 0:
            return
    route.kind = KIND_MARKET_DATA
    route.conid = conid


cdef void route_topic_ptr(const char* topic_ptr, Py_ssize_t topic_len, Classified* route) noexcept nogil:
    route.kind = KIND_OTHER
    route.conid = NO_CONID
    if topic_len < 3:
        return
    if topic_len >= 4 and memcmp(topic_ptr, b"smd+", 4) == 0:
        _route_market_data(topic_ptr, topic_len, route)
    elif (
        memcmp(topic_ptr, b"spl", 3) == 0
        or memcmp(topic_ptr, b"pnl", 3) == 0
        or memcmp(topic_ptr, b"ssd", 3) == 0
        or memcmp(topic_ptr, b"sld", 3) == 0
        or memcmp(topic_ptr, b"ssl", 3) == 0
    ):
        if _has_account(topic_ptr, topic_len):
            route.kind = KIND_PNL
    elif _equals(topic_ptr, topic_len, b"system", 6):
        route.kind = KIND_SYSTEM
    elif (
        _equals(topic_ptr, topic_len, b"sor", 3)
        or _equals(topic_ptr, topic_len, b"ord", 3)
        or _equals(topic_ptr, topic_len, b"ortd", 4)
    ):
        route.kind = KIND_ORDER


cdef inline void _found(const char* data_ptr, Py_ssize_t start, Py_ssize_t length, Classified* route) noexcept nogil:
    route.verdict = VERDICT_ROUTED
    route.topic_start = start
    route.topic_length = length
    route_topic_ptr(data_ptr + start, length, route)


cdef bint _probe_tail(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # Accepts a text that ends with `,"topic":"V"}`. The module's docstring explains why that is enough.
    cdef:
        Py_ssize_t end = data_len - 2          # the closing quote of V
        Py_ssize_t position
        Py_ssize_t lowest
        unsigned char byte

    if data_len < 13:                          # shorter than {,"topic":""}
        return False
    if byte_at(data_ptr, data_len, data_len - 1) != c"}" or byte_at(data_ptr, data_len, end) != c'"':
        return False
    lowest = end - PROBE_LIMIT
    if lowest < 9:                             # room for ,"topic": before the opening quote
        lowest = 9
    position = end - 1
    while position >= lowest:
        byte = byte_at(data_ptr, data_len, position)
        if byte == c'"':
            if memcmp(data_ptr + position - 9, b',"topic":', 9) != 0:
                return False
            _found(data_ptr, position + 1, end - position - 1, route)
            return True
        if byte == c"\\" or byte < 0x20:
            return False
        position -= 1
    return False


cdef bint _probe_head(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # Accepts a text that starts with `{"topic":"V"` and a comma or brace.
    cdef:
        Py_ssize_t position
        Py_ssize_t highest
        unsigned char byte

    if data_len < 13 or memcmp(data_ptr, b'{"topic":"', 10) != 0:
        return False
    highest = data_len - 1                     # one byte must follow the closing quote
    if highest > 10 + PROBE_LIMIT:
        highest = 10 + PROBE_LIMIT
    position = plain_end(data_ptr, highest, 10)
    if position == highest or byte_at(data_ptr, data_len, position) != c'"':
        return False
    byte = byte_at(data_ptr, data_len, position + 1)
    if byte != c"," and byte != c"}":
        return False
    _found(data_ptr, 10, position - 10, route)
    return True


cdef bint search_topic_ptr(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # Searches the keys of the outermost object for a `topic` without escapes whose value is a string without escapes.
    cdef:
        Quotes quotes
        Member member
        Py_ssize_t position = skip_spaces(data_ptr, data_len, 0)
        Py_ssize_t end
        unsigned char byte

    if position == data_len:
        route.verdict = VERDICT_NOT_JSON
        return False
    byte = byte_at(data_ptr, data_len, position)
    if byte != c"{":
        # No JSON value starts with any other byte (`ech+hb`, a BOM), so no decoder is needed.
        if byte == 0 or memchr(<const char*>b'["-0123456789tfn', byte, 16) == NULL:
            route.verdict = VERDICT_NOT_JSON
        return False
    quotes = quotes_of(data_ptr, data_len)
    while next_key(&quotes, &position, &member):
        if member.key_end - member.key_start == 5 and memcmp(data_ptr + member.key_start, b"topic", 5) == 0:
            if member.first != c'"':
                return False
            take_quote(&quotes)
            end = take_quote(&quotes)
            if end < 0 or plain_end(data_ptr, end, position + 1) != end:
                return False
            _found(data_ptr, position + 1, end - position - 1, route)
            return True
        if next_value(&quotes, &position, &member) != MEMBER:
            return False
    return False


cdef Classified classify_ptr(const char* data_ptr, Py_ssize_t data_len) noexcept nogil:
    cdef Classified route
    route.verdict = VERDICT_UNDECIDED
    route.kind = KIND_OTHER
    route.conid = NO_CONID
    route.topic_start = -1
    route.topic_length = 0
    if data_len == 0 or (data_len == 2 and memcmp(data_ptr, b"{}", 2) == 0):
        route.verdict = VERDICT_ROUTED
        route.kind = KIND_HEARTBEAT
        return route
    if (
        not probe_smd_tail(data_ptr, data_len, &route)
        and not _probe_tail(data_ptr, data_len, &route)
        and not _probe_head(data_ptr, data_len, &route)
        and not search_topic_ptr(data_ptr, data_len, &route)
        and route.verdict == VERDICT_NOT_JSON
    ):
        route.kind = KIND_MALFORMED
    return route


@cython.final
cdef class Classification:
    """The result of the C classifier for one text, for tests. Frames are classified without it."""

    cdef Classified _route

    def __init__(self):
        raise TypeError("a Classification comes from classify_bytes(); the class cannot be called")

    @property
    def verdict(self):
        """One of ROUTED, NOT_JSON and UNDECIDED."""
        return self._route.verdict

    @property
    def kind(self):
        """The value of the FrameKind; OTHER if the verdict is UNDECIDED."""
        return self._route.kind

    @property
    def conid(self):
        """The contract id; -1 if there is none."""
        return self._route.conid

    @property
    def topic_start(self):
        """The position of the topic in the text; -1 if it was not found."""
        return self._route.topic_start

    @property
    def topic_length(self):
        """The number of bytes of the topic."""
        return self._route.topic_length


def classify_bytes(data):
    """Find the route of one message without decoding it, for tests.

    No content raises an exception. If the topic is the last or the first key of the object, the cost does not depend on
    the length of `data`.

    Args:
        data: one whole message, bytes-like.
    """
    cdef Py_buffer view
    cdef Classification result = Classification.__new__(Classification)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result._route = classify_ptr(<const char*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return result


def route_topic(bytes topic not None):
    """Return the value of the FrameKind and the contract id of a topic.

    Args:
        topic: the topic in UTF-8.

    Returns:
        The kind and the contract id; -1 for a topic without one.
    """
    cdef Classified route
    route_topic_ptr(topic, len(topic), &route)
    return route.kind, route.conid
