"""PendingFrames: the frames of the next message of a capture, copied side by side into memory that is used again

A batch can be freed as soon as it is copied, and the memory of a message stays in the caches of the processor.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from cpapi_fast.frames.arrow cimport (
    ArrowColumn,
    array_capsule,
    binary_column,
    fixed_column,
    record_batch,
    schema_capsule,
)
from cpapi_fast.frames.batch cimport MAX_BATCH_BYTES, Batch

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject*)

cdef enum:
    # More memory than this is not kept for the next message.
    MOST_KEPT_BYTES = 16 * 1024 * 1024
    # The bytes of a frame in the columns: receive time, conid, offset and kind.
    COLUMN_BYTES = 8 + 8 + 4 + 1
    FEWEST_BYTES = 64 * 1024
    FEWEST_FRAMES = 512


@cython.final
@cython.internal
cdef class _Block:
    # The memory of one message, which belongs to everything that was exported from it. The pointers are NULL until the
    # first `make_room`.
    cdef:
        char* payloads_ptr
        Py_ssize_t payload_capacity
        # The columns, each in a block of its own, for `frame_capacity` frames.
        int64_t* received_ns_ptr
        int64_t* conids_ptr
        int32_t* offsets_ptr
        uint8_t* kinds_ptr
        Py_ssize_t frame_capacity

    def __dealloc__(self):
        PyMem_Free(self.payloads_ptr)
        PyMem_Free(self.received_ns_ptr)
        PyMem_Free(self.conids_ptr)
        PyMem_Free(self.offsets_ptr)
        PyMem_Free(self.kinds_ptr)

    cdef int make_room(self, Py_ssize_t payload_len, Py_ssize_t frame_count) except -1:
        # Each block is replaced on its own, so that an error leaves valid pointers. Afterwards no pointer is NULL, also
        # for no frames and for frames without bytes.
        cdef size_t capacity
        if payload_len > self.payload_capacity or self.payloads_ptr == NULL:
            capacity = <size_t>max(payload_len, min(2 * self.payload_capacity, MAX_BATCH_BYTES), FEWEST_BYTES)
            self.payloads_ptr = <char*>_resized(self.payloads_ptr, capacity)
            self.payload_capacity = <Py_ssize_t>capacity
        if frame_count > self.frame_capacity or self.frame_capacity == 0:
            capacity = <size_t>max(frame_count, 2 * self.frame_capacity, FEWEST_FRAMES)
            self.received_ns_ptr = <int64_t*>_resized(self.received_ns_ptr, capacity * sizeof(int64_t))
            self.conids_ptr = <int64_t*>_resized(self.conids_ptr, capacity * sizeof(int64_t))
            self.offsets_ptr = <int32_t*>_resized(self.offsets_ptr, (capacity + 1) * sizeof(int32_t))
            self.kinds_ptr = <uint8_t*>_resized(self.kinds_ptr, capacity)
            if self.frame_capacity == 0:
                self.offsets_ptr[0] = 0
            self.frame_capacity = <Py_ssize_t>capacity
        return 0

    cdef Py_ssize_t size_bytes(self) noexcept:
        return self.payload_capacity + COLUMN_BYTES * self.frame_capacity


cdef void* _resized(void* block_ptr, size_t size_bytes) except NULL:
    block_ptr = PyMem_Realloc(block_ptr, size_bytes)
    if block_ptr == NULL:
        raise MemoryError(f"no memory for {size_bytes} bytes of pending frames")
    return block_ptr


@cython.final
cdef class PendingFrames:
    """Copies of the frames of batches, in the columns of a capture. Pass them to `pyarrow.record_batch`."""

    cdef:
        _Block _block
        Py_ssize_t _payload_len
        Py_ssize_t _frame_count

    def __cinit__(self):
        self._block = _Block()

    def append(self, Batch batch not None, payloads=None):
        """Copy the frames of a batch.

        Args:
            batch: a finished batch.
            payloads: other payload bytes than those of the batch, with the same offsets; None for those of the batch.

        Raises:
            OverflowError: all payloads together would have more than 2 GiB; see `has_room`.
            ValueError: `payloads` has another length than the payloads of the batch.
        """
        cdef Py_buffer given
        if payloads is None:
            self._append(batch, batch.arena_ptr)
            return
        PyObject_GetBuffer(payloads, &given, PyBUF_SIMPLE)
        try:
            if given.len != batch.arena_len:
                raise ValueError(f"{given.len} bytes of payloads instead of {batch.arena_len}")
            self._append(batch, <const char*>given.buf)
        finally:
            PyBuffer_Release(&given)

    cdef int _append(self, Batch batch, const char* payloads_ptr) except -1:
        cdef:
            _Block block
            Py_ssize_t first = self._frame_count
            Py_ssize_t count = batch.frame_count
            int32_t start = <int32_t>self._payload_len
            Py_ssize_t index
        if not self.has_room(batch):
            raise OverflowError("pending frames cannot have more than 2 GiB of payload")
        if count == 0:
            return 0
        if self._is_shared():
            self._replace()
        block = self._block
        block.make_room(self._payload_len + batch.arena_len, first + count)
        if batch.arena_len > 0:
            memcpy(block.payloads_ptr + start, payloads_ptr, <size_t>batch.arena_len)
        memcpy(block.received_ns_ptr + first, batch.received_ns_ptr, <size_t>count * sizeof(int64_t))
        memcpy(block.conids_ptr + first, batch.conids_ptr, <size_t>count * sizeof(int64_t))
        memcpy(block.kinds_ptr + first, batch.kinds_ptr, <size_t>count)
        block.offsets_ptr[first] = start
        for index in range(1, count + 1):
            block.offsets_ptr[first + index] = start + batch.offsets_ptr[index]
        self._payload_len += batch.arena_len
        self._frame_count += count
        return 0

    cdef bint _is_shared(self) noexcept:
        # Whether somebody has what was exported. A pointer, because a reference of its own would count too.
        return Py_REFCNT(<PyObject*>self._block) > 1

    cdef int _replace(self) except -1:
        # Copies the frames, because somebody still has what was exported.
        cdef:
            _Block old = self._block
            _Block block = _Block()
        block.make_room(self._payload_len, self._frame_count)
        if self._frame_count > 0:
            memcpy(block.payloads_ptr, old.payloads_ptr, <size_t>self._payload_len)
            memcpy(block.received_ns_ptr, old.received_ns_ptr, <size_t>self._frame_count * sizeof(int64_t))
            memcpy(block.conids_ptr, old.conids_ptr, <size_t>self._frame_count * sizeof(int64_t))
            memcpy(block.offsets_ptr, old.offsets_ptr, <size_t>(self._frame_count + 1) * sizeof(int32_t))
            memcpy(block.kinds_ptr, old.kinds_ptr, <size_t>self._frame_count)
        self._block = block
        return 0

    cpdef bint has_room(self, Batch batch):
        """Whether the frames of a batch can be added: all payloads together have at most 2 GiB."""
        return batch.arena_len <= MAX_BATCH_BYTES - self._payload_len

    def clear(self):
        """Forget all frames. Up to 16 MiB of memory are used again, unless somebody still has what was exported."""
        self._payload_len = self._frame_count = 0
        if self._is_shared() or self._block.size_bytes() > MOST_KEPT_BYTES:
            self._block = _Block()

    @property
    def nbytes(self):
        """The number of bytes of all columns: the payload bytes, and 21 bytes per frame."""
        return self._payload_len + COLUMN_BYTES * self._frame_count

    def __len__(self):
        """The number of frames."""
        return self._frame_count

    def __arrow_c_array__(self, requested_schema=None):
        """Return schema and array of the frames as Arrow PyCapsules, without a copy. No other schema is supported."""
        cdef:
            _Block block = self._block
            Py_ssize_t count = self._frame_count
            ArrowColumn batch
        block.make_room(0, 0)
        batch = record_batch(
            [
                fixed_column("received_ns", b"l", count, block.received_ns_ptr, block, None),
                fixed_column("kind", b"C", count, block.kinds_ptr, block, None),
                fixed_column("conid", b"l", count, block.conids_ptr, block, None),
                binary_column("raw", b"z", count, block.offsets_ptr, block.payloads_ptr, block, None),
            ],
            count,
            None,
        )
        return schema_capsule(batch), array_capsule(batch)

    def __reduce__(self):
        raise TypeError("PendingFrames cannot be copied or pickled")
