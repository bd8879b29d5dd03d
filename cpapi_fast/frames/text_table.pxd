"""The C interface of TextTable: finds the slot of a text from its bytes."""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcmp

from cpapi_fast._json.scan cimport byte_at, word_at


# One place of the hash table, with the first and the last eight bytes of its text: all of it up to a length of 16. For
# a text shorter than eight bytes, `first` is 0 and `last` is the text.
cdef struct Place:
    uint64_t first
    uint64_t last
    # -1 in an empty place, so that no text equals it.
    int32_t length
    # -1: the place is empty.
    int32_t slot


cdef enum:
    # The text has no slot, or the frame has no topic.
    NO_SLOT = -1
    # The bytes cannot be compared: they are not ASCII and may be invalid UTF-8, or the topic has escapes. Decode the
    # text and find it as a str.
    UNRESOLVED = -2


# The number of readable bytes that must precede the text in a lookup. A topic that the classifier found follows at
# least `{"topic":"`.
cdef enum:
    BYTES_BEFORE = 8


cdef class TextTable:
    cdef:
        # The number of places is a power of two, and at least half of them are empty. A text is in the place `home_of`,
        # or in a later one with no empty place in between.
        Place* places_ptr
        size_t last_place
        # A 64-bit hash shifted right by this number is the index of a place.
        int shift
        Py_ssize_t text_count
        # The texts in UTF-8 by slot; None for a free slot. The list never shrinks, and all slots are below its length.
        list texts
        list _free

    cdef int32_t add(self, str text) except -1
    # The same for a text in UTF-8, which is not copied.
    cdef int32_t add_bytes(self, bytes encoded) except -1
    cdef int32_t _put_new(self, bytes encoded) except -1
    cdef int remove(self, Py_ssize_t slot) except -1
    # Raises UsageError if the slot has no text.
    cdef int check(self, Py_ssize_t slot) except -1
    # Returns a slot or NO_SLOT.
    cdef int32_t find(self, str text) except -2
    cdef int _grow(self) except -1


cdef inline size_t home_of(TextTable table, uint64_t first, uint64_t last) noexcept:
    # The highest bits of a product depend on all bits of its factors; a lower bit depends only on those up to its own.
    return <size_t>(((first * 0x9E3779B97F4A7C15u >> 32) ^ last) * 0x9E3779B97F4A7C15u >> table.shift)


cdef inline void words_of(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length, uint64_t* first, uint64_t* last
) noexcept nogil:
    # Sets the members of a Place. `start` must be at least BYTES_BEFORE.
    last[0] = word_at(text_ptr, text_len, start + length - 8)
    if length >= 8:
        first[0] = word_at(text_ptr, text_len, start)
    else:
        first[0] = 0
        # In two steps, because C does not define a shift by all 64 bits.
        last[0] = (last[0] >> 1) >> (63 - 8 * length)


cdef inline bint is_same_text(TextTable table, Py_ssize_t slot, const char* text_ptr, Py_ssize_t length) noexcept:
    # The text of the slot must have this length.
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
    # The same as find_slot(), for a caller that has the results of words_of().
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
    # Invalid UTF-8 is decoded as U+FFFD, and the text with U+FFFD may have a slot.
    if ((first | last) & 0x8080808080808080u) == 0 and (
        length <= 16 or is_ascii(text_ptr, text_len, start, length)
    ):
        return NO_SLOT
    return UNRESOLVED


cdef inline int32_t find_slot(
    TextTable table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept:
    # Returns the slot of text_ptr[start:start + length], NO_SLOT or UNRESOLVED. `start` must be at least BYTES_BEFORE.
    cdef uint64_t first, last
    words_of(text_ptr, text_len, start, length, &first, &last)
    return find_words(table, first, last, text_ptr, text_len, start, length)
