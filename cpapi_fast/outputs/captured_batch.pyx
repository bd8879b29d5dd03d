"""Makes a batch of the frames in the columns of a capture: they are copied and classified as when they arrived"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t

from cpapi_fast.frames.batch cimport Batch


def captured_batch(received_ns not None, offsets not None, payloads not None, Py_ssize_t start, Py_ssize_t stop):
    """Return the frames `start` to `stop - 1` of the columns of a capture as a batch.

    Args:
        received_ns: the buffer of the receive times, int64.
        offsets: the buffer of the offsets of the frames, int32.
        payloads: the buffer of the bytes of the frames.
        start, stop: the frames, at least one.

    Raises:
        ValueError: the frames are not within the buffers.
        MemoryError: there is no memory for the batch.
    """
    cdef:
        Py_buffer times, ends, data
    PyObject_GetBuffer(received_ns, &times, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(offsets, &ends, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(payloads, &data, PyBUF_SIMPLE)
            try:
                if (
                    start < 0
                    or start >= stop
                    or stop > times.len // <Py_ssize_t>sizeof(int64_t)
                    or stop + 1 > ends.len // <Py_ssize_t>sizeof(int32_t)
                ):
                    raise ValueError(f"the frames {start} to {stop - 1} are not within the columns")
                return _batch(
                    <const int64_t*>times.buf, <const int32_t*>ends.buf, <const char*>data.buf, data.len, start, stop
                )
            finally:
                PyBuffer_Release(&data)
        finally:
            PyBuffer_Release(&ends)
    finally:
        PyBuffer_Release(&times)


cdef Batch _batch(
    const int64_t* received_ptr,
    const int32_t* offsets_ptr,
    const char* payloads_ptr,
    Py_ssize_t payload_len,
    Py_ssize_t start,
    Py_ssize_t stop,
):
    cdef:
        Py_ssize_t index
        int32_t first = offsets_ptr[start]
        int32_t end = offsets_ptr[stop]
        Batch batch
    if first < 0 or end < first or end > payload_len:
        raise ValueError("the offsets of the frames are not within their bytes")
    batch = Batch.new(end - first, stop - start, None)
    for index in range(start, stop):
        # Compared with the end, so that the sum of the lengths is bounded too.
        if offsets_ptr[index + 1] < offsets_ptr[index] or offsets_ptr[index + 1] > end:
            raise ValueError("the offsets of the frames are not in order")
        batch.append_ptr(payloads_ptr + offsets_ptr[index], offsets_ptr[index + 1] - offsets_ptr[index])
    batch.finish(0)
    for index in range(start, stop):
        batch.received_ns_ptr[index - start] = received_ptr[index]
    return batch
