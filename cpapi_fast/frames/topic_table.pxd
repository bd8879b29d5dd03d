"""The C side of TextSlots: from bytes, or from a frame of a batch, to the slot of that text."""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcmp

from .batch cimport Batch
from cpapi_fast._json.scan cimport byte_at, word_at


# One place of the hash table. The first and the last eight bytes of a text are all of it up to 16 bytes; of one shorter
# than eight, `first` is 0 and `last` is the text.
cdef struct Place:
    uint64_t first
    uint64_t last
    int32_t length
    # -1: nothing here.
    int32_t slot


cdef enum:
    # The text has no slot. Of a frame: or it has no topic.
    NO_SLOT = -1
    # The bytes are not ASCII, and may be no UTF-8; or the topic is not what stands in the payload. A decoder knows.
    ASK_DECODER = -2


# So many bytes must belong to the text before what is looked up in it. A topic that can be pointed at has at least
# `{"topic":"` before it.
cdef enum:
    BYTES_BEFORE = 8


cdef class TextSlots:
    cdef:
        # A power of two of places, at least half of them empty. A text is at `home_of`, or further on with no empty
        # place between.
        Place* places_ptr
        size_t last_place
        # A hash has 64 bits; the places are numbered by its highest.
        int shift
        Py_ssize_t text_count
        # The texts in UTF-8 by their slots; None where a slot is free. Its length is all the room that slots need.
        list texts
        list _free

    cdef int32_t add_text(self, str text) except -1
    cdef int32_t slot_of_text(self, str text) except -2
    # What slot_of_frame() could not say; NO_SLOT or a slot. It runs Python code: pointers into slots may move.
    cdef int32_t ask_frame(self, Batch batch, Py_ssize_t index) except -2
    cdef int _grow(self) except -1


cdef inline size_t home_of(TextSlots slots, uint64_t first, uint64_t last) noexcept:
    # The highest bits of a product depend on every bit of its factors, the others only on those below them.
    return <size_t>(((first * 0x9E3779B97F4A7C15u >> 32) ^ last) * 0x9E3779B97F4A7C15u >> slots.shift)


cdef inline void words_of(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length, uint64_t* first, uint64_t* last
) noexcept nogil:
    # `start` is at least BYTES_BEFORE.
    last[0] = word_at(text_ptr, text_len, start + length - 8)
    if length >= 8:
        first[0] = word_at(text_ptr, text_len, start)
    else:
        first[0] = 0
        # In two steps, because a shift by all 64 bits is none.
        last[0] = (last[0] >> 1) >> (63 - 8 * length)


cdef inline bint is_same_text(TextSlots slots, Py_ssize_t slot, const char* text_ptr, Py_ssize_t length) noexcept:
    # The text of the slot has this length.
    return memcmp(PyBytes_AS_STRING(<bytes>PyList_GET_ITEM(slots.texts, slot)), text_ptr, <size_t>length) == 0


cdef inline bint is_ascii(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept nogil:
    cdef Py_ssize_t position
    for position in range(start, start + length):
        if byte_at(text_ptr, text_len, position) >= 0x80:
            return False
    return True


cdef inline int32_t find_words(
    TextSlots slots, uint64_t first, uint64_t last, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start,
    Py_ssize_t length
) noexcept:
    # What find_slot() says, once words_of() has the words.
    cdef:
        const Place* place
        size_t home = home_of(slots, first, last)

    while True:
        place = &slots.places_ptr[home]
        if place.slot < 0:
            break
        if place.first == first and place.last == last and place.length == length:
            if length <= 16 or is_same_text(slots, place.slot, text_ptr + start, length):
                return place.slot
        home = (home + 1) & slots.last_place
    # Bytes that are not UTF-8 become U+FFFD in a text, which may have a slot under that name.
    if ((first | last) & 0x8080808080808080u) == 0 and (
        length <= 16 or is_ascii(text_ptr, text_len, start, length)
    ):
        return NO_SLOT
    return ASK_DECODER


cdef inline int32_t find_slot(
    TextSlots slots, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept:
    # The slot of text_ptr[start:start + length], which lies within the text; `start` is at least BYTES_BEFORE.
    cdef uint64_t first, last
    words_of(text_ptr, text_len, start, length, &first, &last)
    return find_words(slots, first, last, text_ptr, text_len, start, length)


cdef inline int32_t slot_of_frame(TextSlots slots, Batch batch, Py_ssize_t index) noexcept:
    # The slot of the frame's topic, NO_SLOT, or ASK_DECODER. `index` is one of the batch, which is finished.
    cdef:
        Py_ssize_t start = batch.topic_starts_ptr[index]
        Py_ssize_t length = batch.topic_lengths_ptr[index]
        Py_ssize_t offset = batch.offsets_ptr[index]

    if start < BYTES_BEFORE:
        return NO_SLOT if length == 0 else ASK_DECODER
    return find_slot(slots, batch.arena_ptr + offset, batch.offsets_ptr[index + 1] - offset, start, length)
