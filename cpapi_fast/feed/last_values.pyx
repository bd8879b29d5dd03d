"""The last value of every field of every topic, with the times of the frame that brought it.

What a frame brings is found by the walk of members.pxd and kept as it is written; it is decoded when somebody asks.
Frames that the walk finds odd, and those with an escape or unknown bytes beyond ASCII in a key, are decoded at once to
learn their keys, and kept whole.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from cpapi_fast.frames.batch cimport Batch, new_frame
from cpapi_fast.frames.classifier cimport KIND_MARKET_DATA, NO_CONID
from cpapi_fast._json.structural_index cimport Quotes, quotes_of
from cpapi_fast._json.object_iterator cimport LAST_MEMBER, ODD, Member, next_key, next_value, object_start
from cpapi_fast._json.scan cimport word_at
from cpapi_fast.frames.topic_table cimport (
    ASK_DECODER, NO_SLOT, BYTES_BEFORE, TextSlots, find_slot, find_words, slot_of_frame
)

from cpapi_fast.errors import MalformedPayloadError

cdef enum:
    # The slot of the key `topic`, whose value is no field.
    TOPIC_KEY = 0
    # Values of up to so many bytes lie in their field, which is one cache line with them.
    SHORT = 32
    # Less than any text with a topic of market data has.
    SHORTEST_TEXT = 16
    # The length of a value that is kept in a whole frame.
    IN_FRAME = -1
    # What a walk may say instead of how many members there are: ask a decoder, or give more room.
    ODD_FRAME = -1
    MORE_MEMBERS = -2


cdef struct Field:
    int64_t received_ns
    double updated_s
    # The value as it is written, if it is not in `text`. Owned.
    char* long_ptr
    int32_t length
    # The slot of its key.
    int32_t key
    char[SHORT] text


# What is known of one topic.
cdef struct Fields:
    Field* fields_ptr
    int32_t field_count
    int32_t field_capacity
    # By the slot of a key: where its field is, or -1.
    int32_t* index_ptr
    int32_t index_count


# A member of the frame at hand; `key` is a slot, or NO_SLOT for one that is new.
cdef struct Span:
    int32_t key
    int32_t key_start
    int32_t key_length
    int32_t value_start
    int32_t value_length


cdef inline int32_t _key_at(
    TextSlots keys, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t length
) noexcept:
    # The slot of a key, NO_SLOT or ASK_DECODER.
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


cdef inline Py_ssize_t _walk(
    TextSlots keys, const char* text_ptr, Py_ssize_t text_len, Span* spans_ptr, Py_ssize_t room
) noexcept:
    # Writes the members, all but the topic, and says how many; ODD_FRAME, or MORE_MEMBERS than there is room for.
    cdef:
        Quotes quotes = quotes_of(text_ptr, text_len)
        Py_ssize_t position = object_start(text_ptr, text_len)
        Py_ssize_t count = 0
        Py_ssize_t length
        Member member
        int32_t key
        int step

    if position < 0 or text_len < SHORTEST_TEXT:
        return ODD_FRAME
    while True:
        if not next_key(&quotes, &position, &member):
            return ODD_FRAME
        length = member.key_end - member.key_start
        if quotes.has_backslash and memchr(text_ptr + member.key_start, c"\\", <size_t>length) != NULL:
            return ODD_FRAME
        key = _key_at(keys, text_ptr, text_len, member.key_start, length)
        if key == ASK_DECODER:
            return ODD_FRAME
        step = next_value(&quotes, &position, &member)
        if step == ODD or member.value_end == member.value_start:
            return ODD_FRAME
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
    # What a frame of these bytes has as its payload.
    return new_frame(text_ptr, text_len, 0, NO_CONID, -1, 0, KIND_MARKET_DATA, None).payload


@cython.final
cdef class LastValues:
    cdef:
        readonly int64_t malformed
        TextSlots _topics
        TextSlots _keys
        # By the slot of a topic; all zero where there is none.
        Fields* _topics_ptr
        Py_ssize_t _capacity
        Span* _spans_ptr
        Py_ssize_t _span_capacity
        # By the slot of a topic and of a key: the frames of the values that are IN_FRAME.
        dict _frames

    def __cinit__(self):
        self._topics = TextSlots()
        self._keys = TextSlots()
        self._keys.add_text("topic")
        self._frames = {}

    def __dealloc__(self):
        cdef Py_ssize_t slot
        for slot in range(self._capacity):
            _free_fields(&self._topics_ptr[slot])
        PyMem_Free(self._topics_ptr)
        PyMem_Free(self._spans_ptr)

    def add(self, str topic not None):
        cdef:
            Py_ssize_t capacity = 2 * self._capacity + 8
            Fields* topics_ptr
        if len(self._topics.texts) == self._capacity:
            topics_ptr = <Fields*>PyMem_Realloc(self._topics_ptr, capacity * sizeof(Fields))
            if topics_ptr == NULL:
                raise MemoryError(f"no memory for {capacity} topics")
            memset(topics_ptr + self._capacity, 0, (capacity - self._capacity) * sizeof(Fields))
            self._topics_ptr = topics_ptr
            self._capacity = capacity
        self._topics.add_text(topic)

    def remove(self, str topic not None):
        cdef int32_t slot = self._topics.slot_of_text(topic)
        if slot == NO_SLOT:
            return
        self._topics.remove(slot)
        _free_fields(&self._topics_ptr[slot])
        self._frames.pop(slot, None)

    def update(self, Batch batch not None, double now_s):
        cdef:
            const char* text_ptr
            Py_ssize_t index, offset, text_len, count
            int32_t slot

        for index in range(batch.frame_count):
            if batch.kinds_ptr[index] != KIND_MARKET_DATA:
                continue
            slot = slot_of_frame(self._topics, batch, index)
            if slot == ASK_DECODER:
                slot = self._topics.ask_frame(batch, index)
            if slot == NO_SLOT:
                continue
            offset = batch.offsets_ptr[index]
            text_ptr = batch.arena_ptr + offset
            text_len = batch.offsets_ptr[index + 1] - offset
            count = _walk(self._keys, text_ptr, text_len, self._spans_ptr, self._span_capacity)
            while count == MORE_MEMBERS:
                self._grow_spans()
                count = _walk(self._keys, text_ptr, text_len, self._spans_ptr, self._span_capacity)
            if count >= 0:
                self._merge(slot, text_ptr, batch.arena_len - offset, count, batch.received_ns_ptr[index], now_s)
            else:
                self._merge_odd(slot, text_ptr, text_len, batch.received_ns_ptr[index], now_s)

    cdef int _grow_spans(self) except -1:
        cdef:
            Py_ssize_t capacity = 2 * self._span_capacity + 32
            Span* spans_ptr = <Span*>PyMem_Realloc(self._spans_ptr, capacity * sizeof(Span))
        if spans_ptr == NULL:
            raise MemoryError(f"no memory for the {capacity} members of a frame")
        self._spans_ptr = spans_ptr
        self._span_capacity = capacity
        return 0

    cdef inline Field* _field(self, int32_t slot, int32_t key) except NULL:
        # The field of a topic, which is there from now on.
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
        # The members that the walk has found. From text_ptr on, readable_len bytes may be read.
        cdef:
            Py_ssize_t index
            Span span
            Field* field
        for index in range(count):
            span = self._spans_ptr[index]
            if span.key == NO_SLOT:
                # In ASCII, or a decoder would have been asked.
                span.key = self._keys.add_text(text_ptr[span.key_start:span.key_start + span.key_length].decode())
            field = self._field(slot, span.key)
            if field.length == IN_FRAME:
                del self._frames[slot][span.key]
            if span.value_length > SHORT:
                _put_long(field, text_ptr + span.value_start, span.value_length)
            elif span.value_start <= readable_len - SHORT:
                # More than the value: a copy of known length is made of two instructions.
                memcpy(field.text, text_ptr + span.value_start, SHORT)
            else:
                memcpy(field.text, text_ptr + span.value_start, <size_t>span.value_length)
            field.length = span.value_length
            field.received_ns = received_ns
            field.updated_s = now_s
        return 0

    cdef int _merge_odd(
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
            self.malformed += 1
            return 0
        raw = PyBytes_FromStringAndSize(text_ptr, text_len)
        frames = self._frames.setdefault(slot, {})
        for name in payload:
            key = self._keys.add_text(name)
            if key == TOPIC_KEY:
                continue
            field = self._field(slot, key)
            frames[key] = raw
            field.length = IN_FRAME
            field.received_ns = received_ns
            field.updated_s = now_s
        return 0

    def get(self, str topic not None):
        cdef:
            int32_t slot = self._topics.slot_of_text(topic)
            Py_ssize_t index = 0
            Field* field
            int64_t received_ns
            double updated_s
            dict found = {}
            dict payloads = {}
            bytes frame
            str name
            object value
        if slot == NO_SLOT:
            return None
        # Decoding runs Python code, which might change this object: no pointer is kept over it.
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
                    # The frame was no JSON, and the walk could not see it.
                    continue
            found[name] = (value, received_ns, updated_s)
        return found

    def __reduce__(self):
        raise TypeError("LastValues cannot be copied or pickled")
