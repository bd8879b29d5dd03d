"""Bytes to (kind, topic span, conid) without decoding JSON: C only, no GIL, total, never raises.

Three attempts, cheapest first. Each one that succeeds gives, for every valid JSON text without a repeated `topic` key,
what a full decode gives; on text that is not valid JSON it gives a route that is spelled in the text. Whatever none of
them can answer is UNDECIDED and goes to a real decoder.

**The tail probe is sound.** Say the text is valid JSON and ends with `,"topic":"V"}` where V has neither quote nor
backslash. None of the four quotes in that ending has a backslash before it, so each of them opens or closes a string.
The text ends outside of any string, so the last quote closes one; going back, the four alternate: close, open, close,
open. Hence `topic` is a whole string followed by a colon: a key, with the string V as its value. The final brace closes
the outermost value, since nothing follows, so the key is one of the top level. And as the text has no second `topic`
key, it is the one (with two, a decoder keeps the last: this one again).

**The head probe is sound** for the plainer reason that `{"topic":"V"` at the very start can be nothing but the first
key of the outermost object.

**The walk** goes over the keys of the outermost object, jumping over values, and stops at the topic. It checks only the
syntax that it needs to stay on the top level.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memchr, memcmp

cdef extern from *:
    """
    #include <stdlib.h>
    /* One byte of a text of known length. The caller has checked the bound; the debug build checks the caller. */
    #ifdef CPAPI_FAST_DEBUG
    #define CPAPI_FAST_BYTE_AT(text_ptr, text_len, index) \
        (((index) >= 0 && (index) < (text_len)) ? (unsigned char)(text_ptr)[(index)] : (abort(), (unsigned char)0))
    #else
    #define CPAPI_FAST_BYTE_AT(text_ptr, text_len, index) ((void)(text_len), (unsigned char)(text_ptr)[(index)])
    #endif
    """
    unsigned char byte_at "CPAPI_FAST_BYTE_AT"(
        const char* text_ptr, Py_ssize_t text_len, Py_ssize_t index
    ) noexcept nogil

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Eight bytes of a text of known length at once, the first one lowest; bounds as for one byte. */
    static inline uint64_t cpapi_fast_word_at(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t index) {
        const unsigned char* from_ptr = (const unsigned char*)text_ptr + index;
    #ifdef CPAPI_FAST_DEBUG
        if (index < 0 || text_len < 8 || index > text_len - 8) abort();
    #endif
        (void)text_len;
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        uint64_t word;
        memcpy(&word, from_ptr, 8);
        return word;
    #else
        return (uint64_t)from_ptr[0] | (uint64_t)from_ptr[1] << 8 | (uint64_t)from_ptr[2] << 16
            | (uint64_t)from_ptr[3] << 24 | (uint64_t)from_ptr[4] << 32 | (uint64_t)from_ptr[5] << 40
            | (uint64_t)from_ptr[6] << 48 | (uint64_t)from_ptr[7] << 56;
    #endif
    }
    /* How many of the highest bytes are zero; the argument is not. */
    static inline int cpapi_fast_zero_bytes(uint64_t word) {
    #if defined(__GNUC__) || defined(__clang__)
        return __builtin_clzll(word) / 8;
    #else
        int count = 0;
        while (!(word >> 56)) { word <<= 8; count++; }
        return count;
    #endif
    }
    """
    uint64_t word_at "cpapi_fast_word_at"(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t index) noexcept nogil
    int zero_bytes "cpapi_fast_zero_bytes"(uint64_t word) noexcept nogil

ROUTED = VERDICT_ROUTED
NOT_JSON = VERDICT_NOT_JSON
UNDECIDED = VERDICT_UNDECIDED

# A probe gives up on a topic longer than this and leaves it to the walk: the scan of a probe must cost nothing on a
# frame that merely ends (or starts) with a long string.
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
    # `smd+<digits>`, then nothing, `@EXCH` or `;;;legs`. Anything else keeps KIND_OTHER.
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


