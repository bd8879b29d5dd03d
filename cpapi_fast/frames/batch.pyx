"""Batch: the frames of one socket read in two blocks of memory, one for payload bytes and one for columns.

A batch is filled during one socket read and then finished. After that it does not change.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.number cimport PyNumber_AsSsize_t
from libc.string cimport memcpy, memset

from .arrow cimport ArrowColumn, array_capsule, binary_column, fixed_column, record_batch, schema_capsule, text_column
from .classifier cimport KIND_MALFORMED, Classified
from .column_view cimport column_view
from .frame cimport new_frame, route_frame

from cpapi_fast.protocol.kinds import FrameKind

from .dataframes import import_library

# The offsets of a batch that has no memory yet: one entry, zero. Never written.
cdef int32_t[1] _NO_OFFSETS = [0]


cdef int _raise_memory_error(Py_ssize_t size_bytes) except -1:
    # A function of its own for the same reason as Batch.raise_index_error().
    raise MemoryError(f"no memory for {size_bytes} bytes of a batch")


@cython.final
@cython.no_gc
cdef class Batch:
    """The frames of one socket read, in columns over memory that the batch owns.

    The columns are read-only memoryviews. They copy nothing, and each view keeps a reference to the batch. For n
    frames, `payloads` has the bytes of all frames, `offsets` has n+1 entries, and the other columns have n entries.
    That is the layout of an Arrow record batch with a binary column. A batch is immutable.

    Batches come from a `WsClient` or a `BatchBuilder`; the class cannot be called.
    """

    def __cinit__(self):
        # `Batch.__new__(Batch)` skips __init__. The result must be safe to use: a batch without frames.
        self.arena_ptr = NULL
        self.conids_ptr = NULL
        self.offsets_ptr = _NO_OFFSETS

    def __init__(self):
        raise TypeError("a Batch comes from a WsClient or a BatchBuilder; the class cannot be called")

    def __dealloc__(self):
        PyMem_Free(self.arena_ptr)
        PyMem_Free(self.conids_ptr)
        PyMem_Free(self.late_ns_ptr)

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
            # append_ptr() does not check its int32 offsets for overflow, so the capacity must not exceed their range.
            capacity = MAX_BATCH_BYTES
        # An empty payload is valid (an empty heartbeat), and its pointer must not be NULL.
        arena_ptr = <char*>PyMem_Realloc(self.arena_ptr, capacity if capacity > 0 else 1)
        if arena_ptr == NULL:
            _raise_memory_error(capacity)
        self.arena_ptr = arena_ptr
        self.arena_capacity = capacity
        return 0

    cdef int _grow_columns(self, Py_ssize_t wanted) except -1:
        cdef:
            Py_ssize_t count = self.frame_count
            Py_ssize_t capacity = self.column_capacity * 4
            Py_ssize_t block_size
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
        block_size = capacity * (8 + 8 + 4 + 4 + 4 + 1) + 4
        block_ptr = <char*>PyMem_Malloc(block_size)
        if block_ptr == NULL:
            _raise_memory_error(block_size)
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
        # Classify before the copy, while the bytes of the socket read are in the cache.
        route_frame(data_ptr, data_len, &route)
        if data_len > 0:
            # The only copy of the payload.
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

    cdef int add_lateness(self) except -1:
        cdef:
            Py_ssize_t size = self.frame_count * sizeof(int64_t)
            int64_t* late_ns_ptr = <int64_t*>PyMem_Malloc(size)
        if late_ns_ptr == NULL:
            _raise_memory_error(size)
        memset(late_ns_ptr, 0, size)
        PyMem_Free(self.late_ns_ptr)
        self.late_ns_ptr = late_ns_ptr
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

    cdef int raise_index_error(self) except -1:
        raise IndexError(f"the batch has {self.frame_count} frames")

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
        if self.late_ns_ptr != NULL:
            part.add_lateness()
            memcpy(part.late_ns_ptr, self.late_ns_ptr + start, count * sizeof(int64_t))
        return part

    @property
    def payloads(self):
        """uint8: the payload bytes of all frames, one after the other."""
        return column_view(self, self.arena_ptr, b"B", self.arena_len, 1)

    @property
    def offsets(self):
        """int32, n+1 entries: frame i is `payloads[offsets[i]:offsets[i + 1]]`."""
        return column_view(self, self.offsets_ptr, b"i", self.frame_count + 1, sizeof(int32_t))

    @property
    def kinds(self):
        """uint8, n entries: the values of FrameKind."""
        return column_view(self, self.kinds_ptr, b"B", self.frame_count, 1)

    @property
    def conids(self):
        """int64, n entries: the contract id, or -1 for a frame without one. 0 is a real contract id (combos)."""
        return column_view(self, self.conids_ptr, b"q", self.frame_count, sizeof(int64_t))

    @property
    def received_ns(self):
        """int64, n entries: ns since the Unix epoch, the same for all frames of one socket read."""
        return column_view(self, self.received_ns_ptr, b"q", self.frame_count, sizeof(int64_t))

    @property
    def late_ns(self):
        """int64, n entries: how late each frame is in ns, 0 for one that is not; None if no frame is late.

        Set by a `Feed` only. A frame is late if it was received more than a second later after its `_updated` than
        usual for its subscription.
        """
        if self.late_ns_ptr == NULL:
            return None
        return column_view(self, self.late_ns_ptr, b"q", self.frame_count, sizeof(int64_t))

    @property
    def topic_starts(self):
        """int32, n entries: the position of the topic in the bytes of its frame; -1 if it is not plain text there."""
        return column_view(self, self.topic_starts_ptr, b"i", self.frame_count, sizeof(int32_t))

    @property
    def topic_lengths(self):
        """int32, n entries: the number of bytes of the topic.

        If the start is -1: 0 for a frame without a topic, -1 for a topic with escapes (`Frame.topic` decodes it).
        """
        return column_view(self, self.topic_lengths_ptr, b"i", self.frame_count, sizeof(int32_t))

    def __arrow_c_schema__(self):
        """Return the schema as an Arrow PyCapsule."""
        return schema_capsule(self.arrow())

    def __arrow_c_array__(self, requested_schema=None):
        """Return schema and array of the frames as Arrow PyCapsules; see `to_arrow`. No other schema is supported."""
        cdef ArrowColumn batch = self.arrow()
        return schema_capsule(batch), array_capsule(batch)

    def to_arrow(self):
        """Return the frames as a `pyarrow.RecordBatch`, without a copy.

        The columns are `received` (timestamp in ns, UTC), `kind` (a dictionary-encoded string: `market_data` and so
        on), `conid` (-1 for a frame without one) and `raw` (the bytes of the frame). Every library that supports the
        Arrow PyCapsule interface accepts the batch itself, without pyarrow.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
        return import_library("pyarrow").record_batch(self)

    cdef ArrowColumn arrow(self):
        cdef ArrowColumn kinds = fixed_column("kind", b"C", self.frame_count, self.kinds_ptr, self, None)
        kinds.dictionary = text_column("", [kind.label.encode() for kind in FrameKind])
        return record_batch([
            fixed_column("received", b"tsn:UTC", self.frame_count, self.received_ns_ptr, self, None),
            kinds,
            fixed_column("conid", b"l", self.frame_count, self.conids_ptr, self, None),
            binary_column("raw", b"z", self.frame_count, self.offsets_ptr, self.arena_ptr, self, None),
        ], self.frame_count, {"cpapi_fast.format": "frames"})

    @property
    def nbytes(self):
        """The number of payload bytes in the batch."""
        return self.arena_len

    def __len__(self):
        """The number of frames."""
        return self.frame_count

    def __getitem__(self, index):
        """Return one frame with a copy of its bytes. The frame does not keep a reference to the batch.

        Raises:
            IndexError: the index is out of range.
        """
        cdef Py_ssize_t position = PyNumber_AsSsize_t(index, IndexError)
        if position < 0:
            position += self.frame_count
        if position < 0 or position >= self.frame_count:
            self.raise_index_error()
        return self.frame_at(position)

    def __iter__(self):
        """Iterate over all frames; each one is the same as `batch[index]`."""
        cdef Py_ssize_t index
        for index in range(self.frame_count):
            yield self.frame_at(index)

    def __repr__(self):
        return f"<Batch {self.frame_count} frames {self.arena_len} bytes>"

    def __reduce__(self):
        raise TypeError("a Batch cannot be pickled; copy its columns")


