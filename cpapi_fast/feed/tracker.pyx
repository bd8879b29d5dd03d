"""When each subscription was last heard of, and which frames of a batch somebody must look at.

One pass in C over a batch, as it comes from the socket. Where nothing has to be looked at, the pass makes no object.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int32_t, int64_t, uint8_t

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.classifier cimport KIND_MALFORMED, KIND_MARKET_DATA, KIND_OTHER, KIND_SYSTEM
from cpapi_fast.frames.topic_table cimport ASK_DECODER, TextSlots, slot_of_frame

# One bit for each kind that is always worth a look. They are rare, and what they say decides about the others.
cdef enum:
    RARE_KINDS = 1 << KIND_SYSTEM | 1 << KIND_OTHER | 1 << KIND_MALFORMED


cdef struct Heard:
    # How many frames the slot has had, and when the last one came: by its batch, and by the clock of whoever scans.
    int64_t frames
    int64_t last_ns
    double last_s
    bint is_armed


@cython.final
cdef class Tracker:
    cdef:
        readonly int64_t frames
        readonly int64_t untracked
        readonly double last_s
        TextSlots _topics
        Heard* _heard_ptr
        Py_ssize_t _capacity

    def __cinit__(self):
        self._topics = TextSlots()

    def __dealloc__(self):
        PyMem_Free(self._heard_ptr)

    def add(self, str topic not None):
        cdef:
            Py_ssize_t known = len(self._topics)
            Py_ssize_t slot
        if len(self._topics.texts) == self._capacity:
            self._grow(2 * self._capacity + 8)
        slot = self._topics.add_text(topic)
        if len(self._topics) != known:
            self._heard_ptr[slot] = Heard(0, 0, 0.0, False)
        return slot

    cdef int _grow(self, Py_ssize_t capacity) except -1:
        cdef Heard* heard_ptr = <Heard*>PyMem_Realloc(self._heard_ptr, capacity * sizeof(Heard))
        if heard_ptr == NULL:
            raise MemoryError(f"no memory for {capacity} topics")
        self._heard_ptr = heard_ptr
        self._capacity = capacity
        return 0

    def remove(self, Py_ssize_t slot):
        self._topics.remove(slot)

    def arm(self, Py_ssize_t slot):
        self._topics.check(slot)
        self._heard_ptr[slot].is_armed = True

    def disarm(self, Py_ssize_t slot):
        self._topics.check(slot)
        self._heard_ptr[slot].is_armed = False

    def scan(self, Batch batch not None, double now_s):
        cdef:
            TextSlots topics = self._topics
            Heard* heard
            list worth = None
            Py_ssize_t index
            int32_t slot
            uint8_t kind
            bint is_worth

        if batch.frame_count == 0:
            return None
        for index in range(batch.frame_count):
            kind = batch.kinds_ptr[index]
            is_worth = (RARE_KINDS >> kind) & 1
            slot = slot_of_frame(topics, batch, index)
            if slot == ASK_DECODER:
                slot = topics.ask_frame(batch, index)
                is_worth |= batch.topic_lengths_ptr[index] < 0
            if slot >= 0:
                heard = &self._heard_ptr[slot]
                heard.frames += 1
                heard.last_ns = batch.received_ns_ptr[index]
                heard.last_s = now_s
                is_worth |= heard.is_armed
            elif kind == KIND_MARKET_DATA:
                self.untracked += 1
            if is_worth:
                if worth is None:
                    worth = []
                worth.append(index)
        self.frames += batch.frame_count
        self.last_s = now_s
        return worth

    def slot_of(self, Batch batch not None, Py_ssize_t index):
        return self._topics.slot_of(batch, index)

    def read(self, Py_ssize_t slot):
        self._topics.check(slot)
        return self._heard_ptr[slot].frames, self._heard_ptr[slot].last_ns, self._heard_ptr[slot].last_s

    def __reduce__(self):
        raise TypeError("a Tracker cannot be copied or pickled")
