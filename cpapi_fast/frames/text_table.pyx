"""A hash table that maps texts, as bytes, to small numbers (slots): for topics and for keys.

Open addressing with linear probing. A lookup creates no Python object.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from cpapi_fast.errors import SubscriptionError, UsageError

cdef enum:
    FEWEST_PLACES = 16
    FEWEST_SHIFT = 64 - 4


cdef Place EMPTY = Place(0, 0, -1, NO_SLOT)


cdef Place* _empty_places(size_t count) except NULL:
    cdef:
        Place* places_ptr = <Place*>PyMem_Malloc(count * sizeof(Place))
        size_t index
    if places_ptr == NULL:
        raise MemoryError("no memory for a table of texts")
    for index in range(count):
        places_ptr[index] = EMPTY
    return places_ptr


cdef inline Place _place_of(bytes text, Py_ssize_t slot):
    cdef:
        bytes padded = b"\0" * BYTES_BEFORE + text
        Place place = Place(0, 0, <int32_t>len(text), <int32_t>slot)
    words_of(padded, len(padded), BYTES_BEFORE, len(text), &place.first, &place.last)
    return place


cdef inline void _put(TextTable table, const Place* place) noexcept:
    # The table must have an empty place and must not contain this text.
    cdef size_t home = home_of(table, place.first, place.last)
    while table.places_ptr[home].slot >= 0:
        home = (home + 1) & table.last_place
    table.places_ptr[home] = place[0]


@cython.final
cdef class TextTable:
    """Maps texts to slots, for compiled modules only. It has no Python methods.

    Slots are numbered from 0. The slot of a removed text is reused for the next text that is added.
    """

    def __cinit__(self):
        self.places_ptr = _empty_places(FEWEST_PLACES)
        self.last_place = FEWEST_PLACES - 1
        self.shift = FEWEST_SHIFT
        self.texts = []
        self._free = []

    def __dealloc__(self):
        PyMem_Free(self.places_ptr)

    cdef int _grow(self) except -1:
        cdef:
            Place* old_ptr = self.places_ptr
            size_t old_count = self.last_place + 1
            size_t index
        self.places_ptr = _empty_places(2 * old_count)
        self.last_place = 2 * old_count - 1
        self.shift -= 1
        for index in range(old_count):
            if old_ptr[index].slot >= 0:
                _put(self, &old_ptr[index])
        PyMem_Free(old_ptr)
        return 0

    cdef int32_t find(self, str text) except -2:
        cdef:
            bytes padded
            int32_t slot
        try:
            padded = b"\0" * BYTES_BEFORE + text.encode()
        except UnicodeEncodeError:
            # A lone surrogate: no frame can contain such a text.
            return NO_SLOT
        slot = find_slot(self, padded, len(padded), BYTES_BEFORE, len(padded) - BYTES_BEFORE)
        return NO_SLOT if slot == UNRESOLVED else slot

    cdef int32_t add(self, str text) except -1:
        cdef:
            int32_t slot = self.find(text)
            bytes encoded
        if slot != NO_SLOT:
            return slot
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise SubscriptionError("this text has a lone surrogate, which UTF-8 cannot encode") from None
        return self._put_new(encoded)

    cdef int32_t add_bytes(self, bytes encoded) except -1:
        cdef:
            bytes padded = b"\0" * BYTES_BEFORE + encoded
            int32_t slot = find_slot(self, padded, len(padded), BYTES_BEFORE, len(encoded))
        return slot if slot >= 0 else self._put_new(encoded)

    cdef int32_t _put_new(self, bytes encoded) except -1:
        cdef:
            int32_t slot
            Place place
        if 2 * (self.text_count + 1) > <Py_ssize_t>self.last_place:
            self._grow()
        if self._free:
            slot = self._free.pop()
            self.texts[slot] = encoded
        else:
            slot = <int32_t>len(self.texts)
            self.texts.append(encoded)
        place = _place_of(encoded, slot)
        _put(self, &place)
        self.text_count += 1
        return slot

    cdef int remove(self, Py_ssize_t slot) except -1:
        cdef:
            Place place
            size_t gap, at, home
        self.check(slot)
        place = _place_of(<bytes>self.texts[slot], slot)
        gap = home_of(self, place.first, place.last)
        while self.places_ptr[gap].slot != slot:
            gap = (gap + 1) & self.last_place
        # A lookup ends at an empty place. So each entry after the gap, up to the next empty place, is moved into the
        # gap unless its home is between the gap and the entry.
        at = gap
        while True:
            at = (at + 1) & self.last_place
            if self.places_ptr[at].slot < 0:
                break
            home = home_of(self, self.places_ptr[at].first, self.places_ptr[at].last)
            if ((at - home) & self.last_place) >= ((at - gap) & self.last_place):
                self.places_ptr[gap] = self.places_ptr[at]
                gap = at
        self.places_ptr[gap] = EMPTY
        self.texts[slot] = None
        self._free.append(slot)
        self.text_count -= 1
        return 0

    cdef int check(self, Py_ssize_t slot) except -1:
        if slot < 0 or slot >= len(self.texts) or self.texts[slot] is None:
            raise UsageError(f"slot {slot} has no text; use a slot that add() returned and remove() did not free")
        return 0

    def __reduce__(self):
        raise TypeError("a TextTable cannot be copied or pickled")
