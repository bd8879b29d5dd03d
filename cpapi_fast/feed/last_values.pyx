"""The last value of every field of every topic, with the times of the frame that contained it.

A value is stored as its JSON text, and decoded when it is requested. A frame that the object iterator cannot read, or
whose keys have escapes or bytes beyond ASCII, takes the slow path: it is decoded at once for its keys and stored whole.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcpy, memset

from cpapi_fast._json.object_iterator cimport LAST_MEMBER, NOT_AN_OBJECT, Member, next_key, next_value, object_start
from cpapi_fast._json.scan cimport word_at
from cpapi_fast._json.structural_index cimport Quotes, quotes_of
from cpapi_fast.frames.classifier cimport KIND_MARKET_DATA, NO_CONID
from cpapi_fast.frames.frame cimport new_frame
from cpapi_fast.frames.text_table cimport BYTES_BEFORE, NO_SLOT, UNRESOLVED, find_slot, find_words

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.protocol.fields import FIELDS as _FIELDS

cdef enum:
    # How many keys there is room for that are neither asked for nor in the catalogue, and how long they may be. A feed
    # sees a few dozen.
    MOST_OTHER_KEYS = 256
    LONGEST_KEY = 64
    # The slot of the key `topic`, whose value is not a field.
    TOPIC_KEY = 0
    # Shorter than any text with a topic of market data.
    SHORTEST_TEXT = 16
    # The length of a value that is stored with its whole frame.
    IN_FRAME = -1
    # What _read_members() returns in place of a count.
    NEEDS_DECODER = -1
    MORE_MEMBERS = -2


cdef frozenset _CATALOGUE = frozenset({
    *_FIELDS, *(field.key for field in _FIELDS.values()), "_updated", "conid", "conidEx", "server_id"
})


cdef inline int32_t _key_at(
    TextTable keys, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept:
    # The slot of a key, NO_SLOT or UNRESOLVED.
    cdef uint64_t last
    if start >= BYTES_BEFORE:
        return find_slot(keys, text_ptr, text_len, start, length)
    # The first key: there are not enough bytes before it, but enough behind it.
    last = word_at(text_ptr, text_len, start)
    if length >= 8:
        return find_words(
            keys, last, word_at(text_ptr, text_len, start + length - 8), text_ptr, text_len, start, length
        )
    last &= (<uint64_t>1 << (8 * length)) - 1
    return find_words(keys, 0, last, text_ptr, text_len, start, length)


cdef inline Py_ssize_t _read_members(
    TextTable keys, const char* text_ptr, Py_ssize_t text_len, Span* spans_ptr, Py_ssize_t room
) noexcept:
    # Writes the members, all but the topic, and returns their number. MORE_MEMBERS: there is no room for all of them.
    cdef:
        Quotes quotes = quotes_of(text_ptr, text_len)
        Py_ssize_t position = object_start(text_ptr, text_len)
        Py_ssize_t count = 0
        Py_ssize_t length
        Member member
        int32_t key
        int step

    if position < 0 or text_len < SHORTEST_TEXT:
        return NEEDS_DECODER
    while True:
        if not next_key(&quotes, &position, &member):
            return NEEDS_DECODER
        length = member.key_end - member.key_start
        if quotes.has_backslash and memchr(text_ptr + member.key_start, c"\\", <size_t>length) != NULL:
            return NEEDS_DECODER
        key = _key_at(keys, text_ptr, text_len, member.key_start, length)
        if key == UNRESOLVED:
            return NEEDS_DECODER
        step = next_value(&quotes, &position, &member)
        if step == NOT_AN_OBJECT or member.value_end == member.value_start:
            return NEEDS_DECODER
        if key != TOPIC_KEY:
            if count == room:
                return MORE_MEMBERS
            spans_ptr[count].key = key
            spans_ptr[count].key_start = <int32_t>member.key_start
            spans_ptr[count].key_length = <int32_t>length
            spans_ptr[count].value_start = <int32_t>member.value_start
            spans_ptr[count].value_length = <int32_t>(member.value_end - member.value_start)
            count += 1
        if step == LAST_MEMBER:
            return count


cdef inline void _free_fields(Fields* fields) noexcept:
    cdef Py_ssize_t index
    for index in range(fields.field_count):
        PyMem_Free(fields.fields_ptr[index].long_ptr)
    PyMem_Free(fields.fields_ptr)
    PyMem_Free(fields.index_ptr)
    memset(fields, 0, sizeof(Fields))


cdef int _put_long(Field* field, const char* value_ptr, int32_t length) except -1:
    cdef char* long_ptr = <char*>PyMem_Realloc(field.long_ptr, length)
    if long_ptr == NULL:
        raise MemoryError(f"no memory for a value of {length} bytes")
    memcpy(long_ptr, value_ptr, <size_t>length)
    field.long_ptr = long_ptr
    return 0


cdef inline const char* _text_of(Field* field) noexcept:
    return &field.text[0] if field.length <= SHORT else field.long_ptr


cdef object _payload(const char* text_ptr, Py_ssize_t text_len):
    # The payload of a frame with these bytes.
    return new_frame(text_ptr, text_len, 0, NO_CONID, -1, 0, KIND_MARKET_DATA, None).payload


@cython.final
cdef class LastValues:
    """The last value of every field of every topic that was added, merged from its market data frames.

    A value is stored as the text of the frame; `get` decodes it. There is room for every key that was asked for or is
    in the catalogue, and for 256 other keys of at most 64 characters, over all topics. `left_out` counts the rest.

    Args:
        topics: the table whose slots `add`, `remove` and `get` take.
    """

    def __cinit__(self, TopicTable topics not None):
        self._topics = topics
        self._keys = TextTable()
        self._keys.add("topic")
        self._asked = set()
        self._frames = {}

    def __dealloc__(self):
        cdef Py_ssize_t slot
        for slot in range(self._capacity):
            _free_fields(&self._topics_ptr[slot])
        PyMem_Free(self._topics_ptr)
        PyMem_Free(self._spans_ptr)

    @property
    def malformed(self):
        """How many frames were left out because their payload is not JSON."""
        return self._malformed

    @property
    def left_out(self):
        """How many members of frames were left out, because there was no room for their keys."""
        return self._left_out

    def reserve(self, object keys not None):
        """Keep room for these keys.

        Args:
            keys: keys on the wire as str, such as `31`.
        """
        self._asked.update(keys)

    cdef int32_t _key(self, str name) except -2:
        # The slot of a key, which is added if there is room for it; otherwise NO_SLOT, and the member is counted.
        cdef int32_t key = self._keys.find(name)
        if key != NO_SLOT:
            return key
        if name not in self._asked and name not in _CATALOGUE:
            if self._other_keys >= MOST_OTHER_KEYS or len(name) > LONGEST_KEY:
                self._left_out += 1
                return NO_SLOT
            self._other_keys += 1
        return self._keys.add(name)

    def add(self, Py_ssize_t slot):
        """Keep the values of a slot from now on. Idempotent.

        Raises:
            UsageError: the slot has no topic.
        """
        self._topics.check_slot(slot)
        if slot >= self._capacity:
            self._grow_topics(slot + 1)
        self._topics_ptr[slot].is_kept = True

    def remove(self, Py_ssize_t slot):
        """Delete all values of a slot. Idempotent. Call it before the topic is removed from the table."""
        if 0 <= slot < self._capacity:
            _free_fields(&self._topics_ptr[slot])
            self._frames.pop(slot, None)

    cdef int _grow_topics(self, Py_ssize_t wanted) except -1:
        cdef:
            Py_ssize_t capacity = max(wanted, 2 * self._capacity + 8)
            Fields* topics_ptr = <Fields*>PyMem_Realloc(self._topics_ptr, capacity * sizeof(Fields))
        if topics_ptr == NULL:
            raise MemoryError(f"no memory for {capacity} topics")
        memset(topics_ptr + self._capacity, 0, (capacity - self._capacity) * sizeof(Fields))
        self._topics_ptr = topics_ptr
        self._capacity = capacity
        return 0

    def update(self, Batch batch not None, double now_s):
        """Merge the market data frames of a batch.

        Args:
            batch: a finished batch.
            now_s: the time of the update, in seconds of any clock; `get` returns it with each value.
        """
        self._topics.resolve(batch)
        self.merge_resolved(batch, now_s)

    cdef int merge_resolved(self, Batch batch, double now_s) except -1:
        cdef:
            const char* text_ptr
            Py_ssize_t index, offset, text_len, count
            int32_t slot

        for index in range(batch.frame_count):
            if batch.kinds_ptr[index] != KIND_MARKET_DATA:
                continue
            # Read through the table each time: a merge creates objects, and a finalizer may resolve another batch.
            slot = self._topics.slots_ptr[index]
            if slot < 0 or slot >= self._capacity or not self._topics_ptr[slot].is_kept:
                continue
            offset = batch.offsets_ptr[index]
            text_ptr = batch.arena_ptr + offset
            text_len = batch.offsets_ptr[index + 1] - offset
            count = _read_members(self._keys, text_ptr, text_len, self._spans_ptr, self._span_capacity)
            while count == MORE_MEMBERS:
                self._grow_spans()
                count = _read_members(self._keys, text_ptr, text_len, self._spans_ptr, self._span_capacity)
            if count >= 0:
                self._merge(slot, text_ptr, batch.arena_len - offset, count, batch.received_ns_ptr[index], now_s)
            else:
                self._merge_decoded(slot, text_ptr, text_len, batch.received_ns_ptr[index], now_s)
        return 0

    cdef int _grow_spans(self) except -1:
        cdef:
            Py_ssize_t capacity = 2 * self._span_capacity + 32
            Span* spans_ptr = <Span*>PyMem_Realloc(self._spans_ptr, capacity * sizeof(Span))
        if spans_ptr == NULL:
            raise MemoryError(f"no memory for the {capacity} members of a frame")
        self._spans_ptr = spans_ptr
        self._span_capacity = capacity
        return 0

    cdef Field* _field(self, int32_t slot, int32_t key) except NULL:
        # The field of a topic, created if it does not exist.
        cdef:
            Fields* fields = &self._topics_ptr[slot]
            int32_t at = -1
        if key < fields.index_count:
            at = fields.index_ptr[key]
        if at < 0:
            at = self._new_field(fields, key)
        return &fields.fields_ptr[at]

    cdef int32_t _new_field(self, Fields* fields, int32_t key) except -1:
        cdef:
            int32_t at = fields.field_count
            int32_t capacity = 2 * fields.index_count + 16
            int32_t index
            int32_t* index_ptr
            Field* fields_ptr
        if key >= fields.index_count:
            if capacity <= key:
                capacity = key + 1
            index_ptr = <int32_t*>PyMem_Realloc(fields.index_ptr, capacity * sizeof(int32_t))
            if index_ptr == NULL:
                raise MemoryError(f"no memory for {capacity} keys")
            for index in range(fields.index_count, capacity):
                index_ptr[index] = -1
            fields.index_ptr = index_ptr
            fields.index_count = capacity
        if at == fields.field_capacity:
            capacity = 2 * at + 8
            fields_ptr = <Field*>PyMem_Realloc(fields.fields_ptr, capacity * sizeof(Field))
            if fields_ptr == NULL:
                raise MemoryError(f"no memory for {capacity} fields")
            fields.fields_ptr = fields_ptr
            fields.field_capacity = capacity
        memset(&fields.fields_ptr[at], 0, sizeof(Field))
        fields.fields_ptr[at].key = key
        fields.index_ptr[key] = at
        fields.field_count = at + 1
        return at

    cdef int _merge(
        self, int32_t slot, const char* text_ptr, Py_ssize_t readable_len, Py_ssize_t count, int64_t received_ns,
        double now_s
    ) except -1:
        # The members in the spans. From text_ptr on, readable_len bytes may be read.
        cdef:
            Py_ssize_t index
            Span span
            Field* field
        for index in range(count):
            span = self._spans_ptr[index]
            if span.key == NO_SLOT:
                # It is ASCII: any other key goes to _merge_decoded().
                span.key = self._key(text_ptr[span.key_start:span.key_start + span.key_length].decode())
                if span.key == NO_SLOT:
                    continue
            field = self._field(slot, span.key)
            if field.length == IN_FRAME:
                del self._frames[slot][span.key]
            if span.value_length > SHORT:
                _put_long(field, text_ptr + span.value_start, span.value_length)
            elif span.value_start <= readable_len - SHORT:
                # Copies more than the value, because a copy of constant length takes two instructions.
                memcpy(field.text, text_ptr + span.value_start, SHORT)
            else:
                memcpy(field.text, text_ptr + span.value_start, <size_t>span.value_length)
            field.length = span.value_length
            field.received_ns = received_ns
            field.updated_s = now_s
        return 0

    cdef int _merge_decoded(
        self, int32_t slot, const char* text_ptr, Py_ssize_t text_len, int64_t received_ns, double now_s
    ) except -1:
        cdef:
            Field* field
            bytes raw
            dict payload, frames
            str name
            int32_t key
        try:
            payload = _payload(text_ptr, text_len)
        except MalformedPayloadError:
            self._malformed += 1
            return 0
        raw = PyBytes_FromStringAndSize(text_ptr, text_len)
        frames = self._frames.setdefault(slot, {})
        for name in payload:
            key = self._key(name)
            if key == TOPIC_KEY or key == NO_SLOT:
                continue
            field = self._field(slot, key)
            frames[key] = raw
            field.length = IN_FRAME
            field.received_ns = received_ns
            field.updated_s = now_s
        return 0

    def get(self, Py_ssize_t slot):
        """Return the values of a slot.

        Returns:
            By key on the wire, `topic` itself left out: the value as JSON decodes it, and of the frame that brought it
            `received_ns` (ns since the Unix epoch) and the time of its update. A value that is not JSON, from a frame
            that was not and did not look like it, is left out. None when the slot was not added.
        """
        cdef:
            Py_ssize_t index = 0
            Field* field
            int64_t received_ns
            double updated_s
            dict found = {}
            dict payloads = {}
            bytes frame
            str name
            object value
        if slot < 0 or slot >= self._capacity or not self._topics_ptr[slot].is_kept:
            return None
        # Decoding runs Python code, which may change this object: no pointer is held across it.
        while index < self._topics_ptr[slot].field_count:
            field = &self._topics_ptr[slot].fields_ptr[index]
            received_ns = field.received_ns
            updated_s = field.updated_s
            name = (<bytes>self._keys.texts[field.key]).decode()
            index += 1
            if field.length == IN_FRAME:
                frame = self._frames[slot][field.key]
                if frame not in payloads:
                    payloads[frame] = _payload(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
                value = payloads[frame][name]
            else:
                try:
                    value = _payload(_text_of(field), field.length)
                except MalformedPayloadError:
                    # The frame is not JSON, and the iterator does not detect that inside of a value.
                    continue
            found[name] = (value, received_ns, updated_s)
        return found

    def __reduce__(self):
        raise TypeError("LastValues cannot be copied or pickled")