cdef inline int _digits_at_end(uint64_t word, uint64_t* number) noexcept nogil:
    # How many of the highest bytes of `word` (the last ones of the text) are digits, and the number that they spell.
    cdef uint64_t values = word ^ 0x3030303030303030u      # a digit's byte is now its value
    cdef uint64_t others = (((values & 0x7F7F7F7F7F7F7F7Fu) + 0x7676767676767676u) | values) & 0x8080808080808080u
    cdef int count = 8
    if others != 0:
        count = zero_bytes(others)
        if count == 0:
            return 0
        values &= ~<uint64_t>0 << (64 - 8 * count)
    # Neighbours are joined, three times over: 8 digits, 4 pairs, 2 fours, 1 eight. No byte overflows into the next.
    values = values * 10 + (values >> 8)
    number[0] = (
        (values & 0x000000FF000000FFu) * 0x000F424000000064u
        + ((values >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u
    ) >> 32 & 0xFFFFFFFFu
    return count


cdef inline bint _probe_smd_tail(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # What nearly every frame of a busy feed ends with, `,"topic":"smd+<1 to 15 digits>"}`, in a few dozen
    # instructions: the same answer as from `_probe_tail`, which takes whatever this does not.
    cdef:
        Py_ssize_t digits_end = data_len - 2
        Py_ssize_t digits_start
        uint64_t low, high
        int count, more

    if data_len < 31:                          # the longest ending that this takes
        return False
    if byte_at(data_ptr, data_len, data_len - 1) != c"}" or byte_at(data_ptr, data_len, digits_end) != c'"':
        return False
    count = _digits_at_end(word_at(data_ptr, data_len, digits_end - 8), &low)
    if count == 0:
        return False
    if count == 8:
        more = _digits_at_end(word_at(data_ptr, data_len, digits_end - 16), &high)
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


cdef bint _probe_tail(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # The text ends `,"topic":"V"}`; see the module's text for why that is enough.
    cdef:
        Py_ssize_t end = data_len - 2          # the closing quote of V
        Py_ssize_t position
        Py_ssize_t lowest
        unsigned char byte

    if data_len < 13:                          # {,"topic":""} would be the shortest
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
    # The text starts `{"topic":"V"` and goes on with a comma or a brace.
    cdef:
        Py_ssize_t position = 10
        Py_ssize_t highest
        unsigned char byte

    if data_len < 13 or memcmp(data_ptr, b'{"topic":"', 10) != 0:
        return False
    highest = data_len - 1                     # one byte must follow the closing quote
    if highest > 10 + PROBE_LIMIT:
        highest = 10 + PROBE_LIMIT
    while position < highest:
        byte = byte_at(data_ptr, data_len, position)
        if byte == c'"':
            byte = byte_at(data_ptr, data_len, position + 1)
            if byte != c"," and byte != c"}":
                return False
            _found(data_ptr, 10, position - 10, route)
            return True
        if byte == c"\\" or byte < 0x20:
            return False
        position += 1
    return False


cdef inline Py_ssize_t _skip_spaces(const char* data_ptr, Py_ssize_t data_len, Py_ssize_t position) noexcept nogil:
    cdef unsigned char byte
    while position < data_len:
        byte = byte_at(data_ptr, data_len, position)
        if byte != c" " and byte != c"\t" and byte != c"\n" and byte != c"\r":
            break
        position += 1
    return position


cdef Py_ssize_t _string_end(
    const char* data_ptr, Py_ssize_t data_len, Py_ssize_t position, bint* is_plain
) noexcept nogil:
    # `position` is the first byte inside a string; the answer is its closing quote or -1. `is_plain`: no escaped quote.
    cdef:
        const char* quote_ptr
        Py_ssize_t quote
        Py_ssize_t backslashes

    is_plain[0] = True
    while position < data_len:
        quote_ptr = <const char*>memchr(data_ptr + position, c'"', <size_t>(data_len - position))
        if quote_ptr == NULL:
            return -1
        quote = quote_ptr - data_ptr
        # An odd number of backslashes before it makes the quote part of the string. They cannot reach back over
        # `position`: what stands before that is a quote, the opening one or one that was skipped as escaped.
        backslashes = quote
        while backslashes > position and byte_at(data_ptr, data_len, backslashes - 1) == c"\\":
            backslashes -= 1
        if (quote - backslashes) % 2 == 0:
            return quote
        is_plain[0] = False
        position = quote + 1
    return -1


cdef inline bint _is_plain_text(
    const char* data_ptr, Py_ssize_t data_len, Py_ssize_t start, Py_ssize_t end
) noexcept nogil:
    # Whether data[start:end] is the text itself: no escape, and no control byte (which no valid string has).
    cdef unsigned char byte
    while start < end:
        byte = byte_at(data_ptr, data_len, start)
        if byte == c"\\" or byte < 0x20:
            return False
        start += 1
    return True


cdef Py_ssize_t _value_end(const char* data_ptr, Py_ssize_t data_len, Py_ssize_t position) noexcept nogil:
    # `position` is the first byte of a value; the answer is the first byte after it, or -1 when it does not end.
    # Brackets are counted, not matched: it only has to be right about valid text.
    cdef:
        Py_ssize_t depth = 0
        unsigned char byte
        bint is_plain

    while position < data_len:
        byte = byte_at(data_ptr, data_len, position)
        if byte == c'"':
            position = _string_end(data_ptr, data_len, position + 1, &is_plain)
            if position < 0:
                return -1
            if depth == 0:
                return position + 1
        elif byte == c"{" or byte == c"[":
            depth += 1
        elif byte == c"}" or byte == c"]":
            if depth == 0:
                return position               # the end of the object around a number or a word
            depth -= 1
            if depth == 0:
                return position + 1
        elif byte == c"," and depth == 0:
            return position
        position += 1
    return -1


cdef bint _walk(const char* data_ptr, Py_ssize_t data_len, Classified* route) noexcept nogil:
    # Over the keys of the outermost object, to the first plain `topic` with a plain string as its value.
    cdef:
        Py_ssize_t position = _skip_spaces(data_ptr, data_len, 0)
        Py_ssize_t key_start, end
        unsigned char byte
        bint is_topic, is_plain

    if position == data_len:
        route.verdict = VERDICT_NOT_JSON
        return False
    byte = byte_at(data_ptr, data_len, position)
    if byte != c"{":
        # No value starts with any other byte, so there is nothing for a decoder to judge (`ech+hb`, a BOM).
        if byte == 0 or memchr(<const char*>b'["-0123456789tfn', byte, 16) == NULL:
            route.verdict = VERDICT_NOT_JSON
        return False
    position += 1
    while True:
        position = _skip_spaces(data_ptr, data_len, position)
        if position >= data_len or byte_at(data_ptr, data_len, position) != c'"':
            return False
        key_start = position + 1
        end = _string_end(data_ptr, data_len, key_start, &is_plain)
        if end < 0:
            return False
        is_topic = end - key_start == 5 and memcmp(data_ptr + key_start, b"topic", 5) == 0
        position = _skip_spaces(data_ptr, data_len, end + 1)
        if position >= data_len or byte_at(data_ptr, data_len, position) != c":":
            return False
        position = _skip_spaces(data_ptr, data_len, position + 1)
        if position >= data_len:
            return False
        if is_topic:
            if byte_at(data_ptr, data_len, position) != c'"':
                return False
            key_start = position + 1
            end = _string_end(data_ptr, data_len, key_start, &is_plain)
            if end < 0 or not is_plain or not _is_plain_text(data_ptr, data_len, key_start, end):
                return False
            _found(data_ptr, key_start, end - key_start, route)
            return True
        position = _value_end(data_ptr, data_len, position)
        if position < 0:
            return False
        position = _skip_spaces(data_ptr, data_len, position)
        if position >= data_len or byte_at(data_ptr, data_len, position) != c",":
            return False
        position += 1


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
        not _probe_smd_tail(data_ptr, data_len, &route)
        and not _probe_tail(data_ptr, data_len, &route)
        and not _probe_head(data_ptr, data_len, &route)
        and not _walk(data_ptr, data_len, &route)
        and route.verdict == VERDICT_NOT_JSON
    ):
        route.kind = KIND_MALFORMED
    return route


@cython.final
cdef class Classification:
    cdef Classified _route

    def __init__(self):
        raise TypeError("a Classification is what classify_bytes() returns; it is not made by hand")

    @property
    def verdict(self):
        return self._route.verdict

    @property
    def kind(self):
        return self._route.kind

    @property
    def conid(self):
        return self._route.conid

    @property
    def topic_start(self):
        return self._route.topic_start

    @property
    def topic_length(self):
        return self._route.topic_length


def classify_bytes(data):
    cdef Py_buffer view
    cdef Classification answer = Classification.__new__(Classification)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        answer._route = classify_ptr(<const char*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return answer


def route_topic(bytes topic not None):
    cdef Classified route
    route_topic_ptr(topic, len(topic), &route)
    return route.kind, route.conid
