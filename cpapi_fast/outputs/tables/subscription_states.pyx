"""The state of each subscription in a table: the values to carry forward, the segment, and the latest values"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.frame cimport Frame
from cpapi_fast.frames.text_table cimport TextTable
from cpapi_fast.frames.topic_table cimport TopicTable


@cython.final
cdef class SubscriptionStates:
    """The states of the subscriptions of one table. Not thread-safe, except for `latest`.

    The gateway can invent topics. Only those of `targets` and a number of others have a state of their own.

    Args:
        field_count: how many fields are carried forward.
        targets: the targets that were subscribed to, which always have a state.
        most_others: how many other targets have one.
        longest_target: how long the name of another target may be.
    """

    def __cinit__(self, Py_ssize_t field_count, targets, Py_ssize_t most_others, Py_ssize_t longest_target):
        self.topics = TopicTable()
        self.field_count = field_count
        self._most_others = most_others
        self._longest_target = longest_target
        self.names = []
        self.availabilities = []
        self._first_entries = {}
        for target in targets:
            self.topics.add(f"smd+{target}")
        self._grow(self.topics.slot_limit() + 1)

    def __dealloc__(self):
        PyMem_Free(self.states_ptr)
        PyMem_Free(self.values_ptr)
        PyMem_Free(self.codes_ptr)
        PyMem_Free(self.valid_ptr)
        PyMem_Free(self.prefixes_ptr)

    cdef int _grow(self, Py_ssize_t entry_count) except -1:
        # Makes room for twice as many entries as necessary. Each block is replaced on its own, so that an error leaves
        # valid pointers.
        cdef:
            Py_ssize_t first = self.entry_count
            Py_ssize_t cells = 2 * entry_count * self.field_count
            void* block_ptr
            Py_ssize_t entry
        block_ptr = PyMem_Realloc(self.states_ptr, <size_t>(2 * entry_count) * sizeof(State))
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the states of {entry_count} subscriptions")
        self.states_ptr = <State*>block_ptr
        block_ptr = PyMem_Realloc(self.values_ptr, <size_t>cells * sizeof(double))
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the values of {entry_count} subscriptions")
        self.values_ptr = <double*>block_ptr
        block_ptr = PyMem_Realloc(self.codes_ptr, <size_t>cells * sizeof(int32_t))
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the texts of {entry_count} subscriptions")
        self.codes_ptr = <int32_t*>block_ptr
        block_ptr = PyMem_Realloc(self.valid_ptr, <size_t>cells)
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the fields of {entry_count} subscriptions")
        self.valid_ptr = <uint8_t*>block_ptr
        block_ptr = PyMem_Realloc(self.prefixes_ptr, <size_t>cells)
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the prefixes of {entry_count} subscriptions")
        self.prefixes_ptr = <uint8_t*>block_ptr
        for entry in range(first, 2 * entry_count):
            self._clear(entry)
            self.names.append(None)
            self.availabilities.append(None)
        self.entry_count = 2 * entry_count
        return 0

    cdef void _clear(self, Py_ssize_t entry) noexcept:
        cdef:
            State* state = &self.states_ptr[entry]
            Py_ssize_t first = entry * self.field_count
            Py_ssize_t index
        memset(state, 0, sizeof(State))
        state.updated = state.last = state.bid = state.ask = NAN
        state.availability = state.symbol = state.latest_availability = NO_TEXT
        state.target = NOT_ADDED
        state.symbol_entry = entry
        state.end_ns = self._end_ns
        for index in range(self.field_count):
            self.values_ptr[first + index] = NAN
            self.codes_ptr[first + index] = NO_TEXT
        memset(self.valid_ptr + first, 0, <size_t>self.field_count)
        memset(self.prefixes_ptr + first, 0, <size_t>self.field_count)

    cdef Py_ssize_t entry_of(self, Batch batch, Py_ssize_t index) except -1:
        cdef Py_ssize_t slot = self.topics.slots_ptr[index]
        if slot < 0 or self.names[slot + 1] is None:
            return self._add(batch, index)
        return slot + 1

    cdef Py_ssize_t _add(self, Batch batch, Py_ssize_t index) except -1:
        # Returns the entry of a topic that had no frame yet, or none before this batch; 0 if there is no room for it.
        cdef:
            Frame frame = batch.frame_at(index)
            str topic = frame.topic
            object target = frame.target
            str name = str(frame.conid) if target is None else target
            Py_ssize_t entry = self.topics._texts.find(topic) + 1
        if entry == 0:
            entry = self._add_topic(topic)
        if entry == 0:
            self._unlisted += 1
            self._clear(0)
            return 0
        if self.names[entry] is None:
            # Exchanges of a contract have the same symbol. Combinations may have the conid of another one.
            if target is None or ";" not in target:
                self.states_ptr[entry].symbol_entry = self._first_entries.setdefault(frame.conid, entry)
            self.names[entry] = name
        return entry

    cdef Py_ssize_t _add_topic(self, str topic) except -1:
        # Returns the entry of a topic that has none; 0 if there is no room for it.
        cdef Py_ssize_t entry
        if self._others >= self._most_others or len(topic) > self._longest_target + 4:
            return 0
        entry = self.topics._texts.add(topic) + 1
        self._others += 1
        if entry >= self.entry_count:
            self._grow(entry + 1)
        return entry

    cdef int begin_segment(self, Py_ssize_t entry, int64_t received_ns) except -1:
        cdef:
            State* state = &self.states_ptr[entry]
            int64_t previous = self._last_unlisted if entry == 0 else state.segment
        if state.end_ns and received_ns >= state.end_ns:
            state.end_ns = 0
            self._end_segment(entry)
        if not state.has_segment:
            # Two segments never have the same number, also if they begin in the same socket read.
            state.segment = received_ns if received_ns > previous else previous + 1
            state.has_segment = True
            if entry == 0:
                self._last_unlisted = state.segment
        return 0

    cdef void _end_segment(self, Py_ssize_t entry) noexcept:
        cdef:
            State* state = &self.states_ptr[entry]
            Py_ssize_t first = entry * self.field_count
        state.has_segment = False
        state.is_first_snapshot = False
        state.availability = NO_TEXT
        memset(self.valid_ptr + first, 0, <size_t>self.field_count)
        memset(self.prefixes_ptr + first, 0, <size_t>self.field_count)

    def end_segments(self, topic, first_good_ns=None):
        """End the segment of a topic, or those of all topics for None: values before it are not carried on.

        Args:
            topic: the topic.
            first_good_ns: the receive time of the first frame after the gap, None if it is not known. If frames with
                an earlier time follow, the segment that begins with them ends before the first one with this time or a
                later one, because joined gaps are reported before frames that lie between them.
        """
        cdef:
            int64_t end_ns = 0 if first_good_ns is None else first_good_ns
            Py_ssize_t entry
        if topic is None:
            self._end_ns = max(self._end_ns, end_ns)
            for entry in range(self.entry_count):
                self._end_segment(entry)
                self.states_ptr[entry].end_ns = max(self.states_ptr[entry].end_ns, end_ns)
            return
        entry = self.topics._texts.find(topic) + 1
        if entry == 0 and end_ns and topic.startswith("smd+"):
            entry = self._add_topic(topic)
        if 0 < entry < self.entry_count:
            self._end_segment(entry)
            self.states_ptr[entry].end_ns = max(self.states_ptr[entry].end_ns, end_ns)

    cdef Py_ssize_t move_texts(self, TextTable old, TextTable new) except -1:
        cdef:
            Py_ssize_t entry, cell
            Py_ssize_t moved_bytes = 0
            # By code in the old table: the code in the new one.
            dict codes = {NO_TEXT: NO_TEXT}
            State* state
        for entry in range(self.entry_count):
            state = &self.states_ptr[entry]
            state.target = NOT_ADDED
            state.latest_availability = NO_TEXT
            state.availability = _moved(old, new, codes, state.availability, &moved_bytes)
            state.symbol = _moved(old, new, codes, state.symbol, &moved_bytes)
        for cell in range(self.entry_count * self.field_count):
            # Nothing reads the code of a text that is not carried on.
            self.codes_ptr[cell] = (
                _moved(old, new, codes, self.codes_ptr[cell], &moved_bytes) if self.valid_ptr[cell] else NO_TEXT
            )
        return moved_bytes

    def latest(self, Py_ssize_t entry, Py_ssize_t frames_seen):
        """Return the latest values of an entry as a tuple, or None if it has no more frames than `frames_seen`.

        The values are the name, the receive time, last, bid and ask price, the availability, the number of frames, and
        the prefix of the last price (`C` or `H`); None for what is unknown.

        Raises:
            IndexError: there is no such entry.
        """
        cdef State* state
        self._check(entry)
        state = &self.states_ptr[entry]
        if state.frame_count <= frames_seen or self.names[entry] is None:
            return None
        return (
            self.names[entry],
            state.received_ns,
            _known(state.last),
            _known(state.bid),
            _known(state.ask),
            self.availabilities[entry],
            state.frame_count,
            chr(state.last_prefix) if state.last_prefix else None,
        )

    @property
    def unlisted(self):
        """How many frames had topics for which there was no room."""
        return self._unlisted

    cdef int _check(self, Py_ssize_t entry) except -1:
        if entry < 0 or entry >= self.entry_count:
            raise IndexError(f"there are {self.entry_count} entries")
        return 0

    def __len__(self):
        """The number of entries, of which entry 0 has no subscription."""
        return self.entry_count

    def __reduce__(self):
        raise TypeError("SubscriptionStates cannot be copied or pickled")


cdef object _known(double value):
    return None if value != value else value


cdef int32_t _moved(TextTable old, TextTable new, dict codes, int32_t code, Py_ssize_t* moved_bytes) except -2:
    # The code of a text in another table.
    cdef:
        object moved = codes.get(code)
        bytes text
    if moved is None:
        text = old.texts[code]
        moved = new.add_bytes(text)
        codes[code] = moved
        moved_bytes[0] += len(text)
    return <int32_t>moved
