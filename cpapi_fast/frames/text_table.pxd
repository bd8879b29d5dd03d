"""The C side of TextTable: from the bytes of a text to its slot."""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcmp

from cpapi_fast._json.scan cimport byte_at, word_at


# One place of the hash table. The first and the last eight bytes are the whole text up to a length of 16. Of a text
# shorter than eight bytes, `first` is 0 and `last` is the text.
cdef struct Place:
    uint64_t first
    uint64_t last
    # -1 in an empty place, so that it equals no text.
    int32_t length
    # -1: the place is empty.
    int32_t slot


cdef enum:
    # The text has no slot. For a frame also: the frame has no topic.
    NO_SLOT = -1
    # The bytes do not decide it: they are not ASCII and may be invalid UTF-8, or the topic is written with escapes.
    # Decode the text and look it up as a str.
    UNRESOLVED = -2


# How many readable bytes must stand before a text that is looked up. Before a topic that the classifier located stand
# at least `{"topic":"`.
cdef enum:
    BYTES_BEFORE = 8


cdef class TextTable:
    cdef:
        # A power of two of places, at least half of them empty. A text is at `home_of`, or further on with no empty
        # place between.
        Place* places_ptr
        size_t last_place
        # A place's number is the highest bits of a hash of 64: what is left after this shift.
        int shift
        Py_ssize_t text_count
        # The texts in UTF-8 by their slots; None where a slot is free. Slots are below its length, which never shrinks.
        list texts
        list _free

    cdef int32_t add(self, str text) except -1
    cdef int remove(self, Py_ssize_t slot) except -1
    # UsageError where the slot has no text.
    cdef int check(self, Py_ssize_t slot) except -1
    # A slot or NO_SLOT.
    cdef int32_t find(self, str text) except -2
    cdef int _grow(self) except -1


cdef inline size_t home_of(TextTable table, uint64_t first, uint64_t last) noexcept:
    # The highest bits of a product depend on every bit of its factors, the others only on those below them.
    return <size_t>(((first * 0x9E3779B97F4A7C15u >> 32) ^ last) * 0x9E3779B97F4A7C15u >> table.shift)


cdef inline void words_of(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length, uint64_t* first, uint64_t* last
) noexcept nogil:
    # `start` is at least BYTES_BEFORE.
    last[0] = word_at(text_ptr, text_len, start + length - 8)
    if length >= 8:
        first[0] = word_at(text_ptr, text_len, start)
    else:
        first[0] = 0
        # In two steps, because C does not define a shift by all 64 bits.
        last[0] = (last[0] >> 1) >> (63 - 8 * length)


cdef inline bint is_same_text(TextTable table, Py_ssize_t slot, const char* text_ptr, Py_ssize_t length) noexcept:
    # The text of the slot has this length.
    return memcmp(PyBytes_AS_STRING(<bytes>PyList_GET_ITEM(table.texts, slot)), text_ptr, <size_t>length) == 0


cdef inline bint is_ascii(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept nogil:
    cdef Py_ssize_t position
    for position in range(start, start + length):
        if byte_at(text_ptr, text_len, position) >= 0x80:
            return False
    return True


cdef inline int32_t find_words(
    TextTable table, uint64_t first, uint64_t last, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start,
    Py_ssize_t length
) noexcept:
    # The same as find_slot(), for a caller that has the words of words_of().
    cdef:
        const Place* place
        size_t home = home_of(table, first, last)

    while True:
        place = &table.places_ptr[home]
        if place.last == last and place.length == length and place.first == first:
            if length <= 16 or is_same_text(table, place.slot, text_ptr + start, length):
                return place.slot
        elif place.slot < 0:
            break
        home = (home + 1) & table.last_place
    # Invalid UTF-8 is decoded with U+FFFD in its place, and that text may have a slot.
    if ((first | last) & 0x8080808080808080u) == 0 and (
        length <= 16 or is_ascii(text_ptr, text_len, start, length)
    ):
        return NO_SLOT
    return UNRESOLVED


cdef inline int32_t find_slot(
    TextTable table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept:
    # The slot of text_ptr[start:start + length], NO_SLOT or UNRESOLVED. `start` is at least BYTES_BEFORE.
    cdef uint64_t first, last
    words_of(text_ptr, text_len, start, length, &first, &last)
    return find_words(table, first, last, text_ptr, text_len, start, length)
