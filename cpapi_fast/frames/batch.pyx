"""Batch and Frame: who owns the bytes of a message, and when its payload is decoded.

A batch is filled while one socket read is being handed over, then finished, then never changed again. Its memory is two
blocks: the arena with all payload bytes, and the columns.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.number cimport PyNumber_AsSsize_t
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from .classifier cimport (
    KIND_HEARTBEAT,
    KIND_MALFORMED,
    KIND_MARKET_DATA,
    KIND_OTHER,
    NO_CONID,
    VERDICT_NOT_JSON,
    VERDICT_ROUTED,
    VERDICT_UNDECIDED,
    Classified,
    classify_ptr,
    route_topic_ptr,
)

import orjson

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.protocol.kinds import FrameKind

cdef object _loads = orjson.loads
cdef object _JSONDecodeError = orjson.JSONDecodeError

# A tuple and not a call of the enum: no object is built to say what kind a frame is.
cdef tuple _KINDS = tuple(FrameKind)

# States of Frame._payload besides a decoded value.
cdef object _NOT_DECODED = object()
cdef object _NOT_JSON = object()

# The offsets of a batch that has no memory of its own yet: one entry, zero. Never written.
cdef int32_t[1] _NO_OFFSETS = [0]

# A frame without a topic is routed on the first of these keys that it has.
cdef tuple _CHANNEL_KEYS = ("error", "result", "message")


cdef object _topic_of(object payload):
    # The topic as a full decode sees it: only a string counts.
    cdef object topic
    if type(payload) is dict:
        topic = (<dict>payload).get("topic")
        if type(topic) is str:
            return topic
    return None


cdef int _route_text(str topic, Classified* route) except -1:
    cdef bytes encoded = topic.encode()
    route_topic_ptr(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), route)
    return 0


cdef int judge_ptr(const char* data_ptr, Py_ssize_t data_len, Classified* route) except -1:
    return _judge(PyBytes_FromStringAndSize(data_ptr, data_len), route)


cdef int _judge(bytes raw, Classified* route) except -1:
    # What the C classifier left undecided: decode, and route on what came out.
    cdef object topic
    try:
        topic = _topic_of(_loads(raw))
    except _JSONDecodeError:
        route.kind = KIND_MALFORMED
        route.verdict = VERDICT_NOT_JSON
        return 0
    route.verdict = VERDICT_ROUTED
    if topic is not None:
        _route_text(<str>topic, route)
        route.topic_length = -1
    return 0


@cython.final
cdef class FrameCounters:
    def __init__(self):
        pass

    def __repr__(self):
        return f"FrameCounters(payload_errors={self.payload_errors}, payloads_repaired={self.payloads_repaired})"


cdef object _decode(bytes raw, FrameCounters counters):
    # The payload, or _NOT_JSON. Where invalid UTF-8 is the only fault, U+FFFD stands for it.
    cdef object payload
    try:
        return _loads(raw)
    except _JSONDecodeError:
        pass
    try:
        raw.decode()
    except UnicodeDecodeError:
        try:
            payload = _loads(raw.decode("utf-8", "replace"))
        except _JSONDecodeError:
            pass
        else:
            if counters is not None:
                counters.payloads_repaired += 1
            return payload
    if counters is not None:
        counters.payload_errors += 1
    return _NOT_JSON


cdef str _reason(bytes raw):
    # Why the decoder refuses the text. It says where, never what stands there.
    try:
        _loads(raw)
    except _JSONDecodeError as error:
        return str(error)
    return None


# Not known to the garbage collector, and taken from a few kept ones: making and dropping a frame costs less that way.
# A circle through a frame could only be made by putting the frame into its own payload.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Frame:
    def __cinit__(self):
        # `Frame.__new__(Frame)` gets past __init__; what it makes must be safe to look at: an empty heartbeat.
        self.raw = b""
        self._conid = NO_CONID
        self._topic_start = -1

    def __init__(self):
        raise TypeError("a Frame comes from classify(), a Batch or a WsClient; it is not made by hand")

    @property
    def kind(self):
        return _KINDS[self._kind]

    @property
    def topic(self):
        if self._topic_start >= 0:
            return PyUnicode_DecodeUTF8(
                PyBytes_AS_STRING(self.raw) + self._topic_start, self._topic_length, "replace"
            )
        if self._topic_length < 0:
            return _topic_of(self.payload)
        return None

    @property
    def channel(self):
        cdef object topic = self.topic
        cdef object payload
        cdef object key
        if topic is not None:
            return topic.partition("+")[0]
        if self._kind != KIND_OTHER:
            return None
        payload = self.payload
        if type(payload) is dict:
            for key in _CHANNEL_KEYS:
                if key in <dict>payload:
                    return key
        return None

    @property
    def conid(self):
        return None if self._conid == NO_CONID else self._conid

    @property
    def target(self):
        cdef object topic
        cdef str target
        if self._kind != KIND_MARKET_DATA:
            return None
        topic = self.topic
        target = (<str>topic)[4:]
        return None if target.isdigit() else target

    @property
    def received_ns(self):
        return self._received_ns

    @property
    def payload(self):
        if self._payload is _NOT_DECODED:
            if self._kind == KIND_HEARTBEAT or self._kind == KIND_MALFORMED:
                return None
            self._payload = _decode(self.raw, self._counters)
        if self._payload is _NOT_JSON:
            raise MalformedPayloadError(
                f"the frame's route is known, but its {len(self.raw)} bytes are not JSON: {_reason(self.raw)}. "
                "They are in this error's `raw`.",
                raw=self.raw,
            )
        return self._payload

    @property
    def error(self):
        return _reason(self.raw) if self._kind == KIND_MALFORMED else None

    def __len__(self):
        return PyBytes_GET_SIZE(self.raw)

    def __bool__(self):
        # A heartbeat may have no bytes, and `while frame := await ws.next_message()` must not stop at one.
        return True

    def __repr__(self):
        # Neither bytes nor topic: both may name an account.
        conid = "" if self._conid == NO_CONID else f" conid={self._conid}"
        return f"<Frame {_KINDS[self._kind].label}{conid} {len(self.raw)} bytes>"

    def __reduce__(self):
        raise TypeError("a Frame cannot be pickled; keep its `raw` and `received_ns`")


cdef inline Frame _frame_of(bytes raw, int64_t received_ns, FrameCounters counters):
    cdef Frame frame = Frame.__new__(Frame)
    frame.raw = raw
    frame._received_ns = received_ns
    frame._payload = _NOT_DECODED
    frame._counters = counters
    return frame


cdef Frame new_frame(
    const char* data_ptr,
    Py_ssize_t data_len,
    int64_t received_ns,
    int64_t conid,
    Py_ssize_t topic_start,
    Py_ssize_t topic_length,
    uint8_t kind,
    FrameCounters counters,
):
    cdef Frame frame = _frame_of(PyBytes_FromStringAndSize(data_ptr, data_len), received_ns, counters)
    frame._conid = conid
    frame._topic_start = topic_start
    frame._topic_length = topic_length
    frame._kind = kind
    return frame


@cython.final
@cython.internal
cdef class _Column:
    # One column behind the buffer protocol: read-only, no copy, keeps alive what owns the memory.
    cdef:
        object _owner
        void* _data_ptr
        const char* _format
        Py_ssize_t _shape[1]
        Py_ssize_t _strides[1]

    def __getbuffer__(self, Py_buffer* view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("this memory is read-only")
        view.buf = self._data_ptr
        view.obj = self
        view.len = self._shape[0] * self._strides[0]
        view.itemsize = self._strides[0]
        view.readonly = 1
        view.ndim = 1
        view.format = <char*>self._format if flags & PyBUF_FORMAT else NULL
        view.shape = self._shape if flags & PyBUF_ND else NULL
        view.strides = self._strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL


cdef object column_view(object owner, void* data_ptr, const char* format_ptr, Py_ssize_t count, Py_ssize_t itemsize):
    cdef _Column column = _Column.__new__(_Column)
    column._owner = owner
    column._data_ptr = data_ptr
    column._format = format_ptr
    column._shape[0] = count
    column._strides[0] = itemsize
    return memoryview(column)


@cython.final
@cython.no_gc
cdef class Batch:
    def __cinit__(self):
        # `Batch.__new__(Batch)` gets past __init__; what it makes must be safe to look at: a batch without frames.
        self.arena_ptr = NULL
        self.conids_ptr = NULL
        self.offsets_ptr = _NO_OFFSETS

    def __init__(self):
        raise TypeError("a Batch comes from a WsClient or a BatchBuilder; it is not made by hand")

    def __dealloc__(self):
        PyMem_Free(self.arena_ptr)
        PyMem_Free(self.conids_ptr)

    @staticmethod
    cdef Batch new(Py_ssize_t arena_capacity, Py_ssize_t column_capacity, FrameCounters counters):
        cdef Batch batch = Batch.__new__(Batch)
        batch.counters = counters
        batch._grow_arena(arena_capacity)
        batch._grow_columns(column_capacity)
        batch.offsets_ptr[0] = 0
        return batch

    cdef int _grow_arena(self, Py_ssize_t wanted) except -1:
        cdef char* arena_ptr
        cdef Py_ssize_t capacity = self.arena_capacity * 2
        if wanted > MAX_BATCH_BYTES:
            raise OverflowError("a batch cannot hold more than 2 GiB of payload")
        if capacity < wanted:
            capacity = wanted
        elif capacity > MAX_BATCH_BYTES:
            # What fits is not checked again, so nothing may fit that the offsets cannot say.
            capacity = MAX_BATCH_BYTES
        # A length of zero is a legal payload (an empty heartbeat): the pointer is never NULL even then.
        arena_ptr = <char*>PyMem_Realloc(self.arena_ptr, capacity if capacity > 0 else 1)
        if arena_ptr == NULL:
            raise MemoryError(f"no memory for {capacity} bytes of frames")
        self.arena_ptr = arena_ptr
        self.arena_capacity = capacity
        return 0

    cdef int _grow_columns(self, Py_ssize_t wanted) except -1:
        cdef:
            Py_ssize_t count = self.frame_count
            Py_ssize_t capacity = self.column_capacity * 4
            char* block_ptr
            int64_t* received_ns_ptr
            int32_t* offsets_ptr
            int32_t* topic_starts_ptr
            int32_t* topic_lengths_ptr
            uint8_t* kinds_ptr
        if capacity < wanted:
            capacity = wanted
        if capacity < 8:
            capacity = 8
        # Widest items first, so that each column is aligned.
        block_ptr = <char*>PyMem_Malloc(capacity * (8 + 8 + 4 + 4 + 4 + 1) + 4)
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the columns of {capacity} frames")
        received_ns_ptr = <int64_t*>block_ptr + capacity
        offsets_ptr = <int32_t*>(received_ns_ptr + capacity)
        topic_starts_ptr = offsets_ptr + capacity + 1
        topic_lengths_ptr = topic_starts_ptr + capacity
        kinds_ptr = <uint8_t*>(topic_lengths_ptr + capacity)
        if self.conids_ptr != NULL:
            memcpy(block_ptr, self.conids_ptr, count * sizeof(int64_t))
            memcpy(offsets_ptr, self.offsets_ptr, (count + 1) * sizeof(int32_t))
            memcpy(topic_starts_ptr, self.topic_starts_ptr, count * sizeof(int32_t))
            memcpy(topic_lengths_ptr, self.topic_lengths_ptr, count * sizeof(int32_t))
            memcpy(kinds_ptr, self.kinds_ptr, count)
            PyMem_Free(self.conids_ptr)
        self.conids_ptr = <int64_t*>block_ptr
        self.received_ns_ptr = received_ns_ptr
        self.offsets_ptr = offsets_ptr
        self.topic_starts_ptr = topic_starts_ptr
        self.topic_lengths_ptr = topic_lengths_ptr
        self.kinds_ptr = kinds_ptr
        self.column_capacity = capacity
        return 0

    cdef int append_ptr(self, const char* data_ptr, Py_ssize_t data_len) except -1:
        cdef:
            Py_ssize_t index = self.frame_count
            Py_ssize_t start = self.arena_len
            Classified route
        if data_len > self.arena_capacity - start:
            self._grow_arena(start + data_len)
        if index == self.column_capacity:
            self._grow_columns(index + 1)
        # Before the copy, while the bytes are the ones that the socket read has just brought.
        route_frame(data_ptr, data_len, &route)
        if data_len > 0:
            # The one copy of the payload: from here on the bytes are ours.
            memcpy(self.arena_ptr + start, data_ptr, <size_t>data_len)
        self.arena_len = start + data_len
        self.offsets_ptr[index + 1] = <int32_t>(start + data_len)
        self.conids_ptr[index] = route.conid
        self.topic_starts_ptr[index] = <int32_t>route.topic_start
        self.topic_lengths_ptr[index] = <int32_t>route.topic_length
        self.kinds_ptr[index] = route.kind
        if route.kind == KIND_MALFORMED:
            self.malformed_count += 1
        self.frame_count = index + 1
        return 0

    cdef int finish(self, int64_t received_ns) except -1:
        cdef Py_ssize_t index
        for index in range(self.frame_count):
            self.received_ns_ptr[index] = received_ns
        self.is_finished = True
        return 0

    cdef Frame frame_at(self, Py_ssize_t index):
        cdef Py_ssize_t start = self.offsets_ptr[index]
        return new_frame(
            self.arena_ptr + start,
            self.offsets_ptr[index + 1] - start,
            self.received_ns_ptr[index],
            self.conids_ptr[index],
            self.topic_starts_ptr[index],
            self.topic_lengths_ptr[index],
            self.kinds_ptr[index],
            self.counters,
        )

    cdef Batch copy_range(self, Py_ssize_t start, Py_ssize_t stop):
        cdef:
            int32_t first_byte = self.offsets_ptr[start]
            Py_ssize_t size = self.offsets_ptr[stop] - first_byte
            Py_ssize_t count = stop - start
            Py_ssize_t index
            Batch part = Batch.new(size, count, self.counters)
        memcpy(part.arena_ptr, self.arena_ptr + first_byte, <size_t>size)
        part.arena_len = size
        for index in range(count):
            part.offsets_ptr[index + 1] = self.offsets_ptr[start + index + 1] - first_byte
            part.malformed_count += self.kinds_ptr[start + index] == KIND_MALFORMED
        memcpy(part.conids_ptr, self.conids_ptr + start, count * sizeof(int64_t))
        memcpy(part.received_ns_ptr, self.received_ns_ptr + start, count * sizeof(int64_t))
        memcpy(part.topic_starts_ptr, self.topic_starts_ptr + start, count * sizeof(int32_t))
        memcpy(part.topic_lengths_ptr, self.topic_lengths_ptr + start, count * sizeof(int32_t))
        memcpy(part.kinds_ptr, self.kinds_ptr + start, count)
        part.frame_count = count
        part.is_finished = True
        return part

    @property
    def payloads(self):
        return column_view(self, self.arena_ptr, b"B", self.arena_len, 1)

    @property
    def offsets(self):
        return column_view(self, self.offsets_ptr, b"i", self.frame_count + 1, sizeof(int32_t))

    @property
    def kinds(self):
        return column_view(self, self.kinds_ptr, b"B", self.frame_count, 1)

    @property
    def conids(self):
        return column_view(self, self.conids_ptr, b"q", self.frame_count, sizeof(int64_t))

    @property
    def received_ns(self):
        return column_view(self, self.received_ns_ptr, b"q", self.frame_count, sizeof(int64_t))

    @property
    def topic_starts(self):
        return column_view(self, self.topic_starts_ptr, b"i", self.frame_count, sizeof(int32_t))

    @property
    def topic_lengths(self):
        return column_view(self, self.topic_lengths_ptr, b"i", self.frame_count, sizeof(int32_t))

    @property
    def nbytes(self):
        return self.arena_len

    def __len__(self):
        return self.frame_count

    def __getitem__(self, index):
        cdef Py_ssize_t position = PyNumber_AsSsize_t(index, IndexError)
        if position < 0:
            position += self.frame_count
        if position < 0 or position >= self.frame_count:
            raise IndexError(f"the batch has {self.frame_count} frames")
        return self.frame_at(position)

    def __iter__(self):
        cdef Py_ssize_t index
        for index in range(self.frame_count):
            yield self.frame_at(index)

    def __repr__(self):
        return f"<Batch {self.frame_count} frames {self.arena_len} bytes>"

    def __reduce__(self):
        raise TypeError("a Batch cannot be pickled; copy its columns")


@cython.final
cdef class BatchBuilder:
    cdef:
        Batch _batch
        FrameCounters _counters

    def __init__(self, FrameCounters counters=None):
        self._counters = counters
        self._batch = None

    def append(self, data):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if self._batch is None:
                self._batch = Batch.new(view.len, 1, self._counters)
            self._batch.append_ptr(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def finish(self, int64_t received_ns):
        cdef Batch batch = self._batch
        if batch is not None:
            self._batch = None
            batch.finish(received_ns)
        return batch

    def __reduce__(self):
        # A copy would go on filling a batch whose views the first one has already handed out.
        raise TypeError("a BatchBuilder cannot be copied or pickled")


def slice_of(Batch batch not None, Py_ssize_t start, Py_ssize_t stop):
    if start < 0 or start >= stop or stop > batch.frame_count:
        raise IndexError(f"the batch has {batch.frame_count} frames; [{start}, {stop}) is no part of it")
    if stop - start == batch.frame_count:
        return batch
    return batch.copy_range(start, stop)


def classify(data, *, bint strict=False):
    cdef Py_buffer view
    cdef bytes raw
    cdef Classified route
    cdef Frame frame
    cdef object topic
    if type(data) is bytes:
        raw = <bytes>data
    else:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            raw = PyBytes_FromStringAndSize(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
    frame = _frame_of(raw, 0, None)
    route = classify_ptr(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    if strict and route.kind != KIND_HEARTBEAT:
        try:
            frame._payload = _loads(raw)
        except _JSONDecodeError:
            route.kind = KIND_MALFORMED
            route.conid = NO_CONID
            route.topic_start = -1
            route.topic_length = 0
        else:
            topic = _topic_of(frame._payload)
            if topic is None:
                route.topic_start = -1
                route.topic_length = 0
                route.kind = KIND_OTHER
                route.conid = NO_CONID
            else:
                # Decoded already, so the payload is where the topic is read from.
                route.topic_start = -1
                route.topic_length = -1
                _route_text(<str>topic, &route)
    elif route.verdict == VERDICT_UNDECIDED:
        _judge(raw, &route)
    frame._kind = route.kind
    frame._conid = route.conid
    frame._topic_start = route.topic_start
    frame._topic_length = route.topic_length
    return frame
