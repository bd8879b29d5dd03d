"""A table of topics with a small number (slot) for each; it resolves the frames of a batch to slots in one pass.

A frame's identity is the text of its topic, as `Frame.topic` returns it. Nearly always that is the bytes that the batch
points at. Where it is not (escapes, invalid UTF-8), the frame is decoded.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc

from .text_table cimport BYTES_BEFORE, NO_SLOT, UNRESOLVED, find_slot


cdef inline int32_t _slot_of_frame(TextTable texts, Batch batch, Py_ssize_t index) noexcept:
    # The slot of the frame's topic, NO_SLOT or UNRESOLVED.
    cdef:
        Py_ssize_t start = batch.topic_starts_ptr[index]
        Py_ssize_t length = batch.topic_lengths_ptr[index]
        Py_ssize_t offset = batch.offsets_ptr[index]

    if start < BYTES_BEFORE:
        return NO_SLOT if length == 0 else UNRESOLVED
    return find_slot(texts, batch.arena_ptr + offset, batch.offsets_ptr[index + 1] - offset, start, length)


@cython.final
cdef class TopicTable:
    """Slots of topics: one table per feed, shared by everything that keeps state for each topic.

    Slots count up from 0, so that a list or array indexed by slot can hold that state. The slot of a removed topic is
    given to the next topic that is added.
    """

    def __cinit__(self):
        self._texts = TextTable()

    def __dealloc__(self):
        PyMem_Free(self.slots_ptr)

    cdef int _grow(self, Py_ssize_t frame_count) except -1:
        cdef:
            Py_ssize_t capacity = max(frame_count, 2 * self._frame_capacity)
            int32_t* slots_ptr = <int32_t*>PyMem_Realloc(self.slots_ptr, capacity * sizeof(int32_t))
        if slots_ptr == NULL:
            raise MemoryError(f"no memory for the slots of {capacity} frames")
        self.slots_ptr = slots_ptr
        self._frame_capacity = capacity
        return 0

    cdef Py_ssize_t slot_limit(self) noexcept:
        return len(self._texts.texts)

    cdef int check_slot(self, Py_ssize_t slot) except -1:
        return self._texts.check(slot)

    cdef int32_t _resolve_decoded(self, Batch batch, Py_ssize_t index) except -2:
        cdef object topic = batch.frame_at(index).topic
        return NO_SLOT if topic is None else self._texts.find(<str>topic)

    cdef int resolve(self, Batch batch) except -1:
        cdef:
            TextTable texts = self._texts
            Py_ssize_t index
            int32_t slot
        if batch.frame_count > self._frame_capacity:
            self._grow(batch.frame_count)
        self.has_escapes = False
        for index in range(batch.frame_count):
            slot = _slot_of_frame(texts, batch, index)
            if slot == UNRESOLVED:
                slot = self._resolve_decoded(batch, index)
                if batch.topic_lengths_ptr[index] < 0:
                    self.has_escapes = True
            self.slots_ptr[index] = slot
        return 0

    def add(self, str topic not None):
        """Return the slot of a topic; a topic that is not in the table is added. Idempotent.

        Args:
            topic: the text as frames have it, such as `smd+265598`.

        Raises:
            SubscriptionError: the text cannot be encoded as UTF-8, so no frame can have it.
        """
        return self._texts.add(topic)

    def remove(self, Py_ssize_t slot):
        """Remove the topic of a slot; the slot is free for another topic.

        What other objects keep for the slot is removed by them, before this call.

        Raises:
            UsageError: the slot has no topic.
        """
        self._texts.remove(slot)

    def check(self, Py_ssize_t slot):
        """Raise unless the slot has a topic.

        Raises:
            UsageError: the slot has no topic.
        """
        self._texts.check(slot)

    def find(self, str topic not None):
        """Return the slot of a topic, or -1 when the table does not have it."""
        return self._texts.find(topic)

    def slot_of(self, Batch batch not None, Py_ssize_t index):
        """Return the slot of a frame's topic, or -1 when the table does not have it or the frame has no topic.

        Args:
            batch: a finished batch.
            index: which of its frames.

        Raises:
            IndexError: there is no such frame.
        """
        cdef int32_t slot
        if index < 0 or index >= batch.frame_count:
            raise IndexError(f"the batch has {batch.frame_count} frames")
        slot = _slot_of_frame(self._texts, batch, index)
        return self._resolve_decoded(batch, index) if slot == UNRESOLVED else slot

    def slots_of(self, Batch batch not None):
        """Return the slots of all frames of a batch as a list: `slot_of` for each, in one pass."""
        cdef Py_ssize_t index
        self.resolve(batch)
        return [self.slots_ptr[index] for index in range(batch.frame_count)]

    def __len__(self):
        """The number of topics."""
        return self._texts.text_count

    def __reduce__(self):
        raise TypeError("a TopicTable cannot be copied or pickled")
