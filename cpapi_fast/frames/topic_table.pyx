"""A table that maps topics to small numbers (slots), and finds the slots of all frames of a batch in one pass.

The key is the topic as `Frame.topic` returns it. Nearly always its UTF-8 form equals the bytes in the batch. For topics
with escapes or invalid UTF-8 it does not, so those are decoded.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc

from .text_table cimport BYTES_BEFORE, NO_SLOT, UNRESOLVED, find_slot


cdef inline int32_t _slot_of_frame(TextTable texts, Batch batch, Py_ssize_t index) noexcept:
    # Returns the slot of the frame's topic, NO_SLOT or UNRESOLVED.
    cdef:
        Py_ssize_t start = batch.topic_starts_ptr[index]
        Py_ssize_t length = batch.topic_lengths_ptr[index]
        Py_ssize_t offset = batch.offsets_ptr[index]

    if start < BYTES_BEFORE:
        return NO_SLOT if length == 0 else UNRESOLVED
    return find_slot(texts, batch.arena_ptr + offset, batch.offsets_ptr[index + 1] - offset, start, length)


@cython.final
cdef class TopicTable:
    """Maps topics to slots. One table per feed is shared by all objects that keep state for each topic.

    Slots are numbered from 0, so that a list or array can be indexed by slot. The slot of a removed topic is reused for
    the next topic that is added.
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
        """Return the slot of a topic, and add the topic if the table does not have it. Idempotent.

        Args:
            topic: the topic as in frames, such as `smd+265598`.

        Raises:
            SubscriptionError: the text cannot be encoded as UTF-8, so no frame can have it.
        """
        return self._texts.add(topic)

    def remove(self, Py_ssize_t slot):
        """Remove the topic of a slot, so that the slot can be reused for another topic.

        Objects that keep state for the slot must remove it before this call.

        Raises:
            UsageError: the slot has no topic.
        """
        self._texts.remove(slot)

    def check(self, Py_ssize_t slot):
        """Check that a slot has a topic.

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
            index: the index of the frame in the batch.

        Raises:
            IndexError: the index is out of range.
        """
        cdef int32_t slot
        if index < 0 or index >= batch.frame_count:
            raise IndexError(f"the batch has {batch.frame_count} frames")
        slot = _slot_of_frame(self._texts, batch, index)
        return self._resolve_decoded(batch, index) if slot == UNRESOLVED else slot

    def slots_of(self, Batch batch not None):
        """Return the slots of all frames of a batch as a list of int, as `slot_of` does for each, in one pass."""
        cdef Py_ssize_t index
        self.resolve(batch)
        return [self.slots_ptr[index] for index in range(batch.frame_count)]

    def __len__(self):
        """The number of topics."""
        return self._texts.text_count

    def __reduce__(self):
        raise TypeError("a TopicTable cannot be copied or pickled")