@cython.final
cdef class BatchBuilder:
    """Builds batches from single messages, as a connection does: for tests, replays and tools.

    Args:
        counters: counts invalid payloads when the payloads of the frames are decoded; None counts nothing.
    """

    cdef:
        Batch _batch
        FrameCounters _counters

    def __init__(self, FrameCounters counters=None):
        self._counters = counters
        self._batch = None

    def append(self, data):
        """Copy one message and classify it.

        Args:
            data: one whole message, bytes-like.

        Raises:
            OverflowError: the batch would have more than 2 GiB of payload.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if self._batch is None:
                self._batch = Batch.new(view.len, 1, self._counters)
            self._batch.append_ptr(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def finish(self, int64_t received_ns, late_ns=None):
        """Return the batch, or None if nothing was appended. The next `append` starts a new batch.

        Args:
            received_ns: the receive time of all frames, in ns since the Unix epoch.
            late_ns: how late each frame is, in ns, for `Batch.late_ns`; None if no frame is late.

        Raises:
            ValueError: `late_ns` has not one number for each frame; then the batch is lost.
        """
        cdef:
            Batch batch = self._batch
            Py_ssize_t index
        if batch is not None:
            self._batch = None
            batch.finish(received_ns)
            if late_ns is not None:
                if len(late_ns) != batch.frame_count:
                    raise ValueError(f"the batch has {batch.frame_count} frames, not {len(late_ns)}")
                batch.add_lateness()
                for index in range(batch.frame_count):
                    batch.late_ns_ptr[index] = late_ns[index]
        return batch

    def __reduce__(self):
        # A copy could change a batch of which the original has created views.
        raise TypeError("a BatchBuilder cannot be copied or pickled")


def slice_of(Batch batch not None, Py_ssize_t start, Py_ssize_t stop):
    """Return the frames `start` to `stop - 1` as a new batch.

    The bytes are copied. If the range is the whole batch, the same object is returned.

    Raises:
        IndexError: the range is empty or not within the batch.
    """
    if start < 0 or start >= stop or stop > batch.frame_count:
        raise IndexError(f"the batch has {batch.frame_count} frames; [{start}, {stop}) is not a non-empty part of it")
    if stop - start == batch.frame_count:
        return batch
    return batch.copy_range(start, stop)
