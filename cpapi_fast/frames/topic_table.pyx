"""A number for each text: an open-addressing table over the bytes of topics, looked up once per frame, or of keys.

The identity of a frame is the text of its topic, as `Frame.topic` has it. For nearly every frame that is the bytes that
its batch points at; where it is not (escapes, bytes that are not UTF-8) the frame is asked.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from cpapi_fast.errors import SubscriptionError, UsageError

cdef enum:
    FEWEST_PLACES = 16
    FEWEST_SHIFT = 64 - 4


cdef Place* _empty_places(size_t count) except NULL:
    cdef:
        Place* places_ptr = <Place*>PyMem_Malloc(count * sizeof(Place))
        size_t index
    if places_ptr == NULL:
        raise MemoryError("no memory for the table of texts")
    for index in range(count):
        places_ptr[index] = Place(0, 0, 0, NO_SLOT)
    return places_ptr


cdef inline Place _place_of(bytes text, Py_ssize_t slot):
    cdef:
        bytes padded = b"\0" * BYTES_BEFORE + text
        Place place = Place(0, 0, <int32_t>len(text), <int32_t>slot)
    words_of(padded, len(padded), BYTES_BEFORE, len(text), &place.first, &place.last)
    return place


cdef inline void _put(TextSlots slots, const Place* place) noexcept:
    # The table has an empty place, and not this text.
    cdef size_t home = home_of(slots, place.first, place.last)
    while slots.places_ptr[home].slot >= 0:
        home = (home + 1) & slots.last_place
    slots.places_ptr[home] = place[0]


@cython.final
cdef class TextSlots:
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

    cdef int32_t slot_of_text(self, str text) except -2:
        cdef:
            bytes padded
            int32_t slot
        try:
            padded = b"\0" * BYTES_BEFORE + text.encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair: no frame has such a text.
            return NO_SLOT
        slot = find_slot(self, padded, len(padded), BYTES_BEFORE, len(padded) - BYTES_BEFORE)
        return NO_SLOT if slot == ASK_DECODER else slot

    cdef int32_t ask_frame(self, Batch batch, Py_ssize_t index) except -2:
        cdef object topic = batch.frame_at(index).topic
        return NO_SLOT if topic is None else self.slot_of_text(<str>topic)

    cdef int32_t add_text(self, str text) except -1:
        cdef:
            int32_t slot = self.slot_of_text(text)
            bytes encoded
            Place place
        if slot != NO_SLOT:
            return slot
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise SubscriptionError("this text holds half of a surrogate pair, which no gateway can send") from None
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

    def add(self, str text not None):
        return self.add_text(text)

    def remove(self, Py_ssize_t slot):
        cdef:
            Place place
            size_t hole, at, home
        self.check(slot)
        place = _place_of(<bytes>self.texts[slot], slot)
        hole = home_of(self, place.first, place.last)
        while self.places_ptr[hole].slot != slot:
            hole = (hole + 1) & self.last_place
        # What stands behind the hole, up to the next empty place, and is not further from its home than the hole is
        # must move into it: a search ends at an empty place.
        at = hole
        while True:
            at = (at + 1) & self.last_place
            if self.places_ptr[at].slot < 0:
                break
            home = home_of(self, self.places_ptr[at].first, self.places_ptr[at].last)
            if ((at - home) & self.last_place) >= ((at - hole) & self.last_place):
                self.places_ptr[hole] = self.places_ptr[at]
                hole = at
        self.places_ptr[hole].slot = NO_SLOT
        self.texts[slot] = None
        self._free.append(slot)
        self.text_count -= 1

    def check(self, Py_ssize_t slot):
        if slot < 0 or slot >= len(self.texts) or self.texts[slot] is None:
            raise UsageError(f"slot {slot} has no text; use a number that add() gave and remove() did not take back")

    def find(self, str text not None):
        return self.slot_of_text(text)

    def slot_of(self, Batch batch not None, Py_ssize_t index):
        cdef int32_t slot
        if index < 0 or index >= batch.frame_count:
            raise IndexError(f"the batch has {batch.frame_count} frames")
        slot = slot_of_frame(self, batch, index)
        return self.ask_frame(batch, index) if slot == ASK_DECODER else slot

    def __len__(self):
        return self.text_count

    def __reduce__(self):
        raise TypeError("TextSlots cannot be copied or pickled")
